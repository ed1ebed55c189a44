"""Embeds, retrieves and retargets dance videos and music: the core, which knows no web and no queue.

What is listed in `__all__` is its public face. Each name is imported at its first use, so that `import mudar.errors`
stays light and a process that loads no network never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mudar.embed import Embedder
    from mudar.errors import MudarError
    from mudar.index.hybrid import HybridIndex
    from mudar.index.types import SearchRequest
    from mudar.model.checkpoint import load
    from mudar.records import Analysis, Rhythm, Segment
    from mudar.retarget.retarget import AnalyzedFile, retarget
    from mudar.retarget.settings import RetargetSettings

__all__ = [
    "Analysis",
    "AnalyzedFile",
    "Embedder",
    "HybridIndex",
    "MudarError",
    "RetargetSettings",
    "Rhythm",
    "SearchRequest",
    "Segment",
    "load",
    "retarget",
]

_MODULES = {
    "Analysis": "records",
    "AnalyzedFile": "retarget.retarget",
    "Embedder": "embed",
    "HybridIndex": "index.hybrid",
    "MudarError": "errors",
    "RetargetSettings": "retarget.settings",
    "Rhythm": "records",
    "SearchRequest": "index.types",
    "Segment": "records",
    "load": "model.checkpoint",
}


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use (PEP 562)."""
    if name == "retarget":
        return import_module("mudar.retarget")  # the package itself, which is callable
    if name in _MODULES:
        return getattr(import_module(f"mudar.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists the public names."""
    return sorted([*globals(), *__all__])
