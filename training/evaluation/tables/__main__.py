"""Prints tables 1, 2 and 3 of one network in the paper's form.

    python -m training.evaluation.tables mudar-small --records data/test --records data/real --teach data/train
    python -m training.evaluation.tables runs/lla --records data/test.zip --labels clips.csv --colors colors.npz --json

NETWORK is the folder of a run, of any system, or a name in the model store. PATH holds records, or is a packed file.
Every figure stands beside its chance and its null (another clip's music), with a 95 % bootstrap interval over clips;
with colors, beside what color alone tells. Clips that the network was trained on must be left out with --only.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from model_store.loader import load_served
from training.checkpoint import load_network
from training.data.compact_format import read_records
from training.data.records import ClipFeatures, read_labels, with_labels
from training.evaluation.downstream.color_baseline import read_colors
from training.evaluation.tables.report import Measurement, TableOptions, measure, one_network, summary


def select_records(paths: list[Path], only: Path | None, labels: Path | None) -> list[ClipFeatures]:
    """Reads the records of all paths, of the real ones only those named, with the table's labels."""
    records = [record for path in paths for record in read_records(path)]
    if only is not None:
        names = set(only.read_text().split())
        records = [r for r in records if r.origin == "generated" or r.clip_id in names]
    return with_labels(records, read_labels(labels)) if labels else records


def show(measurement: Measurement, as_json: bool, console: Console) -> None:
    """Prints a measurement as Markdown, or as one JSON object of means and intervals."""
    text = json.dumps(summary(measurement)) if as_json else one_network(measurement)
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Measures the network and records that the command line names."""
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
    parser.add_argument("--colors", "--colours", type=Path, action="append", default=[])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(args.network)
    network = load_network(folder) if folder.is_dir() else load_served(args.network).model
    records = select_records(args.records, args.only, args.labels)
    teach = [record for path in args.teach for record in read_records(path)]
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("clips", total=len(records))
        options = TableOptions(colors=read_colors(*args.colors))
        measurement = measure(network.to(args.device), records, teach, options, lambda: bar.advance(task))
    show(measurement, args.json, Console())


if __name__ == "__main__":
    main()
