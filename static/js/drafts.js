// Keeps what somebody types in this tab until it is saved, so that an expired session, a lost
// connection or a reload loses nothing (it is gone when the tab is closed; where the
// browser keeps nothing, a draft lives in the page alone).
// <form data-draft="project-12-description"> … <textarea name="description"></textarea> … </form>
// A draft belongs to the person who typed it (meta user-id) and is dropped when its form was sent well.

import { onAfterRequest, onNewContent } from "./htmx-config.js";
import { meta } from "./page.js";
import { session } from "./storage.js";

const PREFIX = "draft:";
const user = meta("user-id");

function key(form) {
  return `${PREFIX}${user}:${form.dataset.draft}`;
}

function fields(form) {
  return [...form.elements].filter(
    (field) => field.name && field.name !== "csrfmiddlewaretoken" && !["password", "file", "hidden", "submit"].includes(field.type),
  );
}

function save(form) {
  const values = {};
  for (const field of fields(form)) {
    const index = `${field.name}\u0000${field.type === "radio" || field.type === "checkbox" ? field.value : ""}`;
    values[index] = ["checkbox", "radio"].includes(field.type) ? field.checked : field.value;
  }
  session.set(key(form), JSON.stringify(values));
}

function restore(form) {
  const stored = session.get(key(form));
  if (!stored || form.dataset.draftRestored) return;
  form.dataset.draftRestored = "1";
  const values = JSON.parse(stored);
  for (const field of fields(form)) {
    const index = `${field.name}\u0000${field.type === "radio" || field.type === "checkbox" ? field.value : ""}`;
    if (!(index in values)) continue;
    if (["checkbox", "radio"].includes(field.type)) field.checked = values[index];
    else field.value = values[index];
  }
  form.dispatchEvent(new CustomEvent("draft-restored", { bubbles: true }));
}

export function forget(form) {
  session.remove(key(form));
}

document.addEventListener("input", (event) => {
  const form = event.target.form ?? event.target.closest?.("form");
  if (form?.dataset.draft) save(form);
});

onNewContent((root) => {
  if (root instanceof Element && root.matches("form[data-draft]")) restore(root);
  root.querySelectorAll("form[data-draft]").forEach(restore);
});

onAfterRequest(({ element, ok, verb }) => {
  const form = element.closest?.("form[data-draft]");
  if (form && ok && verb !== "get") forget(form);
});

// A native submit that succeeds leaves the page: the draft must not come back with the next empty form.
// It is dropped at the next page unless that page is the same form again or the sign-in page.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.draft || form.hasAttribute("hx-post")) return;
  session.set("draft-sent", key(form));
});

{
  const sent = session.get("draft-sent");
  const onLogin = location.pathname === meta("login-url");
  if (sent && !onLogin) {
    session.remove("draft-sent");
    const again = [...document.querySelectorAll("form[data-draft]")].some((form) => key(form) === sent);
    if (!again) session.remove(sent);
  }
}
