"""Converts a run to another flow shape: the same network is fed other motion than it learnt from.

    python -m training.tools.convert_flow_shape RUN OUT --flow-shape both

A network that learnt from squeezed pictures, whose arms are thin, reads pictures in their own shape better than one
that learnt from these (docs/experiments/RETARGET.md). OUT is a run like another: what follows
(training.fit_beat_filter, folds and publish) wants records of that shape, `training.preprocess … --flow-shape both`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

from rich.console import Console

from mudar.model.mudar import Mudar, build
from mudar.spec import FlowShape
from training.checkpoint import load_run, save_run


def with_flow_shape(model: Mudar, shape: FlowShape) -> Mudar:
    """Gives the weights a spec with flow of this shape, whose features have as many numbers as before."""
    spec = replace(model.spec, video=replace(model.spec.video, flow_shape=shape))
    other = build(model.config, spec)
    other.load_state_dict(model.state_dict())
    return other.eval()


def main() -> None:
    """Converts the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--flow-shape", choices=get_args(FlowShape), required=True)
    args = parser.parse_args()
    save_run(args.run, args.out, with_flow_shape(load_run(args.run), args.flow_shape))
    Console().print(f"the network of {args.run}, shown flow of shape {args.flow_shape}, lies in {args.out}")


if __name__ == "__main__":
    main()
