"""The desk of people who decide: what they are given, what they may say, and what follows."""

import datetime as dt
import io
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from cdm_inspect.config import (
    ImagesConfig,
    LineConfig,
    LineReviewConfig,
    ProjectConfig,
    ReviewConfig,
)
from cdm_inspect.errors import DecisionConflict, ImageError, InvalidOption, NotAllowed
from cdm_inspect.records import Decision, InspectionQuery, Order, Purpose, Verdict
from cdm_inspect.review import (
    Queue,
    ReviewDesk,
    heatmap_picture,
    photograph_picture,
    photograph_size,
)
from cdm_inspect.roles import Actor, Right, Role
from cdm_inspect.storage import SqlUpkeep
from cdm_inspect.testing.recorded_line import record_line
from cdm_inspect.testing.specimens import a_part, a_review

SATO, ITO = Actor("sato", Role.OPERATOR), Actor("ito", Role.OPERATOR)
KATO = Actor("kato", Role.QA)
MORI, NODA = Actor("mori", Role.ENGINEER), Actor("noda", Role.QA)
AUDITOR = Actor("abe", Role.AUDITOR)


@pytest.fixture
def desk(store):
    review = LineReviewConfig(second_share=0.5, audit_per_shift=10)
    # One shift a day; the last one ended a minute ago.
    ends = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    plant = ReviewConfig(timezone="UTC", shifts=(ends.time(),))
    lines = {"A": LineConfig(normal="good", review=review)}
    return ReviewDesk(store, ProjectConfig(lines=lines, review=plant))


def flagged(store, count=6, **changes):
    return [store.append(a_part(number, **changes), evidence=None) for number in range(count)]


def said(part, decision=Decision.ACCEPT, **changes):
    return a_review(part.id, decision, version=part.version, reason="", **changes)


def refusals(store):
    return [event for event in store.events() if event.action == "refused"]


def test_each_screen_has_parts_of_its_own(store, desk):
    flagged(store, 6)
    first = desk.take(SATO, "A", Queue.FLAGGED, holder="one", order=Order.ODDEST, count=4)
    second = desk.take(ITO, "A", Queue.FLAGGED, holder="two", order=Order.ODDEST, count=4)
    assert len(first) == 4
    assert len(second) == 2
    assert not {part.id for part in first} & {part.id for part in second}
    desk.release("one")
    assert len(desk.take(ITO, "A", Queue.FLAGGED, holder="two", count=6)) == 6


def test_few_parts_are_shared(store, desk):
    parts = flagged(store, 7)

    def poll(holder, **asked):
        found = desk.take(SATO, "A", Queue.FLAGGED, holder=holder, order=Order.ODDEST, **asked)
        return [part.id for part in found]

    all_of_them = poll("one", count=7)
    assert poll("one", count=7, busy=all_of_them[-1:]) == [all_of_them[-1], *all_of_them[:-1]]
    assert poll("two", count=7) == []
    # One that has them all gives back half, but not what is being looked at.
    kept = poll("one", count=7, busy=all_of_them[-1:])
    assert kept == [all_of_them[-1], *all_of_them[:3]]
    assert poll("two", count=7) == all_of_them[3:6]
    assert poll("one", count=7, busy=kept[:1]) == kept
    # What comes now goes to the one that has less, and of both to a third.
    new = store.append(a_part(99), evidence=None).id
    assert new in poll("two", count=7)
    assert poll("one", count=7, busy=kept[:1]) == kept
    assert poll("three", count=7) == []
    for _ in range(2):
        shared = [poll(holder, count=7) for holder in ("one", "two", "three")]
    assert sorted(len(screen) for screen in shared) == [2, 3, 3]
    assert {number for screen in shared for number in screen} == {p.id for p in parts} | {new}
    # Those whose decisions are on their way are given to nobody, however few there are.
    desk.release("two")
    held = poll("one", count=7)[:6]
    assert poll("one", count=7, busy=held) == held
    desk.release("three")
    assert len(poll("one", count=7)) == 7


