"""What the tests of reports share: a page taken apart, and simulations with different things to say."""

from __future__ import annotations

import functools
import html
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest

import resmc

HALF = math.sqrt(0.5)
VOID = {"meta", "link", "br", "img", "input", "hr"}


@dataclass
class Page(HTMLParser):
    """A page's elements, ids and texts; badly nested tags are an error."""

    source: str
    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append((self.open[-1], data))

    @property
    def text(self) -> str:
        """All that is to be read, with single spaces."""
        return re.sub(r"\s+", " ", "".join(text for _, text in self.texts))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    def code(self, name: str) -> str:
        """The text of <code id=name>."""
        found = re.search(rf'<code[^>]* id="{name}">(.*?)</code>', self.source, re.DOTALL)
        assert found is not None
        return html.unescape(found[1])


@functools.cache
def simulation(**changes: Any) -> resmc.Simulation:
    """A small one, vanilla unless asked."""
    given: dict[str, Any] = {"width": 16, "depth": 12, "alpha": HALF, "lam": HALF, "networks": 8192, "seed": 1}
    return resmc.simulate(**given | changes)


@functools.cache
def page_of(**changes: Any) -> Page:
    """Its page, made once."""
    return Page(_render(simulation(**changes)))


@functools.cache
def bare_page_of(**changes: Any) -> Page:
    """The same without its figures, in a fraction of the time."""
    with bare():
        return Page(_render(simulation(**changes)))


@contextmanager
def bare() -> Iterator[None]:
    """Pages that are made within have no figures."""
    from resmc.report import heat_map_page, regime_page, simulation_page, sweep_figures, trained_map_page
    from resmc.report.figures import Figure

    def none(key: str, title: str, description: str, draw: Any) -> Figure:
        return Figure(key, title, description)

    with pytest.MonkeyPatch.context() as patch:
        for module in (heat_map_page, regime_page, simulation_page, sweep_figures, trained_map_page):
            patch.setattr(module, "figure", none)
        yield


def only(patch: pytest.MonkeyPatch, *drawn: str) -> None:
    """Figures take most of the time of a sweep's page: draw those of some quantities."""
    from resmc.report import sweep_figures

    asked = sweep_figures.asked
    patch.setattr(sweep_figures, "asked", lambda result: [one for one in asked(result) if one in drawn])


def _render(result: Any) -> str:
    from resmc.report import render

    return render(result)
