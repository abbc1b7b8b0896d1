"""One `Table`, rendered as text, as HTML for notebooks, and as records for JSON. It knows numbers and words only."""

from . import html, text
from .table import Column, Table

__all__ = ["Column", "Table", "html", "text"]
