"""Names of what a pilot measures, in the language of the reader. Loads without torch."""

from __future__ import annotations

from cdm_inspect.config.words import Speech


def endpoint_name(endpoint: str, language: str) -> str:
    """A measure in words; one that nobody knows as it is."""
    word, scorer = Speech(language, "page_pilot."), endpoint.removeprefix("AUROC_")
    if scorer != endpoint:
        return word("endpoint_AUROC", scorer=scorer)
    key = f"endpoint_{endpoint}"
    return word(key) if key in word else endpoint
