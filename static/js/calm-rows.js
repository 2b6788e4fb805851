// Rows that are fetched again change only where they differ: what stays keeps its focus, a selected text, its tick.
// <div class="chunk__rows"><article class="row" id="row-12">…</article> …</div>   (the target of "rehydrate", see row-feed.js)
// A chunk that was emptied, or rows in another order, are put on the page as usual.

import { onBeforeSwap } from "./htmx-config.js";

/** Attributes that scripts add to a row, and htmx's passing classes, are not the server's. */
function sameAsServer(row, fresh) {
  const copy = row.cloneNode(true);
  for (const { name } of [...copy.attributes]) if (!fresh.hasAttribute(name)) copy.removeAttribute(name);
  for (const element of [copy, ...copy.querySelectorAll("[class*=htmx-]")])
    for (const name of [...element.classList]) if (name.startsWith("htmx-")) element.classList.remove(name);
  return copy.isEqualNode(fresh);
}

function replace(row, fresh) {
  const focused = row.contains(document.activeElement) ? document.activeElement : null;
  const at = focused && focused !== row ? [...row.querySelectorAll("a, button, input")].indexOf(focused) : -1;
  row.replaceWith(fresh);
  if (!focused) return;
  const again = at < 0 ? fresh : fresh.querySelectorAll("a, button, input")[at];
  (again ?? fresh).focus({ preventScroll: true });
}

onBeforeSwap(({ target, html }) => {
  if (!target.matches(".chunk__rows") || !target.childElementCount) return null;
  const template = document.createElement("template");
  template.innerHTML = html;
  const wanted = [...template.content.children];
  const present = new Map([...target.children].map((row) => [row.id, row]));
  if (!wanted.every((row) => present.has(row.id))) return null;
  const changed = [];
  for (const row of wanted) {
    const old = present.get(row.id);
    present.delete(row.id);
    if (sameAsServer(old, row)) continue;
    const fresh = document.importNode(row, true);
    replace(old, fresh);
    changed.push(fresh);
  }
  present.forEach((row) => row.remove()); // rows that are gone
  return changed;
});
