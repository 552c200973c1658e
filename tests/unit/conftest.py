"""A store of one's own, and parts in it."""

import datetime as dt

import pytest

from cdm_inspect.records import Verdict
from cdm_inspect.storage import SqlStore
from cdm_inspect.testing.specimens import a_part


@pytest.fixture
def store(tmp_path):
    with SqlStore("sqlite:///x.db", "images/", root=tmp_path) as opened:
        yield opened


@pytest.fixture
def add(store):
    """Keep parts, one every so many minutes from `since` on; passed, if nothing else is said."""
    numbers = iter(range(1, 10**6))

    def keep(count, since, every=1.0, **facts):
        parts = [
            a_part(
                next(numbers),
                heatmap=None,
                inspected_at=since + index * dt.timedelta(minutes=every),
                **{"verdict": Verdict.PASS, **facts},
            )
            for index in range(count)
        ]
        return store.append_many([(part, None) for part in parts])

    return keep
