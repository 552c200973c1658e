"""Habits of the house that a machine can check."""

import ast
import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import cdm_inspect
from benchmarks.house import files_below, long_ones
from cdm_inspect.cli.app import COMMANDS
from cdm_inspect.plugins import Hooks, Registry

ROOT = Path(cdm_inspect.__file__).parents[1]
PACKAGE = ROOT / "cdm_inspect"
MODULES = files_below(ROOT, ".py")
SCRIPTS = sorted((ROOT / "apps" / "cdm_inspect_review").rglob("*.js"))
FORBIDDEN = {"utils", "helpers", "common", "manager", "base", "misc"}
HOOKS = sorted(name for name in vars(Hooks) if name.startswith("cdm_inspect_"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules(path):
    assert path.stem not in FORBIDDEN
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    assert ast.get_docstring(ast.parse(text))
    assert long_ones([path], ROOT) == []  # functions above 60 lines, classes above 200


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_of_the_app(path):
    """Classes of the desk end with a brace at the start of a line, as the formatter has it."""
    lines = path.read_text().splitlines()
    assert len(lines) <= 500
    begun = [n for n, line in enumerate(lines) if re.match(r"(export )?(default )?class ", line)]
    for begin in begun:
        assert lines.index("}", begin) - begin < 200


def test_the_root_has_ten_files_at_most():
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_the_map_of_the_rooms_is_true():
    """CONTRIBUTING has a row for each room, with the first sentence of its `__init__`."""
    rooms = {path.parent.name: path for path in PACKAGE.glob("*/__init__.py")}
    said = {
        name: " ".join(ast.get_docstring(ast.parse(path.read_text())).split("\n\n")[0].split())
        for name, path in rooms.items()
    }
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    assert dict(rows) == said
    for sentence in said.values():
        assert re.fullmatch(r"[^.]*\.", sentence), sentence


def test_summaries_of_commands_are_sentences():
    names = [name.replace("-", "_") for name in COMMANDS]
    for name, summary in zip(names, COMMANDS.values(), strict=True):
        module = "import_parts" if name == "import" else name
        assert (PACKAGE / "cli" / f"{module}.py").is_file()
        assert len(summary) <= 90
        assert summary[-1] in ".?"


def test_every_path_in_the_docs_exists():
    """What stands between backticks and looks like a path of the repository."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for path in re.findall(
            r"`((?:cdm_inspect|apps|plugins|benchmarks|tests|docker|docs)/[\w./-]*)`",
            document.read_text(),
        ):
            assert (ROOT / path).exists(), f"{document.name}: {path}"
        for path in re.findall(r"\bpython ((?:benchmarks|tests)/[\w./-]+)", document.read_text()):
            assert (ROOT / path).exists(), f"{document.name}: {path}"


def test_no_pickle_anywhere():
    for path in MODULES:
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        assert not names & {"pickle", "dill", "joblib", "cloudpickle"}, path
        assert not re.search(r"(?<!safetensors\.)torch\.(load|save)\(", path.read_text()), path


@pytest.mark.parametrize(
    "name",
    ["", ".config", ".images", ".model.diffusion", ".model.training", ".plugins", ".storage"],
)
def test_all_is_complete(name):
    """Every name that a room's front door imports from its own modules is public, and no other."""
    module = importlib.import_module(f"cdm_inspect{name}")
    file = Path(module.__file__)
    # Where names are loaded once they are asked for, they stand in a stub.
    stub = file.with_suffix(".pyi")
    source = stub if stub.exists() else file
    imported = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.level or (node.module or "").startswith("cdm_inspect"))
        for alias in node.names
    }
    for each in module.__all__:
        assert hasattr(module, each), each
    own = {"__version__"} if name == "" else set()
    assert sorted(module.__all__) == sorted(imported | (own & set(module.__all__)))


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_page_an_example_that_loads_and_tests(hook, install):
    page = (ROOT / "docs" / "plugins" / f"{hook}.md").read_text()
    function = getattr(Hooks, hook)
    arguments = [str(p) for p in inspect.signature(function).parameters.values()][1:]
    promised = f"def {hook}({', '.join(arguments)}) -> {function.__annotations__['return']}"
    assert promised.replace("'", "") in page
    assert f"({hook}.md)" in (ROOT / "docs" / "plugins" / "README.md").read_text()
    assert "Example:" in function.__doc__
    # The example is a plugin: installed as one, it is sound.
    install("from-the-manual", re.search(r"## Example\n\n```python\n(.*?)```", page, re.DOTALL)[1])
    (row,) = (row for row in Registry().rows if row.name == "from-the-manual")
    assert (row.status, row.hooks) == ("loaded", [hook]), row.reason
    tests = re.findall(r"`(\S*test_\S+\.py)`", page)
    assert tests
    for test in tests:
        kind = hook.removeprefix("cdm_inspect_").removesuffix("s")
        text = (ROOT / test).read_text()
        assert hook in text or kind.title() in text or "OFFER" in text, test


def test_the_manual_of_plugins_has_no_dead_link():
    for file in (ROOT / "docs").rglob("*.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)", file.read_text()):
            assert (file.parent / link).exists(), (file.name, link)


def test_readme_names_what_is_there():
    readme = (ROOT / "README.md").read_text()
    for target in re.findall(r"`make ([a-z]+)`", readme):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(), target
    for link in re.findall(r"\]\((?!http)([^)#]+)", readme):
        assert (ROOT / link).exists(), link


def test_container_and_make_install_what_the_project_declares():
    docker = (ROOT / "docker" / "Dockerfile").read_text()
    make = (ROOT / "Makefile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = {
        name: re.findall(r"'\.\[([a-z,]+)\]'", text)
        for name, text in (("docker", docker), ("make", make))
    }
    # Both install this project with pip and nothing beside it; make adds the tools of the tests.
    assert named == {"docker": ["all", "station,postgres", "all"], "make": ["dev"]}
    assert {"all", "dev"} <= set(extras)
    assert "cdm-inspect[all,authoring]" in extras["dev"]
    assert 'ENTRYPOINT ["cdm-inspect"]' in docker
