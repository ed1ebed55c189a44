"""All tables of one network on some records, group by group, every figure clip by clip. Knows no files.

A measurement is plain: {group: {"clips", "table1": {target: columns}, "table2": columns, "table3": {λ: …},
"synchrony": columns}}, for JSON and for `report`. A column is a list in the order of the clips (of table 3's "songs":
of the songs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from training.baselines.registry import Network
from training.data.records import ClipFeatures
from training.evaluation.downstream.classification import HeadRecipe
from training.evaluation.downstream.color_baseline import Colours
from training.evaluation.evaluate import group_of
from training.evaluation.tables import color_control, synchrony, table1, table2, table3
from training.evaluation.tables.inference import Seen, see_all

Measured = dict[str, dict[str, Any]]
LEAST_LABELLED = 20  # clips, for a head to learn anything from other folds


def measure(
    network: Network,
    records: Sequence[ClipFeatures],
    teach: Sequence[ClipFeatures] = (),
    head: HeadRecipe | None = table2.USUAL,
    tick: Callable[[], None] = lambda: None,
    colours: Colours | None = None,
    group_of: Callable[[ClipFeatures], str] = group_of,
) -> Measured:
    """`teach`: labelled clips of the training set for table 2's head. head: None leaves table 2 out. colours: with
    them, what colour alone tells stands beside tables 2 and 3. group_of: which table a clip belongs to."""
    groups: dict[str, list[Seen]] = {}
    for seen in see_all(network, records):
        groups.setdefault(group_of(seen.record), []).append(seen)
        tick()
    taught = list(see_all(network, [r for r in teach if r.style])) if head else []
    found: Measured = {}
    for group, clips in sorted(groups.items()):
        found[group] = {
            "clips": [one.record.clip_id for one in clips],
            "songs": [one.record.song_id for one in table3.first_of_each_song(clips)],
            "table1": {target: table1.table(clips, target) for target in table1.TARGETS},
            "table3": table3.table(network, clips),
            "synchrony": synchrony.table(network, clips),
        }
        labelled = [one for one in clips if one.record.style]
        suited = [one for one in taught if group_of(one.record) == group]
        if head and labelled and (suited or len(labelled) >= LEAST_LABELLED):
            columns = table2.table(suited, labelled, head)
            found[group]["table2"] = {**columns, "labelled": [one.record.clip_id for one in labelled]}
        if colours:
            color_control.add(found[group], colours, [one.record for one in clips], teach, network.spec.audio.n_mels)
    return found
