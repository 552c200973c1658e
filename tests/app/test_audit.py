"""The page Audit: who did what, in sentences, and the state of the chain when somebody asks."""

import sqlite3
from zoneinfo import ZoneInfo

import pytest

from cdm_inspect.plugins import AuditEntry
from cdm_inspect.project import open_project
from cdm_inspect.records import Decision, Event
from cdm_inspect.roles import Actor, Role
from cdm_inspect.storage.audit import KEY_VARIABLE
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

QUALITY = Actor("伊藤", Role.QA)


@pytest.fixture
def plant(tmp_path):
    """Three parts, decided; then a mark, and an entry of a kind that the page does not know."""
    root = tmp_path / "plant"
    root.mkdir()
    (root / "cdm-inspect.toml").write_text('[lines.A]\nnormal = "good"\n')
    with open_project(root).open_store() as store:
        for number in range(3):
            kept = store.append(a_part(number), evidence=evidence_of(number))
            comment = "![x](http://example.com/a.png)"
            store.record_review(a_review(kept.id, Decision.REJECT, comment=comment))
        store.record_event(Event(action="mark-limit-sample", who="伊藤", line="A", inspection_id=2))
        store.record_event(Event(action="paint-roof", who="{who} {0}"))
    return root


@pytest.fixture
def page(open_view, plant):
    """The page alone, as somebody sees it."""

    def show(actor=QUALITY, **query):
        return open_view(plant, "audit", actor, query=query)

    return show


def sentences(app):
    return list(app.dataframe[0].value["What was done"])


def test_entries_are_told_in_sentences_newest_first(page):
    app = page()
    assert list(app.dataframe[0].value["No."]) == [5, 4, 3, 2, 1]
    stated = sentences(app)
    assert stated[0] == "{who} {0}: paint-roof"
    assert stated[1] == "伊藤 made part 2 a limit sample of line A"
    assert stated[2].startswith(
        "佐藤 (quality) decided part 3: reject · reason: dent · comment: ![x]"
    )
    # What people have written is never read as markup.
    assert not [text for text in app.markdown if "![x]" in text.value]


def test_entries_are_found_by_person_kind_and_part(page):
    app = page()
    app.multiselect(key="audit-who").set_value(["佐藤"]).run()
    assert len(sentences(app)) == 3
    app.text_input(key="audit-part").set_value("2").run()
    assert len(sentences(app)) == 1
    app.multiselect(key="audit-who").set_value([]).run()
    assert len(sentences(app)) == 2
    app.multiselect(key="audit-action").set_value(["decide"]).run()
    assert sentences(app)[0].startswith("佐藤 (quality) decided part 2")
    assert "1 of the 5 entries read" in app.texts()


def test_kinds_are_chosen_by_words_in_the_readers_language(open_view, plant):
    app = open_view(plant, "audit", QUALITY, state={"language": "ja"})
    # A kind that nobody knows is shown as it is.
    options = app.multiselect(key="audit-action").options
    assert options == ["判定", "限度見本の登録", "paint-roof"]
    chosen = {"language": "ja", "audit-action": ["mark-limit-sample"]}
    app = open_view(plant, "audit", QUALITY, state=chosen)
    assert list(app.dataframe[0].value["番号"]) == [4]


def test_older_entries_come_by_pages(page, plant, monkeypatch):
    app = page(before="3")
    assert list(app.dataframe[0].value["No."]) == [2, 1]
    app.press("Newest")
    assert list(app.dataframe[0].value["No."]) == [5, 4, 3, 2, 1]
    for nonsense in ("-1", "0", "1e999", "NaN", "9" * 10_000, "٣", "'; DROP TABLE audit"):
        assert len(sentences(page(before=nonsense))) == 5, nonsense
    assert "no entry" in page(before="1").texts()


