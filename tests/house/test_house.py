"""Habits of the house that a machine can check."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

import cdm_inspect
from cdm_inspect.hooks import Hooks

ROOT = Path(cdm_inspect.__file__).parents[1]
PACKAGE = ROOT / "cdm_inspect"
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN = {"utils", "helpers", "common", "manager", "base", "misc"}
HOOKS = sorted(name for name in vars(Hooks) if name.startswith("cdm_inspect_"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules(path):
    assert path.stem not in FORBIDDEN
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno <= 80, node.name


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


@pytest.mark.parametrize("name", ["", ".diffusion", ".images", ".hooks", ".storage", ".training"])
def test_all_is_complete(name):
    module = importlib.import_module(f"cdm_inspect{name}")
    assert sorted(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, public) for public in module.__all__)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook):
    manual = (ROOT / "docs" / "plugins.md").read_text()
    assert f"`{hook}(" in manual
    assert "Example:" in getattr(Hooks, hook).__doc__


def test_readme_names_what_is_there():
    readme = (ROOT / "README.md").read_text()
    for target in re.findall(r"`make ([a-z]+)`", readme):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(), target
    for link in re.findall(r"\]\((?!http)([^)#]+)", readme):
        assert (ROOT / link).exists(), link


def test_container_and_make_install_the_same():
    docker = (ROOT / "docker" / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"cdm-inspect\[([a-z,]+)\]|'\.\[([a-z,]+)\]'", docker):
        for name in "".join(extra).split(","):
            assert name in project["optional-dependencies"]
    assert "make demo" in docker or "cdm-inspect" in docker
