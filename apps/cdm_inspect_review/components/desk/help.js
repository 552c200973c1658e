// The list of keys, where each can be changed.

import { button, el, fill } from "./dom.js";
import { keyName, plainKey } from "./keys.js";

export class Help {
  constructor(desk) {
    this.desk = desk;
    this.title = el("h2");
    this.table = el("table");
    this.note = el("p");
    this.close = button("", () => this.node.close());
    this.reset = button("", () => {
      desk.keys.reset();
      desk.say();
    });
    this.node = el(
      "dialog",
      { className: "keys", onkeydown: (event) => this.onkey(event), onclose: () => this.wait(null) },
      this.title,
      this.table,
      this.note,
      el("div", { className: "row" }, this.reset, this.close),
    );
    this.awaited = null;
  }

  get isOpen() {
    return this.node.open;
  }

  open() {
    if (!this.isOpen) this.node.showModal();
  }

  say(words) {
    const { keys } = this.desk;
    this.node.setAttribute("aria-label", words.help);
    this.title.textContent = words.help;
    this.note.textContent = words.keys_note;
    this.close.textContent = words.close;
    this.reset.textContent = words.keys_reset;
    const rows = Object.entries(keys.bound).map(([action, key]) =>
      el(
        "tr",
        {},
        el("td", { textContent: words[`key_${action}`] }),
        el(
          "td",
          {},
          // Named, so that it can be found again when the list is drawn anew.
          button(this.awaited === action ? words.press_a_key : keyName(key, words), () => this.wait(action), {
            "data-action": action,
            "aria-label": `${words[`key_${action}`]}: ${keyName(key, words)}. ${words.change_key}`,
          }),
        ),
      ),
    );
    const reasons = el(
      "tr",
      {},
      el(
        "td",
        {},
        words.key_reasons,
        el("br"),
        fill(words.reason_first, { key: keyName(keys.bound.reject, words) }),
      ),
      el("td", {}, el("kbd", { textContent: "1 – 9" })),
    );
    const reset = el(
      "tr",
      {},
      el("td", { textContent: words.key_escape }),
      el("td", {}, el("kbd", { textContent: "Esc" })),
    );
    this.table.replaceChildren(...rows, reasons, reset);
  }

  wait(action) {
    this.awaited = action;
    this.say(this.desk.words);
    this.table.querySelector(`[data-action="${action}"]`)?.focus();
  }

  onkey(event) {
    if (!this.awaited || event.key === "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    const isChanged = this.desk.keys.change(this.awaited, plainKey(event));
    this.note.textContent = isChanged ? this.desk.words.keys_note : this.desk.words.key_taken;
    if (!isChanged) return;
    this.awaited = null;
    this.desk.say();
  }
}
