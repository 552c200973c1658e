// Wheel, drag, pinch and keys that zoom and move the panes.

const WHEEL = 0.0015;

export class Gestures {
  constructor(panes) {
    this.panes = panes;
    this.pointers = new Map();
  }

  /** Follow what is done in a pane. */
  listen(node) {
    node.addEventListener("wheel", (event) => this.onwheel(event, node), { passive: false });
    node.addEventListener("pointerdown", (event) => this.ondown(event, node));
    node.addEventListener("pointermove", (event) => this.onmove(event, node));
    for (const kind of ["pointerup", "pointercancel"]) {
      node.addEventListener(kind, (event) => this.pointers.delete(event.pointerId));
    }
    node.addEventListener("dblclick", () => this.panes.fit());
    node.addEventListener("keydown", (event) => this.onkey(event));
  }

  onwheel(event, node) {
    const { panes } = this;
    event.preventDefault();
    const { x, y } = this.within(event, node);
    panes.zoomAround(panes.zoom * Math.exp(-event.deltaY * WHEEL), x, y);
  }

  ondown(event, node) {
    node.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.within(event, node));
  }

  onmove(event, node) {
    const { panes } = this;
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.within(event, node);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) {
      const spread = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      panes.zoomAround((panes.zoom * spread(now)) / spread(before), other.x, other.y);
    } else if (panes.zoom > 1) {
      panes.x += now.x - before.x;
      panes.y += now.y - before.y;
      panes.apply();
    }
  }

  onkey(event) {
    const { panes } = this;
    const step = 60;
    const moves = {
      ArrowLeft: [step, 0],
      ArrowRight: [-step, 0],
      ArrowUp: [0, step],
      ArrowDown: [0, -step],
    };
    if (event.key in moves && panes.zoom > 1) {
      panes.x += moves[event.key][0];
      panes.y += moves[event.key][1];
      panes.apply();
    } else if (event.key === "+" || event.key === "-") {
      panes.zoomTo(panes.zoom * (event.key === "+" ? 1.4 : 1 / 1.4), 0.5, 0.5);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** A point in units of the first pane, from the picture's corner. */
  within(event, node) {
    const { panes } = this;
    const bounds = node.getBoundingClientRect();
    const box = panes.box(node);
    const ratio = (panes.box(panes.photo.node).width || 1) / (box.width || 1);
    return {
      x: (event.clientX - bounds.left - box.left) * ratio,
      y: (event.clientY - bounds.top - box.top) * ratio,
    };
  }
}
