// A review that could not be sent (no connection, server down, signed out) waits in this browser and is
// sent again by itself. The person sees how many wait; the page never pretends that they are saved.
// <form hx-post="…" data-queue="Row 12"> … </form>
//
// Focus mode sends all its reviews this way: `post()` keeps the review first and then sends it, so that closing the
// page in between loses nothing. The banner appears only when one did not get through.
//
// Each entry keeps the revision it was based on (a form field), so a review sent late cannot overwrite
// somebody else's: the server answers 409 with both versions, and the entry waits until the person has chosen.
// A row has one entry: a review is the whole decision about it, so the last one counts. A row that the server cannot
// save holds up no other.
// Entries belong to the person who made them; somebody else who signs in on this computer never sends them.
// Events on body: "reviews-queued" after keeping one, "reviews-saved" {count} when entries got through that had
// to wait, "review-answer" {entry, outcome, html} for each, "reviews-idle" {state} when there is nothing to send for now.

import { announceNew, showSignedOut } from "./htmx-config.js";
import { banner, csrfToken, isSignedOut, meta, toast } from "./page.js";
import { gettext, ngettext } from "./texts.js";

const STORE = `review-queue:${meta("user-id")}`;
const RETRY_S = [2, 4, 8, 15, 30];
const PATIENCE = 3; // times that one review of focus mode may hold up the next ones
let attempts = 0;
let timer = 0;
let sending = false;
let inFlight = null;
let enrich = (entry) => entry.body;

let memory = null; // where the browser allows no storage, or it is full: as long as the page lives

function read() {
  if (memory) return memory;
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "[]");
  } catch {
    return [];
  }
}

function write(entries) {
  try {
    if (entries.length) localStorage.setItem(STORE, JSON.stringify(entries));
    else localStorage.removeItem(STORE);
    memory = null;
  } catch {
    memory = entries;
  }
  show();
}

export function queued() {
  return read();
}

/** `make(entry)` returns the body that is really sent: what the page knows at that moment, not when it was kept. */
export function enrichWith(make) {
  enrich = make;
}

const isOpen = (entry) => !entry.stale;

function unsaved(open, isSignedOut) {
  if (open.length === 1) {
    const { label } = open[0];
    return isSignedOut
      ? gettext("“%(label)s” is not saved yet: kept in this browser, sign in to save.", { label })
      : gettext("“%(label)s” is not saved yet: kept in this browser, trying again.", { label });
  }
  return isSignedOut
    ? gettext("%(n)s reviews are not saved yet: kept in this browser, sign in to save.", { n: open.length })
    : gettext("%(n)s reviews are not saved yet: kept in this browser, trying again.", { n: open.length });
}

