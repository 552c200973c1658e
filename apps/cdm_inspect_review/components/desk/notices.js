// What the desk tells: whether the server answers, what is the matter now, what was refused.

import { button, el, fill } from "./dom.js";

export class Notices {
  constructor() {
    this.status = el("span");
    this.wayIn = el("a", { className: "way-in", hidden: true }); // a kiosk has no address bar
    this.banner = el("div", { className: "banner", role: "status", hidden: true }, this.status, this.wayIn);
    this.message = el("div", { className: "message", role: "alert", hidden: true });
    this.refused = el("ul");
    this.refusals = el(
      "div",
      { className: "message refusals", role: "alert", hidden: true },
      this.refused,
      button("OK", () => {
        this.refused.replaceChildren();
        this.refusals.hidden = true;
      }),
    );
    this.nodes = [this.banner, this.message, this.refusals];
  }

  /** What is the matter now; "" if nothing is. */
  tell(text) {
    this.message.hidden = !text;
    this.message.textContent = text;
  }

  /** Stays on the screen until somebody has read it. */
  refuse(text) {
    this.refused.append(el("li", { textContent: text }));
    this.refusals.hidden = false;
  }

  /** Whether the server answers, and what is still to be sent to it. */
  report({ words, data, outbox, feed }) {
    const isAway = outbox.state === "unreachable" || !feed.isReachable;
    let text = "";
    if (outbox.state === "logged-out") text = words.logged_out;
    else if (isAway) text = words.away;
    if (!outbox.isKept && data.token) text += ` ${words.nothing_kept}`;
    const others = outbox.waiting.filter((kept) => kept.name !== data.name);
    if (others.length) {
      text += ` ${fill(words.of_others, { n: others.length, name: others[0].name })}`;
    }
    if (text && outbox.waiting.length) text += ` ${fill(words.unsent, { n: outbox.waiting.length })}`;
    this.banner.hidden = !text;
    this.status.textContent = text;
    this.wayIn.hidden = outbox.state !== "logged-out" || !data.token;
    this.wayIn.textContent = words.log_in;
    this.wayIn.href = `/cdm/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  }
}
