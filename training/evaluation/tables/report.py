"""The three tables as Markdown, in the paper's form, from the cells of a study or from one measurement.

Knows no network and no records. Every system is beside its chance, its null and, where colours were measured, what
colour alone tells; differences to the full system are paired by clip.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.evaluation.tables.figures import Figure, Values, difference, figure, merge

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
COLOUR = "colour alone, no motion (control)"


@dataclass
class Results:
    """(row, domain, group) to each seed's measured groups, one for each fold."""

    runs: dict[tuple[str, str, str], dict[int, list[dict[str, Any]]]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    def add(self, cell: dict[str, Any]) -> None:
        """One cell's file."""
        place = cell["cell"]
        for group, measured in cell["groups"].items():
            seeds = self.runs.setdefault((place["row"], place["domain"], group), {})
            seeds.setdefault(place["seed"], []).append(measured)
        self.seconds.append(cell.get("train_s", 0.0) + cell.get("measure_s", 0.0))
        self.about = {name: cell[name] for name in ("steps", "batch", "base") if name in cell}

    def rows(self, domain: str, group: str) -> list[str]:
        """The systems that were measured there, in the paper's order."""
        there = {row for row, where, what in self.runs if (where, what) == (domain, group)}
        return [row for row in NAMES if row in there] + sorted(there - NAMES.keys())

    def values(self, row: str, domain: str, group: str, path: Sequence[str], by: str = "clips") -> list[Values]:
        """Each seed's values by clip (`by` names the list that the column is in the order of); folds merged."""
        seeds = self.runs.get((row, domain, group), {})
        return [merge([_column(one, path, by) for one in seeds[seed]]) for seed in sorted(seeds)]


@dataclass(frozen=True)
class At:
    """One system in one group: the values of any column, by clip or by what `by` names."""

    results: Results
    row: str
    domain: str
    group: str
    by: str = "clips"

    def __call__(self, *path: str) -> list[Values]:
        """Each seed's values."""
        return self.results.values(self.row, self.domain, self.group, path, self.by)


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


def read_cells(folder: Path) -> Results:
    """Every cell that is there."""
    results = Results()
    for path in sorted(folder.glob("*.json")):
        results.add(json.loads(path.read_text()))
    return results


def markdown(folder: Path) -> str:
    """The study's report."""
    results = read_cells(folder)
    if not results.runs:
        return f"No cell in {folder} yet."
    parts = [_head(results)]
    for domain, said in (("generated", "trained on generated dancers"), ("real", "trained with real clips, folds")):
        groups = sorted({group for _, where, group in results.runs if where == domain})
        for group in groups:
            parts += [f"## {group}, {said}", *tables(results, domain, group)]
    return "\n\n".join(part for part in parts if part)


def one_network(measured: dict[str, dict[str, Any]]) -> str:
    """All tables of one network's measurement."""
    results = Results()
    results.add({"cell": {"row": FULL, "domain": "", "seed": 0}, "groups": measured})
    parts = [part for group in measured for part in (f"## {group}", *tables(results, "", group))]
    return "\n\n".join(parts)


def summary(measured: Any) -> Any:
    """The same measurement with every column as mean, interval and number of clips."""
    if isinstance(measured, dict):
        return {name: summary(inner) for name, inner in measured.items() if inner or inner == 0}
    if isinstance(measured, list) and measured and not isinstance(measured[0], str):
        found = figure([{str(i): value for i, value in enumerate(measured)}])
        return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.clips}
    return measured


def _head(results: Results) -> str:
    cells, about = len(results.seconds), results.about
    mean = sum(results.seconds) / max(cells, 1)
    return (
        f"{cells} runs of {about.get('steps')} steps, batch {about.get('batch')}, base recipe "
        f"`{about.get('base')}`; {mean:.0f} s a run, training and measuring."
    )


def tables(results: Results, domain: str, group: str) -> list[str]:
    """Tables 1 to 3 and synchrony of one group; empty ones left out."""
    found = [
        _table1(results, domain, group, "onset", "Table 1, the paper's target: onsets"),
        _table1(results, domain, group, "beat", "Table 1, our target: strokes where they are known, else beats"),
        _table2(results, domain, group),
        _table3(results, domain, group),
        _songs(results, domain, group),
        _synchrony(results, domain, group),
    ]
    return [table for table in found if table]


def _table1(results: Results, domain: str, group: str, target: str, title: str) -> str:
    heads = [
        "system", "recall", "precision", "F1 ±70 ms", "chance", "null", "lift, points", "lift − MuDaR's",
        "best lag: F1 (chance)", "F1 ±50 ms", "median error, ms",
    ]  # fmt: skip
    full = At(results, FULL, domain, group)("table1", target, "lift")
    lines = []
    for row in results.rows(domain, group):
        at = At(results, row, domain, group)
        if row == SILENT or not figure(at("table1", target, "f1")).clips:
            continue
        plain = {name: _plain(at("table1", target, name)) for name in
                 ("recall", "precision", "f1", "chance", "null", "lag_f1", "lag_chance", "f1_50ms")}  # fmt: skip
        lift = at("table1", target, "lift")
        lines.append([
            NAMES.get(row, row), *(plain[name] for name in ("recall", "precision", "f1", "chance", "null")),
            figure(lift).text(100, 1), _gap(difference(lift, full), row), f"{plain['lag_f1']} ({plain['lag_chance']})",
            plain["f1_50ms"], _plain(at("table1", target, "error_ms"), 0),
        ])  # fmt: skip
    return _table(title, heads, lines)


