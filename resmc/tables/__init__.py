"""One `Table`, rendered as text, as HTML for notebooks, as records for JSON and as a data frame."""

from . import html, text
from .table import Column, Shown, Table

__all__ = ["Column", "Shown", "Table", "html", "text"]
