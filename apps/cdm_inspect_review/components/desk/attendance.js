// Whether somebody is at the screen.

// Longer than anybody looks at one part without touching anything, and short enough that the parts
// of a screen that was left at the end of a shift are soon free for others.
const ABSENT_MS = 5 * 60_000;
const SIGNS = ["pointerdown", "pointermove", "wheel", "keydown"];

export class Attendance {
  /** @param {() => void} onsign - called with whatever is moved or pressed, before any other handler. */
  constructor(onsign) {
    this.last = performance.now();
    this.listen = () => {
      this.last = performance.now();
      onsign();
    };
    for (const sign of SIGNS) document.addEventListener(sign, this.listen, { capture: true, passive: true });
  }

  /** Whether nothing has been touched for so long that nobody can be here. */
  get isOver() {
    return performance.now() - this.last >= ABSENT_MS;
  }

  end() {
    for (const sign of SIGNS) document.removeEventListener(sign, this.listen, { capture: true });
  }
}