def test_many_parts_are_not_shared(store, desk):
    flagged(store, 12)
    for _ in range(2):
        for holder in ("one", "two"):
            assert len(desk.take(SATO, "A", Queue.FLAGGED, holder=holder, count=6)) == 6
    # Of another line there is nothing to give.
    assert desk.take(SATO, "B", Queue.FLAGGED, holder="three", count=6) == []
    assert len(desk.take(SATO, "A", Queue.FLAGGED, holder="one", count=6)) == 6


@pytest.mark.parametrize("queue", [Queue.AUDIT, Queue.SECOND])
def test_samples_are_lent_as_well(store, desk, queue):
    record_line(store, 60, side=64, photographs=2)
    for part in store.find(InspectionQuery(is_waiting=True)):
        store.record_review(a_review(part.id, reviewer="abe", reason=""))
    first = desk.take(SATO, "A", queue, holder="one", count=5)
    second = desk.take(ITO, "A", queue, holder="two", count=5)
    assert len(first) == len(second) == 5
    assert not {part.id for part in first} & {part.id for part in second}
    assert desk.take(SATO, "A", queue, holder="one", count=5) == first
    *_, shown = first
    kept = desk.take(SATO, "A", queue, holder="one", count=1, busy=[shown.id])
    assert [part.id for part in kept] == [shown.id]
    is_passed = [part.verdict is Verdict.PASS for part in (*first, *second)]
    assert set(is_passed) == {queue is Queue.AUDIT}


def test_a_decision_carries_who_made_it_whatever_was_sent(store, desk):
    (part,) = flagged(store, 1)
    desk.decide(SATO, said(part, reviewer="somebody else", role="engineer"))
    (review,) = desk.story(part.id)
    assert (review.reviewer, review.role) == ("sato", "operator")


@pytest.mark.parametrize(
    ("actor", "decision", "purpose", "verdict", "is_allowed"),
    [
        (SATO, Decision.REJECT, Purpose.QUEUE, Verdict.REVIEW, True),
        (SATO, Decision.REJECT, Purpose.QUEUE, Verdict.PASS, False),
        (SATO, Decision.REJECT, Purpose.AUDIT, Verdict.PASS, True),
        (SATO, Decision.REJECT, Purpose.AUDIT, Verdict.REVIEW, False),
        (SATO, Decision.REJECT, Purpose.CORRECTION, Verdict.REVIEW, False),
        (KATO, Decision.REJECT, Purpose.CORRECTION, Verdict.REVIEW, True),
        (SATO, Decision.REJECT, Purpose.SECOND, Verdict.REVIEW, False),  # nobody has decided
        (AUDITOR, Decision.REJECT, Purpose.QUEUE, Verdict.REVIEW, False),
        (Actor("", Role.ENGINEER), Decision.REJECT, Purpose.QUEUE, Verdict.REVIEW, False),
    ],
)
def test_who_may_decide_what(store, desk, actor, decision, purpose, verdict, is_allowed):
    part = store.append(a_part(1, verdict=verdict), evidence=None)
    review = said(part, decision, purpose=purpose)
    if is_allowed:
        assert desk.decide(actor, review).decision is decision
        assert refusals(store) == []
        return
    with pytest.raises(NotAllowed):
        desk.decide(actor, review)
    assert store.get(part.id).decision is None
    (event,) = refusals(store)
    assert (event.who, event.inspection_id) == (actor.name, part.id)
    assert event.facts["kind"] == "NotAllowed"


def test_a_decision_is_taken_back_by_who_made_it_or_by_quality(store, desk):
    first, second = flagged(store, 2)
    for part in (first, second):
        desk.decide(SATO, said(part))
    undo = a_review(first.id, Decision.UNDO, version=1, reason="")
    with pytest.raises(NotAllowed):
        desk.decide(ITO, undo)
    assert desk.decide(SATO, undo).decision is None
    undo = a_review(second.id, Decision.UNDO, version=1, reason="")
    assert desk.decide(KATO, undo).decision is None


def test_observers_are_told_of_what_was_stored(store):
    stated = []
    desk = ReviewDesk(store, notify=stated.append)
    (part,) = flagged(store, 1)
    desk.decide(SATO, said(part))
    with pytest.raises(DecisionConflict):
        desk.decide(ITO, said(part))
    assert [(review.inspection_id, review.reviewer) for review in stated] == [(part.id, "sato")]


