// Three linked panes: photograph, restoration, heat map over the photograph. They zoom and pan
// together, by wheel, drag, pinch and keyboard, and show the photograph's own pixels.

import { el } from "./dom.js";
import { Gestures } from "./gestures.js";
import { paint } from "./overlay.js";
import { WholePhotograph } from "./whole.js";
import { Zoom } from "./zoom.js";

// A photograph with a side of this length may be a reduced one; see `review.pictures`.
const PREVIEW_SIDE = 2048;

export class Panes extends Zoom {
  constructor(words) {
    super();
    this.gestures = new Gestures(this);
    this.whole = new WholePhotograph((image) => this.onwhole(image));
    this.scale = "cividis";
    this.map = null;
    this.part = null;
    this.isWhole = true; // with the photograph's own pixels
    this.panes = ["photo", "restoration", "map"].map((name) => this.build(name));
    this.photo = this.panes[0];
    this.restoration = this.panes[1];
    this.heat = this.panes[2];
    this.fill = el("canvas", { className: "layer fill" });
    this.contour = el("canvas", { className: "layer contour" });
    this.marks = el("div", { className: "layer marks" });
    this.heat.stage.append(this.fill, this.contour, this.marks);
    this.node = el("div", { className: "panes" }, ...this.panes.map((pane) => pane.node));
    this.resizing = new ResizeObserver(() => this.apply());
    this.panes.forEach((pane) => this.resizing.observe(pane.node));
    this.say(words);
  }

  say(words) {
    this.words = words;
    for (const pane of this.panes) {
      pane.label.textContent = words[pane.name];
      pane.image.alt = words[pane.name];
      pane.node.setAttribute("aria-label", words[pane.name]);
      pane.reduced.textContent = words.reduced;
    }
    this.tellMissing();
  }

  /** What stands in a pane without a picture: that there is none, or that it is lost. */
  tellMissing() {
    for (const { name, missing } of this.panes) {
      missing.textContent = this.words[`${this.part?.pictures[name] ? "lost" : "no"}_${name}`];
    }
  }

  build(name) {
    // Decoded already; with the frame that names the part it is there.
    const image = el("img", { className: "layer", draggable: false, decoding: "sync" });
    const stage = el("div", { className: "stage" }, image);
    const label = el("span", { className: "label" });
    const missing = el("p", { className: "missing" });
    const reduced = el("span", { className: "reduced", hidden: true });
    const node = el(
      "div",
      { className: `pane ${name}`, role: "group", tabIndex: 0 },
      stage,
      missing,
      label,
      reduced,
    );
    this.gestures.listen(node);
    return { name, node, stage, image, label, missing, reduced };
  }

  /** Nothing is on the screen any more. */
  clear() {
    this.restoration.label.textContent = this.words.restoration;
    for (const pane of this.panes) {
      pane.image.removeAttribute("src");
      pane.node.classList.remove("shown", "lacking");
      pane.reduced.hidden = true;
    }
    this.part = null;
    this.whole.forget();
    for (const canvas of [this.fill, this.contour]) canvas.width = canvas.height = 0;
    this.marks.replaceChildren();
    this.map = null;
  }

  /** Pictures of a part, all at once. */
  show(part, found) {
    this.found = found;
    this.part = part;
    this.isHidden = false;
    this.restoration.label.textContent = this.words.restoration;
    this.natural = found.photo ?? found.restoration;
    // Regions count in pixels of the whole photograph, also where a reduced one is shown.
    const [wide, high] = part.size ?? [this.natural?.naturalWidth, this.natural?.naturalHeight];
    this.size = { width: wide, height: high };
    this.isWhole = !isReduced(found.photo, part.size);
    this.whole.show(part.pictures.full);
    this.map = found.map;
    // An upright part fits beside two others; of a wide one the photograph is shown larger.
    const { naturalWidth: width = 1, naturalHeight: height = 1 } = this.natural ?? {};
    this.node.classList.toggle("upright", width < 0.85 * height);
    this.put(this.photo, found.photo, { isReduced: !this.isWhole });
    this.put(this.restoration, found.restoration);
    this.put(this.heat, found.photo, { isThere: Boolean(found.map), isReduced: !this.isWhole });
    this.tellMissing();
    this.paint();
    this.mark(part);
    this.fit();
  }

