"""Publishes a run's network to the model store, with a model card that holds its figures.

    python -m training.publish runs/small mudar-small 0.1.0 --records data/test --records data/real --only held-out.txt

Measures the network and the one that is served on the same clips, and refuses one that is worse beyond noise: whose
F1, clip by clip, or whose rank of the right song, song by song, is lower in some group with the whole of a 95 %
bootstrap interval. Refuses one above 15 MB, too, and writes how much faster than real time it embeds on two cores.
`--only` must name clips that the run never saw.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from model_store.loader import load, save_checkpoint
from model_store.registry import SERVED, Registry
from mudar.embed import Embedder
from mudar.errors import ModelError, UnknownModel, WorseThanServed
from mudar.model.checkpoint import Card
from mudar.model.mudar import Mudar
from training.checkpoint import load_run
from training.data.records import ClipFeatures, RecordStore
from training.data.synthetic.clip import write_clip
from training.evaluation import metrics
from training.evaluation.evaluate import LAMBDAS, retrieval_figures, rhythm_figures, show, song_ranks
from training.evaluation.inference import ClipPrediction, predict_groups

LICENCES = {
    "generated": "Apache-2.0 (trained on generated dancers and music only)",
    "real": "For research and evaluation only: trained also with clips of other people, whose rights are theirs",
}
TOLERANCE_S: Final = 0.07
LARGEST_BYTES: Final = 15_000_000
CORES: Final = 2
SPEED_CLIP: Final = (10.0, 1280, 720)  # seconds, width, height


Predictions = dict[str, list[ClipPrediction]]  # by group


def require_no_worse(new: Predictions, served: Predictions, lambdas: tuple[float, float] = (0.5, 0.5)) -> None:
    """Raises WorseThanServed when a group's strokes or song ranks got worse by more than chance explains.

    On the same clips; ranks are at each network's own λ, the new one's first.
    """
    for group, views in new.items():
        theirs = served[group]
        strokes = [_f1(mine) - _f1(other) for mine, other in zip(views, theirs, strict=True)]
        songs = song_ranks(views, lambdas[0]) - song_ranks(theirs, lambdas[1])
        for what, gain in (("F1", strokes), ("rank of the right song", songs)):
            mean, low, high = metrics.bootstrap(gain)
            if high < 0:
                raise WorseThanServed(
                    f"On {group} its {what} is {-mean:.3f} lower than the served one's ({low:+.3f} to {high:+.3f})."
                )


def require_small(model: Mudar) -> int:
    """Counts the bytes of its weights. Raises ModelError above 15 MB: the package carries them."""
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    if size > LARGEST_BYTES:
        raise ModelError(
            f"Its weights take {size / 1e6:.1f} MB, more than {LARGEST_BYTES / 1e6:.0f}.",
            hint="Make it narrower, or keep it as a checkpoint of its own.",
        )
    return size


def realtime_factor(model: Mudar, clip: tuple[float, int, int] = SPEED_CLIP) -> float:
    """Measures how many seconds of a generated film two cores embed in a second; the model is loaded before."""
    duration_s, width, height = clip
    with tempfile.TemporaryDirectory() as folder, _on_cores(CORES):
        path = Path(folder) / "clip.mp4"
        write_clip(path, 1, duration_s, width=width, height=height)
        embedder = Embedder(model, model.spec, "measured")
        embedder.dance(path)
        began_s = time.perf_counter()
        embedder.dance(path)
        return duration_s / (time.perf_counter() - began_s)


@contextlib.contextmanager
def _on_cores(count: int) -> Iterator[None]:
    """As on a machine with so many."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:count]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _f1(prediction: ClipPrediction) -> float:
    return metrics.f1(prediction.record.curves_s()["beat"], prediction.strokes_s("beat"), TOLERANCE_S)


def best_lambda(figures: dict[str, Any]) -> float:
    """Finds the λ with the best mean rank over the groups; of those within a hundredth of it, the nearest to .5."""
    ranks = {
        lam: float(np.mean([group["retrieval"][f"lambda_{lam}"]["rank"] for group in figures.values()]))
        for lam in LAMBDAS
    }
    near = [lam for lam in LAMBDAS if ranks[lam] >= max(ranks.values()) - 0.01]
    return min(near, key=lambda lam: abs(lam - 0.5))


