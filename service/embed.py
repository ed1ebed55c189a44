"""What POST /embed does with a file that arrived: item and job, in one transaction. Knows no HTTP."""

from __future__ import annotations

from typing import Any

from service import dispatch, intake
from service.deps import House
from service.uploads import Form


def embed(house: House, form: Form) -> dict[str, Any]:
    """The job that embeds the form's file; the one that did or does it already if the same bytes came before."""
    upload, said = form.file("file"), intake.about(form)
    model = house.shelf.resolve(form.one("model"))
    info = intake.look(house, upload)
    kinds = intake.kinds_of(info, form.one("kind"))
    kept = intake.keep(upload, info)
    with house.database.begin() as session:
        ids = [item["id"] for item in intake.write_items(session, kept, kinds, said)]
        job = dispatch.write(
            house,
            session,
            dispatch.Wish(
                kind="embed",
                params={"model": model.id},
                media_s=info.duration_s * len(ids),
                item_ids=ids,
                key=f"embed:{model.id}:{'+'.join(ids)}",
            ),
        )
    return dispatch.send(house, job)