function show(state = "") {
  const entries = read();
  const stale = entries.filter((entry) => entry.stale);
  const label = stale[0]?.label;
  const text = stale.length < 2
    ? gettext("“%(label)s”: somebody else changed this row meanwhile. Your version waits in this browser.", { label })
    : gettext("“%(label)s”: somebody else changed this row meanwhile. Your version waits in this browser (and %(n)s more).", { label, n: stale.length - 1 });
  banner("stale", stale.length ? text : "", {
    kind: "warning",
    action: stale.length ? { label: gettext("Compare both versions"), onClick: () => compare(stale[0]) } : null,
  });
  // What is being sent for the first time needs no words.
  const failed = entries.some((entry) => isOpen(entry) && entry.tries);
  const open = entries.filter((entry) => isOpen(entry));
  if (!failed) return banner("queue", "");
  const reference = open.find((entry) => entry.reference)?.reference;
  const why = reference ? ` ${gettext("Something went wrong on the server (reference %(reference)s).", { reference })}` : "";
  banner("queue", `${unsaved(open, state === "signed-out")}${why}`, {
    kind: "warning",
    action: state === "signed-out" ? null : { label: gettext("Try now"), onClick: () => flush() },
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

/** The row that an entry is about: in its address, or in a field (focus mode has one address for all rows). */
function rowOf(url, body) {
  return new URLSearchParams(body).get("verbatim") ?? /\/rows\/(\d+)\//.exec(url)?.[1] ?? "";
}

/** Keep a review that could not be sent. */
export function keep({ url, verb, body, label, reference = "" }) {
  const row = rowOf(url, body);
  const earlier = read().find((entry) => entry.row === row && row);
  // "As shown" says nothing about topics: where topics wait already, those are what was meant.
  if (!earlier || !new URLSearchParams(body).has("as_shown")) {
    if (earlier) drop(earlier.id);
    add({ row, url, verb, body, label, reference, tries: 1 });
  }
  document.body.dispatchEvent(new CustomEvent("reviews-queued"));
  schedule();
}

/** Keep a review and send it: returns its id. The server must take the same one twice for one. */
export function post({ url, body, label, verbatim }) {
  const id = add({ row: String(verbatim), url, verb: "post", body, label, verbatim, twice: true, tries: 0 });
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
  if (response.status === 429) return { outcome: "later" };
  if (response.status >= 500) return { outcome: "broken", reference: response.headers.get("X-Request-ID") ?? "" };
  const html = await response.text();
  if (response.ok) return { outcome: "saved", html };
  if (response.status !== 409) return { outcome: "refused", html };
  return { outcome: response.headers.get("HX-Retarget") === "#dialog" ? "stale" : "unseen", html };
}

/** Show both versions of a row; the entry is done with when one is chosen. */
async function compare(entry) {
  const { outcome, html } = await send(entry).catch(() => ({ outcome: "later" }));
  if (outcome === "signed-out") return showSignedOut();
  if (outcome === "later" || outcome === "broken") return toast(gettext("The server does not answer. Try again in a moment."), { kind: "error" });
  if (outcome !== "stale") return drop(entry.id); // settled meanwhile: saved, or the row is gone
  const slot = document.getElementById("dialog");
  slot.innerHTML = html;
  slot.querySelector("[data-keep-theirs]")?.addEventListener("click", () => drop(entry.id));
  // Should it fail on its way, it is kept anew.
  slot.querySelector("form")?.addEventListener("submit", () => drop(entry.id));
  announceNew(slot);
}

/** What the server said about a refused review, in its own words. */
function reason(html) {
  const said = new DOMParser().parseFromString(html ?? "", "text/html").querySelector(".toast__text");
  return said?.textContent.trim() || gettext("the server did not accept this review. Open the row and look at it again.");
}

function settle(entry, outcome, html) {
  if (outcome === "stale") return change(entry.id, { stale: true });
  drop(entry.id);
  if (outcome === "unseen")
    toast(gettext("%(label)s: its topics changed meanwhile, so they were not confirmed unseen. Look at them again.", { label: entry.label }), { kind: "error", stay: true });
  if (outcome === "refused") toast(`${entry.label}: ${reason(html)}`, { kind: "error", stay: true });
}

function nextOpen(after = new Set()) {
  return read().find((entry) => isOpen(entry) && !after.has(entry.id));
}

/** Send all waiting entries in order, also those added meanwhile. Only one tab does it at a time. */
export async function flush() {
  clearTimeout(timer);
  if (sending || !nextOpen() || !meta("user-id")) return;
  sending = true;
  let waited = 0;
  let state = "";
  const work = async () => {
    const broken = new Set();
    for (let entry = nextOpen(); entry; entry = nextOpen(broken)) {
      let answer;
      inFlight = entry.id;
      try {
        answer = await send(entry);
      } catch {
        answer = { outcome: "later" };
      }
      inFlight = null;
      const { outcome, html, reference } = answer;
      if (outcome === "broken") {
        broken.add(entry.id);
        change(entry.id, { tries: (entry.tries ?? 0) + 1, reference });
        state = "later";
        // A server that is away answers like this, too: what focus mode has not sent yet can still be taken back.
        if (entry.twice && (entry.tries ?? 0) < PATIENCE) break;
        continue;
      }
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
    toast(ngettext("The waiting review is saved.", "%(n)s waiting reviews are saved.", waited), { kind: "success" });
    document.body.dispatchEvent(new CustomEvent("reviews-saved", { detail: { count: waited } }));
  }
  if (!state && nextOpen()) return flush(); // added after the last look
  document.body.dispatchEvent(new CustomEvent("reviews-idle", { detail: { state } }));
}

document.body.addEventListener("request-failed", (event) => {
  const { reason, config, reference } = event.detail;
  const form = event.target.closest?.("[data-queue]");
  if (!form || !config || config.verb === "get" || reason === "refused") return;
  const body = new URLSearchParams();
  const data = config.formData ?? new FormData(form);
  for (const [name, value] of data.entries()) if (typeof value === "string") body.append(name, value);
  keep({ url: config.path, verb: config.verb, body: body.toString(), label: form.dataset.queue, reference });
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
