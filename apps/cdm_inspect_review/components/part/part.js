// One part to look at: linked panes, what is known of it, and nothing to decide.

import { button, el, figure, fill } from "../desk/dom.js";
import { Panes } from "../desk/panes.js";
import { Later, Pictures } from "../desk/pictures.js";

const RETRY_MS = 3000;

class Part {
  constructor(root, data) {
    this.pictures = new Pictures();
    this.panes = new Panes(data.words);
    this.opacity = el("input", {
      type: "range",
      min: 0,
      max: 100,
      step: 5,
      value: 70,
      oninput: () => (this.panes.opacity = Number(this.opacity.value) / 100),
    });
    this.contour = el("input", {
      type: "checkbox",
      checked: true,
      onchange: () => (this.panes.hasContour = this.contour.checked),
    });
    this.map = el("input", {
      type: "checkbox",
      checked: true,
      onchange: () => (this.panes.isHidden = !this.map.checked),
    });
    this.fit = button("", () => this.panes.fit());
    this.original = button("1:1", () => this.panes.original());
    this.labels = [
      ["map_shown", this.map],
      ["opacity", this.opacity],
      ["contour", this.contour],
    ].map(([name, input]) => {
      const text = el("span");
      return { name, text, node: el("label", {}, text, input) };
    });
    this.regions = el("span", { className: "found" });
    const tools = el(
      "div",
      { className: "tools" },
      ...this.labels.map(({ node }) => node),
      this.fit,
      this.original,
      this.regions,
    );
    this.facts = el("dl");
    this.late = null; // why the pictures are not here
    this.message = el("div", { className: "message", role: "alert", hidden: true });
    this.node = el("section", { className: "part" }, this.message, this.panes.node, tools, this.facts);
    root.replaceChildren(this.node);
    this.panes.opacity = 0.7;
    this.update(data);
  }

  update(data) {
    const { words, part } = (this.data = data);
    this.node.lang = data.language;
    this.node.setAttribute("aria-label", `${words.part} ${part.id}`);
    this.panes.say(words);
    for (const { name, text } of this.labels) text.textContent = words[name];
    this.fit.textContent = words.fit;
    this.original.title = words.original;
    this.facts.replaceChildren(
      ...data.facts.flatMap(([name, value]) => [
        el("dt", { textContent: name }),
        el("dd", { textContent: value }),
      ]),
    );
    if (part.id !== this.shown?.id) this.show(part);
    else this.panes.renew(part);
    this.tellRegions();
    this.tellLate();
  }

  show(part) {
    this.shown = part;
    this.chosen = null;
    this.late = null;
    delete this.node.dataset.shown;
    this.panes.clear();
    clearTimeout(this.timer);
    this.fetch(part);
  }

  /** The pictures as soon as they can be had. */
  async fetch(part) {
    let found = null;
    this.late = null;
    try {
      found = await this.pictures.of(this.data.part); // with the newest addresses
    } catch (error) {
      if (!(error instanceof Later)) throw error;
      if (part === this.shown) this.late = error;
    }
    if (part !== this.shown) return;
    this.tellLate();
    if (!found) {
      this.timer = setTimeout(() => this.fetch(part), RETRY_MS);
      return;
    }
    this.panes.show(this.data.part, found);
    this.node.dataset.shown = part.id;
  }

  tellLate() {
    const { words } = this.data;
    this.message.hidden = !this.late;
    if (!this.late) this.message.textContent = "";
    else this.message.textContent = this.late.isExpired ? words.picture_expired : words.picture_retry;
  }

  /** Regions at or above the threshold; pressed, one comes to the middle. */
  tellRegions() {
    const { words, language, part } = this.data;
    this.regions.replaceChildren(
      ...part.regions.slice(0, 6).map((region, index) =>
        button(
          fill(words.region, {
            area: region.area.toLocaleString(language),
            peak: figure(region.peak, language),
          }),
          () => this.pick(index),
          { "aria-pressed": String(index === this.chosen) },
        ),
      ),
    );
  }

  pick(index) {
    const { part } = this.data;
    this.chosen = this.chosen === index ? null : index;
    this.panes.mark(part, this.chosen);
    if (this.chosen === null) this.panes.fit();
    else this.panes.closeUp(part.regions[index]);
    this.tellRegions();
  }

  end() {
    this.shown = null;
    clearTimeout(this.timer);
    this.panes.end();
  }
}

/** Put a part into an element. */
export function mount(root, data) {
  return new Part(root, data);
}
