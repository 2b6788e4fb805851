// The topics of one row as ticks with sentiment faces; a topic found by <topic-picker> becomes a new line.
// <topic-editor>
//   <form hx-post="…"> <ul data-lines>
//     <li class="line" data-topic="12" data-color="teal"><label class="line__main"><kbd data-key></kbd>
//       <input type="checkbox" name="topic" value="12" checked> <span class="chip__category">Delivery</span>
//       <span class="line__label">Speed</span></label>
//       <span class="faces" role="radiogroup"><label><input type="radio" name="sentiment-12" value="1"></label>…</span></li>
//   </ul></form>
//   <template data-line> … one empty line … </template>
//   <topic-picker> … </topic-picker>
// </topic-editor>
// Event "lines-changed" after every change. Attribute data-drop-unticked: a line that is unticked goes away.

import "./line-order.js";

class TopicEditor extends HTMLElement {
  connectedCallback() {
    this.addEventListener("topic-pick", (event) => this.pick(event.detail));
    this.addEventListener("change", (event) => this.onChange(event));
    this.paint();
  }

  get lines() {
    return [...this.querySelectorAll("[data-lines] > [data-topic]")];
  }

  get picker() {
    return this.querySelector("topic-picker, topic-palette");
  }

  line(id) {
    return this.querySelector(`[data-lines] > [data-topic="${CSS.escape(id)}"]`);
  }

  box(line) {
    return line.querySelector("input[name=topic]");
  }

  onChange(event) {
    const line = event.target.closest("[data-lines] > [data-topic]");
    if (!line) return;
    if (event.target.type === "radio") this.box(line).checked = true;
    this.changed(line);
  }

  changed(line) {
    this.current = line.dataset.topic;
    const on = this.box(line).checked;
    if (on) this.ensureSentiment(line);
    if (!on && "dropUnticked" in this.dataset) {
      const next = line.nextElementSibling ?? line.previousElementSibling;
      line.remove();
      (next?.querySelector("input") ?? this.picker?.input)?.focus();
    }
    this.paint();
    this.dispatchEvent(new CustomEvent("lines-changed", { bubbles: true, detail: { id: line.dataset.topic, on } }));
  }

  /** A ticked sentiment topic always has one sentiment. */
  ensureSentiment(line) {
    const radios = [...line.querySelectorAll("input[type=radio]")];
    if (radios.length && !radios.some((radio) => radio.checked))
      (radios.find((radio) => radio.value === line.dataset.guess) ?? radios.find((radio) => radio.value === "0")).checked = true;
  }

  toggle(line) {
    const box = this.box(line);
    box.checked = !box.checked;
    this.changed(line);
  }

  /** Next sentiment of a line: positive, neutral, negative, and round again. */
  cycle(line, back = false) {
    const radios = [...line.querySelectorAll("input[type=radio]")];
    if (!radios.length) return false;
    this.box(line).checked = true;
    const at = radios.findIndex((radio) => radio.checked);
    const step = back ? radios.length - 1 : 1;
    radios[at < 0 ? 0 : (at + step) % radios.length].checked = true;
    this.changed(line);
    return true;
  }

  pick({ id, label, category, color, hasSentiment, sentiment }) {
    const list = this.querySelector("[data-lines]");
    if (!list) return; // no row is there to put it on
    let line = this.line(id);
    if (!line) {
      line = this.make({ id, label, category, color, hasSentiment });
      list.append(line);
      this.box(line).checked = true;
    } else if (sentiment === undefined) {
      return this.toggle(line);
    }
    if (sentiment !== undefined && hasSentiment) {
      this.box(line).checked = true;
      const radio = line.querySelector(`input[type=radio][value="${CSS.escape(sentiment)}"]`);
      if (radio) radio.checked = true;
    }
    this.changed(line);
  }

  make({ id, label, category, color, hasSentiment }) {
    const line = this.querySelector("template[data-line]").content.firstElementChild.cloneNode(true);
    line.dataset.topic = id;
    line.dataset.color = color;
    if (color.startsWith("#")) line.style.setProperty("--c", color);
    const box = line.querySelector("input[type=checkbox]");
    box.name = "topic";
    box.value = id;
    line.querySelector(".chip__category").textContent = category;
    line.querySelector(".line__label").textContent = label;
    const grip = line.querySelector("[data-grip-name]");
    if (grip) grip.textContent = label;
    const faces = line.querySelector(".faces");
    if (!hasSentiment) faces.remove();
    else {
      faces.setAttribute("aria-label", `${label}: ${faces.getAttribute("aria-label")}`);
      faces.querySelectorAll("input").forEach((radio) => (radio.name = `sentiment-${id}`));
    }
    return line;
  }

  /** Key hints in order, the current line, and the ticks in the picker. */
  paint() {
    const on = new Set();
    this.lines.forEach((line, index) => {
      const hint = line.querySelector("[data-key]");
      if (hint) {
        const keys = Boolean(this.closest("focus-card"));
        hint.textContent = index < 10 ? String((index + 1) % 10) : "";
        hint.hidden = !keys || index >= 10;
      }
      if (this.box(line).checked) on.add(line.dataset.topic);
      line.classList.toggle("is-on", this.box(line).checked);
      line.classList.toggle("is-current", line.dataset.topic === this.current);
    });
    this.picker?.show?.(on);
    const empty = this.querySelector("[data-no-topics]");
    if (empty) empty.hidden = on.size > 0;
    const count = this.querySelector("[data-n-topics]");
    if (count && this.querySelector("[data-lines]")) count.textContent = String(on.size);
  }
}

customElements.define("topic-editor", TopicEditor);
