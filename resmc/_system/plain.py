"""Plain values: numbers, words, lists and dictionaries, as JSON and TOML hold them."""

from __future__ import annotations

from typing import Any

Plain = dict[str, Any]  # values by name, as in a model's fields, a plan or a manifest
