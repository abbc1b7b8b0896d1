"""Reports in a browser, as their readers have them: headless Chromium, driven through chromedriver, from file://.

Skipped with a sentence where one of the two is missing, an error if RESMC_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import base64
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reports import HALF, only, simulation

import resmc

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from resmc.report import render

pytestmark = pytest.mark.cpu
PHONE, TABLET, DESKTOP = (400, 812), (900, 1100), (1600, 900)
ENTER, SPACE = "\ue007", " "

# For every element with words of its own: the ratio of its colour to what is behind it.
CONTRASTS = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
}
function luminance(c) {
  const [r, g, b] = c.map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function behind(element) {
  for (let e = element; e; e = e.parentElement) {
    const c = rgba(getComputedStyle(e).backgroundColor);
    if (c[3] > 0.99) return c;
    if (c[3] > 0.01) throw new Error('half transparent: ' + e.outerHTML.slice(0, 80));
  }
  return rgba('white');
}
function ratio(colour, element) {
  const [a, b] = [luminance(rgba(colour)), luminance(behind(element))].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}
const found = [];
for (const e of document.querySelectorAll('body *')) {
  if (e.closest('script') || !e.getClientRects().length) continue;
  const svg = e.closest('svg');
  if (svg) {
    if (e.tagName === 'use' && e.closest('[id*="-text_"]')) {
      const fill = getComputedStyle(e).fill;
      if (!['rgb(0, 0, 1)', 'rgb(255, 255, 254)'].includes(fill))  // on a map, which is the same everywhere
        found.push([ratio(fill, svg.parentElement), svg.getAttribute('aria-label').slice(0, 40)]);
    }
  } else if ([...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) {
    found.push([ratio(getComputedStyle(e).color, e), e.outerHTML.slice(0, 80)]);
  }
}
return found;
"""

LINES = (
    CONTRASTS.split("const found")[0]
    + """
    return [...document.querySelectorAll('svg [id*="line2d_"] path')].map(e => [getComputedStyle(e).stroke, e])
      .filter(([stroke]) => stroke !== 'none').map(([stroke, e]) => [ratio(stroke, e.closest('figure')), stroke]);
    """
)


