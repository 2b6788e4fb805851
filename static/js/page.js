// Helpers that several behaviours share: meta values, announcements, notices, keys.
// Not a behaviour itself.

import { gettext } from "./texts.js";

export function meta(name) {
  return document.querySelector(`meta[name="${name}"]`)?.content ?? "";
}

/** The cookie is fresher than the page: signing in again in another tab changes it. */
export function csrfToken() {
  const found = document.cookie.match(/(?:^|; )(?:__Host-|__Secure-)?csrftoken=([^;]+)/);
  return found ? decodeURIComponent(found[1]) : meta("csrf-token");
}

/** Say it to screen readers without showing it. */
export function announce(text) {
  const live = document.getElementById("live");
  if (!live) return;
  live.textContent = "";
  requestAnimationFrame(() => (live.textContent = text));
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Show a notice made in the browser (those of the server come as HTML). */
export function toast(text, { kind = "", stay = false } = {}) {
  const item = element("toast-item", kind ? `toast toast--${kind}` : "toast");
  if (stay) item.dataset.stay = "";
  const close = element("button", "toast__close", "×");
  close.type = "button";
  close.dataset.close = "";
  close.setAttribute("aria-label", gettext("Close notice"));
  item.append(element("span", "toast__text", text), close);
  document.getElementById("toasts")?.append(item);
  return item;
}

/** Show, replace or (text = "") remove the banner `name` above the page. */
export function banner(name, text, { kind = "warning", action = null } = {}) {
  const slot = document.getElementById("banner");
  if (!slot) return;
  let bar = slot.querySelector(`[data-banner="${name}"]`);
  if (!text) return bar?.remove();
  if (!bar) {
    bar = element("div");
    bar.dataset.banner = name;
    slot.append(bar);
  }
  bar.className = `banner banner--${kind}`;
  bar.replaceChildren(element("p", "", text));
  if (action) {
    const button = element(action.href ? "a" : "button", "button button--small", action.label);
    if (action.href) button.href = action.href;
    else {
      button.type = "button";
      button.addEventListener("click", action.onClick);
    }
    bar.append(button);
  }
}

/** Where to sign in and come back to this very page. */
export function loginAddress() {
  const here = location.pathname + location.search;
  return `${meta("login-url") || "/login/"}?next=${encodeURIComponent(here)}`;
}

/** Did the server answer with the sign-in page, or say 401? */
export function isSignedOut(status, url) {
  if (status === 401) return true;
  const login = meta("login-url");
  return Boolean(login && url && new URL(url, location.href).pathname === login && location.pathname !== login);
}

/** True where single-key shortcuts must stay quiet: somebody types, or a dialog is open. */
export function isTyping(event) {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return true;
  const target = event.target;
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog[open]")) return true;
  if (target.isContentEditable || target.matches("select, textarea")) return true;
  return target.matches("input") && !["checkbox", "radio", "button", "submit"].includes(target.type);
}

/** Single-key shortcuts can be switched off (WCAG 2.1.4); the choice belongs to the account, this browser has a copy. */
export function shortcutsOn() {
  try {
    return localStorage.getItem("shortcuts") !== "off";
  } catch {
    return meta("shortcuts") !== "off"; // the browser allows no storage
  }
}

function copyShortcuts(state) {
  try {
    if (state) localStorage.setItem("shortcuts", state);
  } catch {
    document.querySelector('meta[name="shortcuts"]')?.setAttribute("content", state);
  }
  // Key hints are shown where the keys work: html[data-single-keys="off"] hides them.
  document.documentElement.dataset.singleKeys = shortcutsOn() ? "on" : "off";
}

export function keepShortcuts(on) {
  copyShortcuts(on ? "on" : "off");
  const url = meta("shortcuts-url");
  if (!url) return;
  fetch(url, { method: "POST", body: new URLSearchParams({ on: on ? "1" : "0" }), headers: { "X-CSRFToken": csrfToken() }, keepalive: true })
    .then((response) => response.ok || Promise.reject(new Error(String(response.status))))
    .catch(() => toast(gettext("Kept in this browser only: the server did not answer."), { kind: "error" }));
}

copyShortcuts(meta("shortcuts"));
