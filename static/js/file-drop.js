// A file input that also takes files dropped on it, and says what it got.
// <file-drop data-max-mb="150" data-extensions=".csv,.xlsx">
//   <label class="file-drop">… <input type="file" name="file"> <span data-file-name></span></label>
//   <p class="errorlist" data-file-error role="alert" hidden></p>
// </file-drop>

import { gettext, number } from "./texts.js";

class FileDrop extends HTMLElement {
  connectedCallback() {
    this.input = this.querySelector("input[type=file]");
    if (!this.input) return;
    const over = (event) => {
      event.preventDefault();
      this.dataset.over = "";
    };
    this.addEventListener("dragenter", over);
    this.addEventListener("dragover", over);
    this.addEventListener("dragleave", (event) => !this.contains(event.relatedTarget) && delete this.dataset.over);
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      delete this.dataset.over;
      if (!event.dataTransfer.files.length) return;
      this.input.files = event.dataTransfer.files;
      this.input.dispatchEvent(new Event("change", { bubbles: true }));
    });
    this.input.addEventListener("change", () => this.show());
    if (this.input.files.length) this.show(); // chosen before this script ran, or kept by going back
  }

  show() {
    const file = this.input.files[0];
    const name = this.querySelector("[data-file-name]");
    const error = this.querySelector("[data-file-error]");
    const problem = file ? this.problem(file) : "";
    if (name) name.textContent = file ? `${file.name} (${FileDrop.size(file.size)})` : "";
    if (error) {
      error.textContent = problem;
      error.hidden = !problem;
    }
    this.input.setCustomValidity(problem);
  }

  problem(file) {
    const most = Number(this.dataset.maxMb ?? 0);
    const extensions = (this.dataset.extensions ?? "").split(",").filter(Boolean);
    if (file.size === 0) return gettext("This file is empty.");
    if (most && file.size > most * 1024 * 1024) return gettext("This file is larger than %(most)s MB.", { most: number(most) });
    if (extensions.length && !extensions.some((one) => file.name.toLowerCase().endsWith(one.trim())))
      return gettext("This kind of file cannot be read. Use %(kinds)s.", { kinds: extensions.join(", ") });
    return "";
  }

  static size(bytes) {
    if (bytes < 1024) return `${bytes} B`;
    return bytes < 1024 * 1024 ? `${Math.round(bytes / 1024)} kB` : `${number(bytes / 1024 / 1024, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB`;
  }
}

customElements.define("file-drop", FileDrop);
