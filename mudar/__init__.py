"""Embeds, retrieves and retargets dance videos and music: the core, which knows no web and no queue.

What is listed in `__all__` is its public face. Each name is imported at its first use, so that `import mudar.errors`
stays light and a process that loads no network never imports torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mudar.embed import Embedder as Embedder
    from mudar.errors import MudarError as MudarError
    from mudar.index.hybrid import HybridIndex as HybridIndex
    from mudar.index.types import SearchRequest as SearchRequest
    from mudar.model.checkpoint import load as load
    from mudar.records import Analysis as Analysis
    from mudar.records import Rhythm as Rhythm
    from mudar.records import Segment as Segment
    from mudar.retarget.retarget import AnalyzedFile as AnalyzedFile
    from mudar.retarget.retarget import retarget as retarget
    from mudar.retarget.settings import RetargetSettings as RetargetSettings

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
__all__ = [*_MODULES, "retarget"]


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
