// Which piece of a picture is shown, in all panes alike.

const CLOSEST = 40;

export class Zoom {
  constructor() {
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
    this.natural = null; // the picture
    this.size = null; // of the whole photograph, in its pixels
    this.photo = null; // the pane that the others follow
  }

  /** Bring what was chosen onto the screen; panes say how. */
  apply() {}

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
}