def test_what_cannot_be_recorded_is_said(store, desk):
    (part,) = flagged(store, 1)
    with pytest.raises(InvalidOption, match="no inspection 99"):
        desk.decide(SATO, a_review(99, reason=""))
    with pytest.raises(InvalidOption, match="scratch, dent"):
        desk.decide(SATO, a_review(part.id, Decision.REJECT, reason="bent"))
    desk.decide(SATO, said(part))
    with pytest.raises(DecisionConflict, match="sato"):
        desk.decide(ITO, said(part))
    with pytest.raises(DecisionConflict, match="another one now"):
        desk.decide(ITO, said(part), sha256="f" * 64)
    # Neither has tried what they may not; the conflict of versions the store has stated itself.
    assert [event.facts["kind"] for event in refusals(store)] == [
        "DecisionConflict",
        "InvalidOption",
    ]


def test_second_opinions_that_agree_change_nothing(store, desk):
    parts = flagged(store, 4)
    for part in parts:
        desk.decide(SATO, said(part))
    assert desk.work("A").second_wanted == 2
    assert desk.take(SATO, "A", Queue.SECOND, holder="one") == []  # their own
    chosen = desk.take(ITO, "A", Queue.SECOND, holder="two")
    assert len(chosen) == 2
    for part in chosen:
        stored = desk.decide(ITO, said(part, purpose=Purpose.SECOND))
        assert (stored.decision, stored.reviewer) == (Decision.ACCEPT, "sato")
    assert desk.work("A").second_wanted == 0
    assert desk.take(KATO, "A", Queue.SECOND, holder="three") == []


def test_second_opinions_that_differ_leave_the_part_open(store, desk):
    (part,) = flagged(store, 1)
    decided = desk.decide(SATO, said(part))
    second = said(decided, Decision.REJECT, purpose=Purpose.SECOND)
    assert desk.decide(ITO, second).decision is Decision.UNSURE
    assert desk.decide(ITO, second).decision is Decision.UNSURE  # sent again
    assert len(desk.story(part.id)) == 3
    assert desk.work("A").open == 1
    with pytest.raises(NotAllowed):
        desk.take(SATO, "A", Queue.OPEN, holder="one")
    (left,) = desk.take(KATO, "A", Queue.OPEN, holder="three")
    desk.decide(KATO, said(left, Decision.REJECT, purpose=Purpose.CORRECTION))
    # A second opinion that arrives late once more opens nothing again.
    assert desk.decide(ITO, second).decision is Decision.REJECT
    assert desk.work("A").open == 0


def test_a_second_opinion_that_is_sent_again_opens_nothing_that_was_settled(store, desk):
    (part,) = flagged(store, 1)
    decided = desk.decide(SATO, said(part))
    second = said(decided, purpose=Purpose.SECOND)
    agreed = desk.decide(ITO, second)
    settled = said(agreed, Decision.REJECT, purpose=Purpose.CORRECTION)
    assert desk.decide(KATO, settled).decision is Decision.REJECT
    assert desk.decide(ITO, second).decision is Decision.REJECT
    assert len(desk.story(part.id)) == 3


def test_the_second_person_does_not_settle_what_they_have_opened(store, desk):
    (part,) = flagged(store, 1)
    decided = desk.decide(SATO, said(part))
    left = desk.decide(ITO, said(decided, Decision.REJECT, purpose=Purpose.SECOND))
    for actor in (SATO, ITO):
        with pytest.raises(NotAllowed):
            desk.decide(actor, said(left, Decision.REJECT, purpose=Purpose.CORRECTION))
    assert desk.story(part.id)[-1].decision is Decision.UNSURE


def disagreed(store, desk, first, second):
    """A part that was accepted by one, and rejected by the other."""
    (part,) = flagged(store, 1)
    decided = desk.decide(first, said(part))
    return desk.decide(second, said(decided, Decision.REJECT, purpose=Purpose.SECOND))


