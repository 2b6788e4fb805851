// A panel that is drawn again keeps the reader's place: scroll positions, the focus, what was folded open.
// <div id="panel-results" data-keep-place hx-get="…" hx-target="this" hx-swap="innerHTML">…</div>
// Inside, [data-place="12"] names what is shown: where it differs, the reader has gone on, and nothing is kept.
// htmx itself puts the focus back on an element with the same id; this also finds links and fields without one.

import { onBeforeSwap, onSettled } from "./htmx-config.js";

const kept = new WeakMap();

const name = (panel) => panel.querySelector("[data-place], [data-verbatim]")?.dataset.place ?? panel.querySelector("[data-verbatim]")?.dataset.verbatim ?? "";

function scrollers(panel) {
  return [panel, ...panel.querySelectorAll("[class]")];
}

/** A way to find the element again: its address, or its name and value. */
function handle(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const tag = element.localName;
  for (const attribute of ["href", "hx-get", "data-key", "data-step"])
    if (element.hasAttribute(attribute)) return `${tag}[${attribute}="${CSS.escape(element.getAttribute(attribute))}"]`;
  if (element.name) return `${tag}[name="${CSS.escape(element.name)}"]${element.matches("[type=checkbox], [type=radio]") ? `[value="${CSS.escape(element.value)}"]` : ""}`;
  return "";
}

onBeforeSwap((target) => {
  if (!target.matches("[data-keep-place]")) return;
  const focused = target.contains(document.activeElement) && document.activeElement !== target ? document.activeElement : null;
  kept.set(target, {
    name: name(target),
    scrolls: scrollers(target).flatMap((one) => (one.scrollTop > 0 ? [[one === target ? "" : `.${CSS.escape(one.classList[0])}`, one.scrollTop]] : [])),
    open: [...target.querySelectorAll("details[open][id]")].map((one) => one.id),
    focus: focused ? handle(focused) : "",
  });
});

onSettled((target) => {
  const place = target instanceof Element && kept.get(target);
  if (!place) return;
  kept.delete(target);
  if (place.name !== name(target)) return;
  for (const id of place.open) document.getElementById(id)?.setAttribute("open", "");
  for (const [selector, top] of place.scrolls) {
    const scroller = selector ? target.querySelector(selector) : target;
    if (scroller) scroller.scrollTop = top;
  }
  if (place.focus && !target.contains(document.activeElement)) target.querySelector(place.focus)?.focus({ preventScroll: true });
});
