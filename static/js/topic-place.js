// What dragging, keys and menus of the topic board share: where topics stand, and asking the server to put them elsewhere.
// <topic-board data-column="3" data-place-url="…" data-merge-url="…" data-move-url="…" data-delete-url="…">
//   <section data-group data-category="4"><ul data-topics><li data-topic="12" data-version="a1b2" data-name="Speed">…

import { load } from "./htmx-config.js";

export const topicsOf = (root) => [...root.querySelectorAll("[data-topic]")];
export const visibleTopics = (board) => topicsOf(board).filter((topic) => !topic.hidden && !topic.closest("[hidden]"));
export const topicOf = (board, id) => board.querySelector(`[data-topic="${CSS.escape(id)}"]`);
export const chipOf = (topic) => topic.querySelector(".topic__chip");

/** `12:a1b2,13:c3d4`: the topics with the versions that are on the screen. */
export function seen(board, ids) {
  return ids.map((id) => `${id}:${topicOf(board, id)?.dataset.version ?? ""}`).join();
}

/** Show topics before another one, or at the end of a category, at once; the server is asked by `place`. */
export function show(board, ids, { before = null, category = null }) {
  const target = before ? topicOf(board, before) : null;
  const list = target?.parentElement ?? board.querySelector(`[data-category="${CSS.escape(category)}"] [data-topics]`);
  const focused = document.activeElement;
  for (const id of ids) {
    const topic = topicOf(board, id);
    if (topic && list) list.insertBefore(topic, target);
  }
  if (board.contains(focused)) focused.focus({ preventScroll: true });
}

/** Put topics there for good. What the server refuses is taken back: it says why, and the board is read again. */
export async function place(board, ids, { before = null, category = null }) {
  let ok = false;
  const note = (event) => (ok = event.detail.xhr.status >= 200 && event.detail.xhr.status < 300);
  board.addEventListener("htmx:afterRequest", note, { once: true });
  await load("POST", board.dataset.placeUrl, {
    source: board, target: board, swap: "none", values: { topics: seen(board, ids), before: before ?? "", category: category ?? "" },
  });
  if (!ok) document.body.dispatchEvent(new CustomEvent("topics-changed", { bubbles: true }));
  return ok;
}

export function openDialog(board, url) {
  return load("GET", url, { source: board, target: "#dialog", swap: "innerHTML" });
}

/** The dialog about several topics: "merge", "move" or "delete"; `more` are further parameters. */
export function openMany(board, act, ids, more = "") {
  return openDialog(board, `${board.dataset[`${act}Url`]}?topics=${ids.join()}${more}`);
}

/** The address of a dialog of one topic, from that of topic 0. */
export const urlFor = (pattern, id) => pattern.replace("/0/", `/${id}/`);
