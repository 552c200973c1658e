"""Parts that wait for a decision, on the review desk."""

from __future__ import annotations

from cdm_inspect.config.words import Speech
from cdm_inspect.review import ReviewDesk
from cdm_inspect.roles import Actor, Right
from cdm_inspect_review import access, components
from cdm_inspect_review.page_state import language
from cdm_inspect_review.plant import current_plant
from cdm_inspect_review.views import frame


def show(desk: ReviewDesk, line: str, actor: Actor | None) -> None:
    """The desk, for the person and the line that were chosen."""
    spoken, settings = language(), desk.settings(line)
    may_decide = actor is not None and actor.may(Right.DECIDE)
    components.show_desk(
        {
            "plant": current_plant().name,
            "line": line,
            "name": actor.name if actor else "",
            "token": access.token_for(actor) if may_decide else "",
            "may_settle": actor is not None and actor.may(Right.SETTLE),
            "language": spoken,
            "is_kiosk": frame.is_kiosk(),
            "words": Speech(spoken).below("desk."),
            "errors": Speech(spoken).below("error."),
            "settings": {
                "min_look_ms": settings.min_look_ms,
                "reasons": [
                    {"code": reason.code, "name": getattr(reason, spoken)}
                    for reason in settings.reasons
                ],
            },
        }
    )
