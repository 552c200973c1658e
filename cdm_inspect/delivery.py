"""Verdicts on their way to sinks; the store is the outbox. Loads without torch."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cdm_inspect.contracts import SinkOffer, VerdictSink, VerdictStore
from cdm_inspect.errors import CdmInspectError, PluginFailed
from cdm_inspect.hooks import build_options
from cdm_inspect.project import Project
from cdm_inspect.records import InspectionQuery, JsonObject, StoredInspection, Tick, untold

_PAGE = 100
_MOST_COUNTED = 1000
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# After the last part of a run, for what is still on its way.
_LAST_SECONDS = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """What a sink has not been told yet.

    Attributes:
        name: of the table `[sinks.NAME]`.
        lines: whose verdicts it is told; None means all.
    """

    name: str
    offer: SinkOffer
    project: Project
    store: VerdictStore
    lines: tuple[str, ...] | None

    def begin(self) -> None:
        """A sink that is new hears of what comes from now on."""
        if self.store.position(self._key) is None:
            newest = self.store.find(InspectionQuery(newest_first=True, limit=1))
            self.store.keep_position(self._key, newest[0].id if newest else 0, {})

    def open(self) -> VerdictSink:
        """Connect.

        Raises:
            ConfigError: with every mistake in the options.
            PluginFailed: if the sink cannot be opened.
        """
        config = self.project.config.sinks[self.name]
        options = build_options(self.offer, config.options, f"sinks.{self.name}.options")
        try:
            return self.offer.open(options, self.project.root)
        except CdmInspectError:
            raise
        except Exception as error:
            raise PluginFailed(f"{type(error).__name__}: {error}") from error

    def send(self, sink: VerdictSink) -> int:
        """Tell the next verdicts; returns how many inspections were gone through, 0 at the end.

        Raises:
            PluginFailed: if the sink raises; the same inspections come again.
        """
        # Read anew: another process may have told some.
        last, _ = self.store.position(self._key) or (0, {})
        page = self.store.find(InspectionQuery(after_id=last, limit=_PAGE))
        if mine := self._mine(page):
            try:
                sink.send(mine)
            except Exception as error:
                raise PluginFailed(f"{type(error).__name__}: {error}") from error
        if page:
            self.store.keep_position(self._key, page[-1].id, {})
        return len(page)

    def waiting(self) -> int:
        """How many verdicts it has not been told, counted up to 1000."""
        last, _ = self.store.position(self._key) or (0, {})
        query = InspectionQuery(after_id=last, limit=_MOST_COUNTED)
        return len(self._mine(self.store.find(query)))

    def _mine(self, page: Sequence[StoredInspection]) -> list[StoredInspection]:
        return [part for part in page if self.lines is None or part.line in self.lines]

    @property
    def _key(self) -> str:
        return f"sink/{self.name}"


def outboxes(project: Project, store: VerdictStore) -> list[Outbox]:
    """One for each sink that the project file names.

    Raises:
        PluginUnavailable: if nobody offers it.
        ConfigError: with every mistake in its options.
    """
    found = []
    for name, config in project.config.sinks.items():
        offer = project.registry.named(SinkOffer, config.sink or name)
        build_options(offer, config.options, f"sinks.{name}.options")
        found.append(
            Outbox(name=name, offer=offer, project=project, store=store, lines=config.lines)
        )
    return found


class Deliveries:
    """The threads that tell sinks while a line goes on; see `delivering`."""

    def __init__(self, boxes: Sequence[Outbox]) -> None:
        self._couriers = [_Courier(box) for box in boxes]

    def wake(self) -> None:
        """Something new is in the store."""
        for courier in self._couriers:
            courier.fresh.set()


@contextmanager
def delivering(project: Project, store: VerdictStore) -> Iterator[Deliveries]:
    """Tell every sink of the project what comes into the store, each in a thread of its own.

    A sink that fails is asked again, after pauses that grow to a minute. At the end all have ten
    seconds for what is left; what then waits is said, and told next time.

    Raises:
        PluginUnavailable: if nobody offers a sink.
        ConfigError: with every mistake in the options of one.
    """
    boxes = outboxes(project, store)
    for box in boxes:
        box.begin()
    deliveries = Deliveries(boxes)
    for courier in deliveries._couriers:
        courier.start()
    try:
        yield deliveries
    finally:
        for courier in deliveries._couriers:
            courier.finish()
        for courier in deliveries._couriers:
            courier.join(_LAST_SECONDS)
            if waiting := courier.box.waiting():
                _log.warning(
                    "%s%d verdicts wait for sink %r (%s). They are in the store: the next "
                    "`cdm-inspect inspect` tells them, or `cdm-inspect deliver`.",
                    "at least " if waiting == _MOST_COUNTED else "",
                    waiting,
                    courier.box.name,
                    courier.trouble or "it has not answered in time",
                )


class _Courier(threading.Thread):
    """Tells one sink.

    Attributes:
        trouble: what was wrong last; empty if nothing.
    """

    def __init__(self, box: Outbox) -> None:
        # A daemon: a sink that hangs must not keep the program from ending.
        super().__init__(name=f"sink {box.name}", daemon=True)
        self.box, self.trouble = box, ""
        self.fresh, self._is_last = threading.Event(), threading.Event()
        self.fresh.set()  # what was left from last time

    def finish(self) -> None:
        """One more try, and then no other."""
        self._is_last.set()
        self.fresh.set()

    def run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            # Asked before the try: what came until then is in it.
            is_last = self._is_last.is_set()
            try:
                with self.box.open() as sink:
                    while not is_last:
                        self.fresh.wait()
                        self.fresh.clear()
                        is_last = self._is_last.is_set()
                        while self.box.send(sink):
                            self.trouble, pause = "", _FIRST_PAUSE
                    while self.box.send(sink):
                        pass
                self.trouble = ""
            except Exception as error:  # noqa: BLE001 - a sink must not stop a line
                if not self.trouble:
                    _log.warning("sink %r: %s; it will be tried again", self.box.name, error)
                self.trouble = str(error)
                self.fresh.set()
            if is_last:
                return
            self._is_last.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def deliver(project: Project, *, tick: Tick = untold) -> JsonObject:
    """Tell every sink what it has not been told.

    Args:
        project: opened.
        tick: told how many sinks of how many are done.

    Returns:
        `sinks`: of each `name`, `sent`, `waiting` (counted up to 1000) and `error`, or None.
    """
    told: list[JsonObject] = []
    with project.open_store() as store:
        boxes = outboxes(project, store)
        for done, box in enumerate(boxes, start=1):
            box.begin()
            sent, trouble = 0, None
            try:
                with box.open() as sink:
                    while count := box.send(sink):
                        sent += count
            except Exception as error:  # noqa: BLE001 - the other sinks have their turn
                trouble = str(error)
            told.append(
                {"name": box.name, "sent": sent, "waiting": box.waiting(), "error": trouble}
            )
            tick(done, len(boxes))
    return {"sinks": told}
