"""Kill a program that keeps parts, again and again, at every boundary of its writing.

    python benchmarks/kill_store.py --kills 200 --parts 2000
    python benchmarks/kill_store.py --url postgresql+psycopg://postgres@127.0.0.1/scratch

Each child keeps parts with photograph and heat map, decides every third, and tells the number of a
part once the store has it. It is killed with SIGKILL, by itself, at a boundary drawn at random: at
making a file, syncing, renaming it, before and after every statement and every commit. Then the
store must have every part that was reported, each part and decision once, every file as it was, the
counts by the hour, and a whole audit chain. The database must be empty. The last line is JSON.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event

from cdm_inspect.records import InspectionQuery
from cdm_inspect.storage import SqlStore
from cdm_inspect.storage.audit import first_bad_entry
from cdm_inspect.testing.specimens import a_part, a_review, evidence_of

# What Python tells of before it happens.
_AUDITED = ("os.rename", "os.mkdir", "os.remove", "tempfile.mkstemp", "os.utime")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="sqlite:///killed.db")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--parts", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(arguments, Path(folder))
    print(json.dumps(found))
    if any(found[name] for name in ("lost", "doubled", "bad_files", "bad_entries")):
        sys.exit(1)


def run(arguments: argparse.Namespace, root: Path) -> dict[str, Any]:
    with SqlStore(arguments.url, "images/", root=root):
        pass
    draw = random.Random(arguments.seed)
    reported: set[int] = set()
    where: Counter[str] = Counter()
    per_part = arguments.parts / max(1, arguments.kills)
    first = 0
    while len(reported) < arguments.parts or sum(where.values()) < arguments.kills:
        is_killed = sum(where.values()) < arguments.kills
        # About 40 boundaries a part.
        dies_at = draw.randrange(1, max(2, round(80 * per_part))) if is_killed else None
        last = arguments.parts if not is_killed else None
        numbers, boundary = child(arguments.url, root, first, last, dies_at)
        reported |= set(numbers)
        first = max(reported, default=-1) + 1
        if boundary:
            where[boundary] += 1
        elif not is_killed:
            break
    return {
        "database": arguments.url.split(":")[0],
        "kills": sum(where.values()),
        "killed_at": dict(where.most_common()),
        **check(arguments.url, root, reported),
    }


def child(
    url: str, root: Path, first: int, last: int | None, dies_at: int | None
) -> tuple[list[int], str]:
    """Keep parts in a process of its own; what it reported, and at which boundary it died."""
    reading, writing = os.pipe()
    number = os.fork()
    if number == 0:
        os.close(reading)
        try:
            keep(url, root, first, last, dies_at, writing)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        said = lines.read().split("\n")
    _, status = os.waitpid(number, 0)
    boundary = next((line[1:] for line in reversed(said) if line.startswith("!")), "")
    if os.WIFSIGNALED(status) is not bool(boundary):
        raise RuntimeError(f"a child ended in a way that nobody meant: {status}, {said[-3:]}")
    return [int(line) for line in said if line.isdigit()], boundary


def keep(
    url: str, root: Path, first: int, last: int | None, dies_at: int | None, reported: int
) -> None:
    passed = 0

    def boundary(name: str) -> None:
        nonlocal passed
        passed += 1
        if passed == dies_at:
            os.write(reported, f"!{name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def both(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            boundary(f"before {name}")
            result = call(*arguments, **options)
            boundary(f"after {name}")
            return result

        return wrapped

    with SqlStore(url, "images/", root=root) as store:
        sys.addaudithook(lambda name, _: boundary(f"at {name}") if name in _AUDITED else None)
        os.fsync = both("fsync", os.fsync)
        dialect = store.engine.dialect
        dialect.do_commit = both("commit", dialect.do_commit)  # type: ignore[method-assign]
        event.listen(
            store.engine,
            "before_cursor_execute",
            lambda *facts: boundary(f"before {facts[2].split()[0]}"),
        )
        number = first
        while last is None or number < last:
            stored = store.append(a_part(number), evidence=evidence_of(number))
            if number % 3 == 0:
                store.record_review(a_review(stored.id, client_id=f"review {number}"))
            os.write(reported, f"{number}\n".encode())
            number += 1


def check(url: str, root: Path, reported: set[int]) -> dict[str, Any]:
    bad = []
    with SqlStore(url, "images/", root=root) as store:
        parts = store.find(InspectionQuery(limit=10**6))
        counts = Counter(int(part.sha256, 16) for part in parts)
        decisions = {int(part.sha256, 16): store.reviews(part.id) for part in parts}
        for part in parts:
            try:
                if store.read_file(part.image_sha256) != evidence_of(int(part.sha256, 16)):
                    bad.append(part.image_sha256)
                store.read_file(part.heatmap_sha256)
            except Exception:  # noqa: BLE001 - counted
                bad.append(part.image_sha256)
        by_hour = sum(count.parts for count in store.hourly("A"))
        with store.database.reading() as session:
            entries, bad_entry = first_bad_entry(session)
    lacking = [n for n in reported if n % 3 == 0 and len(decisions.get(n, [])) != 1]
    half_written = sum(path.name.startswith(".") for path in (root / "images").rglob("*"))
    return {
        "parts": len(parts),
        "reported": len(reported),
        "lost": len(reported - set(counts)) + len(lacking),
        "doubled": sum(n - 1 for n in counts.values()) + abs(by_hour - len(parts)),
        "bad_files": len(bad),
        "audit_entries": entries,
        "bad_entries": int(bad_entry is not None),
        "left_half_written": half_written,
    }


if __name__ == "__main__":
    main()