def test_where_two_do_not_agree_the_program_leaves_the_part_open(tmp_path, store):
    stated = []
    desk = ReviewDesk(store, notify=stated.append)
    left = disagreed(store, desk, SATO, ITO)
    assert (left.decision, left.reviewer) == (Decision.UNSURE, "")
    first, second, entry = desk.story(left.id)
    assert (first.reviewer, first.decision) == ("sato", Decision.ACCEPT)
    assert (second.reviewer, second.decision) == ("ito", Decision.REJECT)
    assert entry.purpose is Purpose.DISAGREEMENT
    # Nobody has said that they are unsure, nor written anything.
    assert (entry.reviewer, entry.role, entry.comment) == ("", "", "")
    assert entry.seen_ms is entry.region is None
    assert stated[-1].reviewer == ""
    for name in ("sato", "ito"):
        assert store.count(InspectionQuery(reviewer=name)) == 0
    upkeep = SqlUpkeep("sqlite:///x.db", "images/", root=tmp_path)
    link = upkeep.entries(before=None, limit=1)[0].entry
    assert (link["action"], link["purpose"]) == ("decide", "disagreement")
    assert not {"who", "role", "comment"} & link.keys()
    state = upkeep.verify(anchor=None, has_files=False, progress=lambda *_: None)
    assert (state.first_bad, list(state.unlike)) == (None, [])


def test_neither_of_the_two_settles_their_disagreement_whatever_their_role(store, desk):
    left = disagreed(store, desk, KATO, MORI)
    for actor in (KATO, MORI):
        assert desk.take(actor, "A", Queue.OPEN, holder=actor.name) == []
        settling = said(left, Decision.REJECT, purpose=Purpose.CORRECTION)
        with pytest.raises(NotAllowed, match="one of the two who do not agree"):
            desk.decide(actor, settling)
        for purpose in (Purpose.CORRECTION, Purpose.QUEUE):
            with pytest.raises(NotAllowed):
                desk.decide(actor, said(left, Decision.UNDO, purpose=purpose))
        with pytest.raises(NotAllowed):
            desk.decide(actor, said(left, Decision.REJECT, purpose=Purpose.SECOND))
    assert desk.story(left.id)[-1].purpose is Purpose.DISAGREEMENT
    # For a third nothing can be taken back either: nobody's decision stands.
    with pytest.raises(NotAllowed, match="Settle it instead"):
        desk.decide(NODA, said(left, Decision.UNDO))
    (offered,) = desk.take(NODA, "A", Queue.OPEN, holder="noda")
    settled = desk.decide(NODA, said(offered, Decision.REJECT, purpose=Purpose.CORRECTION))
    assert (settled.decision, settled.reviewer) == (Decision.REJECT, "noda")
    # Settled is settled: then anybody of quality may come back to it.
    corrected = said(settled, Decision.ACCEPT, purpose=Purpose.CORRECTION)
    assert desk.decide(KATO, corrected).decision is Decision.ACCEPT


def test_a_third_who_is_unsure_or_takes_it_back_leaves_it_to_others_than_the_two(store, desk):
    left = disagreed(store, desk, KATO, MORI)
    unsure = desk.decide(NODA, said(left, Decision.UNSURE, purpose=Purpose.CORRECTION))
    assert desk.take(KATO, "A", Queue.OPEN, holder="kato") == []
    with pytest.raises(NotAllowed, match="one of the two"):
        desk.decide(MORI, said(unsure, purpose=Purpose.CORRECTION))
    settled = desk.decide(NODA, said(unsure, purpose=Purpose.CORRECTION))
    waiting = desk.decide(NODA, said(settled, Decision.UNDO))
    assert waiting.decision is None
    for actor in (KATO, MORI):
        assert desk.take(actor, "A", Queue.FLAGGED, holder=actor.name) == []
        with pytest.raises(NotAllowed, match="one of the two"):
            desk.decide(actor, said(waiting))
    (offered,) = desk.take(SATO, "A", Queue.FLAGGED, holder="sato")
    assert desk.decide(SATO, said(offered)).reviewer == "sato"


