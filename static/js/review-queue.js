// A review that could not be sent (no connection, server down, signed out) waits in this browser and is
// sent again by itself. The person sees how many wait; the page never pretends that they are saved.
// <form hx-post="…" data-queue="Row 12"> … </form>
//
// Each entry keeps the revision it was based on (a form field), so a review sent late cannot overwrite
// somebody else's: the server answers 409 with both versions, and the entry waits until the person has chosen.
// A row has one entry: a review is the whole decision about it, so the last one counts. A row that the server cannot
// save holds up no other.
// Entries belong to the person who made them; somebody else who signs in on this computer never sends them.
// Events on body: "reviews-queued" after keeping one, "reviews-saved" {count} when entries got through.

import { announceNew, showSignedOut } from "./htmx-config.js";
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
  const entries = read();
  const stale = entries.find((entry) => entry.stale);
  banner("stale", stale ? `“${stale.label}”: somebody else changed this row meanwhile. Your version waits in this browser.` : "", {
    kind: "warning",
    action: stale && { label: "Compare both versions", onClick: () => compare(stale) },
  });
  const waiting = entries.filter((entry) => !entry.stale);
  const count = waiting.length;
  if (!count) return banner("queue", "");
  const what = count === 1 ? `“${waiting[0].label}” is not saved yet` : `${count} reviews are not saved yet`;
  const then = state === "signed-out" ? "sign in to save." : "trying again.";
  const reference = waiting.find((entry) => entry.reference)?.reference;
  const why = reference ? ` Something went wrong on the server (reference ${reference}).` : "";
  banner("queue", `${what}: kept in this browser, ${then}${why}`, {
    kind: "warning",
    action: state === "signed-out" ? null : { label: "Try now", onClick: () => flush() },
  });
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(flush, 1000 * RETRY_S[Math.min(attempts, RETRY_S.length - 1)]);
  attempts += 1;
}

/** The row that an entry is about: in its address, or in a field (focus mode has one address for all rows). */
function rowOf(url, body) {
  return new URLSearchParams(body).get("verbatim") ?? /\/rows\/(\d+)\//.exec(url)?.[1] ?? "";
}

export function keep({ url, verb, body, label, reference = "" }) {
  const row = rowOf(url, body);
  const earlier = read().find((entry) => entry.row === row && row);
  // "As shown" says nothing about topics: where topics wait already, those are what was meant.
  if (!earlier || !new URLSearchParams(body).has("as_shown")) {
    const id = crypto.randomUUID?.() ?? String(Date.now() + Math.random());
    write([...read().filter((entry) => entry !== earlier && entry.id !== earlier?.id), { id, row, url, verb, body, label, reference, at: Date.now() }]);
  }
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
  if (response.status >= 500) {
    entry.reference = response.headers.get("X-Request-ID") ?? "";
    return "broken";
  }
  if (response.ok) return "saved";
  if (response.status !== 409) return "refused";
  if (response.headers.get("HX-Retarget") !== "#dialog") return "unseen";
  entry.versions = await response.text();
  return "stale";
}

/** Show both versions of a row; the entry is done with when one is chosen. */
async function compare(entry) {
  const outcome = await send(entry).catch(() => "later");
  if (outcome === "signed-out") return showSignedOut();
  if (outcome === "later" || outcome === "broken") return toast("The server does not answer. Try again in a moment.", { kind: "error" });
  if (outcome !== "stale") return drop(entry); // settled meanwhile: saved, or the row is gone
  const slot = document.getElementById("dialog");
  slot.innerHTML = entry.versions;
  slot.querySelector("[data-keep-theirs]")?.addEventListener("click", () => drop(entry));
  // Should it fail on its way, it is kept anew.
  slot.querySelector("form")?.addEventListener("submit", () => drop(entry));
  announceNew(slot);
}

function drop(entry) {
  write(read().filter((other) => other.id !== entry.id));
}

/** Send all waiting entries in order. Only one tab does it at a time. */
export async function flush() {
  clearTimeout(timer);
  if (sending || !read().some((entry) => !entry.stale) || !meta("user-id")) return;
  sending = true;
  let saved = 0;
  let state = "";
  const work = async () => {
    for (const entry of read().filter((one) => !one.stale)) {
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
      if (outcome === "stale" || outcome === "broken") {
        if (outcome === "broken") state = "later";
        const { reference } = entry;
        write(read().map((other) => (other.id === entry.id ? { ...other, reference, stale: outcome === "stale" } : other)));
        continue;
      }
      drop(entry);
      if (outcome === "saved") saved += 1;
      if (outcome === "unseen")
        toast(`${entry.label}: its topics changed meanwhile, so they were not confirmed unseen. Look at them again.`, { kind: "error", stay: true });
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
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && flush());
window.addEventListener("beforeunload", (event) => {
  if (sending) event.preventDefault();
});
show();
flush();
