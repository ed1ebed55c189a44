"""The tables of the library, for both SQLite and PostgreSQL. Knows no query: those stand in items.py, jobs.py, ...

Times are seconds since 1970 (UTC) by the database's own clock; vectors are little-endian float32 bytes.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives row ids only to INTEGER keys; its INTEGER holds 64 bits.
ROW_ID = BigInteger().with_variant(Integer, "sqlite")
ID = String(64)
SHA256 = String(64)
MODEL = String(200)

JOB_STATES = ("queued", "running", "done", "failed", "cancelled")
END_STATES = ("done", "failed", "cancelled")

blobs = Table(
    "blobs",
    METADATA,
    Column("sha256", SHA256, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("media_type", String(100), nullable=False),
    Column("held_at", Double, nullable=False),  # when somebody last said that they need it: see garbage.py
)

items = Table(
    "items",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("sha256", SHA256, ForeignKey("blobs.sha256"), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("title", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("info", JSON, nullable=False),  # what the probe saw
    Column("linked_to", ID, ForeignKey("items.id", ondelete="SET NULL")),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("sha256", "kind"),
    CheckConstraint("kind IN ('dance', 'music')", name="kind"),
    Index("ix_items_created_at_id", "created_at", "id"),
    Index("ix_items_linked_to", "linked_to"),
)

labels = Table(
    "labels",
    METADATA,
    Column("item_id", ID, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("label", String(200), primary_key=True),
    Index("ix_labels_label_item_id", "label", "item_id"),
)

analyses = Table(
    "analyses",
    METADATA,
    Column("item_id", ID, ForeignKey("items.id", ondelete="CASCADE"), primary_key=True),
    Column("model", MODEL, primary_key=True),
    Column("duration_s", Double, nullable=False),
    Column("tempo_bpm", Double, nullable=False),
    Column("strokes", Integer, nullable=False),
    Column("segments", Integer, nullable=False),
    Column("rhythm", JSON, nullable=False),
    Column("stage_s", JSON, nullable=False),
    Column("created_at", Double, nullable=False),
)

segments = Table(
    "segments",
    METADATA,
    Column("id", ROW_ID, primary_key=True, autoincrement=True),
    Column("item_id", ID, nullable=False),
    Column("model", MODEL, nullable=False),
    Column("number", Integer, nullable=False),
    Column("start_s", Double, nullable=False),
    Column("end_s", Double, nullable=False),
    Column("embedding", LargeBinary, nullable=False),
    Column("rhythm", LargeBinary, nullable=False),
    ForeignKeyConstraint(["item_id", "model"], ["analyses.item_id", "analyses.model"], ondelete="CASCADE"),
    UniqueConstraint("item_id", "model", "number"),
    Index("ix_segments_model_id", "model", "id"),
    sqlite_autoincrement=True,  # an id is never given twice, not even after a deletion
)

jobs = Table(
    "jobs",
    METADATA,
    Column("id", ID, primary_key=True),
    Column("kind", String(40), nullable=False),
    Column("key", String(300), unique=True),  # the work it stands for, while it is live or done
    Column("state", String(10), nullable=False),
    Column("params", JSON, nullable=False),
    Column("progress", Double, nullable=False),
    Column("stage", String(100), nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("error", JSON(none_as_null=True)),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("stop_code", String(40)),  # the error's code with which it should stop: cancelled, item_deleted
    Column("worker", String(200)),
    Column("lease_token", String(32)),
    Column("lease_until", Double),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    Index("ix_jobs_state_created_at", "state", "created_at"),
    Index("ix_jobs_created_at_id", "created_at", "id"),
)

# No foreign key to items: a job's history outlives the items it was about.
job_items = Table(
    "job_items",
    METADATA,
    Column("job_id", ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("item_id", ID, nullable=False),
    Index("ix_job_items_item_id", "item_id"),
)

# Files that only a job needs: what was sent with it, what it made.
job_blobs = Table(
    "job_blobs",
    METADATA,
    Column("job_id", ID, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(40), primary_key=True),
    Column("sha256", SHA256, ForeignKey("blobs.sha256"), nullable=False),
    Index("ix_job_blobs_sha256", "sha256"),
)

# What an index must follow; `seq` has no gaps and grows in the order of commits: see changes.py.
changes = Table(
    "changes",
    METADATA,
    Column("seq", ROW_ID, primary_key=True, autoincrement=False),
    Column("action", String(10), nullable=False),
    Column("item_id", ID, nullable=False),
    Column("kind", String(8), nullable=False),
    Column("model", MODEL),
    Column("at", Double, nullable=False),
    CheckConstraint("action IN ('stored', 'deleted')", name="action"),
)

counters = Table(
    "counters",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
