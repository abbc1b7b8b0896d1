"""One `Table`, rendered as text, as HTML for notebooks, and as records for JSON; its cells are numbers and words."""

from . import html, text
from .table import Column, Table

__all__ = ["Column", "Table", "html", "text"]
