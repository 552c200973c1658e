// Looked at closely, a reduced photograph gives way to the whole one.

import { load } from "./pictures.js";

// Between two tries to fetch the whole photograph: at first, and at most.
const RETRY_MS = 1000;
const LONGEST_RETRY_MS = 30_000;

export class WholePhotograph {
  /** @param {(image: HTMLImageElement | null) => void} onend - called with the outcome of a try. */
  constructor(onend) {
    this.onend = onend;
    this.forget();
  }

  /** Another part, or none. */
  show(address) {
    this.forget();
    this.address = address;
  }

  /** Nothing that is under way counts any more. */
  forget() {
    clearTimeout(this.retry);
    this.address = "";
    this.retry = null;
    this.waited = 0;
    this.asked = null;
  }

  /** Fetch it, unless that is under way; after a failure less and less often. */
  async fetch() {
    if (this.asked || this.retry) return;
    const asked = (this.asked = {});
    const image = await load(this.address).catch(() => null);
    if (asked !== this.asked) return;
    this.asked = null;
    if (!image) {
      this.waited = Math.min(LONGEST_RETRY_MS, this.waited ? 2 * this.waited : RETRY_MS);
      this.retry = setTimeout(() => {
        this.retry = null;
        this.onend(null);
      }, this.waited);
      return;
    }
    this.onend(image);
  }
}
