"""`python -m training.publish RUN NAME VERSION`: a run's network to the shelf, with a card that says its worth.

    python -m training.publish runs/small mudar-small 0.1.0 --records data/test --records data/real --only held-out.txt

Measures the network and the one that is served on the same clips, and refuses one that is worse beyond noise: whose
F1, clip by clip, is lower in some group with the whole of a 95 % bootstrap interval. `--only` must name clips that
the run never saw.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from model_store.card import Card
from model_store.loader import load, save_checkpoint
from model_store.registry import SERVED, Registry
from mudar.errors import UnknownModel, WorseThanServed
from mudar.model.mudar import Mudar
from training import metrics
from training.data.store import Record, Shelf
from training.evaluate import LAMBDAS, View, group_of, load_run, look, retrieval_figures, rhythm_figures, show

LICENCES = {
    "generated": "Apache-2.0 (trained on generated dancers and music only)",
    "real": "For research and evaluation only: trained also with clips of other people, whose rights are theirs",
}
TOLERANCE_S = 0.07


def views_by_group(model: Mudar, records: list[Record]) -> dict[str, list[View]]:
    """What the network says of each clip."""
    found: dict[str, list[View]] = {}
    for record in track(records, "looking at held-out clips", transient=True):
        found.setdefault(group_of(record), []).append(look(model, record))
    return dict(sorted(found.items()))


def require_no_worse(new: dict[str, list[View]], served: dict[str, list[View]]) -> None:
    """Raises WorseThanServed when some group's strokes got worse by more than chance explains, on the same clips."""
    for group, views in new.items():
        gain = [_f1(mine) - _f1(theirs) for mine, theirs in zip(views, served[group], strict=True)]
        mean, low, high = metrics.bootstrap(gain)
        if high < 0:
            raise WorseThanServed(
                f"On {group} its F1 is {-mean:.3f} lower than the served one's ({low:+.3f} to {high:+.3f})."
            )


def _f1(view: View) -> float:
    return metrics.f1(view.record.curves_s()["beat"], view.strokes_s, TOLERANCE_S)


def best_lambda(figures: dict[str, Any]) -> float:
    """The λ with the best mean rank over the groups; among those within a hundredth of it, the nearest to a half."""
    ranks = {
        lam: float(np.mean([group["retrieval"][f"lambda_{lam}"]["rank"] for group in figures.values()]))
        for lam in LAMBDAS
    }
    near = [lam for lam in LAMBDAS if ranks[lam] >= max(ranks.values()) - 0.01]
    return min(near, key=lambda lam: abs(lam - 0.5))


def publish(run: Path, card: Card, records: list[Record], root: Path, console: Console) -> Path:
    """Measure, compare, save and let `card.name@served` mean it. Raises WorseThanServed."""
    model = load_run(run)
    views = views_by_group(model, records)
    figures: dict[str, Any] = {
        group: {"rhythm": rhythm_figures(seen), "retrieval": retrieval_figures(seen)} for group, seen in views.items()
    }
    show(figures, console)
    registry = Registry([root])
    try:
        served = load(f"{card.name}@{SERVED}", [root]).model
    except UnknownModel:
        console.print("nothing is served under this name yet")
    else:
        require_no_worse(views, views_by_group(served, records))
    whole = {**card.metrics, **figures}
    folder = save_checkpoint(root, model, replace(card, metrics=whole, lambda_default=best_lambda(figures)))
    registry.promote(card.name, card.version)
    console.print(f"{card.id} is served from {folder}")
    return folder


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("version")
    parser.add_argument("--records", type=Path, action="append", required=True)
    parser.add_argument("--only", type=Path, help="of the real records only these clip ids (one a line)")
    parser.add_argument("--data", default="", help="what the run was trained on, in words")
    parser.add_argument("--trained-on", choices=sorted(LICENCES), required=True)
    parser.add_argument("--metrics", type=Path, help="JSON of further figures, such as training.whole's")
    parser.add_argument("--root", type=Path, default=Path("model_store/checkpoints"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    only = set(args.only.read_text().split()) if args.only else None
    every = [record for folder in args.records for record in Shelf(folder).all()]
    records = [r for r in every if only is None or r.origin == "generated" or r.clip_id in only]
    model = load_run(args.run)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    card = Card(
        args.name, args.version, model.spec, model.config, commit=commit.strip(), licence=LICENCES[args.trained_on],
        data=args.data, metrics=json.loads(args.metrics.read_text()) if args.metrics else {},
    )  # fmt: skip
    publish(args.run, card, records, args.root, Console())


if __name__ == "__main__":
    main()