@dataclass(frozen=True)
class PublishOptions:
    """Says what publishing measures besides the records.

    clip: seconds, width and height of the film whose speed is measured. held_out: by group, beats from filters that
    never saw the clip (training.evaluation.folds); on the card they take the place of what the filter that was fitted
    on these clips makes of them. served_records: the same clips as the served network sees them, where its features
    are others.
    """

    clip: tuple[float, int, int] = SPEED_CLIP
    held_out: dict[str, Any] | None = None
    served_records: list[ClipFeatures] | None = None


def publish(
    run: Path, card: Card, records: list[ClipFeatures], root: Path, console: Console,
    options: PublishOptions | None = None,
) -> Path:  # fmt: skip
    """Measures a run's network, compares, saves it and lets `card.name@served` mean it.

    WorseThanServed when it is worse than the served network; ModelError if it is too large.
    """
    options = options or PublishOptions()
    model = load_run(run)
    size_and_speed = {
        "bytes": require_small(model),
        "realtime_factor_2_cores_720p": round(realtime_factor(model, options.clip), 1),
    }
    predictions = predict_groups(model, track(records, "held-out clips", transient=True))
    figures: dict[str, Any] = {
        group: {"rhythm": rhythm_figures(clips), "retrieval": retrieval_figures(clips)}
        for group, clips in predictions.items()
    }
    show(figures, console)
    registry, lam = Registry([root]), best_lambda(figures)
    try:
        served = load(f"{card.name}@{SERVED}", [root])
    except UnknownModel:
        console.print("nothing is served under this name yet")
    else:
        same_clips = _as_served(records, options.served_records, served.model.spec == model.spec)
        theirs = predict_groups(served.model, track(same_clips, "the same clips, as served", transient=True))
        require_no_worse(predictions, theirs, (lam, served.card.lambda_default))
    for group, beats in (options.held_out or {}).items():
        figures[group] = {"beats of held-out folds": beats, "retrieval": figures[group]["retrieval"]}
    figures_of_card = {**card.metrics, **figures, "size_and_speed": size_and_speed}
    folder = save_checkpoint(root, model, replace(card, metrics=figures_of_card, lambda_default=lam))
    registry.promote(card.name, card.version)
    console.print(f"{card.id} is served from {folder}: {size_and_speed}")
    return folder


def _as_served(records: list[ClipFeatures], served: list[ClipFeatures] | None, alike: bool) -> list[ClipFeatures]:
    """The records to measure the served network on. alike: whether it has the new one's features."""
    if served is None and not alike:
        raise ModelError(
            "The served network was made for other features than this run's, and would be measured on the wrong ones.",
            hint="Preprocess the same clips with the commit on its card, and name them by --served-records.",
        )
    if served is not None and [r.clip_id for r in served] != [r.clip_id for r in records]:
        raise ModelError("The served network's records are of other clips.", hint="Make both of the same files.")
    return records if served is None else served


def _read(folders: list[Path], only: set[str] | None) -> list[ClipFeatures]:
    """All records of these folders; of the real ones only those named, if any are."""
    every = [record for folder in folders for record in RecordStore(folder).all()]
    return [r for r in every if only is None or r.origin == "generated" or r.clip_id in only]


def main() -> None:
    """Publishes the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("version")
    parser.add_argument("--records", type=Path, action="append", required=True)
    parser.add_argument(
        "--served-records", type=Path, action="append", help="the same clips, in the features of the served network"
    )
    parser.add_argument("--only", type=Path, help="of the real records only these clip ids (one a line)")
    parser.add_argument("--data", default="", help="what the run was trained on, in words")
    parser.add_argument("--trained-on", choices=sorted(LICENCES), required=True)
    parser.add_argument("--metrics", type=Path, help="JSON of further figures, such as training.evaluation.files's")
    parser.add_argument(
        "--folds", type=Path, help="JSON of training.evaluation.folds: the card's figures of beats of real clips"
    )
    parser.add_argument("--root", type=Path, default=Path("model_store/checkpoints"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    only = set(args.only.read_text().split()) if args.only else None
    records, theirs = (_read(folders, only) for folders in (args.records, args.served_records or []))
    model = load_run(args.run)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    card = Card(
        args.name, args.version, model.spec, model.config, commit=commit.strip(), licence=LICENCES[args.trained_on],
        data=args.data, metrics=json.loads(args.metrics.read_text()) if args.metrics else {},
    )  # fmt: skip
    held_out = json.loads(args.folds.read_text()) if args.folds else None
    options = PublishOptions(held_out=held_out, served_records=theirs or None)
    publish(args.run, card, records, args.root, Console(), options)


if __name__ == "__main__":
    main()
