"""The size of the house: modules, rooms, functions, code lines, and arrows between rooms.

    python benchmarks/house.py [--root OTHER_CHECKOUT]

Code lines are lines that hold code: without blank lines, comments, docstrings and tests. Catalogues
of words are no code.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import tokenize
from collections import Counter
from pathlib import Path

ROOMS = ("cdm_inspect", "apps", "plugins", "benchmarks")
_LONG_FUNCTION, _LONG_CLASS = 60, 200
_SKIPPED = {"tests", "__pycache__", "node_modules", ".venv", "build"}


def files_below(root: Path, *endings: str) -> list[Path]:
    """Files of the product, without its tests."""
    return sorted(
        path
        for room in ROOMS
        for path in (root / room).rglob("*")
        if path.suffix in endings and not _SKIPPED & set(path.relative_to(root).parts)
    )


def python_code_lines(path: Path) -> int:
    """Lines with a token of code, docstrings left out."""
    lines: set[int] = set()
    quiet = {
        *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
        *(tokenize.ENCODING, tokenize.ENDMARKER),
    }
    with tokenize.open(path) as opened:
        for token in tokenize.generate_tokens(opened.readline):
            if token.type not in quiet:
                lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            first = node.body[0]
            lines.difference_update(range(first.lineno, (first.end_lineno or 0) + 1))
    return len(lines)


def web_code_lines(path: Path) -> int:
    """Lines of JavaScript, CSS or HTML that are neither blank nor comment."""
    text = re.sub(r"/\*.*?\*/|<!--.*?-->|\{#.*?#\}", "", path.read_text("utf-8"), flags=re.DOTALL)
    return sum(
        bool(line.strip()) and not line.strip().startswith("//") for line in text.splitlines()
    )


def long_ones(paths: list[Path], root: Path) -> list[str]:
    """Functions and classes that one does not read in a sitting."""
    found = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                limit = _LONG_CLASS if isinstance(node, ast.ClassDef) else _LONG_FUNCTION
                if lines > limit:
                    found.append(f"{path.relative_to(root)}:{node.name} {lines}")
    return found


def arrows(root: Path) -> Counter[tuple[str, str]]:
    """Imports between modules of different rooms of the package, by pair of rooms."""
    found: Counter[tuple[str, str]] = Counter()
    package = root / "cdm_inspect"

    def room(parts: tuple[str, ...]) -> str:
        return parts[0] if parts else "__init__"

    for path in files_below(root, ".py"):
        if package not in path.parents:
            continue
        inside = path.relative_to(package).with_suffix("").parts
        here = room(inside[:-1] if inside[-1] == "__init__" else inside)
        modules: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cdm_inspect"):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                modules |= set(names) if node.module == "cdm_inspect" else {str(node.module)}
            elif isinstance(node, ast.Import):
                modules |= {a.name for a in node.names if a.name.startswith("cdm_inspect")}
        for module in modules:
            there = room(tuple((module or "").split(".")[1:]))
            if there != here:
                found[here, there] += 1
    return found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    root = parser.parse_args().root.resolve()
    python = files_below(root, ".py")
    package = [path for path in python if root / "cdm_inspect" in path.parents]
    sizes = [len(path.read_text("utf-8").splitlines()) for path in package]
    largest = package[sizes.index(max(sizes))]
    print(f"modules of cdm_inspect: {len(package)}, of them at the root: ", end="")
    print(sum(path.parent == root / "cdm_inspect" for path in package))
    print(f"lines a module: median {statistics.median(sizes):.0f}, largest {max(sizes)}", end=" ")
    print(f"({largest.relative_to(root)})")
    own = {
        "python": sum(map(python_code_lines, python)),
        "js, css, html": sum(map(web_code_lines, files_below(root, ".js", ".css", ".html"))),
    }
    print("code lines:", ", ".join(f"{k} {v}" for k, v in own.items()), "sum", sum(own.values()))
    for name in ROOMS:
        here = [path for path in python if path.relative_to(root).parts[0] == name]
        print(f"  python of {name}: {sum(map(python_code_lines, here))}")
    between = arrows(root)
    print(f"arrows between rooms: {sum(between.values())} imports, {len(between)} pairs")
    found = long_ones(python, root)
    print(f"functions above {_LONG_FUNCTION} lines, classes above {_LONG_CLASS}: {len(found)}")
    for line in found:
        print(f"  {line}")


if __name__ == "__main__":
    main()
