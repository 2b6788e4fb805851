// Everything htmx needs to know that is not in its meta tag. The only file that names htmx events.
//
// - the CSRF header of every request that changes something
// - no connection -> banner, and reviews go to the queue (review-queue.js)
// - signed out    -> banner with a way back; what was typed is kept (drafts.js)
// - refused (4xx) -> the server's own notice, or a plain sentence
// - 5xx           -> notice with the reference number of the request

import { announce, banner, csrfToken, isSignedOut, loginAddress, toast } from "./page.js";
import { gettext } from "./texts.js";

const SAFE = /^(get|head)$/i;
const body = document.body;

body.addEventListener("htmx:configRequest", (event) => {
  const { verb, headers, elt, parameters } = event.detail;
  if (!SAFE.test(verb)) headers["X-CSRFToken"] = csrfToken();
  // <form data-omit-empty>: an address without empty fields. "hx-include" of such a form counts too.
  const form = elt.closest("[data-omit-empty]") ?? document.querySelector(elt.getAttribute("hx-include") || "form[data-none]");
  if (verb === "get" && form?.matches("[data-omit-empty]"))
    for (const name of new Set(event.detail.formData.keys()))
      if (event.detail.formData.getAll(name).every((value) => value === "")) delete parameters[name];
});

// A request that was under way when the session ended may still succeed: it says nothing about the session.
const sentAt = new WeakMap();
let signedOutAt = -1;
body.addEventListener("htmx:beforeSend", (event) => sentAt.set(event.detail.xhr, performance.now()));

export function showSignedOut() {
  signedOutAt = performance.now();
  banner("session", gettext("You are signed out. Nothing you typed is lost: sign in and go on here."), {
    kind: "warning",
    action: { label: gettext("Sign in"), href: loginAddress() },
  });
}

export function showOffline() {
  banner("connection", gettext("No connection to the server. What you type stays on this page."), { kind: "warning" });
}

/** Tell other behaviours that a request did not reach its goal: they may keep it for later. */
function announceFailure(event, reason) {
  const { elt, requestConfig, xhr } = event.detail;
  const failure = new CustomEvent("request-failed", {
    bubbles: true,
    cancelable: true,
    detail: { reason, config: requestConfig, status: xhr?.status ?? 0, reference: xhr?.getResponseHeader("X-Request-ID") ?? "" },
  });
  const source = elt?.isConnected ? elt : body;
  return source.dispatchEvent(failure);
}

body.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (isSignedOut(xhr.status, xhr.responseURL)) {
    event.detail.shouldSwap = false;
    event.detail.isError = false;
    showSignedOut();
    announceFailure(event, "signed-out");
    return;
  }
  // A refusal that brings its own notice names where it goes.
  if (xhr.status >= 400 && xhr.getResponseHeader("HX-Retarget")) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
    announceFailure(event, "refused");
  }
});

body.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  const keep = announceFailure(event, xhr.status >= 500 ? "server" : "refused");
  if (!keep) return;
  const reference = xhr.getResponseHeader("X-Request-ID");
  const sentences = {
    403: gettext("You may not do that, or this page is too old. Load the page again."),
    404: gettext("That is not there any more. Somebody may have deleted it."),
    409: gettext("Somebody else changed this since you loaded it. Load the page again to see the new state."),
    413: gettext("That is too large."),
    429: gettext("Too many requests. Wait a moment and try again."),
  };
  const text = xhr.status >= 500
    ? reference
      ? gettext("Something went wrong on the server (reference %(reference)s). Nothing was changed.", { reference })
      : gettext("Something went wrong on the server. Nothing was changed.")
    : (sentences[xhr.status] ?? gettext("The server refused this. Load the page again."));
  toast(text, { kind: "error", stay: true });
});

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  body.addEventListener(name, (event) => {
    announceFailure(event, "network");
    showOffline();
  });
}

body.addEventListener("htmx:afterRequest", (event) => {
  const status = event.detail.xhr?.status ?? 0;
  if (status > 0) banner("connection", "");
  const isLater = (sentAt.get(event.detail.xhr) ?? 0) > signedOutAt;
  if (event.detail.successful && isLater && !isSignedOut(status, event.detail.xhr.responseURL)) banner("session", "");
});

