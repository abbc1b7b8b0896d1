"""The command ``resmc``."""

from .main import main, parser

__all__ = ["main", "parser"]
