"""Measures all tables of a network on records, and prints them as Markdown in the paper's form.

A measurement is plain: {group: {"clips", "table1": {target: columns}, "table2": columns, "table3": {λ: …},
"synchrony": columns}}, for JSON. A column is a list in the order of the clips (of table 3's "songs": of the songs). A
clip's value is first averaged over the seeds that saw it, so that intervals speak of clips, not of runs; the spread
over seeds is given beside. Every system stands beside its chance, its null and, where colors were measured, what color
alone tells; differences to the full system are paired by clip.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.baselines.registry import Network
from training.data.records import ClipFeatures
from training.evaluation import inference, metrics
from training.evaluation.downstream import synchrony
from training.evaluation.downstream.classification import HeadRecipe
from training.evaluation.downstream.color_baseline import Colors, add_color_control
from training.evaluation.inference import first_of_each_song, predict_all, predict_groups
from training.evaluation.tables import table1, table2, table3

Measurement = dict[str, dict[str, Any]]
Values = Mapping[str, float]  # clip (or song) to its value

FEWEST_LABELLED = 20  # clips, for a head to learn anything from other folds
FULL = "full"
NAMES = {
    "full": "MuDaR",
    "filter": "MuDaR with the beat filter",
    "no-rhythm": "MuDaR w/o rhythm",
    "multisensory": "Multisensory",
    "avts": "AVTS",
    "lla": "LLA",
    "bce": "w/ BCE",
    "regression": "w/ regression",
    "crf": "w/ CRF",
    "data25": "MuDaR, 25 % of the data",
    "data75": "MuDaR, 75 % of the data",
}
SILENT = "no-rhythm"  # its rhythm heads were never trained: what they say is in no table
HYBRID = "0.5"
COLOR = "colour alone, no motion (control)"


@dataclass(frozen=True)
class TableOptions:
    """Says how tables are made.

    head: of table 2; None leaves that table out. colors: with them, what color alone tells stands beside tables 2 and
    3. group_of: which group of the tables a clip belongs to.
    """

    head: HeadRecipe | None = table2.PAPER_HEAD
    colors: Colors | None = None
    group_of: Callable[[ClipFeatures], str] = inference.group_of


def measure(
    network: Network,
    records: Sequence[ClipFeatures],
    teach: Sequence[ClipFeatures] = (),
    options: TableOptions | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Measurement:
    """Measures all tables, group by group. `teach`: labelled clips of the training set, for table 2's head."""
    options = options or TableOptions()
    head, mels = options.head, network.spec.audio.n_mels
    taught = list(predict_all(network, [r for r in teach if r.style])) if head else []
    measurement: Measurement = {}
    for group, clips in predict_groups(network, records, tick, options.group_of).items():
        measured = measurement[group] = {
            "clips": [clip.record.clip_id for clip in clips],
            "songs": [clip.record.song_id for clip in first_of_each_song(clips)],
            "table1": {target: table1.table(clips, target) for target in table1.TARGETS},
            "table3": table3.table(network, clips),
            "synchrony": synchrony.table(network, clips),
        }
        labelled = [clip for clip in clips if clip.record.style]
        alike = [clip for clip in taught if options.group_of(clip.record) == group]
        if head and labelled and (alike or len(labelled) >= FEWEST_LABELLED):
            columns = table2.table(alike, labelled, head)
            measured["table2"] = {**columns, "labelled": [clip.record.clip_id for clip in labelled]}
        if options.colors:
            add_color_control(measured, options.colors, [clip.record for clip in clips], teach, mels)
    return measurement


