// A review that could not be sent (no connection, server down, signed out) waits in this browser and is
// sent again by itself. The person sees how many wait; the page never pretends that they are saved.
// <form hx-post="…" data-queue="Row 12"> … </form>
//
// Each entry keeps the revision it was based on (a form field), so a review sent late cannot overwrite
// somebody else's: the server answers 409, the entry is taken out and the person is told.
// Entries belong to the person who made them; somebody else who signs in on this computer never sends them.
// Events on body: "reviews-queued" after keeping one, "reviews-saved" {count} when entries got through.

import { showSignedOut } from "./htmx-config.js";
import { banner, csrfToken, isSignedOut, meta, toast } from "./page.js";

const STORE = `review-queue:${meta("user-id")}`;
const RETRY_S = [2, 4, 8, 15, 30];
let attempts = 0;
let timer = 0;
let sending = false;

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

function show(state = "") {
  const count = read().length;
  if (!count) return banner("queue", "");
  const what = count === 1 ? `“${read()[0].label}” is not saved yet` : `${count} reviews are not saved yet`;
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

export function keep({ url, verb, body, label }) {
  const entries = read();
  entries.push({ id: crypto.randomUUID?.() ?? String(Date.now() + Math.random()), url, verb, body, label, at: Date.now() });
  write(entries);
  document.body.dispatchEvent(new CustomEvent("reviews-queued"));
  schedule();
}

async function send(entry) {
  const response = await fetch(entry.url, {
    method: entry.verb.toUpperCase(),
    body: entry.body,
    credentials: "same-origin",
    headers: {
      "Content-Type": "application/x-www-form-urlencoded",
      "X-CSRFToken": csrfToken(),
      "X-Queued-Review": entry.id,
      "HX-Request": "true",
    },
  });
  if (isSignedOut(response.status, response.url)) return "signed-out";
  if (response.status >= 500) return "later";
  if (response.ok) return "saved";
  return response.status === 409 ? "stale" : "refused";
}

/** Send all waiting entries in order. Only one tab does it at a time. */
export async function flush() {
  clearTimeout(timer);
  if (sending || !read().length || !meta("user-id")) return;
  sending = true;
  let saved = 0;
  let state = "";
  const work = async () => {
    for (const entry of read()) {
      let outcome;
      try {
        outcome = await send(entry);
      } catch {
        outcome = "later";
      }
      if (outcome === "later" || outcome === "signed-out") {
        state = outcome;
        break;
      }
      write(read().filter((other) => other.id !== entry.id));
      if (outcome === "saved") saved += 1;
      if (outcome === "stale")
        toast(`${entry.label}: somebody else changed this row meanwhile, so your review was not saved over theirs.`, { kind: "error", stay: true });
      if (outcome === "refused")
        toast(`${entry.label}: the server did not accept this review. Open the row and look at it again.`, { kind: "error", stay: true });
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
  if (saved) {
    attempts = 0;
    banner("connection", "");
    toast(saved === 1 ? "The waiting review is saved." : `${saved} waiting reviews are saved.`, { kind: "success" });
    document.body.dispatchEvent(new CustomEvent("reviews-saved", { detail: { count: saved } }));
  }
}

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
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && flush());
window.addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});
show();
flush();
