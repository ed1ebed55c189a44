"""Runs every row of the three tables, on generated data and on real clips, by seeds.

    python -m training.sweep.sweep runs/study --generated gen.zip --generated-test gen-test.zip --real real.zip \\
        --processes 16 --minutes 8 --steps 500
    python -m training.sweep.sweep runs/study --report

Each trial (row, data, seed, fold) is one run and one JSON file: a trial that is there is not done again, so the command
may be repeated until all are. The most telling rows come first; when the minutes are over, what still runs is ended
(and goes on from its last save when the command is repeated). `--report` prints the tables as Markdown, with
intervals over clips, from whatever trials are there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import time
import traceback
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from mudar.parent_death import die_with_parent
from training.sweep.run import SweepConfig, TrialContext, file_of, run_trial
from training.sweep.trials import ROWS, Trial, plan

SAY_EVERY_S = 10.0
GRACE_S = 2.0


def _process(config: SweepConfig, trials: Any, deadline_s: float, parent: int) -> None:
    die_with_parent(parent)
    work(config, trials, deadline_s)


def work(config: SweepConfig, trials: Any, deadline_s: float) -> None:
    """Runs trial after trial, until there are none or the next would not end in time."""
    torch.set_num_threads(1)
    context, longest_s = TrialContext.open(config), 0.0
    while time.time() + longest_s < deadline_s:
        try:
            trial = trials.get_nowait()
        except queue.Empty:
            return
        began_s = time.time()
        try:
            run_trial(context, trial)
        except Exception:  # noqa: BLE001 - the edge of a process: one trial's fault must not end the study
            trouble = file_of(config, trial).with_suffix(".trouble.txt")
            trouble.parent.mkdir(parents=True, exist_ok=True)
            trouble.write_text(traceback.format_exc())
        longest_s = max(longest_s, time.time() - began_s)


def run(config: SweepConfig, trials: list[Trial], processes: int, minutes: float, console: Console) -> list[Trial]:
    """Runs the trials that are missing; returns what is still missing."""
    deadline_s = time.time() + 60 * minutes
    todo = [trial for trial in trials if not file_of(config, trial).exists()]
    spawn = multiprocessing.get_context("spawn")
    waiting = spawn.Queue()
    for trial in todo:
        waiting.put(trial)
    time.sleep(0.1)  # the queue's own thread: a worker must not find it empty before it is filled
    workers = [
        spawn.Process(target=_process, args=(config, waiting, deadline_s, os.getpid()), daemon=True)
        for _ in range(min(processes, len(todo)))
    ]
    for worker in workers:
        worker.start()
    printed_s = time.time()
    while any(worker.is_alive() for worker in workers) and time.time() < deadline_s + GRACE_S:
        time.sleep(0.5)
        if time.time() - printed_s > SAY_EVERY_S:
            printed_s = time.time()
            done = sum(file_of(config, trial).exists() for trial in trials)
            console.print(f"{done} of {len(trials)} cells, {max(deadline_s - printed_s, 0):.0f} s left")
    _end(workers)
    missing = [trial for trial in trials if not file_of(config, trial).exists()]
    troubled = [trial.name for trial in missing if file_of(config, trial).with_suffix(".trouble.txt").exists()]
    console.print(f"{len(trials) - len(missing)} of {len(trials)} cells done; troubled: {troubled or 'none'}")
    return missing


def _end(workers: list[SpawnProcess]) -> None:
    for worker in workers:
        if worker.is_alive():
            worker.terminate()
    for worker in workers:
        worker.join()


def main() -> None:
    """Runs, or reports, the study that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--generated", type=Path, help="training records: a folder, or a packed file")
    parser.add_argument("--generated-test", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--colors", "--colours", type=Path, nargs="*", default=[], help="files of color_baseline")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--domains", nargs="+", choices=["generated", "real"], default=["generated", "real"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--base", default="small", help="recipe that the rows vary (with -synthetic: without real clips)"
    )
    parser.add_argument("--steps", type=int, default=SweepConfig.steps)
    parser.add_argument("--batch", type=int, default=SweepConfig.batch)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--report", action="store_true")
    args = parser.parse_args()
    if args.report:
        from training.evaluation.tables.report import markdown

        Console(soft_wrap=True, highlight=False).print(markdown(args.out / "cells"), markup=False)
        return
    if args.generated is None or args.generated_test is None:
        parser.error("--generated and --generated-test are needed")
    domains = tuple(d for d in args.domains if d == "generated" or args.real)
    config = SweepConfig(
        args.out, args.generated, args.generated_test, args.real, args.device, args.base, args.steps, args.batch,
        colors=tuple(args.colors),
    )  # fmt: skip
    run(config, plan(args.rows, args.seeds, domains), args.processes, args.minutes, Console())


if __name__ == "__main__":
    main()