def test_parts_that_are_not_for_somebody_hide_no_others(store, desk, monkeypatch):
    monkeypatch.setattr("cdm_inspect.review.work_queues._PAGE", 2)
    for part in flagged(store, 5):
        decided = desk.decide(KATO, said(part))
        desk.decide(MORI, said(decided, Decision.REJECT, purpose=Purpose.SECOND))
    last = store.append(a_part(9), evidence=None)
    desk.decide(SATO, said(last, Decision.UNSURE))
    assert [part.id for part in desk.take(KATO, "A", Queue.OPEN, holder="kato")] == [last.id]
    assert len(desk.take(NODA, "A", Queue.OPEN, holder="noda")) == 2


def test_nobody_says_in_the_name_of_the_program_that_two_do_not_agree(store, desk):
    (part,) = flagged(store, 1)
    with pytest.raises(NotAllowed, match="only the program"):
        desk.decide(KATO, said(part, Decision.UNSURE, purpose=Purpose.DISAGREEMENT))
    assert desk.story(part.id) == []


def test_what_was_left_open_since_is_a_conflict_that_names_nobody(store, desk):
    (part,) = flagged(store, 1)
    first = said(part)
    decided = desk.decide(SATO, first)
    left = desk.decide(ITO, said(decided, Decision.REJECT, purpose=Purpose.SECOND))
    with pytest.raises(DecisionConflict, match="two people do not agree"):
        desk.decide(NODA, said(left))


def test_only_the_decision_that_is_meant_is_taken_back(store, desk):
    (part,) = flagged(store, 1)
    desk.decide(ITO, said(part, Decision.REJECT))
    # Kato saw the part before that: the decision is refused, and so is what takes it back.
    mine = said(part)
    with pytest.raises(DecisionConflict, match="ito"):
        desk.decide(KATO, mine)
    undo = a_review(part.id, Decision.UNDO, version=1, reason="")
    with pytest.raises(DecisionConflict, match="ito"):
        desk.decide(KATO, undo, undoes=mine.client_id)
    assert store.get(part.id).decision is Decision.REJECT


def test_who_takes_back_what_was_corrected_meanwhile_meets_a_conflict(store, desk):
    """And is not said to have tried what they may not."""
    first, second = flagged(store, 2)
    mine = [said(part) for part in (first, second)]
    decided = [desk.decide(SATO, review) for review in mine]
    desk.decide(KATO, said(decided[0], Decision.REJECT, purpose=Purpose.CORRECTION))
    desk.decide(ITO, said(decided[1], Decision.REJECT, purpose=Purpose.SECOND))
    for part, review in zip(decided, mine, strict=True):
        undo = a_review(part.id, Decision.UNDO, version=1, reason="")
        with pytest.raises(DecisionConflict):
            desk.decide(SATO, undo, undoes=review.client_id)
        with pytest.raises(NotAllowed):
            desk.decide(AUDITOR, replace(undo, client_id="of-an-auditor"))
    assert [event.who for event in refusals(store)] == ["abe", "abe"]


def test_a_guessed_version_overrules_nobody(store, desk):
    (part,) = flagged(store, 1)
    decided = desk.decide(SATO, said(part))
    settled = desk.decide(KATO, said(decided, Decision.REJECT, purpose=Purpose.CORRECTION))
    for actor in (SATO, KATO):
        with pytest.raises(DecisionConflict, match="kato"):
            desk.decide(actor, said(settled))
    assert store.get(part.id).decision is Decision.REJECT


def test_what_is_sent_again_is_told_once_and_refused_never(store):
    stated = []
    desk = ReviewDesk(store, notify=stated.append)
    (part,) = flagged(store, 1)
    review = said(part)
    decided = desk.decide(SATO, review)
    undo = a_review(part.id, Decision.UNDO, version=1, reason="")
    undone = desk.decide(SATO, undo, undoes=review.client_id)
    desk.decide(ITO, said(undone, Decision.REJECT))
    for again in (review, undo):
        desk.decide(SATO, again, undoes=review.client_id)
    assert decided.decision is Decision.ACCEPT
    assert len(stated) == 3
    assert refusals(store) == []


