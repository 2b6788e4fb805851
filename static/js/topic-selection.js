// Which topics are selected, and the bar that says what can be done with them.
// <topic-selection hidden data-one="%(n)s topic selected" data-many="%(n)s topics selected" data-none="…">
//   <strong data-selected></strong> <button data-act="merge">Merge…</button> <button data-act="move">…</button>
//   <button data-act="delete">…</button> <button data-act="none">Clear</button>
// </topic-selection>
// In the same <topic-board>: <li data-topic="12"><input type="checkbox" data-pick-topic> …</li>
// Ctrl/Cmd+click on a chip selects it, Shift+click all in between. Keys: see topic-keys.js. A fresh board keeps the selection.

import { announce } from "./page.js";
import { number } from "./texts.js";
import { chipOf, openMany, topicOf, topicsOf, visibleTopics } from "./topic-place.js";

const kept = new Map(); // column → ids

class TopicSelection extends HTMLElement {
  connectedCallback() {
    this.board = this.closest("topic-board");
    const there = new Set(topicsOf(this.board).map((topic) => topic.dataset.topic));
    this.ids = new Set([...(kept.get(this.board.dataset.column) ?? [])].filter((id) => there.has(id)));
    kept.set(this.board.dataset.column, this.ids);
    this.anchor = null;
    this.board.addEventListener("change", (event) => {
      if (event.target.matches("[data-pick-topic]")) this.pick(event.target.closest("[data-topic]"), event.target.checked);
    });
    this.board.addEventListener("click", (event) => this.onClick(event), true); // before htmx opens the topic
    this.addEventListener("click", (event) => {
      const act = event.target.closest("[data-act]")?.dataset.act;
      if (act === "none") this.clear();
      else if (act) this.start(act);
    });
    this.paint();
  }

  onClick(event) {
    const topic = event.target.closest("[data-topic]");
    const box = event.target.closest("[data-pick-topic]");
    if (box && event.shiftKey && this.anchor) {
      this.range(this.anchor, topic.dataset.topic, box.checked);
      return;
    }
    if (!topic || !event.target.closest(".topic__chip") || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.shiftKey && this.anchor) this.range(this.anchor, topic.dataset.topic, true);
    else this.pick(topic, !this.ids.has(topic.dataset.topic));
    chipOf(topic).focus({ preventScroll: true });
  }

  /** The selected topics in the order of the board. */
  get list() {
    return topicsOf(this.board).map((topic) => topic.dataset.topic).filter((id) => this.ids.has(id));
  }

  /** What an act on a topic is about: all selected ones where it is one of them, else it alone. */
  with(id) {
    return this.ids.has(id) ? this.list : [id];
  }

  pick(topic, on) {
    this.ids[on ? "add" : "delete"](topic.dataset.topic);
    this.anchor = topic.dataset.topic;
    this.changed();
  }

  range(from, to, on) {
    const order = visibleTopics(this.board).map((topic) => topic.dataset.topic);
    const [a, b] = [order.indexOf(from), order.indexOf(to)].sort((x, y) => x - y);
    for (const id of a < 0 ? [to] : order.slice(a, b + 1)) this.ids[on ? "add" : "delete"](id);
    this.anchor = to;
    this.changed();
  }

  all() {
    for (const topic of visibleTopics(this.board)) this.ids.add(topic.dataset.topic);
    this.changed();
  }

  clear() {
    if (!this.ids.size) return;
    // The bar goes: focus must not go with it.
    if (this.contains(document.activeElement)) {
      const topic = topicOf(this.board, this.list[0] ?? "");
      if (topic) chipOf(topic).focus({ preventScroll: true });
    }
    this.ids.clear();
    this.changed();
  }

  start(act) {
    if (act === "merge" && this.ids.size < 2) return;
    openMany(this.board, act, this.list);
  }

  changed() {
    this.paint();
    announce(this.ids.size ? this.sentence : this.dataset.none);
  }

  get sentence() {
    return (this.ids.size === 1 ? this.dataset.one : this.dataset.many).replace("%(n)s", number(this.ids.size));
  }

  paint() {
    for (const topic of topicsOf(this.board)) {
      const on = this.ids.has(topic.dataset.topic);
      topic.toggleAttribute("data-picked", on);
      const box = topic.querySelector("[data-pick-topic]");
      if (box) box.checked = on;
    }
    this.hidden = !this.ids.size;
    this.board.toggleAttribute("data-picking", this.ids.size > 0);
    this.querySelector("[data-selected]").textContent = this.ids.size ? this.sentence : "";
    this.querySelector("[data-act=merge]").disabled = this.ids.size < 2;
  }
}

customElements.define("topic-selection", TopicSelection);
