// A review that could not be sent (no connection, server down, signed out) waits in this browser and is
// sent again by itself. The person sees how many wait; the page never pretends that they are saved.
// <form hx-post="…" data-queue="Row 12"> … </form>
//
// Focus mode sends all its reviews this way: `post()` keeps the review first and then sends it, so that closing the
// page in between loses nothing. The banner appears only when one did not get through.
//
// Each entry keeps the revision it was based on (a form field), so a review sent late cannot overwrite
// somebody else's: the server answers 409. A review of focus mode then waits here until the person has compared
// both versions; others are taken out and the person is told.
// Entries belong to the person who made them; somebody else who signs in on this computer never sends them.
// Events on body: "reviews-queued" after keeping one, "reviews-saved" {count} when entries got through that had
// to wait, "review-answer" {entry, outcome, html} for each, "reviews-idle" {state} when there is nothing to send for now.

import { load, showSignedOut } from "./htmx-config.js";
import { banner, csrfToken, isSignedOut, meta, toast } from "./page.js";

const STORE = `review-queue:${meta("user-id")}`;
const RETRY_S = [2, 4, 8, 15, 30];
let attempts = 0;
let timer = 0;
let sending = false;
let inFlight = null;
let enrich = (entry) => entry.body;

function read() {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "[]");
  } catch {
    return [];
  }
}

function write(entries) {
  if (entries.length) localStorage.setItem(STORE, JSON.stringify(entries));
  else localStorage.removeItem(STORE);
  show();
}

export function queued() {
  return read();
}

/** `make(entry)` returns the body that is really sent: what the page knows at that moment, not when it was kept. */
export function enrichWith(make) {
  enrich = make;
}

const isOpen = (entry) => entry.state !== "stale";

function show(state = "") {
  const entries = read();
  const stale = entries.filter((entry) => !isOpen(entry));
  banner("conflict", stale.length ? `${stale[0].label}: somebody else changed this row meanwhile. Your version is kept${stale.length > 1 ? ` (and ${stale.length - 1} more)` : ""}.` : "", {
    kind: "warning",
    action: stale.length ? { label: "Compare", onClick: () => compare(stale[0]) } : null,
  });
  // What is being sent for the first time needs no words.
  const failed = entries.some((entry) => isOpen(entry) && entry.tries);
  const open = entries.filter((entry) => isOpen(entry));
  if (!failed) return banner("queue", "");
  const what = open.length === 1 ? `“${open[0].label}” is not saved yet` : `${open.length} reviews are not saved yet`;
  const then = state === "signed-out" ? "sign in to save." : "trying again.";
  banner("queue", `${what}: kept in this browser, ${then}`, {
    kind: "warning",
    action: state === "signed-out" ? null : { label: "Try now", onClick: () => flush() },
  });
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(flush, 1000 * RETRY_S[Math.min(attempts, RETRY_S.length - 1)]);
  attempts += 1;
}

function add(entry) {
  const made = { id: crypto.randomUUID?.() ?? String(Date.now() + Math.random()), at: Date.now(), ...entry };
  write([...read(), made]);
  return made.id;
}

/** Keep a review that could not be sent. */
export function keep({ url, verb, body, label }) {
  add({ url, verb, body, label, tries: 1 });
  document.body.dispatchEvent(new CustomEvent("reviews-queued"));
  schedule();
}

/** Keep a review and send it: returns its id. The server must take the same one twice for one. */
export function post({ url, body, label, verbatim }) {
  const id = add({ url, verb: "post", body, label, verbatim, twice: true, tries: 0 });
  flush();
  return id;
}

/** Take a review out that was never sent; false where the server may know it already. */
export function takeBack(id) {
  const entry = read().find((one) => one.id === id);
  if (!entry || entry.tries || inFlight === id) return false;
  drop(id);
  return true;
}

function drop(id) {
  write(read().filter((other) => other.id !== id));
}

function change(id, values) {
  write(read().map((entry) => (entry.id === id ? { ...entry, ...values } : entry)));
}

async function send(entry) {
  const response = await fetch(entry.url, {
    method: entry.verb.toUpperCase(),
    body: entry.twice ? enrich(entry) : entry.body,
    credentials: "same-origin",
    keepalive: true,
    headers: {
      "Content-Type": "application/x-www-form-urlencoded",
      "X-CSRFToken": csrfToken(),
      "X-Queued-Review": entry.id,
      "HX-Request": "true",
    },
  });
  if (isSignedOut(response.status, response.url)) return { outcome: "signed-out" };
  if (response.status >= 500 || response.status === 429) return { outcome: "later" };
  const html = await response.text();
  if (response.ok) return { outcome: "saved", html };
  return { outcome: response.status === 409 ? "stale" : "refused", html };
}

