// What keys do on the desk.

import { isWriting } from "./keys.js";

export class Keyboard {
  constructor(desk) {
    this.desk = desk;
    this.commands = {
      hide: () => (desk.panes.isHidden = true),
      fit: () => desk.panes.fit(),
      original: () => desk.panes.original(),
      contour: () => desk.tools.toggleContour(),
      comment: () => desk.facts.writeComment(),
      help: () => desk.help.open(),
    };
    this.onkey = (event) => this.press(event);
    this.onkeyup = (event) => this.letGo(event);
    document.addEventListener("keydown", this.onkey);
    document.addEventListener("keyup", this.onkeyup);
  }

  press(event) {
    const { desk } = this;
    const target = event.composedPath()[0];
    const isOnButton = target instanceof HTMLButtonElement && /^(Enter| )$/.test(event.key);
    if (event.repeat && target instanceof HTMLElement && target.closest(".act")) event.preventDefault();
    if (isOnButton) return;
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isWriting(event)) {
      if (event.key === "Escape") target.blur();
      return;
    }
    // Behind a dialog, ours or Streamlit's, keys mean nothing.
    if (desk.help.isOpen || document.querySelector('[role="dialog"], dialog[open]')) return;
    if (event.key === "Escape") return desk.panes.fit();
    const meaning = desk.keys.meaning(event);
    if (!meaning) return;
    event.preventDefault();
    // Nobody else on the page is to make something of it.
    event.stopPropagation();
    if (meaning.reason) desk.facts.choose(meaning.reason);
    else if (this.commands[meaning.action]) this.commands[meaning.action]();
    else desk.act(meaning.action);
  }

  letGo(event) {
    if (this.desk.keys.meaning(event)?.action === "hide") this.desk.panes.isHidden = false;
  }

  end() {
    document.removeEventListener("keydown", this.onkey);
    document.removeEventListener("keyup", this.onkeyup);
  }
}
