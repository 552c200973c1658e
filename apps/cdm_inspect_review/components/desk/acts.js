// The large buttons below the panes.

import { button, el } from "./dom.js";
import { keyName } from "./keys.js";

const DECISIONS = ["accept", "reject", "unsure"];

export class Acts {
  /** @param {(name: string) => void} onact - called with which one was pressed. */
  constructor(onact) {
    this.buttons = Object.fromEntries(
      [...DECISIONS, "undo"].map((name) => [
        name,
        button("", () => onact(name), { className: `act ${name}` }),
      ]),
    );
    this.node = el("div", { className: "acts" }, ...Object.values(this.buttons));
  }

  say(words, bound) {
    for (const [name, node] of Object.entries(this.buttons)) {
      node.replaceChildren(
        el("span", { className: "sign", textContent: words[`${name}_sign`], "aria-hidden": "true" }),
        el("span", { textContent: words[name] }),
        el("kbd", { textContent: keyName(bound[name], words) }),
      );
    }
  }

  enable({ canDecide, canUndo }) {
    for (const name of DECISIONS) this.buttons[name].disabled = !canDecide;
    this.buttons.undo.disabled = !canUndo;
  }
}
