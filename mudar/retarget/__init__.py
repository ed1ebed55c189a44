"""Retargets a dance onto music: strokes and onsets to a time map, its rendering, and the report of how well it lands.

The package is called like its main function, `from mudar import retarget; retarget(dance, music, "out.mp4")`: a
submodule takes its place as the parent's attribute, so a function of the same name beside it would come and go.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mudar.retarget.retarget import Result


class _CallablePackage(ModuleType):
    """Makes the package callable (Python's data model, "Customizing module attribute access")."""

    def __call__(self, *args: Any, **kwargs: Any) -> Result:
        """Calls `mudar.retarget.retarget.retarget`."""
        from mudar.retarget.retarget import retarget

        return retarget(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