  put(pane, image, { isThere = Boolean(image), isReduced = false } = {}) {
    if (image && isThere) pane.image.src = image.src;
    else pane.image.removeAttribute("src");
    pane.node.classList.toggle("shown", isThere);
    pane.node.classList.toggle("lacking", !isThere);
    pane.reduced.hidden = !(isThere && isReduced);
  }

  /** Show another part's photograph beside, as for comparing; null shows the restoration again. */
  compare(image, text, size) {
    this.put(this.restoration, image ?? this.found.restoration, { isReduced: isReduced(image, size) });
    this.restoration.label.textContent = image ? text : this.words.restoration;
  }

  paint() {
    if (this.map) paint(this.map, this.fill, this.contour, this.scale);
    else for (const canvas of [this.fill, this.contour]) canvas.width = canvas.height = 0;
  }

  /** Outline the regions at or above the threshold. */
  mark(part, chosen = null) {
    const { size } = this;
    this.marks.replaceChildren(
      ...(size.width ? part.regions : []).map((region, index) => {
        const box = el("div", { className: index === chosen ? "mark chosen" : "mark" });
        box.style.left = `${(100 * region.x) / size.width}%`;
        box.style.top = `${(100 * region.y) / size.height}%`;
        box.style.width = `${(100 * region.width) / size.width}%`;
        box.style.height = `${(100 * region.height) / size.height}%`;
        return box;
      }),
    );
  }

  set opacity(share) {
    this.fill.style.opacity = share;
  }

  set isHidden(is) {
    this.fill.style.visibility = this.contour.style.visibility = is ? "hidden" : "";
    this.marks.style.visibility = is ? "hidden" : "";
  }

  set hasContour(is) {
    this.contour.style.display = is ? "" : "none";
  }

  apply() {
    const main = this.box(this.photo.node);
    for (const { node, stage } of this.panes) {
      const box = this.box(node);
      // Panes may differ in size: what is linked is the place in the picture.
      const ratio = box.width / (main.width || 1);
      stage.style.left = `${box.left}px`;
      stage.style.top = `${box.top}px`;
      stage.style.width = `${box.width}px`;
      stage.style.height = `${box.height}px`;
      stage.style.transform = `translate(${this.x * ratio}px, ${this.y * ratio}px) scale(${this.zoom})`;
      const shown = (box.width * this.zoom * devicePixelRatio) / (this.size?.width ?? 1);
      stage.classList.toggle("close", shown > 2);
    }
    this.node.dataset.zoom = this.zoom.toFixed(3);
    if (this.isWhole) return;
    const isEnlarged = main.width * this.zoom * devicePixelRatio > this.natural.naturalWidth;
    if (this.zoom > 1.2 || isEnlarged) this.whole.fetch();
  }

  /** The whole photograph has come, or a try may be made again. */
  onwhole(image) {
    if (!image) return this.apply();
    this.isWhole = true;
    for (const pane of [this.photo, this.heat]) {
      pane.reduced.hidden = true;
      if (pane.node.classList.contains("shown")) pane.image.src = image.src;
    }
  }

  /** Signed addresses end; those of the part on the screen, anew. */
  renew(part) {
    if (part.id === this.part?.id) this.whole.address = part.pictures.full;
  }

  end() {
    this.part = null;
    this.whole.forget();
    this.resizing.disconnect();
  }
}

/** Whether a photograph may have fewer pixels than the camera gave; `size` is that of its file. */
function isReduced(image, size) {
  if (!image || Math.max(image.naturalWidth, image.naturalHeight) !== PREVIEW_SIDE) return false;
  return !size || Math.max(...size) > PREVIEW_SIDE;
}
