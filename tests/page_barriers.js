/** Accessibility errors: what fails with a screen reader or without a mouse. */
() => {
  const all = selector => [...document.querySelectorAll(selector)], wrong = [];
  const check = (right, what) => right || wrong.push(what);
  check(document.documentElement.lang === "en", "lang");
  check(document.title.length > 5, "title");
  check(all("h1").length === 1, "one h1");
  for (const landmark of ["header", "nav[aria-label]", "main", "footer"]) check(all(landmark).length === 1, landmark);
  for (const each of all("img")) check(each.alt.trim(), "alt");
  for (const each of all("table")) check(each.caption && each.caption.textContent.trim(), "caption");
  for (const each of all("th")) check(/^(row|col|colgroup)$/.test(each.scope), "scope of " + each.textContent);
  for (const each of all("tbody tr:not(.why), tfoot tr")) check(each.cells[0].scope === "row", "row heading");
  for (const each of all("[role=region]")) check(each.getAttribute("aria-label"), "name of a region");
  for (const each of all("button, a")) check(each.textContent.trim(), "name of " + each.outerHTML);
  const byId = (id) => document.getElementById(id);
  for (const each of all("[aria-labelledby]")) check(byId(each.getAttribute("aria-labelledby")), "label");
  for (const each of all("a[href^='#']")) check(byId(each.hash.slice(1)), "target of " + each.hash);
  const ids = all("[id]").map(each => each.id);
  check(new Set(ids).size === ids.length, "ids");
  const levels = all("h1, h2, h3, h4").map(each => Number(each.tagName[1]));
  levels.forEach((level, number) => check(level <= (levels[number - 1] ?? 0) + 1, "order of headings"));
  for (const table of all("table"))
    for (const row of table.querySelectorAll("tbody tr:not(.why), tfoot tr"))
      check(row.cells.length === table.tBodies[0].rows[0].cells.length, "cells of " + row.textContent);
  return wrong;
}
