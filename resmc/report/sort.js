"use strict";
// Tables that sort by any column, by click or key, and show long ones in pages. Without it all rows are there, unsorted.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const size = Number(table.dataset.page);
  const headings = [...table.tHead.rows[0].cells];
  const say = (text) => { document.getElementById("announcement").textContent = text; };
  let rows = original, page = 0, pager = null;

  // The number that a cell begins with; NaN for words, which come last in both directions.
  const number = (text) => Number.parseFloat(text.replace(/\u2212/g, "-"));

  function show() {
    const from = page * size;
    body.replaceChildren(...rows.slice(from, from + size));
    if (pager) {
      const pages = Math.ceil(rows.length / size);
      pager.words.textContent = `Rows ${from + 1} to ${Math.min(from + size, rows.length)} of ${rows.length}`;
      for (const [step, button] of pager.buttons) button.disabled = page + step < 0 || page + step >= pages;
    }
  }

  function sort(index, down) {
    const numeric = headings[index].classList.contains("n");
    const keyed = original.map((row, place) => {
      const text = row.cells[index].textContent;
      return { row, place, key: numeric ? number(text) : text };
    });
    const sign = down ? -1 : 1;
    const words = new Intl.Collator("en", { numeric: true });
    keyed.sort((a, b) => {
      if (numeric) {
        const none = Number.isNaN(a.key) - Number.isNaN(b.key);
        return none || sign * (a.key - b.key) || a.place - b.place;
      }
      return sign * words.compare(a.key, b.key) || a.place - b.place;
    });
    rows = keyed.map((entry) => entry.row);
    page = 0;
    show();
  }

  headings.forEach((heading, index) => {
    const button = document.createElement("button");
    const title = heading.textContent;
    button.type = "button";
    button.append(...heading.childNodes);
    heading.dataset.title = title; // on paper: browsers leave out buttons in the headings that they repeat
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(index, down);
      say(`Sorted by ${title}, ${down ? "descending" : "ascending"}`);
    });
  });

  if (original.length > size) {
    const place = document.createElement("div");
    place.className = "pages";
    pager = { words: document.createElement("span"), buttons: [] };
    for (const [name, step] of [["Previous", -1], ["Next", 1]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => { page += step; show(); say(pager.words.textContent); });
      pager.buttons.push([step, button]);
    }
    addEventListener("beforeprint", () => { if (rows.length <= 2000) body.replaceChildren(...rows); });
    addEventListener("afterprint", show);
    place.append(pager.buttons[0][1], pager.words, pager.buttons[1][1]);
    table.parentElement.after(place);
    show();
  }
}