def _table2(results: Results, domain: str, group: str) -> str:
    heads = ["system", "accuracy", "chance (commonest label)", "accuracy − MuDaR's"]
    full = At(results, FULL, domain, group, "table2/labelled")("table2", "accuracy")
    lines = []
    for row in results.rows(domain, group):
        at = At(results, row, domain, group, "table2/labelled")
        right = at("table2", "accuracy")
        if figure(right).clips:
            gap = _gap(difference(right, full), row)
            lines.append([NAMES.get(row, row), figure(right).text(), _plain(at("table2", "chance")), gap])
        if row == FULL and figure(colour := at("table2", "colour")).clips:
            lines.append([COLOUR, figure(colour).text(), _plain(at("table2", "chance")), ""])
    return _table("Table 2, styles", heads, lines)


def _table3(results: Results, domain: str, group: str) -> str:
    heads = ["system", "R@1", "R@5", "P@10", "mAP", "null mAP", "mAP − MuDaR's"]
    full = At(results, FULL, domain, group, "songs")("table3", HYBRID, "songs", "map")
    lines: list[list[str]] = []
    chance: list[str] = []
    for row, lam, name in _variants(results, domain, group):
        at = At(results, row, domain, group, "songs")
        precision = at("table3", lam, "songs", "map")
        if not figure(precision).clips:
            continue
        cells = [_plain(at("table3", lam, "songs", what)) for what in ("r1", "r5", "p10")]
        null = _plain(at("table3", lam, "null", "map"))
        lines.append([name, *cells, figure(precision).text(), null, _gap(difference(precision, full), row, lam)])
        chance = [_plain(at("table3", lam, "chance", what)) for what in ("r1", "r5", "p10", "map")]
    return _table("Table 3, a song looks for its dances", heads, _with_chance(lines, chance, 2))


def _songs(results: Results, domain: str, group: str) -> str:
    heads = ["system", "R@1", "R@5", "rank", "rank − MuDaR's"]
    full = At(results, FULL, domain, group)("table3", HYBRID, "dances", "rank")
    lines: list[list[str]] = []
    chance: list[str] = []
    for row, lam, name in _variants(results, domain, group):
        at = At(results, row, domain, group)
        rank = at("table3", lam, "dances", "rank")
        if not figure(rank).clips:
            continue
        cells = [figure(at("table3", lam, "dances", what)).text() for what in ("r1", "r5", "rank")]
        lines.append([name, *cells, _gap(difference(rank, full), row, lam)])
        chance = [_plain(at("table3", lam, "dances", what)) for what in ("chance_r1", "chance_r5")] + ["0.500"]
    return _table("A dance looks for its song", heads, _with_chance(lines, chance, 1))


def _with_chance(lines: list[list[str]], chance: list[str], empty: int) -> list[list[str]]:
    return [*lines, ["chance", *chance, *[""] * empty]] if lines else []


def _variants(results: Results, domain: str, group: str) -> Iterable[tuple[str, str, str]]:
    """(row, λ, name): MuDaR as a hybrid and each part alone; the others as their papers have it."""
    for row in results.rows(domain, group):
        if row == FULL:
            yield row, HYBRID, "MuDaR, hybrid (λ = .5)"
            yield row, "1.0", "MuDaR, embeddings alone"
            yield row, "0.0", "MuDaR, rhythm vectors alone"
            yield row, "colour", COLOUR
        elif row in ("no-rhythm", "multisensory", "avts", "lla"):
            yield row, "1.0", NAMES[row]
        else:
            yield row, HYBRID, NAMES.get(row, row)


def _synchrony(results: Results, domain: str, group: str) -> str:
    heads = ["system", "by embedding", "its null", "by the curve", "its null", "top 1 by the curve"]
    lines = []
    for row in results.rows(domain, group):
        at = At(results, row, domain, group)
        names = [f"{prefix}{kind}_rank" for kind in ("embedding", "curve") for prefix in ("", "null_")]
        ranks = [figure(at("synchrony", name)) for name in names]
        if ranks[0].clips:
            cells = [*(rank.text(100, 1) for rank in ranks), _plain(at("synchrony", "curve_top1"))]
            lines.append([NAMES.get(row, row), *(cells[:2] + ["–"] * 3 if row == SILENT else cells)])
    return _table("Synchrony: rank of the true offset among 16, % (chance 50, top 1 .063)", heads, lines)


def _plain(seeds: Sequence[Values], digits: int = 3) -> str:
    found = figure(seeds)
    return f"{found.mean:.{digits}f}" if found.clips else "–"


def _gap(gap: Figure, row: str, lam: str = HYBRID) -> str:
    return "" if row == FULL and lam == HYBRID else gap.text()


def _table(title: str, heads: list[str], lines: list[list[str]]) -> str:
    if not lines:
        return ""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join([f"**{title}**", "", *("| " + " | ".join(cells) + " |" for cells in rows)])
