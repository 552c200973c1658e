"""Verdicts on their way to sinks; the store is the outbox. Loads without torch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from cdm_inspect.errors import (
    PLUGIN_EXCEPTIONS,
    FileLocked,
    PluginFailed,
    StorageError,
    attribute_to_plugin,
)
from cdm_inspect.files import locked
from cdm_inspect.plugins import SinkOffer, VerdictSink, VerdictStore, build_options
from cdm_inspect.project import Project
from cdm_inspect.records import InspectionQuery, JsonObject, Order, Tick, no_progress

_PAGE = 100
_MOST_COUNTED = 1000
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
# After the last part of a run, for what is still on its way to all sinks together.
_LAST_SECONDS = 10.0
_LOOKS_SECONDS = 2.0
_ELSEWHERE = "another process is telling it"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one step of a delivery did.

    Attributes:
        passed: inspections that were gone through; 0 at the end.
        sent: of these, how many the sink received.
    """

    passed: int
    sent: int


@dataclass(frozen=True, kw_only=True)
class Outbox:
    """What a sink has not received yet.

    Attributes:
        name: of the table `[sinks.NAME]`.
        lines: whose verdicts it receives; None means all.
    """

    name: str
    offer: SinkOffer
    project: Project
    store: VerdictStore
    lines: tuple[str, ...] | None

    def begin(self) -> None:
        """A sink that is new receives what comes from now on."""
        if self.store.position(self._key) is None:
            newest = self.store.find(InspectionQuery(order=Order.NEWEST, limit=1))
            self.store.keep_position(self._key, newest[0].id if newest else 0, {})

    @contextmanager
    def opened(self) -> Iterator[VerdictSink]:
        """Connect, as the only process of the project that does.

        Raises:
            ConfigError: with every mistake in the options.
            PluginFailed: if the sink cannot be opened, or another process has it.
        """
        config = self.project.config.sinks[self.name]
        options = build_options(self.offer, config.options, f"sinks.{self.name}.options")
        with ExitStack() as held:
            try:
                held.enter_context(
                    locked(self.project.root / ".sinks" / f"{self.name}.lock", seconds=0)
                )
            except FileLocked as error:
                raise PluginFailed(_ELSEWHERE) from error
            held.enter_context(attribute_to_plugin())
            sink = self.offer.open(options, self.project.root).__enter__()
            try:
                yield sink
            finally:
                # Whatever it returns: a failure must not be swallowed.
                sink.__exit__(None, None, None)

    def send(self, sink: VerdictSink) -> Told:
        """Tell the next verdicts.

        Raises:
            PluginFailed: if the sink raises; the same inspections come again.
        """
        # Read anew: another machine may have sent some.
        page = self.store.find(InspectionQuery(after_id=self._last, limit=_PAGE))
        mine = [part for part in page if self.lines is None or part.line in self.lines]
        if mine:
            with attribute_to_plugin():
                sink.send(mine)
        if page:
            self.store.keep_position(self._key, page[-1].id, {})
        return Told(passed=len(page), sent=len(mine))

    def waiting(self) -> int:
        """How many verdicts it has not received, counted up to 1000 a line."""
        return sum(
            len(
                self.store.find(
                    InspectionQuery(line=line, after_id=self._last, limit=_MOST_COUNTED)
                )
            )
            for line in self.lines or (None,)
        )

    @property
    def _last(self) -> int:
        return (self.store.position(self._key) or (0, {}))[0]

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
        for courier in self._couriers:
            courier.start()

    def wake(self) -> None:
        """Something new is in the store."""
        for courier in self._couriers:
            courier.fresh.set()

    def finish(self) -> None:
        """Give all of them a last while, and say what then waits."""
        deadline = time.monotonic() + _LAST_SECONDS
        for courier in self._couriers:
            courier.finish()
        for courier in self._couriers:
            courier.join(max(0.0, deadline - time.monotonic()))
            courier.is_abandoned = courier.is_alive()
        for courier in self._couriers:
            _say_what_waits(courier)


