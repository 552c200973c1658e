"""Work that hangs, and work that does not."""

import threading
import time

import pytest

from cdm_inspect.errors import PluginFailed
from cdm_inspect.inspection.time_limit import TimeLimit


def test_work_that_is_done_in_time_returns_or_raises_its_own():
    limited = TimeLimit(30, advice="")
    threads = {limited(threading.get_ident) for _ in range(5)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    with pytest.raises(ZeroDivisionError):
        limited(lambda: 1 / 0)

    def times_out_itself():
        raise TimeoutError("of a socket")

    with pytest.raises(TimeoutError, match="of a socket"):
        limited(times_out_itself)
    with pytest.raises(PluginFailed, match="SystemExit: 3"):
        limited(lambda: exit(3))
    assert limited(lambda: 7) == 7


def test_while_work_hangs_no_other_is_begun():
    """Two at a time could take what belongs to one part for the other's."""
    limited, release = TimeLimit(0.2, advice="Raise it."), threading.Event()
    with pytest.raises(PluginFailed, match=r"no answer within 0\.2 s\. Raise it\."):
        limited(release.wait)
    asked, began = [], time.monotonic()
    for _ in range(3):
        with pytest.raises(PluginFailed, match="has not answered on an earlier part"):
            limited(lambda: asked.append(1))
    assert time.monotonic() - began < 0.15
    release.set()
    time.sleep(0.1)
    assert limited(lambda: 7) == 7
    assert asked == []
