// Which parts this screen is lent, and under which name; others are not given them meanwhile.

import { fill } from "./dom.js";
import * as server from "./server.js";

/** A name that nobody else has; `crypto.randomUUID` is not there without TLS. */
export function newName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Lending {
  constructor(desk) {
    this.desk = desk;
    this.holder = newName();
    this.isResting = false; // nobody is here, and no part is kept
    this.givenBack = null; // the part on the screen, where it was given back
  }

  release() {
    server.release(this.desk.data.token, this.holder);
  }

  /** All is given back, and asked for under another name: the release may come late. */
  startOver() {
    this.release();
    this.holder = newName();
    this.isResting = false;
    this.givenBack = null;
  }

  /** Keep the parts of this screen, as long as somebody is there who can see it. */
  renew() {
    const { feed, attendance } = this.desk;
    if (document.visibilityState !== "visible") return;
    if (feed.current && attendance.isOver) this.rest();
    else feed.refill(true);
  }

  /** Nobody is here: the parts are for others, and the one that is shown stays on the screen. */
  rest() {
    const { feed } = this.desk;
    if (this.isResting || feed.asking) return;
    this.isResting = true;
    this.givenBack = feed.current;
    feed.queue = [feed.current];
    this.release();
    this.holder = newName();
  }

  /** Somebody is here again. */
  comeBack() {
    if (!this.isResting) return;
    this.isResting = false;
    this.desk.feed.refill(true);
  }

  /** What was given back stays on the screen only if it is ours again. */
  takeUp(parts) {
    const { desk, givenBack: part } = this;
    // What was decided here, and is still to be sent, the server does not know yet.
    if (!part || desk.outbox.undecided.has(part.id)) return;
    this.givenBack = null;
    if (part !== desk.feed.current) return;
    if (parts.some((other) => other.id === part.id && other.version === part.version)) return;
    desk.feed.drop();
    desk.notices.refuse(fill(desk.words.given_back, { part: part.id }));
  }

  /**
   * Whether the part on the screen may be on another one: it came up after the server was asked, and
   * of few flagged parts a screen keeps its share and what it has said it shows.
   */
  isShared(parts, asked) {
    const { feed, decisions, facts } = this.desk;
    const part = feed.current;
    if (!part || asked.queue !== "flagged" || asked.busy.includes(part.id)) return false;
    if (parts.some((other) => other.id === part.id)) return false;
    // What was taken back here stays. So does what somebody has begun with: should two decide it,
    // the second learns of it.
    return !decisions.versions.has(part.id) && !facts.isBegun;
  }
}