@contextmanager
def delivering(project: Project, store: VerdictStore) -> Iterator[Deliveries]:
    """Tell every sink of the project what comes into the store, each in a thread of its own.

    A sink that fails is asked again, after pauses that grow to a minute. At the end all together
    have ten seconds for what is left; what then waits is said, and sent next time.

    Raises:
        PluginUnavailable: if nobody offers a sink.
        ConfigError: with every mistake in the options of one.
    """
    boxes = outboxes(project, store)
    for box in boxes:
        box.begin()
    deliveries = Deliveries(boxes)
    try:
        yield deliveries
    finally:
        deliveries.finish()


class _Courier(threading.Thread):
    """Tells one sink.

    Attributes:
        trouble: what was wrong last; empty if nothing.
        is_abandoned: whether nobody waits for it any more; it then tells nothing further.
    """

    def __init__(self, box: Outbox) -> None:
        # A daemon: a sink that hangs must not keep the program from ending.
        super().__init__(name=f"sink {box.name}", daemon=True)
        self.box, self.trouble, self.is_abandoned = box, "", False
        self.fresh, self._is_last = threading.Event(), threading.Event()
        self.fresh.set()  # what was left from last time

    def finish(self) -> None:
        """One more try, and then no other."""
        self._is_last.set()
        self.fresh.set()

    def run(self) -> None:
        pause = _FIRST_PAUSE
        while not self.is_abandoned:
            # Asked before the try: what came until then is in it.
            is_last = self._is_last.is_set()
            try:
                with self.box.opened() as sink:
                    while not is_last:
                        self.fresh.wait(_LOOKS_SECONDS)  # others may have stored something
                        self.fresh.clear()
                        is_last = self._is_last.is_set()
                        if self._tell(sink):
                            pause = _FIRST_PAUSE
                    self._tell(sink)
                self.trouble = ""
            except PLUGIN_EXCEPTIONS as error:  # a sink must not stop a line
                if not self.trouble and str(error) != _ELSEWHERE:
                    _log.warning("sink %r: %s; it will be tried again", self.box.name, error)
                self.trouble = str(error)
                self.fresh.set()
            if is_last:
                return
            self._is_last.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _tell(self, sink: VerdictSink) -> bool:
        """Tell what there is; returns whether there was anything."""
        count = 0
        while not self.is_abandoned and (passed := self.box.send(sink).passed):
            count, self.trouble = count + passed, ""
        return count > 0


def _say_what_waits(courier: _Courier) -> None:
    try:
        waiting = courier.box.waiting()
    except StorageError:
        return  # whoever stores says so
    if waiting and courier.trouble != _ELSEWHERE:
        _log.warning(
            "%s%d verdicts wait for sink %r (%s). They are in the store: the next `cdm-inspect "
            "inspect` tells them, or `cdm-inspect deliver`.",
            "at least " if waiting >= _MOST_COUNTED else "",
            waiting,
            courier.box.name,
            courier.trouble or "it has not answered in time",
        )


def deliver(project: Project, *, tick: Tick = no_progress) -> JsonObject:
    """Tell every sink what it has not received.

    Args:
        tick: called with how many sinks of how many are done.

    Returns:
        `sinks`: of each `name`, `sent`, `waiting` (counted up to 1000 a line) and `error`, or None.
    """
    sinks: list[JsonObject] = []
    with project.open_store() as store:
        boxes = outboxes(project, store)
        for done, box in enumerate(boxes, start=1):
            box.begin()
            sent, trouble = 0, None
            try:
                with box.opened() as sink:
                    while (step := box.send(sink)).passed:
                        sent += step.sent
            except PLUGIN_EXCEPTIONS as error:  # the other sinks have their turn
                trouble = str(error)
            sinks.append(
                {"name": box.name, "sent": sent, "waiting": box.waiting(), "error": trouble}
            )
            tick(done, len(boxes))
    return {"sinks": sinks}
