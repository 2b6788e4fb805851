// The cards that focus mode holds ready, and what it asks the server for. Not a behaviour itself: see focus-card.js.
//
// An answer of the server: <div data-answer data-version="7" [data-renewed]> <template data-card="12"><form …></template> …
//   [<template data-end> why there are no more </template>] <template data-progress> numbers </template> </div>
// data-renewed: the AI has learned since; the cards held ready are replaced, those already shown stay.

import { paintColors } from "./colors.js";
import { csrfToken, isSignedOut } from "./page.js";

export const SIZE = 4; // cards held ready: some seconds of reviewing at any speed

export class Deck {
  constructor({ nextUrl, releaseUrl, version }) {
    this.nextUrl = nextUrl;
    this.releaseUrl = releaseUrl;
    this.version = version;
    this.cards = []; // {id, node, seen}: seen = it was in front of the person and came back by undo
    this.done = new Set(); // reviewed from this page: not to be shown again unless undone
    this.skipped = [];
    this.end = null;
  }

  get missing() {
    return Math.max(0, SIZE - this.cards.length);
  }

  take() {
    return this.cards.shift();
  }

  putBack(card) {
    if (card) this.cards.unshift({ ...card, seen: true });
  }

  /** What the server must know to choose the next cards. `shown`: ids in front of the person or not saved yet. */
  wishes(shown, want = this.missing) {
    const seen = this.cards.filter((card) => card.seen).map((card) => card.id);
    const deck = this.cards.filter((card) => !card.seen).map((card) => card.id);
    return { skip: this.skipped.join(","), have: [...shown, ...seen].join(","), deck: deck.join(","), want: String(want), version: this.version };
  }

  /** Read an answer; returns {renewed, progress, cards}. `shown`: ids that must not come again. */
  receive(html, shown) {
    const answer = new DOMParser().parseFromString(html, "text/html").querySelector("[data-answer]");
    if (!answer) return null;
    const renewed = "renewed" in answer.dataset && answer.dataset.version !== this.version;
    if (renewed) {
      this.cards = this.cards.filter((card) => card.seen);
      this.version = answer.dataset.version;
    }
    const known = new Set([...shown, ...this.cards.map((card) => card.id), ...this.done, ...this.skipped]);
    for (const template of answer.querySelectorAll("template[data-card]")) {
      const id = template.dataset.card;
      if (known.has(id)) continue;
      known.add(id);
      this.cards.push({ id, node: own(template) });
    }
    const end = answer.querySelector("template[data-end]");
    this.end = end ? own(end) : null;
    return { renewed, progress: answer.querySelector("template[data-progress]")?.innerHTML ?? "" };
  }

  /** Ask for cards; returns {outcome: "ok" | "signed-out" | "later" | "refused", html}. */
  async ask(shown, want) {
    return request("GET", `${this.nextUrl}?${new URLSearchParams(this.wishes(shown, want))}`);
  }

  /** Give the rows back to others when the page is left. */
  release(shown) {
    const have = [...shown, ...this.cards.map((card) => card.id)].join(",");
    if (have) fetch(this.releaseUrl, { method: "POST", body: new URLSearchParams({ have }), headers: { "X-CSRFToken": csrfToken() }, keepalive: true }).catch(() => {});
  }
}

function own(template) {
  const node = document.importNode(template.content.firstElementChild, true);
  paintColors(node);
  return node;
}

export async function request(method, url, values) {
  const headers = { "HX-Request": "true" };
  if (method === "POST") headers["X-CSRFToken"] = csrfToken();
  try {
    const response = await fetch(url, { method, headers, credentials: "same-origin", body: values ? new URLSearchParams(values) : undefined });
    if (isSignedOut(response.status, response.url)) return { outcome: "signed-out" };
    if (response.status >= 500 || response.status === 429) return { outcome: "later", reference: response.headers.get("X-Request-ID") };
    return { outcome: response.ok ? "ok" : "refused", status: response.status, html: await response.text() };
  } catch {
    return { outcome: "later" };
  }
}
