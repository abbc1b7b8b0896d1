"""Modules of public names alone, each of which is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def facade(module: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a module, so that nothing is loaded that is not used.

    Parameters
    ----------
    module : str
        The module's ``__name__``.
    homes : mapping
        The file of each public name, from the package of the module.
    """
    package = module.rpartition(".")[0]

    def getter(name: str) -> Any:
        """Imports the file of a public name when it is asked for."""
        if name in homes:
            return getattr(importlib.import_module(f".{homes[name]}", package), name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return getter, lambda: sorted(homes)
