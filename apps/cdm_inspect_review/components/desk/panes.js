// Three linked panes: photograph, restoration, heat map over the photograph. They zoom and pan
// together, by wheel, drag, pinch and keyboard, and show the photograph's own pixels.

import { el } from "./dom.js";
import { paint } from "./overlay.js";
import { load } from "./pictures.js";

const CLOSEST = 40;
const WHEEL = 0.0015;
// A photograph with a side of this length may be a reduced one; see `review.pictures`.
const PREVIEW_SIDE = 2048;
// Between two tries to fetch the whole photograph: at first, and at most.
const RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;

export class Panes {
  constructor(words) {
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
    this.scale = "cividis";
    this.map = null;
    this.fullAddress = "";
    this.part = null;
    this.isWhole = true; // with the photograph's own pixels
    this.panes = ["photo", "restoration", "map"].map((name) => this.build(name));
    [this.photo, this.restoration, this.heat] = this.panes;
    this.fill = el("canvas", { className: "layer fill" });
    this.contour = el("canvas", { className: "layer contour" });
    this.marks = el("div", { className: "layer marks" });
    this.heat.stage.append(this.fill, this.contour, this.marks);
    this.node = el("div", { className: "panes" }, ...this.panes.map((pane) => pane.node));
    this.resizing = new ResizeObserver(() => this.apply());
    this.panes.forEach((pane) => this.resizing.observe(pane.node));
    this.pointers = new Map();
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
    node.addEventListener("wheel", (event) => this.onwheel(event, node), { passive: false });
    node.addEventListener("pointerdown", (event) => this.ondown(event, node));
    node.addEventListener("pointermove", (event) => this.onmove(event, node));
    for (const kind of ["pointerup", "pointercancel"]) {
      node.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    }
    node.addEventListener("dblclick", () => this.fit());
    node.addEventListener("keydown", (event) => this.onkey(event));
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
    this.stopRetry();
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
    this.fullAddress = part.pictures.full;
    this.isWhole = !isReduced(found.photo, part.size);
    this.stopRetry();
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

  /** The whole part. */
  fit() {
    this.zoom = 1;
    this.x = this.y = 0;
    this.apply();
  }

  /** One pixel of the photograph on one of the screen. */
  original() {
    if (!this.natural) return;
    const box = this.box(this.photo.node);
    this.zoomTo(this.size.width / box.width / devicePixelRatio, 0.5, 0.5, 0);
  }

  /** Bring a region to the middle. */
  closeUp(region) {
    if (!this.natural) return;
    const { width, height } = this.size;
    const wanted = 3 * Math.max(region.width / width, region.height / height, 0.04);
    this.fit();
    const place = {
      x: (region.x + region.width / 2) / width,
      y: (region.y + region.height / 2) / height,
    };
    const node = this.photo.node;
    const box = this.box(node);
    this.zoom = Math.min(CLOSEST, Math.max(1, 1 / wanted));
    this.x = node.clientWidth / 2 - box.left - place.x * box.width * this.zoom;
    this.y = node.clientHeight / 2 - box.top - place.y * box.height * this.zoom;
    this.apply();
  }

  zoomTo(zoom, shareX, shareY, least = 1) {
    const node = this.photo.node;
    const box = this.box(node);
    const [x, y] = [shareX * node.clientWidth - box.left, shareY * node.clientHeight - box.top];
    this.zoomAround(zoom, x, y, least);
  }

  /** Zoom so that what lies at a point, pixels from the picture's corner, stays there. */
  zoomAround(zoom, x, y, least = 1) {
    const next = Math.min(CLOSEST, Math.max(least, zoom));
    this.x = x - ((x - this.x) * next) / this.zoom;
    this.y = y - ((y - this.y) * next) / this.zoom;
    this.zoom = next;
    if (next <= 1) {
      // What is smaller than its pane lies in the middle of it.
      const box = this.box(this.photo.node);
      this.x = ((1 - next) * box.width) / 2;
      this.y = ((1 - next) * box.height) / 2;
    }
    this.apply();
  }

  /** Where the picture lies in a pane before zooming. */
  box(node) {
    const { naturalWidth = 1, naturalHeight = 1 } = this.natural ?? {};
    const scale = Math.min(node.clientWidth / naturalWidth, node.clientHeight / naturalHeight);
    const width = naturalWidth * scale;
    const height = naturalHeight * scale;
    return {
      width,
      height,
      left: (node.clientWidth - width) / 2,
      top: (node.clientHeight - height) / 2,
    };
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
    if (this.zoom > 1.2 || isEnlarged) this.fetchFull();
  }

  /** Looked at closely, a reduced photograph gives way to the whole one. */
  async fetchFull() {
    if (this.isFetching || this.retry) return;
    this.isFetching = true;
    const { part } = this;
    const image = await load(this.fullAddress).catch(() => null);
    if (part !== this.part) return;
    this.isFetching = false;
    if (!image) {
      // Less and less often, and never because something has moved.
      this.waited = Math.min(LONGEST_RETRY_MS, this.waited ? 2 * this.waited : RETRY_MS);
      this.retry = setTimeout(() => {
        this.retry = null;
        this.apply();
      }, this.waited);
      return;
    }
    this.isWhole = true;
    for (const pane of [this.photo, this.heat]) {
      pane.reduced.hidden = true;
      if (pane.node.classList.contains("shown")) pane.image.src = image.src;
    }
  }

  /** Signed addresses end; those of the part on the screen, anew. */
  renew(part) {
    if (part.id === this.part?.id) this.fullAddress = part.pictures.full;
  }

  stopRetry() {
    clearTimeout(this.retry);
    this.retry = null;
    this.waited = 0;
    this.isFetching = false;
  }

  onwheel(event, node) {
    event.preventDefault();
    const { x, y } = this.within(event, node);
    this.zoomAround(this.zoom * Math.exp(-event.deltaY * WHEEL), x, y);
  }

  ondown(event, node) {
    node.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.within(event, node));
  }

  onmove(event, node) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.within(event, node);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) {
      const spread = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      this.zoomAround((this.zoom * spread(now)) / spread(before), other.x, other.y);
    } else if (this.zoom > 1) {
      this.x += now.x - before.x;
      this.y += now.y - before.y;
      this.apply();
    }
  }

  onkey(event) {
    const step = 60;
    const moves = {
      ArrowLeft: [step, 0],
      ArrowRight: [-step, 0],
      ArrowUp: [0, step],
      ArrowDown: [0, -step],
    };
    if (event.key in moves && this.zoom > 1) {
      this.x += moves[event.key][0];
      this.y += moves[event.key][1];
      this.apply();
    } else if (event.key === "+" || event.key === "-") {
      this.zoomTo(this.zoom * (event.key === "+" ? 1.4 : 1 / 1.4), 0.5, 0.5);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** A point in units of the first pane, from the picture's corner. */
  within(event, node) {
    const bounds = node.getBoundingClientRect();
    const box = this.box(node);
    const ratio = (this.box(this.photo.node).width || 1) / (box.width || 1);
    return {
      x: (event.clientX - bounds.left - box.left) * ratio,
      y: (event.clientY - bounds.top - box.top) * ratio,
    };
  }

  end() {
    this.part = null;
    this.stopRetry();
    this.resizing.disconnect();
  }
}

/** Whether a photograph may have fewer pixels than the camera gave; `size` is that of its file. */
function isReduced(image, size) {
  if (!image || Math.max(image.naturalWidth, image.naturalHeight) !== PREVIEW_SIDE) return false;
  return !size || Math.max(...size) > PREVIEW_SIDE;
}
