"""The built-in store passes the kit for stores, on SQLite and PostgreSQL; forgetful ones do not."""

import dataclasses
import uuid

import pytest

from cdm_inspect.builtin import cdm_inspect_stores
from cdm_inspect.errors import StorageError
from cdm_inspect.plugins import Options, StoreOffer
from cdm_inspect.storage import SqlStore
from cdm_inspect.testing import StoreConformance
from cdm_inspect.testing.specimens import a_part, evidence_of

(SQL,) = cdm_inspect_stores()


class TestSqlite(StoreConformance):
    offer = SQL

    @pytest.fixture
    def options(self):
        return {"url": "sqlite:///cdm.db", "images": "images/"}


class TestPostgresql(StoreConformance):
    offer = SQL

    @pytest.fixture
    def options(self, empty_postgres):
        return {"url": empty_postgres, "images": "images/"}


class Forgetful(SqlStore):
    """A store with one fault."""

    fault = ""

    def __init__(self, root):
        super().__init__("sqlite:///cdm.db", "images/", root=root)

    def append(self, inspection, *, evidence):
        if self.fault == "keeps twice":
            inspection = dataclasses.replace(inspection, model=uuid.uuid4().hex)
        if self.fault == "drops the map":
            inspection = dataclasses.replace(inspection, heatmap=None)
        return super().append(inspection, evidence=evidence)

    def claim(self, line, holder, **options):
        if self.fault == "lends twice":
            self.release("sato")
        return super().claim(line, holder, **options)

    def hourly(self, line, **options):
        counts = super().hourly(line, **options)
        return counts[1:] if self.fault == "miscounts" else counts

    def record_review(self, review):
        if self.fault == "overwrites":
            review = dataclasses.replace(review, version=None)
        if self.fault == "decides twice":
            review = dataclasses.replace(review, client_id=uuid.uuid4().hex)
        return super().record_review(review)

    def keep_position(self, name, last, state):
        if self.fault != "forgets positions":
            super().keep_position(name, last, state)

    def find(self, query):
        found = super().find(query)
        return found[1:] if self.fault == "loses the first" and query.after_id else found


FAULTS = {
    "keeps twice": "test_the_same_inspection_is_kept_once",
    "drops the map": "test_what_was_kept_is_there_after_a_restart",
    "overwrites": "test_a_decision_on_what_has_changed_is_refused",
    "lends twice": "test_parts_that_are_lent_are_lent_once",
    "miscounts": "test_hours_are_counted_as_they_are_kept",
    "decides twice": "test_decisions_are_added_and_never_replaced",
    "forgets positions": "test_positions_only_move_on",
    "loses the first": "test_finding_and_counting",
}


def run_kit(fault, test, tmp_path):
    kind = type("Faulty", (Forgetful,), {"fault": fault})
    offer = StoreOffer(
        contract=1,
        name="faulty",
        summary="Faulty.",
        open=lambda options, root: kind(root),
        options=Options,
    )
    kit = type("Kit", (StoreConformance,), {"offer": offer})()
    getattr(kit, test)(options={}, tmp_path=tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_the_test_that_is_there_for_it(fault, tmp_path):
    (tmp_path / "sound").mkdir()
    run_kit("", FAULTS[fault], tmp_path / "sound")
    with pytest.raises((AssertionError, StorageError, pytest.fail.Exception)):
        run_kit(fault, FAULTS[fault], tmp_path)


def test_parts_of_the_kit_differ():
    assert a_part(1) != a_part(2)
    assert evidence_of(1) != evidence_of(2)
