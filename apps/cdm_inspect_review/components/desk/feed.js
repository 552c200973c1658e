// One part after the other: asked for ahead, preloaded, and shown once its pictures are here.

import { fill } from "./dom.js";
import { Later, Pictures } from "./pictures.js";
import * as server from "./server.js";

const AHEAD = 12; // parts that are asked for
const MOST = 60;
const REFILL = 7; // below this many, more are asked for
const PRELOADED = 5;
const TRIES = 3; // for a photograph that is missing
const LOST_MS = 3 * 60_000; // until a lost one is tried again

export class Feed {
  constructor(desk) {
    this.desk = desk;
    this.queue = [];
    this.current = null;
    this.work = null;
    this.turn = 0; // counts the parts that came onto the screen
    this.round = 0; // counts the times that everything began anew
    this.asking = false;
    this.isDrained = false; // the server has nothing more to show
    this.isReachable = true;
    this.pictures = new Pictures();
    this.lost = new Map(); // number of a part whose photograph is lost → when it was found to be
  }

  /** What is on the screen goes; nothing that is on its way comes onto it. */
  startOver() {
    this.queue = [];
    this.current = null;
    this.work = null;
    this.lost.clear();
    this.pictures = new Pictures(); // numbers may be those of another store
    this.end();
    this.asking = false;
    this.isDrained = false;
  }

  end() {
    this.turn += 1;
    this.round += 1;
  }

  /** Nothing is on the screen until the next part. */
  drop() {
    this.turn += 1;
    this.current = null;
    this.desk.blank();
  }

  /** Numbers of parts that this screen cannot show, for now. */
  get unshowable() {
    const now = performance.now();
    return [...this.lost].filter(([, at]) => now - at < LOST_MS).map(([id]) => id);
  }

  /** Ask for more parts, where few are left; asking also renews the loan of those that are here. */
  async refill(isDue = false) {
    const { desk, round, unshowable } = this;
    const { outbox, lending, data } = desk;
    if (this.asking || lending.isResting || !data.token) return;
    if (!isDue && this.queue.length >= REFILL) return;
    this.asking = true;
    const asked = {
      line: data.line,
      queue: desk.tools.queue,
      order: desk.tools.order,
      holder: lending.holder,
      // Of those that come some may be decided already, and not yet known to be.
      count: Math.min(MOST, AHEAD + outbox.undecided.size + unshowable.length),
      busy: [this.current?.id, ...outbox.undecided].filter(Boolean).slice(0, MOST),
      lost: unshowable.slice(0, MOST),
    };
    try {
      const found = await server.take(data.token, asked);
      if (round !== this.round) return;
      this.isReachable = true;
      this.work = found.work;
      this.receive(found.parts, asked);
    } catch (error) {
      if (round !== this.round) return;
      if (error instanceof server.Unreachable) this.isReachable = false;
      else if (error instanceof server.LoggedOut) outbox.state = "logged-out";
      else desk.notices.tell(desk.said(error));
    } finally {
      if (round === this.round) this.asking = false;
      // Lent to a name that was given up meanwhile.
      else server.release(data.token, asked.holder);
      desk.report();
    }
  }

  receive(parts, asked) {
    const { desk, unshowable } = this;
    desk.lending.takeUp(parts);
    if (desk.lending.isShared(parts, asked)) this.drop();
    this.renewAddresses(parts);
    const waits = desk.outbox.undecided;
    const fresh = parts.filter(
      (part) =>
        !waits.has(part.id) &&
        !unshowable.includes(part.id) &&
        !(desk.decisions.versions.get(part.id) >= part.version),
    );
    // The part on the screen stays, whatever the server thinks of it meanwhile.
    const rest = fresh.filter((part) => part.id !== this.current?.id);
    this.queue = this.current ? [this.current, ...rest] : rest;
    this.isDrained = !this.queue.length && !waits.size;
    if (this.current) this.preload();
    else if (this.queue.length) this.next();
    else desk.describe();
  }

  /** The part on the screen stays as it is; only the addresses of its pictures end. */
  renewAddresses(parts) {
    const same = parts.find((part) => part.id === this.current?.id);
    if (!same) return;
    this.current.pictures = same.pictures;
    this.desk.panes.renew(same);
  }

  preload() {
    for (const part of this.queue.slice(0, PRELOADED + 1)) this.pictures.of(part);
  }

  /** Leave out a part, whoever has it now. */
  remove(number) {
    this.queue = this.queue.filter((part) => part.id !== number);
  }

  /** The next part comes onto the screen: at once, where its pictures are here. */
  next() {
    this.turn += 1;
    this.current = this.queue[0] ?? null;
    const found = this.current && this.pictures.now(this.current);
    if (found && !isLost(this.current, found)) this.show(found);
    else this.wait();
    this.preload();
    this.refill();
  }

  show(found) {
    this.lost.delete(this.current.id);
    this.desk.show(this.current, found);
  }

  /** Its pictures are on their way: nothing is shown, and nothing can be decided. */
  async wait() {
    const { desk, current: part, turn } = this;
    desk.blank();
    desk.describe();
    if (!part) return;
    let found;
    try {
      found = await this.pictures.of(part);
    } catch (error) {
      if (!(error instanceof Later)) throw error;
    }
    if (turn !== this.turn || part !== this.current) return;
    if (found && !isLost(part, found)) {
      this.show(found);
      return;
    }
    if (found && this.lost.has(part.id)) {
      this.skip(part); // still
      return;
    }
    desk.notices.tell(desk.words.picture_retry);
    if (found) {
      part.tries = (part.tries ?? 0) + 1;
      this.pictures.forget(part);
    }
    setTimeout(() => {
      if (turn !== this.turn) return;
      if (part.tries >= TRIES) this.skip(part);
      else this.wait();
    }, 1000);
  }

  /** A part that cannot be seen is left to others, and tried again later; the rest goes on. */
  skip(part) {
    const { notices, words } = this.desk;
    if (!this.lost.has(part.id)) notices.refuse(fill(words.picture_lost, { part: part.id }));
    this.lost.set(part.id, performance.now());
    this.pictures.forget(part);
    this.remove(part.id);
    notices.tell("");
    this.next();
  }
}

/** A part that was judged by a photograph which cannot be shown; of others there may be none. */
function isLost(part, found) {
  return Boolean(part.pictures.photo) && !found.photo && part.verdict !== "undecided";
}
