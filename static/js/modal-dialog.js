// A modal dialog that opens when it enters the page and empties its slot when it closes.
// <div id="dialog"><modal-dialog><dialog aria-labelledby="dialog-title"> … <button data-close>Close</button></dialog></modal-dialog></div>
// Escape, a click on the backdrop and [data-close] close it; focus returns to where it was.
// The server closes it with HX-Trigger {"dialog-close": {"target": "body"}} or by emptying #dialog.

import { onConfirm } from "./htmx-config.js";
import { gettext } from "./texts.js";

class ModalDialog extends HTMLElement {
  connectedCallback() {
    this.dialog = this.querySelector("dialog");
    if (!this.dialog || this.dialog.open) return;
    this.opener = document.activeElement;
    this.dialog.showModal();
    const first = this.dialog.querySelector("[autofocus]");
    first?.focus();
    first?.removeAttribute("autofocus"); // htmx would focus it again when it settles, when somebody types elsewhere already
    this.dialog.addEventListener("close", () => this.remove());
    this.dialog.addEventListener("click", (event) => {
      if (event.target.closest("[data-close]")) this.dialog.close();
    });
    // Only a press that starts and ends on the backdrop closes: selecting text out of the box must not.
    let pressed = null;
    this.dialog.addEventListener("pointerdown", (event) => (pressed = event.target));
    this.dialog.addEventListener("pointerup", (event) => {
      const dirty = this.dialog.querySelector("form")?.dataset.dirty;
      if (event.target === this.dialog && pressed === this.dialog && !dirty) this.dialog.close();
    });
    this.dialog.addEventListener("input", (event) => {
      if (event.target.form) event.target.form.dataset.dirty = "1";
    });
  }

  disconnectedCallback() {
    if (document.querySelector("modal-dialog")) return;
    if (this.opener?.isConnected && this.opener !== document.body) this.opener.focus();
  }
}

customElements.define("modal-dialog", ModalDialog);

document.body.addEventListener("dialog-close", () => {
  document.querySelector("#dialog modal-dialog dialog")?.close();
});

/** Ask for a yes in a dialog made here; resolves to true or false. */
export function confirmDialog(text, { yes = gettext("OK"), danger = false } = {}) {
  return new Promise((resolve) => {
    const holder = document.createElement("modal-dialog");
    const dialog = document.createElement("dialog");
    dialog.className = "dialog";
    dialog.setAttribute("aria-labelledby", "confirm-title");
    const head = document.createElement("div");
    head.className = "dialog__head";
    const title = document.createElement("h2");
    title.id = "confirm-title";
    title.textContent = text;
    head.append(title);
    const foot = document.createElement("div");
    foot.className = "dialog__foot";
    const no = document.createElement("button");
    no.type = "button";
    no.className = "button";
    no.textContent = gettext("Cancel");
    no.dataset.close = "";
    const ok = document.createElement("button");
    ok.type = "button";
    ok.className = danger ? "button button--danger-solid" : "button button--primary";
    ok.textContent = yes;
    ok.addEventListener("click", () => dialog.close("yes"));
    foot.append(no, ok);
    dialog.append(head, foot);
    holder.append(dialog);
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
    document.body.append(holder);
    ok.focus();
  });
}

// hx-confirm uses the same dialog as everything else: data-confirm-yes="Delete" data-danger
onConfirm(async ({ question, element, proceed }) => {
  const { confirmYes: yes = gettext("OK") } = element.dataset;
  if (await confirmDialog(question, { yes, danger: "danger" in element.dataset })) proceed();
});