def test_the_chain_is_checked_only_when_somebody_asks(page, plant, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    app = page()
    assert "Checked" not in app.texts()
    app.press("Check now")
    assert "✔ Sound: all 5 entries" in app.texts()
    assert "Held against 1 anchors" in app.texts()
    assert "Anchors are not signed" in app.texts()
    (plant / "audit-anchors.jsonl").unlink()
    app.press("Check now")
    assert "There is no anchor outside the database" in app.texts()


def test_what_was_changed_is_found(page, plant):
    with sqlite3.connect(plant / "cdm-inspect.db") as database:
        database.execute("DROP TRIGGER audit_stays")
        database.execute("UPDATE audit SET entry = replace(entry, '佐藤', '鈴木') WHERE number = 2")
    app = page()
    app.press("Check now")
    assert "✖ Entry 2 is not what it was" in app.texts()
    assert "up to 1 are sound" in app.texts()


def test_a_cut_tail_is_found_by_the_anchor(page, plant):
    open_project(plant).store_upkeep().anchor()
    with sqlite3.connect(plant / "cdm-inspect.db") as database:
        database.execute("DROP TRIGGER audit_grows")
        database.execute("DELETE FROM audit WHERE number > 4")
    app = page()
    app.press("Check now")
    assert "✖ Entry 5 is not what it was" in app.texts()


@pytest.mark.parametrize("actor", [None, Actor("田中", Role.OPERATOR), Actor("", Role.ENGINEER)])
def test_only_who_may_sees_it(page, actor):
    app = page(actor)
    assert "auditors may read" in app.texts()
    assert not app.dataframe
    assert not app.button


def test_the_core_refuses_who_may_not(plant):
    from cdm_inspect.errors import NotAllowed
    from cdm_inspect.review import check_audit, hold_part, read_audit

    project = open_project(plant)
    upkeep, operator = project.store_upkeep(), Actor("田中", Role.OPERATOR)
    with project.open_store() as store:
        part = store.get(1)
    for attempt in (
        lambda: read_audit(operator, upkeep),
        lambda: check_audit(operator, upkeep, lambda what, done, total: None),
        lambda: hold_part(operator, upkeep, part, "case 17"),
    ):
        with pytest.raises(NotAllowed, match="Ask somebody of the role"):
            attempt()
    assert len(read_audit(QUALITY, upkeep)) == 5


def test_every_known_kind_has_a_sentence_in_both_languages(monkeypatch):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import audit_text

    entries = [
        {"action": "judge with", "line": "A", "model": "0123456789abcdef", "at": "nonsense"},
        {"action": "prune", "parts": 3, "first": 1, "last": 9, "class": "passed"},
        {"action": "end hold", "who": "佐藤", "parts": 1, "first": 4, "last": 4, "reason": "17"},
        {"action": "change-user", "who": "佐藤", "facts": {"user": "tanaka"}},
        {"action": "refused", "who": "田中", "inspection": 4, "facts": {"decision": "undo"}},
        {},
    ]
    for language in ("en", "ja"):
        speech = Speech(language)
        stated = [audit_text.sentence(entry, speech, None) for entry in entries]
        assert len(set(stated)) == len(entries)
        assert "0123456789ab" in stated[0]
        assert "tanaka" in stated[3]
        assert speech("audit.decision.undo") in stated[4]
    stated = audit_text.sentence(entries[1], Speech("ja"), None)
    assert "機械判定が合格の部品" in stated
    assert "passed" not in stated
    alarm = {"action": "acknowledge-alarm", "who": "佐藤", "facts": {"alarm": "exposure/17"}}
    assert audit_text.sentence(alarm, Speech("ja"), None).endswith("明るさ（部品番号 17 で検出）")
    # A name that is none of ours stays as it is.
    alarm["facts"]["alarm"] = "humidity/17"
    assert audit_text.sentence(alarm, Speech("ja"), None).endswith("humidity/17")
    from cdm_inspect.config.words import Speech

    english = Speech("en")
    told_of, kinds = set(english.below("audit.did.")), set(english.below("audit.kind."))
    # The program leaves a part open by an entry of the kind `decide`.
    assert kinds == told_of - {"other", "leave-open"}
    links = [AuditEntry(number=1, entry=entries[0], hash="f" * 64)]
    assert audit_text.rows(links, Speech("en"), None)[0]["When"] == "nonsense"


def test_only_who_was_not_allowed_is_said_not_to_have_been(monkeypatch):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import audit_text

    refused = {"action": "refused", "who": "田中", "inspection": 4}
    for language, allowed in (("en", "allowed"), ("ja", "許可")):
        speech = Speech(language)
        stated = {
            kind: audit_text.sentence(
                {**refused, "facts": {"decision": "accept", **({"kind": kind} if kind else {})}},
                speech,
                None,
            )
            # The first versions have kept no kind; of one that nobody knows no more is said.
            for kind in ("", "SomethingElse", "NotAllowed", "DecisionConflict", "InvalidOption")
        }
        assert all("田中" in text and "4" in text for text in stated.values())
        assert [kind for kind, text in stated.items() if allowed in text] == ["NotAllowed"]
        assert stated[""] == stated["SomethingElse"]
        assert len(set(stated.values())) == 4


def test_where_two_do_not_agree_nobody_is_said_to_be_unsure(monkeypatch):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import audit_text

    entry = {
        "action": "decide",
        "inspection": 4,
        "decision": "unsure",
        "purpose": "disagreement",
        "at": "2026-03-02T01:00:00+00:00",
    }
    stated = audit_text.sentence(entry, Speech("en"), None)
    assert stated == "Two people did not agree on part 4; the program left it open · disagreement"
    assert "二人の判定が一致せず" in audit_text.sentence(entry, Speech("ja"), None)


def test_the_backup_that_was_restored_has_the_time_of_the_plant(monkeypatch):
    from cdm_inspect.config.words import Speech
    from cdm_inspect_review import audit_text

    entry = {"action": "restore", "backup": "2026-11-26T18:30:00.123456+00:00"}
    link = AuditEntry(number=1, entry={**entry, "at": entry["backup"]}, hash="f" * 64)
    zone = ZoneInfo("Asia/Tokyo")
    for language, stated in (("en", "of 2026-11-27 03:30:00"), ("ja", "2026-11-27 03:30:00 の")):
        speech = Speech(language)
        [row] = audit_text.rows([link], speech, zone)
        assert stated in audit_text.sentence(entry, speech, zone)
        assert stated in row[speech("audit.what")]
        assert row[speech("audit.when")] == "2026-11-27 03:30:00"
    assert "nonsense" in audit_text.sentence({**entry, "backup": "nonsense"}, Speech("en"), zone)
