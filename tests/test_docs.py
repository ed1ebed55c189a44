"""Tests what the documents say: links, paths, modules, folders, versions and the opening of each experiment."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from service.app import create_app
from service.cli.main import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
EXPERIMENTS = sorted((ROOT / "docs" / "experiments").glob("*.md"))
SCRIPTS = sorted([*(ROOT / "docs" / "experiments").glob("*.py"), *(ROOT / "tests" / "bench").rglob("*.py")])
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
TOP_LEVEL = {name.split("/")[0] for name in TRACKED if "/" in name}
PATH = re.compile(rf"(?<![\w/.<-])(?:{'|'.join(sorted(map(re.escape, TOP_LEVEL)))})/[\w./-]+")
OF_USERS = re.compile(r"^(data|runs)/")  # folders that a reader's own commands make


def code_spans(text: str) -> Iterator[str]:
    """Yields what stands in backticks and in fenced blocks."""
    yield from re.findall(r"^```\w*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_relative_link_exists(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_path_in_backticks_exists(document: Path) -> None:
    for span in code_spans(document.read_text()):
        for path in PATH.findall(span):
            assert OF_USERS.match(path) or (ROOT / path.rstrip("./")).exists(), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_module_to_run_exists(document: Path) -> None:
    text = re.sub(r"\s+", " ", " ".join(code_spans(document.read_text())))
    ours = {name for name in re.findall(r"-m ([\w.]+)", text) if name.split(".")[0] in TOP_LEVEL}
    for module in ours:
        assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_option_of_a_module_is_one_that_it_takes(document: Path) -> None:
    for span in code_spans(document.read_text()):
        for module, arguments in re.findall(r"-m ([\w.]+)([^#;\n]*)", re.sub(r"\\?\n(?= *[-`])", " ", span)):
            if module.split(".")[0] in TOP_LEVEL and (spec := importlib.util.find_spec(module)):
                main = f"{module}.__main__" if spec.submodule_search_locations else module
                source = Path(str(importlib.util.find_spec(main).origin)).read_text()  # type: ignore[union-attr]
                options = set(re.findall(r"--[a-z][\w-]+", arguments)) - {"--help"}
                assert {option for option in options if f'"{option}"' not in source} == set(), module


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_every_command_of_mudar_and_its_options_exist(document: Path) -> None:
    for span in code_spans(document.read_text()):
        for line in re.findall(r"^mudar ([^#\n]+)", span, flags=re.MULTILINE):
            command, words = get_command(app), line.split()
            while commands := getattr(command, "commands", None):
                assert words[0] in commands, line
                command = commands[words.pop(0)]
            options = {name for parameter in command.params for name in parameter.opts}
            assert {word for word in words if re.match(r"--?[a-z]", word)} <= options, line


def test_the_map_has_a_line_for_every_folder() -> None:
    """Only folders with tracked files count; the map's lines are indented by two spaces a level."""
    (block,) = re.findall(r"## Map\n\n```\n(.*?)```", (ROOT / "ARCHITECTURE.md").read_text(), flags=re.DOTALL)
    named, parents = set(), [""] * 8
    for line in block.splitlines():
        indent, name = re.match(r"( *)([\w]+)/", line).groups()  # type: ignore[union-attr]
        level = len(indent) // 2
        parents[level] = f"{parents[level - 1]}/{name}" if level else name
        named.add(parents[level])
    rooms = ("mudar", "service", "workers", "training")
    folders = {str(p) for name in TRACKED for p in Path(name).parents if str(p).split("/")[0] in rooms}
    assert folders - named == set()
    assert {name for name in named if name.split("/")[0] in rooms} - folders == set()


@pytest.mark.parametrize("document", EXPERIMENTS, ids=by_name)
def test_an_experiment_opens_with_its_commit_and_its_command(document: Path) -> None:
    opening = document.read_text().split("\n\n")[1]
    assert re.search(r"^Commits? `[0-9a-f]{7}`", opening)
    assert "Command" in opening or "`python -m" in opening


@pytest.mark.parametrize("script", SCRIPTS, ids=by_name)
def test_the_scripts_of_experiments_and_benchmarks_can_be_imported(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test runs them, so this is what notices that a name they import has gone."""
    spec = importlib.util.spec_from_file_location(f"script_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec.loader.exec_module(module)
    assert callable(getattr(module, "main", None)) or script.parent.name in ("bench", "retargeting")


def test_the_code_has_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert project == released[0] == create_app().version
    assert released == sorted(released, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in DOCUMENTS:
        for span in code_spans(document.read_text()):
            assert set(re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", span)) <= targets, document


def test_the_hooks_run_what_make_check_runs() -> None:
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert recipe
    tools = set(re.findall(r"\$\(BIN\)/([\w-]+)", recipe.group(1)))
    assert set(re.findall(r"\.venv/bin/([\w-]+)", _hooks())) == tools


def _hooks() -> str:
    return "\n".join(re.findall(r"entry: ([^,]+)", (ROOT / ".pre-commit-config.yaml").read_text()))
