"use strict";
(() => {
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const said = document.querySelector("[role=status]");
  const next = { none: "ascending", ascending: "descending", descending: "none" };

  /** The sort key of a row: a number, a text, or null if the cell is empty. */
  function key(body, heading) {
    const cell = body.rows[0].cells[Number(heading.dataset.column)];
    const text = cell.dataset.key ?? cell.textContent.trim();
    if (text === "") return null;
    return heading.dataset.sort === "number" ? Number(text) : text;
  }

  /** The order of two keys; empty cells are last in both directions. */
  function compare(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" ? a - b : words.compare(a, b));
  }

  /** A row and the lines below it are one tbody, so that they stay together; "none" is the printed order. */
  function sort(table, printed, heading) {
    const direction = next[heading.getAttribute("aria-sort")];
    const sign = direction === "descending" ? -1 : 1;
    const keyed = printed.map((body) => [key(body, heading), body]);
    if (direction !== "none") keyed.sort(([a], [b]) => compare(a, b, sign));
    keyed.forEach(([, body]) => table.insertBefore(body, table.tFoot));
    for (const each of table.tHead.querySelectorAll("[aria-sort]")) each.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", direction);
    const order = direction === "none" ? "in the printed order" : `sorted by ${heading.dataset.name}, ${direction}`;
    said.textContent = `${table.caption.textContent}: ${order}`;
  }

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const printed = [...table.tBodies];
    if (printed.length < 2) continue;
    for (const heading of table.tHead.querySelectorAll("[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(table, printed, heading));
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
    }
  }
})();
