"""What `mudar` exports, and that the examples of its docstrings run."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mudar
from training.data.synthetic.clip import write_clip, write_song

ROOT = Path(__file__).parents[2]
PUBLIC = {
    *("Analysis", "AnalyzedFile", "Embedder", "HybridIndex", "MudarError", "RetargetSettings", "Rhythm"),
    *("SearchRequest", "Segment", "load", "retarget"),
}
# Modules of the core with examples that need no files.
EXAMPLES = (
    *("mudar.features.envelope", "mudar.records", "mudar.retarget.events", "mudar.retarget.warp.time_map"),
    *("mudar.rhythm.autocorrelation", "mudar.rhythm.metrics", "mudar.rhythm.motion_speed", "mudar.rhythm.smoothing"),
)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that examples use; the files lie in the folder of `cwd`."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "model_store").symlink_to(ROOT / "model_store")
    write_clip(folder / "dance.mp4", seed=3, duration_s=5.0, width=192, height=108)
    write_song(folder / "song.wav", seed=4, duration_s=6.0)
    embedder = mudar.Embedder.from_loaded(mudar.load(folder / "model_store/checkpoints/mudar-small/0.5.0"))
    dance, song = (
        embedder.file(folder / name, kind).rhythm for name, kind in (("dance.mp4", "dance"), ("song.wav", "music"))
    )
    exported = {name: getattr(mudar, name) for name in PUBLIC}
    return exported | {"np": np, "dance": dance, "song": song, "cwd": folder}


def run_examples(thing: object, name: str, names: dict[str, Any]) -> int:
    """Run the examples of a docstring and of what it holds; how many there were."""
    count = 0
    for test in doctest.DocTestFinder(recurse=True).find(thing, name, globs=names.copy()):
        result = doctest.DocTestRunner().run(test)
        assert result.failed == 0, test.name
        count += result.attempted
    return count


def test_this_is_exported() -> None:
    assert set(mudar.__all__) == PUBLIC
    assert set(dir(mudar)) >= PUBLIC
    assert all(callable(getattr(mudar, name)) for name in PUBLIC)
    with pytest.raises(AttributeError, match="nothing"):
        mudar.nothing  # noqa: B018
    assert (ROOT / "mudar" / "py.typed").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Embedder", "HybridIndex", "load", "retarget", "Rhythm"])
def test_the_example_of_a_docstring_runs(name: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(names["cwd"])
    thing = getattr(mudar, name)
    if name == "retarget":  # the callable package; the example is its function's
        thing = importlib.import_module("mudar.retarget.retarget").retarget
    assert run_examples(thing, name, names)


@pytest.mark.parametrize("module", EXAMPLES)
def test_the_examples_of_a_module_run(module: str) -> None:
    thing = importlib.import_module(module)
    assert run_examples(thing, module, vars(thing) | {"np": np})


def test_retarget_is_called_whichever_way_it_was_imported(names: dict[str, Any], tmp_path: Path) -> None:
    from mudar import AnalyzedFile, RetargetSettings, retarget

    files = (
        AnalyzedFile(names["cwd"] / "dance.mp4", names["dance"]),
        AnalyzedFile(names["cwd"] / "song.wav", names["song"]),
    )
    result = retarget(*files, tmp_path / "out.mp4", RetargetSettings(method="shift", max_duration_s=1.0, verify=False))
    assert (tmp_path / "out.mp4").exists()
    assert result.duration_s == pytest.approx(1.0)


def test_a_public_name_loads_no_more_than_it_needs() -> None:
    code = "import sys, mudar, mudar.errors; mudar.Rhythm; mudar.load; mudar.retarget; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ran.stdout.strip() == "False"