def missing(what: str) -> None:
    """Skips, or fails where a browser is required."""
    reason = f"reports are not seen in a browser: {what} is not installed"
    if os.environ.get("RESMC_REQUIRE_BROWSER", "0") not in ("", "0"):
        pytest.fail(f"RESMC_REQUIRE_BROWSER is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from selenium import webdriver
    except ImportError:
        missing("selenium")
    program, driver = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if program is None or driver is None:
        missing("chromium" if program is None else "chromedriver (chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    found.set_page_load_timeout(120)
    yield found
    found.quit()


def view(browser: Any, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> None:
    """A window of that size, and the colours that its reader prefers."""
    device = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", device)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports by name."""
    folder = tmp_path_factory.mktemp("pages")
    sweep = resmc.Sweep(width=[8, 16], ratio=[0.5, 1], alpha=HALF, lam=HALF, variant=["vanilla", "balanced"],
                        networks=2000)  # fmt: skip
    dying = {"width": 3, "depth": 20, "alpha": 0.0, "lam": 1.0, "keep_trajectories": 7, "networks": 30}
    results = {
        "vanilla": simulation(depth=120),
        "dying": simulation(**dying),  # and few, so that there are no errors
        "sweep": sweep.run(folder / "store", progress=False),
    }
    with pytest.MonkeyPatch.context() as patch:
        only(patch, "log_norm.variance", "growth", "active_fraction")
        for name, result in results.items():
            (folder / f"{name}.html").write_text(render(result), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in results}


NAMES = ["vanilla", "dying", "sweep"]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_opens_without_an_error_or_a_request(browser: Any, pages: dict[str, Path], name: str):
    view(browser)
    browser.get("about:blank")
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(pages[name].as_uri())
    assert browser.get_log("browser") == []
    asked = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(message["params"]["request"]["url"])
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert browser.title.endswith("· resmc")


# Boxes of what a reader sees, after the window has its size.
BOXES = """
const all = (what, from = document) => [...from.querySelectorAll(what)];
const box = e => {
  const {left, right, top, bottom, width, height} = e.getBoundingClientRect();
  return {left, right, top, bottom, width, height};
};
function text(cell) {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return box(range);
}
function drawing(svg) {
  const figure = svg.closest('figure');
  return {...box(svg), drawn: svg.getBBox().width, axes: box(svg.querySelector('[id$="-patch_2"]')),
    caption: box(figure.querySelector('figcaption')),
    section: figure.closest('section').getAttribute('aria-labelledby')};
}
function cell(c, heading) {
  const rest = c.querySelector('.r');
  return {text: c.textContent, point: rest && box(rest).left, end: text(c).right,
    numeric: heading.classList.contains('n'), side: getComputedStyle(c).textAlign};
}
return {
  page: document.documentElement.scrollWidth,
  window: innerWidth,
  drawings: all('figure svg').map(drawing),
  cut: all('main p, main dd, h1, h2, h3, figcaption, nav a').filter(e => box(e).right > innerWidth + 1)
    .map(e => e.textContent.slice(0, 60)),
  columns: all('table.sortable').flatMap(t => all('thead th', t)
    .map((heading, i) => all('tbody tr', t).slice(0, 30).map(row => cell(row.cells[i], heading)))),
};
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fits_every_window_and_what_stands_beside_each_other_is_equal(
    browser: Any, pages: dict[str, Path], name: str
):
    view(browser, PHONE)
    browser.get(pages[name].as_uri())
    for size in (PHONE, TABLET, DESKTOP):
        view(browser, size)
        seen = browser.execute_script(BOXES)
        assert seen["page"] <= seen["window"] == size[0]
        assert seen["cut"] == []
        check_drawings(seen["drawings"], size[0])
        check_columns(seen["columns"])
    pictures = browser.execute_script(
        "return Promise.all([...document.querySelectorAll('svg image')].map(async i => {"
        "const p = new Image(); p.src = i.getAttribute('href'); await p.decode(); return p.naturalWidth}))"
    )
    assert pictures
    assert all(p > 0 for p in pictures)


def check_drawings(drawings: list[dict[str, Any]], window: int) -> None:
    """All of one size, in rows in which nothing is higher or lower than what stands beside it."""
    assert drawings
    assert max(d["width"] for d in drawings) - min(d["width"] for d in drawings) < 1.0
    assert all(250.0 < d["width"] <= window and d["drawn"] > 100.0 for d in drawings)
    assert max(d["axes"]["height"] for d in drawings) < 1.02 * min(d["axes"]["height"] for d in drawings)
    assert all(d["caption"]["bottom"] <= d["top"] for d in drawings)
    rows: dict[int, list[dict[str, Any]]] = {}
    for one in drawings:
        rows.setdefault(round(one["top"]), []).append(one)
    assert window == PHONE[0] or any(len(row) == 2 for row in rows.values())
    for row in rows.values():
        assert max(d["height"] for d in row) - min(d["height"] for d in row) < 1.0
        assert max(d["axes"]["top"] for d in row) - min(d["axes"]["top"] for d in row) < 2.0
        assert max(d["caption"]["bottom"] for d in row) - min(d["caption"]["bottom"] for d in row) < 1.0
    in_section: dict[str, set[int]] = {}
    for one in drawings:
        in_section.setdefault(one["section"], set()).add(round(one["height"]))
    assert all(max(heights) - min(heights) <= 1 for heights in in_section.values())


def check_columns(columns: list[list[dict[str, Any]]]) -> None:
    """Numbers stand with their points, or without any with their ends, in one line."""
    with_points = 0
    for cells in columns:
        points = [c["point"] for c in cells if c["point"] is not None]
        with_points += bool(points)
        assert not points or max(points) - min(points) < 0.5
        whole = [c for c in cells if c["text"].isdigit()]
        if cells and len(whole) == len(cells) and cells[0]["numeric"]:
            assert max(c["end"] for c in whole) - min(c["end"] for c in whole) < 0.5
            assert {c["side"] for c in whole} == {"right"}
    assert with_points >= 2


def test_the_table_by_layer_scrolls_beside_the_numbers_of_its_layers(browser: Any, pages: dict[str, Path]):
    script = """
        const s = document.querySelector('#layers').parentElement, first = s.querySelector('tbody th');
        s.scrollLeft = s.scrollWidth;
        const left = first.getBoundingClientRect().left - s.getBoundingClientRect().left;
        return [s.clientWidth, s.scrollWidth, s.scrollLeft, left, document.documentElement.scrollWidth, innerWidth];
    """
    browser.get(pages["vanilla"].as_uri())
    for size in (PHONE, DESKTOP):
        view(browser, size)
        seen, whole, moved, left, page, window = browser.execute_script(script)
        assert whole > seen
        assert moved > 100
        assert abs(left) <= 2
        assert page <= window


@pytest.mark.parametrize("name", NAMES)
def test_words_and_lines_stand_out_from_their_paper(browser: Any, pages: dict[str, Path], name: str):
    browser.get(pages[name].as_uri())
    for scheme, paper in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 23, 28)")):
        view(browser, DESKTOP, scheme)
        assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == paper
        found = browser.execute_script(CONTRASTS)
        assert len(found) > 100
        assert [f for f in found if f[0] < 4.5] == []
        if name != "vanilla":
            continue
        lines = browser.execute_script(LINES)
        assert len(lines) > 20
        grey = "rgb(153, 153, 153)"  # the line at 0, on white
        assert [f for f in lines if f[0] < (3.0 if f[1] != grey else 2.5)] == []


# ------------------------------------------------------------------------------------------------------------- tables


def column(browser: Any, table: str, index: int) -> list[str]:
    """The cells of a column that are shown."""
    script = (
        "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map(r => r.cells[arguments[1]].textContent)"
    )
    return [t.replace("\N{MINUS SIGN}", "-") for t in browser.execute_script(script, table, index)]


def value(text: str) -> float:
    """The number that a cell begins with."""
    try:
        return float(text.split()[0].replace("\xa0", " ").split(" ")[0]) if text.strip() else math.nan
    except ValueError:
        return math.nan


def press(browser: Any, table: str, index: int, key: str | None) -> str:
    """A click on a column's heading, or the key while it has the focus; how it is sorted then."""
    heading = browser.find_elements("css selector", f"{table} thead th")[index]
    button = heading.find_element("tag name", "button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", button)
    if key is None:
        button.click()
    else:
        browser.execute_script("arguments[0].focus()", button)
        assert browser.execute_script("return document.activeElement === arguments[0]", button)
        button.send_keys(key)
    return str(heading.get_attribute("aria-sort"))


@pytest.mark.parametrize(("index", "key"), [(1, None), (2, ENTER), (3, SPACE)])
def test_a_table_sorts_by_numbers_both_ways(browser: Any, pages: dict[str, Path], index: int, key: str | None):
    view(browser)
    browser.get(pages["vanilla"].as_uri())
    before = column(browser, "#quantities", index)
    exponents = [text for text in before if "e-" in text]
    assert exponents or index != 1 or len(before) > 10
    for down, name in ((False, "ascending"), (True, "descending")):
        assert press(browser, "#quantities", index, key) == name
        after = column(browser, "#quantities", index)
        assert sorted(after) == sorted(before)
        numbers = [value(text) for text in after]
        known = [x for x in numbers if not math.isnan(x)]
        assert known == sorted(known, reverse=down)
        assert all(math.isnan(x) for x in numbers[len(known) :])
        sorts = browser.execute_script(
            "return [...document.querySelectorAll('#quantities thead th')].map(h => h.getAttribute('aria-sort'))"
        )
        assert sorts.count("none") == len(sorts) - 1
        assert name in browser.find_element("id", "announcement").get_attribute("textContent")


def test_exponents_signs_and_missing_values_are_sorted_as_numbers(browser: Any, pages: dict[str, Path]):
    view(browser)
    cells = ["1.2e-05 ± 1.0e-06", "no value", "−3e+10", "0.5", "−2e-09", "7", "e^(5)", "1e+03"]
    source = pages["vanilla"].read_text(encoding="utf-8")
    begin = source.index("<tbody>") + len("<tbody>")
    rows = "".join(f"<tr><th scope=row>q{i}</th><td>{c}</td><td></td><td></td><td></td><td></td></tr>"
                   for i, c in enumerate(cells))  # fmt: skip
    changed = pages["vanilla"].with_name("cells.html")
    changed.write_text(source[:begin] + rows + source[source.index("</tbody>") :], encoding="utf-8")
    browser.get(changed.as_uri())
    assert press(browser, "#quantities", 1, None) == "ascending"
    up = ["-3e+10", "-2e-09", "1.2e-05 ± 1.0e-06", "0.5", "7", "1e+03", "no value", "e^(5)"]
    assert column(browser, "#quantities", 1) == up
    assert press(browser, "#quantities", 1, ENTER) == "descending"
    assert column(browser, "#quantities", 1) == [*up[5::-1], "no value", "e^(5)"]


def test_words_are_sorted_as_words(browser: Any, pages: dict[str, Path]):
    view(browser)
    browser.get(pages["sweep"].as_uri())
    assert press(browser, "#points", 2, SPACE) == "ascending"
    assert column(browser, "#points", 2) == ["balanced"] * 4 + ["vanilla"] * 4
    assert [int(x) for x in column(browser, "#points", 0)] == [8, 8, 16, 16] * 2  # what was before stays in order


def test_a_long_table_has_pages(browser: Any, pages: dict[str, Path]):
    view(browser)
    browser.get(pages["vanilla"].as_uri())
    assert column(browser, "#layers", 0) == [str(i) for i in range(50)]
    previous, following = browser.find_elements("css selector", ".pages button")
    assert previous.get_attribute("disabled")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", following)
    following.click()
    following.send_keys(ENTER)
    assert column(browser, "#layers", 0) == [str(i) for i in range(100, 121)]
    assert following.get_attribute("disabled")
    assert browser.find_element("css selector", ".pages span").text == "Rows 101 to 121 of 121"
    press(browser, "#layers", 0, None)
    press(browser, "#layers", 0, None)
    assert column(browser, "#layers", 0)[0] == "120"


def test_ten_thousand_rows_are_sorted_in_a_second(browser: Any, pages: dict[str, Path]):
    view(browser)
    source = pages["sweep"].read_text(encoding="utf-8")
    begin, end = source.index("<tbody>") + len("<tbody>"), source.index("</tbody>")
    first = ["</t".join(row.split("</t")[:9]) + "</td>" for row in source[begin:end].split("</tr>")[:8]]
    many = pages["sweep"].with_name("many.html")
    many.write_text(source[:begin] + "</tr>".join([*first * 1250, ""]) + source[end:], encoding="utf-8")
    browser.get(many.as_uri())
    took = browser.execute_script(
        "const begin = performance.now(); document.querySelectorAll('#points thead button')[6].click();"
        "document.body.getBoundingClientRect(); return performance.now() - begin"
    )
    assert len(column(browser, "#points", 0)) == 50
    assert took < 1000.0


def test_everything_is_there_without_a_script(browser: Any, pages: dict[str, Path]):
    view(browser)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(pages["vanilla"].as_uri())
        assert len(browser.find_elements("css selector", "#layers tbody tr")) == 121
        assert browser.find_elements("css selector", "th button") == []
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


# --------------------------------------------------------------------------------------------------- keyboard and print


def test_the_first_key_leads_past_the_contents(browser: Any, pages: dict[str, Path]):
    view(browser, PHONE)
    browser.get(pages["vanilla"].as_uri())
    body = browser.find_element("tag name", "body")
    body.send_keys("\ue004")
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to the answers"
    assert focused.rect["x"] >= 0
    assert browser.execute_script("return getComputedStyle(document.activeElement).outlineWidth") == "3px"
    focused.send_keys(ENTER)
    assert browser.execute_script("return document.activeElement.id") == "main"


def test_print_is_light_and_whole(browser: Any, pages: dict[str, Path]):
    view(browser, DESKTOP, "dark")
    browser.get(pages["vanilla"].as_uri())
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    paper, ink, nav, scroll = browser.execute_script(
        "const s = e => getComputedStyle(document.querySelector(e)); return [s('body').backgroundColor, "
        "s('body').color, s('nav').display, s('.scroll').overflowX]"
    )
    assert (paper, ink, nav, scroll) == ("rgb(255, 255, 255)", "rgb(22, 24, 29)", "none", "visible")
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF")
    view(browser)