def test_a_decision_names_the_photograph_that_was_seen(store, desk):
    (part,) = flagged(store, 1)
    with pytest.raises(DecisionConflict, match="another one now"):
        desk.decide(SATO, said(part), sha256="f" * 64)
    assert len(refusals(store)) == 1
    assert desk.decide(SATO, said(part), sha256=part.sha256).decision is Decision.ACCEPT


def test_nobody_gives_a_second_opinion_on_a_decision_of_their_own(store, desk):
    (part,) = flagged(store, 1)
    decided = desk.decide(SATO, said(part))
    with pytest.raises(NotAllowed, match="somebody else"):
        desk.decide(SATO, said(decided, purpose=Purpose.SECOND))
    with pytest.raises(NotAllowed, match="taken back"):
        desk.decide(ITO, said(decided, Decision.UNDO, purpose=Purpose.SECOND))


def test_work_of_a_line(store, desk):
    now = dt.datetime.now(dt.UTC)
    old = store.append(a_part(1, inspected_at=now - dt.timedelta(hours=3)), evidence=None)
    passed = store.append(a_part(2, verdict=Verdict.PASS), evidence=None)
    work = desk.work("A")
    assert (work.waiting, work.audited, work.audit_wanted) == (1, 0, 10)
    assert work.oldest == old.inspected_at
    desk.decide(SATO, said(passed, purpose=Purpose.AUDIT))
    assert desk.work("A").audited == 1
    assert desk.work("none").waiting == 0


def test_limit_samples(store, desk):
    part, other = flagged(store, 2)
    with pytest.raises(InvalidOption, match="Decide it first"):
        desk.marks.mark_limit_sample(KATO, part, "just good")
    for one in (part, other):
        one = desk.decide(SATO, said(one))
        with pytest.raises(NotAllowed):
            desk.marks.mark_limit_sample(SATO, one, "just good")
        desk.marks.mark_limit_sample(KATO, one, "just good")
    assert [sample.id for sample in desk.marks.limit_samples("A")] == [other.id, part.id]
    desk.marks.mark_limit_sample(KATO, store.get(part.id), "worn", ends=True)
    assert [sample.id for sample in desk.marks.limit_samples("A")] == [other.id]
    assert desk.marks.limit_samples("B") == []


def test_of_many_limit_samples_the_newest_are_shown(store, desk):
    parts = flagged(store, 130)
    for part in parts:
        store.record_review(a_review(part.id, reason=""))
        desk.marks.mark_limit_sample(KATO, store.get(part.id), "just good")
    shown = [sample.id for sample in desk.marks.limit_samples("A")]
    assert shown == [part.id for part in reversed(parts)][:100]


def test_only_second_opinions_are_read_to_know_how_many_there_are(store, desk, monkeypatch):
    for part in flagged(store, 4):
        desk.decide(SATO, said(part))
    (other,) = desk.take(ITO, "A", Queue.SECOND, holder="two", count=1)
    desk.decide(ITO, said(other, purpose=Purpose.SECOND))
    read, decisions = [], store.decisions

    def stated(*args, **facts):
        read.extend(decisions(*args, **facts))
        return read

    monkeypatch.setattr(store, "decisions", stated)
    assert desk.work("A").second_wanted == 1
    assert [review.purpose for _, review in read] == [Purpose.SECOND]


def test_alarms_are_acknowledged_with_a_reason(store, desk):
    with pytest.raises(InvalidOption):
        desk.marks.acknowledge(KATO, "A", "focus/12", " ")
    with pytest.raises(NotAllowed):
        desk.marks.acknowledge(SATO, "A", "focus/12", "lens cleaned")
    desk.marks.acknowledge(KATO, "A", "focus/12", "lens cleaned")
    assert desk.marks.acknowledged("A")["focus/12"].reason == "lens cleaned"
    assert desk.marks.acknowledged("B") == {}


def test_alike_parts_look_alike(store, desk):
    record_line(store, 60, flagged=1.0, side=256, photographs=12, seed=4)
    parts = store.find(InspectionQuery(limit=60))
    for part in parts[:48]:
        store.record_review(a_review(part.id, reason=""))
    for part in parts[48:]:
        same, *others = desk.alike(part)
        # Every twelfth part shares its photograph, and nothing can be more alike.
        assert same.image_sha256 == part.image_sha256
        assert len(others) == 3
    blank = store.append(a_part(999, regions=(), heatmap=None), evidence=None)
    assert desk.alike(blank) == ()


