"""How fast the store keeps, finds, lends, checks and deletes, on a million inspections.

    python benchmarks/store.py --rows 1000000
    python benchmarks/store.py --url postgresql+psycopg://postgres@127.0.0.1/scratch

The database must be empty. Rows without files, every twentieth flagged: what is measured is the
database. Every insert is durable (SQLite synchronous=FULL, PostgreSQL synchronous_commit=on). The
last line is JSON.
"""

import argparse
import datetime as dt
import json
import multiprocessing
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cdm_inspect.records import (
    Decision,
    Inspection,
    InspectionQuery,
    Order,
    Review,
    Verdict,
)
from cdm_inspect.storage import SqlStore, SqlUpkeep
from cdm_inspect.storage.audit import add_entry
from cdm_inspect.testing.specimens import a_part

LINES = ("A", "B")
BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PROCESSES = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="sqlite:///store.db")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--audit-entries", type=int, default=100_000)
    parser.add_argument("--pruned", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {"database": arguments.url.split(":")[0], **run(arguments, Path(folder))}
    table = Table("figure", "found", title=f"{found['database']}, {arguments.rows:,} inspections")
    for name, value in found.items():
        table.add_row(
            name.replace("_", " "), f"{value:,.2f}" if type(value) is float else str(value)
        )
    Console(width=110).print(table)
    print(json.dumps(found))


def run(arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with SqlStore(arguments.url, "images/", root=root) as store:
        found["inserts_per_second_1"] = inserts(store, first=0, batch=1, count=400)
        found["inserts_per_second_100"] = inserts(store, first=1_000, batch=100, count=20_000)
        found["inserts_per_second_filling"] = inserts(
            store, first=100_000, batch=2_000, count=arguments.rows - 20_400
        )
        found |= reading(store)
        found |= claiming(arguments.url, root)
        found |= auditing(store, arguments, root)
    found |= pruning(arguments, root)
    found |= copying(arguments, root)
    return found


def part(number: int) -> Inspection:
    """Every twentieth flagged; two a second."""
    is_flagged = number % 20 == 0
    return replace(
        a_part(number),
        heatmap=None,
        line=LINES[number % 40 == 1],
        verdict=Verdict.REVIEW if is_flagged else Verdict.PASS,
        score=(1.5 if is_flagged else 0.5) + number * 7919 % 1000 / 1000,
        inspected_at=BEGAN + dt.timedelta(seconds=number / 2),
    )


def inserts(store: SqlStore, *, first: int, batch: int, count: int) -> float:
    seconds = 0.0
    for start in range(first, first + count, batch):
        parts = [(part(number), None) for number in range(start, start + batch)]
        began = time.perf_counter()
        store.append_many(parts)
        seconds += time.perf_counter() - began
    return count / seconds


def times(work: Callable[[], Any], rounds: int = 200) -> np.ndarray:
    """Milliseconds of each call."""
    work()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1e3)
    return np.array(taken)


def reading(store: SqlStore) -> dict[str, Any]:
    waiting = InspectionQuery(line="A", is_waiting=True, limit=25)
    found: dict[str, Any] = {}
    for order in (Order.ODDEST, Order.UNCERTAIN, Order.OLDEST, Order.RANDOM):
        query = replace(waiting, order=order)
        deep = store.find(replace(query, limit=5_000))[-1].id
        found[f"queue_{order}_ms_p95"] = p95(partial(store.find, query))
        found[f"queue_{order}_behind_5000_ms_p95"] = p95(
            partial(store.find, replace(query, after_id=deep))
        )
    day = BEGAN + dt.timedelta(days=1)
    for name, work in (
        ("waiting_counted", lambda: store.count(replace(waiting, limit=1))),
        ("newest", lambda: store.find(InspectionQuery(line="A", order=Order.NEWEST, limit=25))),
        ("serial", lambda: store.find(InspectionQuery(serial="S-500000"))),
        ("lines", store.lines),
        ("hourly_all", lambda: store.hourly("A")),
        ("hourly_day", lambda: store.hourly("A", since=BEGAN, until=day)),
    ):
        found[f"{name}_ms_p95"] = p95(work, rounds=60)
    return found


def p95(work: Callable[[], Any], rounds: int = 200) -> float:
    return float(np.percentile(times(work, rounds), 95))


def claiming(url: str, root: Path) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(PROCESSES) as pool:
        began = time.perf_counter()
        done = pool.starmap(claim_and_decide, [(url, root, f"r{i}", 40) for i in range(PROCESSES)])
        seconds = time.perf_counter() - began
    lent = [number for numbers, _, _ in done for number in numbers]
    claims = np.concatenate([taken for _, taken, _ in done])
    decisions = np.concatenate([taken for _, _, taken in done])
    return {
        "claims_doubled": len(lent) - len(set(lent)),
        "claim_ms_p50": float(np.median(claims)),
        "claim_ms_p95": float(np.percentile(claims, 95)),
        "claim_ms_max": float(claims.max()),
        "decision_ms_p95": float(np.percentile(decisions, 95)),
        "decisions_per_second": len(lent) / seconds,
    }


def claim_and_decide(
    url: str, root: Path, name: str, rounds: int
) -> tuple[list[int], np.ndarray, np.ndarray]:
    lent, claims, decisions = [], [], []
    with SqlStore(url, "images/", root=root) as store:
        for _ in range(rounds):
            began = time.perf_counter()
            parts = store.claim("A", name, count=4)
            claims.append((time.perf_counter() - began) * 1e3)
            for lent_part in parts:
                began = time.perf_counter()
                store.record_review(
                    Review(
                        client_id=uuid.uuid4().hex,
                        inspection_id=lent_part.id,
                        decision=Decision.ACCEPT,
                        reviewer=name,
                        version=lent_part.version,
                    )
                )
                decisions.append((time.perf_counter() - began) * 1e3)
                lent.append(lent_part.id)
    return lent, np.array(claims), np.array(decisions)


def auditing(store: SqlStore, arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    with store.database.writing() as session:
        for number in range(arguments.audit_entries):
            add_entry(
                store.database,
                session,
                {"action": "test", "who": "佐藤", "at": BEGAN.isoformat(), "inspection": number},
            )
    upkeep = SqlUpkeep(arguments.url, "images/", root=root)
    began = time.perf_counter()
    state = upkeep.verify(anchor=None, has_files=False, progress=no_progress)
    seconds = time.perf_counter() - began
    if not state.is_sound:
        raise RuntimeError(f"the chain is broken at {state.first_bad}")
    return {"audit_verified_per_second": state.entries / seconds}


def pruning(arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Delete the oldest while another process writes."""
    # As old as the part that so many are older than.
    age = dt.datetime.now(dt.UTC) - BEGAN - dt.timedelta(seconds=(100_000 + arguments.pruned) / 2)
    context = multiprocessing.get_context("spawn")
    stop, answer = context.Event(), context.Queue()
    writer = context.Process(target=write_until, args=(arguments.url, root, stop, answer))
    writer.start()
    answer.get()
    upkeep = SqlUpkeep(arguments.url, "images/", root=root)
    began = time.perf_counter()
    pruned = upkeep.prune({"passed": age}, is_dry=False, progress=no_progress)
    seconds = time.perf_counter() - began
    stop.set()
    longest = answer.get()
    writer.join()
    deleted = pruned.parts["passed"]
    return {
        "pruned": deleted,
        "pruned_per_second": deleted / seconds,
        "prune_longest_transaction_ms": pruned.longest_seconds * 1e3,
        "other_writer_longest_ms": longest,
    }


def write_until(url: str, root: Path, stop: Any, answer: Any) -> None:
    with SqlStore(url, "images/", root=root) as store:
        answer.put(None)
        longest, number = 0.0, 50_000_000
        while not stop.is_set():
            began = time.perf_counter()
            store.append(part(number), evidence=None)
            longest = max(longest, (time.perf_counter() - began) * 1e3)
            number += 1
            time.sleep(0.05)
    answer.put(longest)


def copying(arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    upkeep = SqlUpkeep(arguments.url, "images/", root=root)
    began = time.perf_counter()
    upkeep.backup(root / "backup", progress=no_progress)
    backed_up = time.perf_counter() - began
    began = time.perf_counter()
    upkeep.restore(root / "backup", is_trial=True, progress=no_progress)
    restored = time.perf_counter() - began
    size = sum(path.stat().st_size for path in (root / "backup").rglob("*") if path.is_file())
    return {
        "backup_seconds": backed_up,
        "backup_megabytes": size / 1e6,
        "trial_restore_seconds": restored,
    }


def no_progress(what: str, done: int, total: int) -> None:
    pass


if __name__ == "__main__":
    main()