/** What the server said about a refused review, in its own words. */
function reason(html) {
  const said = new DOMParser().parseFromString(html ?? "", "text/html").querySelector(".toast__text");
  return said?.textContent.trim() || "the server did not accept this review. Open the row and look at it again.";
}

function settle(entry, outcome, html) {
  if (outcome === "stale" && entry.twice) change(entry.id, { state: "stale" });
  else drop(entry.id);
  if (outcome === "stale" && !entry.twice)
    toast(`${entry.label}: somebody else changed this row meanwhile, so your review was not saved over theirs.`, { kind: "error", stay: true });
  if (outcome === "refused") toast(`${entry.label}: ${reason(html)}`, { kind: "error", stay: true });
}

function nextOpen() {
  return read().find(isOpen);
}

/** Send all waiting entries in order, also those added meanwhile. Only one tab does it at a time. */
export async function flush() {
  clearTimeout(timer);
  if (sending || !nextOpen() || !meta("user-id")) return;
  sending = true;
  let waited = 0;
  let state = "";
  const work = async () => {
    for (let entry = nextOpen(); entry; entry = nextOpen()) {
      let answer;
      inFlight = entry.id;
      try {
        answer = await send(entry);
      } catch {
        answer = { outcome: "later" };
      }
      inFlight = null;
      const { outcome, html } = answer;
      if (outcome === "later" || outcome === "signed-out") {
        change(entry.id, { tries: (entry.tries ?? 0) + 1 });
        state = outcome;
        break;
      }
      settle(entry, outcome, html);
      if (outcome === "saved" && (entry.tries ?? 1)) waited += 1;
      document.body.dispatchEvent(new CustomEvent("review-answer", { detail: { entry, outcome, html } }));
    }
  };
  try {
    if (navigator.locks) await navigator.locks.request("review-queue", work);
    else await work();
  } finally {
    sending = false;
  }
  show(state);
  if (state === "signed-out") showSignedOut();
  if (state === "later") schedule();
  else attempts = 0;
  if (waited) {
    banner("connection", "");
    toast(waited === 1 ? "The waiting review is saved." : `${waited} waiting reviews are saved.`, { kind: "success" });
    document.body.dispatchEvent(new CustomEvent("reviews-saved", { detail: { count: waited } }));
  }
  if (!state && nextOpen()) return flush(); // added after the last look
  document.body.dispatchEvent(new CustomEvent("reviews-idle", { detail: { state } }));
}

/** Ask the server for both versions of a row that two people changed: it answers with the dialog. */
function compare(entry) {
  const values = {};
  for (const [name, value] of new URLSearchParams(entry.body)) values[name] = name in values ? [values[name], value].flat() : value;
  load("POST", entry.url, { source: document.body, target: document.body, swap: "none", values: { ...values, from_conflict: "1" } }).catch(() => {});
}

function solved(verbatim) {
  write(read().filter((entry) => isOpen(entry) || String(entry.verbatim) !== String(verbatim)));
}

document.body.addEventListener("conflict-solved", (event) => solved(event.detail.verbatim));
document.addEventListener("click", (event) => {
  const keepTheirs = event.target.closest("[data-conflict-keep]");
  if (keepTheirs) solved(keepTheirs.dataset.conflictKeep);
});

document.body.addEventListener("request-failed", (event) => {
  const { reason, config } = event.detail;
  const form = event.target.closest?.("[data-queue]");
  if (!form || !config || config.verb === "get" || reason === "refused") return;
  const body = new URLSearchParams();
  const data = config.formData ?? new FormData(form);
  for (const [name, value] of data.entries()) if (typeof value === "string") body.append(name, value);
  keep({ url: config.path, verb: config.verb, body: body.toString(), label: form.dataset.queue });
  event.preventDefault();
  form.dispatchEvent(new CustomEvent("review-kept", { bubbles: true }));
});

window.addEventListener("online", () => flush());
// Another tab sent what this one waits for, or keeps something itself.
window.addEventListener("storage", (event) => {
  if (event.key !== STORE) return;
  show();
  if (!nextOpen()) document.body.dispatchEvent(new CustomEvent("reviews-idle", { detail: { state: "" } }));
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && flush());
window.addEventListener("beforeunload", (event) => {
  if (sending && read().some((entry) => !entry.twice)) event.preventDefault();
});
show();
flush();
