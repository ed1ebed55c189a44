"""A GPU node trains and evaluates from records in memory with torch and little else: no media, no audio, no queue."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

ABSENT = ("av", "librosa", "numba", "webdataset", "celery", "fastapi", "sqlalchemy", "faiss", "redis", "safetensors")
CODE = """
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
importlib.import_module({module!r})
"""


@pytest.mark.parametrize(
    "module", ["training.train", "training.evaluation.evaluate", "training.data.records", "training.bench.step"]
)
def test_the_path_in_memory_needs_no_media_libraries(module: str) -> None:
    code = CODE.format(absent=ABSENT, module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
