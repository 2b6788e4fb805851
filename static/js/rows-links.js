// Links of a chart or a table that show their rows in the browser beside them, without leaving the page.
// <div data-rows-links hx-push-url="true"> … <a data-rows href="/columns/3/?topic=12">Delivery time</a> … </div>
// Works for links in HTML and in SVG; a click with Ctrl, Cmd or Shift opens a new tab as always.

import { load } from "./htmx-config.js";
import { announce } from "./page.js";

document.addEventListener("click", async (event) => {
  const link = event.target.closest?.("a[data-rows]");
  const source = link?.closest("[data-rows-links]");
  if (!source || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  link.dispatchEvent(new CustomEvent("rows-wanted", { bubbles: true }));
  await load("GET", link.getAttribute("href"), { target: "#browse", swap: "outerHTML", source, headers: { "X-Part": "browse" } });
  announce(link.dataset.said ?? "");
});
