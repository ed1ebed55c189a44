"""Completes stored rhythms that were written before each of today's fields was there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"

POINTS: dict[str, object] = {name: [] for name in ("impacts_s", "peaks_s", "peak_strengths", "beats_s", "downbeats_s")}
FIELDS = {**POINTS, "speed": [], "speed_fps": 0.0}


def upgrade() -> None:
    """Adds what is missing, as empty lists and zeros, to each rhythm and to the model's own points beside it.

    A speed that was stored as one sum over the directions is spread evenly over them, which leaves their sum.
    """
    analyses = sa.table(
        "analyses", sa.column("item_id", sa.String), sa.column("model", sa.String), sa.column("rhythm", sa.JSON)
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(analyses)).all():
        rhythm = {**FIELDS, **row.rhythm}
        rhythm["speed"] = [v if isinstance(v, list) else [v / 4] * 4 for v in rhythm["speed"]]  # was one sum
        if "found" in rhythm:
            rhythm["found"] = {**POINTS, **rhythm["found"]}
        if rhythm != row.rhythm:
            key = (analyses.c.item_id == row.item_id) & (analyses.c.model == row.model)
            connection.execute(sa.update(analyses).where(key).values(rhythm=rhythm))
