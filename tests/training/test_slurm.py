"""The SLURM script starts one torchrun on each machine, and all of them meet on the first."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "training" / "slurm" / "train.sbatch"


def test_every_machine_meets_on_the_first(tmp_path: Path) -> None:
    for name, does in (("srun", 'echo "$@"'), ("scontrol", "printf 'node7\\nnode8\\n'")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    given = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_NUM_NODES": "2",
             "SLURM_JOB_ID": "41", "SLURM_GPUS_ON_NODE": "4"}  # fmt: skip
    ran = subprocess.run(
        ["bash", str(SCRIPT), "paper", "--out", "run 1"], env=given, capture_output=True, text=True, check=True
    )
    words = ran.stdout.split()
    assert words[words.index("torchrun") :][:3] == ["torchrun", "--nnodes", "2"]
    for flag, value in (("--nproc-per-node", "4"), ("--rdzv-endpoint", "node7:29500"), ("--rdzv-id", "41")):
        assert words[words.index(flag) + 1] == value
    assert ran.stdout.rstrip().endswith("-m training.train paper --out run 1")
