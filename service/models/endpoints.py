"""Route of GET /models."""

from __future__ import annotations

from fastapi import APIRouter

from service.container import ContainerDep
from service.models.schemas import Models

router = APIRouter(tags=["models"])


@router.get("/models")
def get_models(container: ContainerDep) -> Models:
    """The checkpoints that this service can use, with what their cards say."""
    return Models(models=container.catalog.list_models())