window.addEventListener("online", () => banner("connection", ""));
window.addEventListener("offline", showOffline);

// htmx reads new content some milliseconds after it is on the page. A form sent in between would leave the
// page and lose what htmx forms do; it is handed to htmx and sent again.
const handedOver = new WeakSet();
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.matches("[hx-post], [hx-get]") || handedOver.has(form)) return;
  handedOver.add(form);
  event.preventDefault();
  window.htmx.process(form);
  // The button is pressed again, for htmx notes which one it was; and not inside this event, where it does nothing.
  const button = event.submitter;
  if (button) window.htmx.process(button);
  setTimeout(() => (button ? button.click() : form.requestSubmit()));
});

// The server may speak to screen readers: HX-Trigger {"announce": {"target": "body", "value": "..."}}
body.addEventListener("announce", (event) => announce(event.detail.value ?? ""));

/** For other behaviours: call `run` for the page and for everything htmx brings in. */
export function onNewContent(run) {
  run(document);
  body.addEventListener("htmx:load", (event) => run(event.detail.elt));
}

export function onSettled(run) {
  body.addEventListener("htmx:afterSettle", (event) => run(event.detail.target, event));
}

/** `run(target)` before an answer is put on the page. */
export function onBeforeSwap(run) {
  body.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr, shouldSwap } = event.detail;
    if (shouldSwap && xhr.status === 200 && target instanceof Element) run(target);
  });
}

export function onBeforeRequest(run) {
  body.addEventListener("htmx:beforeRequest", (event) => run({ element: event.detail.elt, target: event.detail.target }));
}

/** `run({element, ok, verb, status})`; ok = the server did what was asked (a notice about a refusal is not). */
export function onAfterRequest(run) {
  body.addEventListener("htmx:afterRequest", (event) => {
    const { elt, xhr, requestConfig } = event.detail;
    const status = xhr?.status ?? 0;
    const ok = status >= 200 && status < 400 && !isSignedOut(status, xhr.responseURL);
    run({ element: elt, ok, verb: requestConfig?.verb ?? "", status });
  });
}

/** Add what `values()` returns to the requests of elements that match. */
export function addParameters(selector, values) {
  body.addEventListener("htmx:configRequest", ({ detail }) => detail.elt.matches(selector) && Object.assign(detail.parameters, values()));
}

/** `run({question, element, proceed})` for every hx-confirm. */
export function onConfirm(run) {
  body.addEventListener("htmx:confirm", (event) => {
    const { question, elt, issueRequest } = event.detail;
    if (!question) return;
    event.preventDefault();
    run({ question, element: elt, proceed: () => issueRequest(true) });
  });
}

/** Rows that a script put into the page itself: the behaviours treat them like those that htmx brings. */
export function announceNew(element) {
  window.htmx.process(element);
  for (const name of ["htmx:load", "htmx:afterSettle"])
    element.dispatchEvent(new CustomEvent(name, { bubbles: true, detail: { elt: element, target: element } }));
}

/** Fetch a part of a page for a script; null where it cannot be had now. Says so when the session is over. */
export async function fetchPart(url) {
  let response;
  try {
    response = await fetch(url, { credentials: "same-origin", headers: { "HX-Request": "true" } });
  } catch {
    return null;
  }
  if (isSignedOut(response.status, response.url)) showSignedOut();
  return response.ok && !isSignedOut(response.status, response.url) ? response.text() : null;
}

export function load(verb, url, options) {
  return window.htmx.ajax(verb, url, options);
}

/** Make htmx read an element now: one that a script added, or one that has just come and gets an event at once. */
export function activate(element) {
  // Not twice: htmx reads an element again whose attributes have changed, and drops its queued requests. For the
  // same reason the element must name an hx-indicator: else its own class changes while a request is under way.
  if (element["htmx-internal-data"]?.initHash === undefined) window.htmx.process(element);
}
