// The keys of focus mode, played on <focus-card>. Not a behaviour itself: see focus-card.js.
// 1-9, 0 toggle the lines · S / Shift+S next / previous sentiment of the current line · Up / Down current line
// letters search topics, Enter or a digit picks there · Enter confirms and shows the next · U undoes and goes back · N skips
// Keys pressed while there is no card are kept, and played on the one that comes.

import { announce, isTyping, shortcutsOn } from "./page.js";

const COMMANDS = new Set(["s", "u", "n"]);

export class FocusKeys {
  constructor(focus) {
    this.focus = focus;
    this.kept = [];
  }

  /** A native key event: typed into a field it is the field's, else it is ours or waits. */
  press(event) {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "z") {
      if (event.target.matches?.("input[type=search]") && event.target.value) return;
      if (event.target.closest?.("dialog[open], textarea")) return;
      event.preventDefault();
      this.play({ key: "u", shift: false });
      return;
    }
    if (isTyping(event)) return;
    const known = event.key.length === 1 || ["Enter", "ArrowUp", "ArrowDown", "Backspace"].includes(event.key);
    if (!known || event.key === "?" || event.key === " ") return;
    if (event.key === "Enter" && event.target.closest?.("a, button, summary") && !event.target.closest("[data-confirm]")) return;
    if (["ArrowUp", "ArrowDown"].includes(event.key) && event.target.type === "radio") return;
    if (event.key.length === 1 && !shortcutsOn()) return;
    if (event.repeat && event.key === "Enter") return event.preventDefault();
    event.preventDefault();
    this.play({ key: event.key, shift: event.shiftKey });
  }

  play(stroke) {
    const { focus } = this;
    const atEnd = !focus.current && (focus.isHeld || focus.card.querySelector("[data-end]"));
    if (atEnd) return stroke.key.toLowerCase() === "u" ? focus.undo() : undefined; // nothing to play the others on
    if (focus.waiting) this.kept.push(stroke);
    else this.act(stroke);
  }

  replay() {
    while (this.kept.length && !this.focus.waiting) this.act(this.kept.shift());
  }

  forget() {
    this.kept = [];
  }

  act({ key, shift }) {
    const { palette } = this.focus;
    // A search begun by a replayed letter goes on collecting letters and takes Enter for itself.
    if (document.activeElement === palette?.input && palette.query) {
      if (key === "Enter") return palette.active ? palette.pick(palette.active) : undefined;
      if (/^[1-9]$/.test(key) && palette.pickNumber(Number(key))) return;
      if (key.length === 1) return this.search(key);
    }
    const lower = key.toLowerCase();
    if (/^[0-9]$/.test(key)) return this.toggle((Number(key) + 9) % 10);
    if (key === "Enter") return this.focus.confirm();
    if (key === "ArrowDown" || key === "ArrowUp") return this.move(key === "ArrowDown" ? 1 : -1);
    if (lower === "s") return this.cycle(shift);
    if (lower === "u") return this.focus.undo();
    if (lower === "n") return this.focus.skip();
    if (key === "/") return palette?.input.focus();
    if (key.length === 1 && /[\p{L}]/u.test(key) && !COMMANDS.has(lower)) this.search(key);
  }

  toggle(index) {
    const { editor } = this.focus;
    const line = editor.lines[index];
    if (!line) return;
    editor.toggle(line);
    const name = line.querySelector(".line__label").textContent;
    announce(`${name} ${this.focus.say(editor.box(line).checked ? "On" : "Off")}`);
  }

  move(by) {
    const { editor } = this.focus;
    const lines = editor.lines;
    if (!lines.length) return;
    const at = lines.findIndex((line) => line.dataset.topic === editor.current);
    const line = lines[at < 0 ? (by > 0 ? 0 : lines.length - 1) : (at + by + lines.length) % lines.length];
    editor.current = line.dataset.topic;
    editor.paint();
    line.scrollIntoView({ block: "nearest" });
    announce(line.querySelector(".line__label").textContent);
  }

  cycle(back) {
    const { editor } = this.focus;
    const on = editor.lines.filter((line) => editor.box(line).checked && line.querySelector("input[type=radio]"));
    let line = editor.line(editor.current ?? "") ?? on[0];
    if (!line || !editor.cycle(line, back)) {
      line = on[0] !== line ? on[0] : null;
      if (!line) return announce(this.focus.say("NoSentiment"));
      editor.cycle(line, back);
    }
    announce(line.querySelector("input[type=radio]:checked")?.closest("label").title ?? "");
  }

  search(letter) {
    const input = this.focus.palette?.input;
    if (!input) return;
    input.focus();
    input.value += letter;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
