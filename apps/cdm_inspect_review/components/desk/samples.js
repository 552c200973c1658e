// Decided parts to compare with: those that look alike, and the limit samples of the line.

import { button, el } from "./dom.js";
import * as server from "./server.js";

// Who goes from part to part quickly does not wait for parts to compare with.
const REST_MS = 500;
const MOST = 8;

export class Samples {
  constructor(desk) {
    this.desk = desk;
    this.part = null;
    this.known = [];
    this.alike = el("div", { className: "thumbs" });
    this.limits = el("div", { className: "thumbs" });
  }

  /** Another part, or none. */
  show(part) {
    this.part = part;
    this.alike.replaceChildren();
    clearTimeout(this.resting);
    // Whoever gives a second opinion is shown no first one, not even of a part that looks alike.
    const isBlind = this.desk.tools.queue === "second";
    this.limits.hidden = isBlind;
    if (part?.pictures.map && !isBlind) {
      this.resting = setTimeout(() => this.loadAlike(part), REST_MS);
    }
  }

  async loadAlike(part) {
    const found = await partsOf(server.alike(this.desk.data.token, part.id));
    if (!found || part !== this.part) return;
    this.alike.replaceChildren(...found.map((other) => this.thumb(other)));
    if (!found.length) this.alike.append(el("small", { textContent: this.desk.words.none_alike }));
  }

  async loadLimits() {
    const { line, token } = this.desk.data;
    this.known = [];
    const found = await partsOf(server.limitSamples(token, line));
    if (!found || line !== this.desk.data.line) return;
    this.known = found;
    this.say();
  }

  say() {
    this.limits.replaceChildren(...this.known.slice(0, MOST).map((part) => this.thumb(part)));
    if (this.known.length) return;
    this.limits.append(el("small", { textContent: this.desk.words.no_limit_samples }));
  }

  /** A decided part in small; pressed, it stands beside the one on the screen. */
  thumb(part) {
    const { words } = this.desk;
    const said = part.decision ? words[part.decision] : "";
    const sign = part.decision ? words[`${part.decision}_sign`] : "";
    const image = el("img", { src: part.pictures.photo, alt: "", loading: "lazy" });
    return button("", () => this.desk.compare(part), {
      className: `thumb ${part.decision ?? ""}`,
      "aria-label": `${words.compare_with} ${part.id}: ${said}`,
    }).appendChild(el("span", {}, image, el("small", { textContent: `${sign} ${said}` }))).parentNode;
  }
}

/** What the server has found; null where it cannot be had: parts can be judged without. */
async function partsOf(answer) {
  try {
    return (await answer).parts;
  } catch (error) {
    return null;
  }
}