def test_many_threads_may_ask_at_once(store, desk):
    record_line(store, 80, flagged=1.0, side=64, photographs=2)
    taken, errors = {}, []

    def review(name):
        try:
            for _ in range(5):
                for part in desk.take(
                    Actor(name, Role.OPERATOR), "A", Queue.FLAGGED, holder=name, count=2
                ):
                    desk.decide(Actor(name, Role.OPERATOR), said(part))
                    taken.setdefault(part.id, []).append(name)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=review, args=(f"person {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(taken) == 40
    assert all(len(names) == 1 for names in taken.values())


@pytest.mark.parametrize("role", list(Role))
def test_rights(role):
    actor = Actor("x", role)
    assert actor.may(Right.DECIDE) == (role is not Role.AUDITOR)
    assert actor.may(Right.ADMINISTER) == (role is Role.ENGINEER)
    assert not Actor("", role).may(Right.AUDIT)


def encode(pixels, ending):
    return cv2.imencode(ending, pixels)[1].tobytes()


def picture_of(data, *, max_pixels=10_000_000, **how):
    return photograph_picture(data, max_pixels=max_pixels, **how)


def test_photographs_go_out_byte_by_byte_where_a_browser_can_show_them():
    grey = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    for ending, media_type in (
        (".png", "image/png"),
        (".jpg", "image/jpeg"),
        (".bmp", "image/bmp"),
    ):
        data = encode(grey, ending)
        assert picture_of(data) == (data, media_type)
        assert picture_of(data, is_preview=True) == (data, media_type)
    tiff = picture_of(encode(grey, ".tiff"))
    assert tiff.media_type == "image/png"
    assert np.array_equal(cv2.imdecode(np.frombuffer(tiff.data, np.uint8), 0), grey)
    deep = grey.astype(np.uint16) * 4
    picture = picture_of(encode(deep, ".png"))
    shown = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert shown.dtype == np.uint8
    assert shown.max() == 255
    with pytest.raises(ImageError):
        picture_of(b"<svg onload=alert(1)>")


def test_a_photograph_is_as_large_as_it_is_shown():
    lying = np.zeros((40, 60), np.uint8)
    assert photograph_size(encode(lying, ".png")) == (60, 40)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(lying).save(turned, "JPEG", exif=exif)
    assert photograph_size(turned.getvalue()) == (40, 60)
    with pytest.raises(ImageError):
        photograph_size(b"no picture")


def test_only_a_preview_of_a_large_photograph_has_fewer_pixels():
    large = np.zeros((1500, 3000), np.uint8)
    data = encode(large, ".png")
    assert picture_of(data) == (data, "image/png")
    preview = picture_of(data, is_preview=True)
    assert preview.media_type == "image/jpeg"
    assert cv2.imdecode(np.frombuffer(preview.data, np.uint8), 0).shape == (1024, 2048)
    with pytest.raises(ImageError, match="4,499,999"):
        picture_of(data, is_preview=True, max_pixels=4_499_999)


def test_the_largest_photograph_of_any_line_can_be_seen():
    sizes = {"A": 1_000_000, "B": 100_000_000}
    lines = {
        name: LineConfig(normal="good", images=ImagesConfig(max_pixels=size))
        for name, size in sizes.items()
    }
    assert ProjectConfig(lines=lines).most_pixels == 100_000_000
    assert ProjectConfig().most_pixels == ImagesConfig().max_pixels


def test_the_threshold_is_the_middle_of_a_heat_map(store):
    heat = np.array([[0.0, 1.49, 1.5, 3.0, 9.0]], np.float32)
    part = store.append(a_part(1, heatmap=heat), evidence=None)
    data = store.read_file(part.heatmap_sha256)
    picture = heatmap_picture(data, part.heatmap_scale, part.heatmap_offset, 1.5)
    steps = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)[0]
    assert list(steps[[0, 3, 4]]) == [0, 255, 255]
    assert steps[1] < 128 <= steps[2] + 1  # within a step of the 16-bit file
