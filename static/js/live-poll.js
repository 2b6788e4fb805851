// Asks the server again and again whether something changed, while somebody can see the answer.
// <div id="ai-status" data-poll="5" hx-get="…?seen=…" hx-trigger="poll, …" hx-target="this" hx-swap="outerHTML">…</div>
// data-poll: seconds between two questions (the server sets 1 while an AI update runs). The answer is 204 while
// nothing changed; else the fresh element, and events that say what else is old.
// A tab in the background does not ask, and asks at once when it is looked at again. After five minutes without a
// key or a movement every sixth time is enough. A server that fails is asked less and less, without a notice each time.

import { onAfterRequest, onNewContent } from "./htmx-config.js";

const REST_MS = 5 * 60_000;
const REST_FACTOR = 6;
const MOST_MS = 60_000;
const LOST_MS = 30_000; // a question that never got an answer does not end the asking

let timer = 0;
let failures = 0;
let active = performance.now();
let gone = false;

const place = () => document.querySelector("[data-poll]");

function plan() {
  clearTimeout(timer);
  const element = place();
  if (!element || document.hidden || gone) return;
  const rest = performance.now() - active > REST_MS ? REST_FACTOR : 1;
  timer = setTimeout(ask, Math.min(MOST_MS, 1000 * Number(element.dataset.poll || 5) * rest * 2 ** failures));
}

function ask() {
  clearTimeout(timer);
  const element = place();
  if (!element || document.hidden || gone) return;
  timer = setTimeout(ask, LOST_MS);
  element.dispatchEvent(new CustomEvent("poll"));
}

onAfterRequest(({ element, ok, verb, status }) => {
  if (element?.matches?.("[data-poll]")) {
    failures = ok ? 0 : Math.min(failures + 1, 6);
    gone = status === 404 || status === 403;
    plan();
  } else if (verb !== "get" && element?.closest?.("[data-poll]")) setTimeout(ask, 150); // cancelled, tried again …
});

document.addEventListener("request-failed", (event) => {
  const { reason, status } = event.detail;
  if (event.target.matches?.("[data-poll]") && reason === "server" && status !== 404) event.preventDefault();
});
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
for (const name of ["pointermove", "keydown", "scroll"]) {
  document.addEventListener(name, () => {
    const wasResting = performance.now() - active > REST_MS;
    active = performance.now();
    if (wasResting) ask();
  }, { passive: true, capture: true });
}

// The element comes after the page, and anew with every change: it says how soon to ask again.
onNewContent((root) => (root.querySelector("[data-poll]") || root.matches?.("[data-poll]")) && plan());
