"""`python -m training.evaluation.tables NETWORK --records PATH …`: tables 1, 2 and 3 of one network, as the paper
prints them.

    python -m training.evaluation.tables mudar-small --records data/test --records data/real --teach data/train
    python -m training.evaluation.tables runs/lla --records data/test.zip --labels clips.csv --colours colours.npz
    --json

NETWORK is the folder of a run, of any system, or a name on the shelf. PATH holds records, or is a packed file. Every
figure stands beside its chance and its null (another clip's music), with a 95 % bootstrap interval over clips; with
colours, beside what colour alone tells. Clips that the network was trained on must be left out with --only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from model_store.loader import load_served
from training.data.records import ClipFeatures
from training.evaluation.downstream.color_baseline import Colours, read_colours
from training.evaluation.downstream.labels import read_labels, with_labels
from training.evaluation.evaluate import load_network
from training.evaluation.tables.measure import Measured, measure
from training.evaluation.tables.report import one_network, summary
from training.sweep.run import read


def chosen(paths: list[Path], only: Path | None, labels: Path | None) -> list[ClipFeatures]:
    """The records of all paths; of the real ones only those named, and with the table's labels."""
    records = [record for path in paths for record in read(path)]
    if only is not None:
        kept = set(only.read_text().split())
        records = [r for r in records if r.origin == "generated" or r.clip_id in kept]
    return with_labels(records, read_labels(labels)) if labels else records


def colours_of(paths: list[Path]) -> Colours:
    """All of them in one."""
    return {name: row for path in paths for name, row in read_colours(path).items()}


def show(measured: Measured, as_json: bool, console: Console) -> None:
    """Markdown, or one object of means and intervals."""
    told: Any = json.dumps(summary(measured)) if as_json else one_network(measured)
    console.print(told, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network")
    parser.add_argument("--records", type=Path, action="append", required=True)
    parser.add_argument("--teach", type=Path, action="append", default=[], help="labelled training records")
    parser.add_argument("--only", type=Path, help="of the real records only these clip ids (one a line)")
    parser.add_argument("--labels", type=Path, help="a table of clips with a label, or a step class in its notes")
    parser.add_argument("--colours", type=Path, action="append", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(args.network)
    network = load_network(folder) if folder.is_dir() else load_served(args.network).model
    records = chosen(args.records, args.only, args.labels)
    teach = [record for path in args.teach for record in read(path)]
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("clips", total=len(records))
        measured = measure(
            network.to(args.device), records, teach, tick=lambda: bar.advance(task), colours=colours_of(args.colours)
        )
    show(measured, args.json, Console())


if __name__ == "__main__":
    main()