@dataclass(frozen=True)
class Figure:
    """Holds a mean, its 95 % interval over clips, the deviation over seeds (NaN for one), and how many clips."""

    mean: float
    low: float
    high: float
    seeds_sd: float
    clips: int

    def text(self, scale: float = 1.0, digits: int = 3) -> str:
        """Prints `.412 (.380 … .450)`, or a dash for no clips."""
        if not self.clips:
            return "–"
        mean, low, high = (f"{scale * value:.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"{mean} ({low} … {high})"


def merge(runs: Sequence[Values]) -> dict[str, float]:
    """Averages each clip's value over the runs that have it; NaN does not count."""
    by_clip: dict[str, list[float]] = {}
    for run in runs:
        for clip, value in run.items():
            if not np.isnan(value):
                by_clip.setdefault(clip, []).append(value)
    return {clip: float(np.mean(values)) for clip, values in by_clip.items()}


def figure(seeds: Sequence[Values]) -> Figure:
    """Averages one figure of one system from each seed's values by clip (a seed's folds merged)."""
    values = list(merge(seeds).values())
    of_seeds = [float(np.nanmean(list(seed.values()))) for seed in seeds if not np.isnan(list(seed.values())).all()]
    spread = float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else float("nan")
    return Figure(*metrics.bootstrap(values), spread, len(values))


def difference(ours: Sequence[Values], theirs: Sequence[Values]) -> Figure:
    """Averages ours less theirs over the clips that both have, with the interval."""
    one, other = merge(ours), merge(theirs)
    gaps = [one[clip] - other[clip] for clip in one if clip in other]
    return Figure(*metrics.bootstrap(gaps), float("nan"), len(gaps))


@dataclass
class Results:
    """Collects trials: (row, domain, group) to each seed's measured groups, one for each fold."""

    runs: dict[tuple[str, str, str], dict[int, list[dict[str, Any]]]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def add(self, trial: dict[str, Any]) -> None:
        """Adds the content of one trial's file."""
        key = trial["cell"]
        for group, measured in trial["groups"].items():
            seeds = self.runs.setdefault((key["row"], key["domain"], group), {})
            seeds.setdefault(key["seed"], []).append(measured)
        self.seconds.append(trial.get("train_s", 0.0) + trial.get("measure_s", 0.0))
        self.about = {name: trial[name] for name in ("steps", "batch", "base") if name in trial}

    def rows(self, domain: str, group: str) -> list[str]:
        """Lists the systems that were measured there, in the paper's order."""
        measured = {row for row, *key in self.runs if key == [domain, group]}
        return [row for row in NAMES if row in measured] + sorted(measured - NAMES.keys())


@dataclass(frozen=True)
class System:
    """Reads the columns of one system in one group, by clip or by the list that `by` names."""

    results: Results
    row: str
    domain: str
    group: str
    by: str = "clips"

    def __call__(self, *path: str) -> list[Values]:
        """Gives each seed's values of the column at this path, folds merged."""
        seeds = self.results.runs.get((self.row, self.domain, self.group), {})
        return [merge([_column(fold, path, self.by) for fold in seeds[seed]]) for seed in sorted(seeds)]


def _column(measured: dict[str, Any], path: Sequence[str], by: str) -> Values:
    ids: Any = measured
    for step in by.split("/"):
        ids = ids.get(step, []) if isinstance(ids, dict) else []
    column: Any = measured
    for step in path:
        column = column.get(step) if isinstance(column, dict) else None
    if not column:
        return {}
    values = list(column) * (len(ids) if len(column) == 1 else 1)
    return {str(clip): float(value) for clip, value in zip(ids, values, strict=True)}


def markdown(folder: Path) -> str:
    """Prints the report of a sweep from the trials' files in `folder`."""
    results = Results()
    for path in sorted(folder.glob("*.json")):
        results.add(json.loads(path.read_text()))
    if not results.runs:
        return f"No cell in {folder} yet."
    parts = [_head(results)]
    for domain, title in (("generated", "trained on generated dancers"), ("real", "trained with real clips, folds")):
        for group in sorted({group for _, run_domain, group in results.runs if run_domain == domain}):
            parts += [f"## {group}, {title}", *tables(results, domain, group)]
    return "\n\n".join(part for part in parts if part)


def one_network(measurement: Measurement) -> str:
    """Prints all tables of one network's measurement."""
    results = Results()
    results.add({"cell": {"row": FULL, "domain": "", "seed": 0}, "groups": measurement})
    parts = [part for group in measurement for part in (f"## {group}", *tables(results, "", group))]
    return "\n\n".join(parts)


def summary(measured: Any) -> Any:
    """Replaces every column of a measurement by its mean, interval and number of clips."""
    if isinstance(measured, dict):
        return {name: summary(inner) for name, inner in measured.items() if inner or inner == 0}
    if isinstance(measured, list) and measured and not isinstance(measured[0], str):
        mean = figure([{str(i): value for i, value in enumerate(measured)}])
        return {"mean": mean.mean, "low": mean.low, "high": mean.high, "n": mean.clips}
    return measured


def _head(results: Results) -> str:
    trials, about = len(results.seconds), results.about
    mean = sum(results.seconds) / max(trials, 1)
    return (
        f"{trials} runs of {about.get('steps')} steps, batch {about.get('batch')}, base recipe "
        f"`{about.get('base')}`; {mean:.0f} s a run, training and measuring."
    )


def tables(results: Results, domain: str, group: str) -> list[str]:
    """Prints tables 1 to 3 and synchrony of one group; empty ones are left out."""
    texts = [
        _table1(results, domain, group, "onset", "Table 1, the paper's target: onsets"),
        _table1(results, domain, group, "beat", "Table 1, our target: strokes where they are known, else beats"),
        _table2(results, domain, group),
        _table3(results, domain, group),
        _songs(results, domain, group),
        _synchrony(results, domain, group),
    ]
    return [text for text in texts if text]


def _table1(results: Results, domain: str, group: str, target: str, title: str) -> str:
    heads = [
        "system", "recall", "precision", "F1 ±70 ms", "chance", "null", "lift, points", "lift − MuDaR's",
        "best lag: F1 (chance)", "F1 ±50 ms", "median error, ms",
    ]  # fmt: skip
    full = System(results, FULL, domain, group)("table1", target, "lift")
    lines = []
    for row in results.rows(domain, group):
        column = System(results, row, domain, group)
        if row == SILENT or not figure(column("table1", target, "f1")).clips:
            continue
        plain = {name: _plain(column("table1", target, name)) for name in
                 ("recall", "precision", "f1", "chance", "null", "lag_f1", "lag_chance", "f1_50ms")}  # fmt: skip
        lift = column("table1", target, "lift")
        lines.append([
            NAMES.get(row, row), *(plain[name] for name in ("recall", "precision", "f1", "chance", "null")),
            figure(lift).text(100, 1), _gap(difference(lift, full), row), f"{plain['lag_f1']} ({plain['lag_chance']})",
            plain["f1_50ms"], _plain(column("table1", target, "error_ms"), 0),
        ])  # fmt: skip
    return _table(title, heads, lines)


def _table2(results: Results, domain: str, group: str) -> str:
    heads = ["system", "accuracy", "chance (commonest label)", "accuracy − MuDaR's"]
    full = System(results, FULL, domain, group, "table2/labelled")("table2", "accuracy")
    lines = []
    for row in results.rows(domain, group):
        column = System(results, row, domain, group, "table2/labelled")
        right = column("table2", "accuracy")
        if figure(right).clips:
            gap = _gap(difference(right, full), row)
            lines.append([NAMES.get(row, row), figure(right).text(), _plain(column("table2", "chance")), gap])
        if row == FULL and figure(color := column("table2", "colour")).clips:
            lines.append([COLOR, figure(color).text(), _plain(column("table2", "chance")), ""])
    return _table("Table 2, styles", heads, lines)


def _table3(results: Results, domain: str, group: str) -> str:
    heads = ["system", "R@1", "R@5", "P@10", "mAP", "null mAP", "mAP − MuDaR's"]
    full = System(results, FULL, domain, group, "songs")("table3", HYBRID, "songs", "map")
    lines: list[list[str]] = []
    chance: list[str] = []
    for row, lam, name in _variants(results, domain, group):
        column = System(results, row, domain, group, "songs")
        precision = column("table3", lam, "songs", "map")
        if not figure(precision).clips:
            continue
        cells = [_plain(column("table3", lam, "songs", what)) for what in ("r1", "r5", "p10")]
        null = _plain(column("table3", lam, "null", "map"))
        lines.append([name, *cells, figure(precision).text(), null, _gap(difference(precision, full), row, lam)])
        chance = [_plain(column("table3", lam, "chance", what)) for what in ("r1", "r5", "p10", "map")]
    return _table("Table 3, a song looks for its dances", heads, _with_chance(lines, chance, 2))


def _songs(results: Results, domain: str, group: str) -> str:
    heads = ["system", "R@1", "R@5", "rank", "rank − MuDaR's"]
    full = System(results, FULL, domain, group)("table3", HYBRID, "dances", "rank")
    lines: list[list[str]] = []
    chance: list[str] = []
    for row, lam, name in _variants(results, domain, group):
        column = System(results, row, domain, group)
        rank = column("table3", lam, "dances", "rank")
        if not figure(rank).clips:
            continue
        cells = [figure(column("table3", lam, "dances", what)).text() for what in ("r1", "r5", "rank")]
        lines.append([name, *cells, _gap(difference(rank, full), row, lam)])
        chance = [_plain(column("table3", lam, "dances", what)) for what in ("chance_r1", "chance_r5")] + ["0.500"]
    return _table("A dance looks for its song", heads, _with_chance(lines, chance, 1))


def _with_chance(lines: list[list[str]], chance: list[str], empty: int) -> list[list[str]]:
    return [*lines, ["chance", *chance, *[""] * empty]] if lines else []


def _variants(results: Results, domain: str, group: str) -> Iterable[tuple[str, str, str]]:
    """Yields (row, λ, name): MuDaR as a hybrid and each part alone; the others as their papers have it."""
    for row in results.rows(domain, group):
        if row == FULL:
            yield row, HYBRID, "MuDaR, hybrid (λ = .5)"
            yield row, "1.0", "MuDaR, embeddings alone"
            yield row, "0.0", "MuDaR, rhythm vectors alone"
            yield row, "colour", COLOR
        elif row in ("no-rhythm", "multisensory", "avts", "lla"):
            yield row, "1.0", NAMES[row]
        else:
            yield row, HYBRID, NAMES.get(row, row)


def _synchrony(results: Results, domain: str, group: str) -> str:
    heads = ["system", "by embedding", "its null", "by the curve", "its null", "top 1 by the curve"]
    lines = []
    for row in results.rows(domain, group):
        column = System(results, row, domain, group)
        names = [f"{prefix}{kind}_rank" for kind in ("embedding", "curve") for prefix in ("", "null_")]
        ranks = [figure(column("synchrony", name)) for name in names]
        if ranks[0].clips:
            cells = [*(rank.text(100, 1) for rank in ranks), _plain(column("synchrony", "curve_top1"))]
            lines.append([NAMES.get(row, row), *(cells[:2] + ["–"] * 3 if row == SILENT else cells)])
    return _table("Synchrony: rank of the true offset among 16, % (chance 50, top 1 .063)", heads, lines)


def _plain(seeds: Sequence[Values], digits: int = 3) -> str:
    mean = figure(seeds)
    return f"{mean.mean:.{digits}f}" if mean.clips else "–"


def _gap(gap: Figure, row: str, lam: str = HYBRID) -> str:
    return "" if row == FULL and lam == HYBRID else gap.text()


def _table(title: str, heads: list[str], lines: list[list[str]]) -> str:
    if not lines:
        return ""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join([f"**{title}**", "", *("| " + " | ".join(cells) + " |" for cells in rows)])
