"""Plans of maps as plain values, as a store keeps them: written field by field, and read with sentences for errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from .._system.plain import Plain
from .._system.words import brief
from ..models.residual_network import Model
from ..models.spelling import of_dict


def described(plan: Any, form: str, version: int, without: Sequence[str] = ()) -> Plain:
    """Return a plan, a record, as plain values; `settings` reads them."""
    out: Plain = {"format": form, "schema_version": version}
    for f in fields(plan):
        if f.name not in without:
            value = getattr(plan, f.name)
            value = value.to_dict() if hasattr(value, "to_dict") else value
            out[f.name] = list(value) if isinstance(value, tuple) else value
    return out


def settings(
    cls: Any,
    data: Mapping[str, Any],
    form: str,
    version: int,
    what: str,
    *,
    needed: Sequence[str],
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the fields that `described` has written of a plan ``cls``, as they stand there.

    Raises
    ------
    ValueError
        If ``data`` is not the plan of ``what``, one in a newer format, has unknown fields, or lacks ``needed`` ones.
    """
    if data.get("format") != form:
        raise ValueError(f"this is not the plan of {what}: its format is {data.get('format')!r}")
    if data.get("schema_version") != version:
        raise ValueError(f"the plan has schema version {data.get('schema_version')}, not {version}")
    given = {name: value for name, value in data.items() if name not in ("format", "schema_version")}
    allowed = [f.name for f in fields(cls) if f.name not in without]
    for name in given:
        if name not in allowed:
            raise ValueError(f"{name!r} is not a setting of {what}: they are {', '.join(allowed)}")
    for name in needed:
        if name not in given:
            raise ValueError(f"{name} is missing")
    return given


def model_of(given: Any) -> Model:
    """Return the network that a plan has as plain values; raises ValueError for what is none."""
    if not isinstance(given, Mapping):
        raise ValueError(f"model={brief(given)} is not allowed: it must have a network's fields")
    return of_dict(given)
