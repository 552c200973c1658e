// Decisions on their way to the server. Each is kept by the browser until the server says that it
// is durable, so that neither a crash of the server nor a reload of the page loses one. The name of
// a decision (`client_id`) is made here and never changes: sent again, it is recorded once.

import { LoggedOut, Unreachable, decide } from "./server.js";

const PREFIX = "cdm-inspect-decision";
const RETRY_MS = 1500;

export class Outbox {
  /**
   * @param {string} plant - whose decisions; those of another, under the same address, wait for it.
   * @param {(kept: object, answer: object) => void} onanswer - called with what became of a decision.
   * @param {() => void} onchange - called when something about the outbox is different.
   */
  constructor(plant, onanswer, onchange) {
    this.prefix = `${PREFIX}:${plant}:`;
    this.onanswer = onanswer;
    this.onchange = onchange;
    this.waiting = [];
    this.state = "ok"; // or "unreachable", "logged-out"
    this.isKept = true; // whether the browser lets us keep things
    this.isSending = false;
    this.session = { token: "", name: "" };
    this.ended = new Set(); // tokens of sessions that are over
    this.timer = setInterval(() => this.send(), RETRY_MS);
    this.read();
  }

  /** Take up what this browser has kept, also of a page that was closed. */
  read() {
    let keys = [];
    try {
      keys = Object.keys(localStorage).filter((name) => name.startsWith(this.prefix));
    } catch (error) {
      this.isKept = false;
    }
    for (const key of keys) {
      try {
        const kept = JSON.parse(localStorage.getItem(key));
        if (kept?.decision?.client_id) this.waiting.push(kept);
      } catch (error) {
        // Not ours, or another tab has just sent it.
      }
    }
    this.waiting = inOrder(this.waiting);
  }

  /** Who is at the desk. What the same person has left behind is sent in the new session. */
  login(session) {
    this.session = session;
    for (const kept of this.waiting) {
      if (kept.name === session.name) kept.token = session.token;
    }
    if (this.state === "logged-out") this.state = "ok";
    this.send();
  }

  /** Keep a decision, then send it. */
  add(decision) {
    const kept = { decision, at: Date.now(), ...this.session };
    this.waiting.push(kept);
    try {
      localStorage.setItem(this.prefix + decision.client_id, JSON.stringify(kept));
    } catch (error) {
      this.isKept = false;
    }
    this.onchange();
    this.send();
  }

  /** Send what waits, one after the other, in the order in which it was decided. */
  async send() {
    if (this.isSending || !this.waiting.length) return;
    this.isSending = true;
    const stuck = new Set(); // parts, of which an earlier decision is still to come
    let state = "ok";
    try {
      for (const kept of [...this.waiting]) {
        const part = kept.decision.inspection_id;
        if (stuck.has(part) || this.isStranded(kept)) continue;
        const { token } = kept;
        try {
          const waited_ms = Math.max(0, Date.now() - kept.at);
          this.settle(kept, await decide(token, { ...kept.decision, waited_ms }));
        } catch (error) {
          if (error instanceof LoggedOut) this.ended.add(token);
          if (this.isStranded(kept)) continue; // whoever is here may decide the part
          stuck.add(part);
          if (error instanceof LoggedOut) state = "logged-out";
          else if (error instanceof Unreachable) {
            state = "unreachable";
            if (error.isAway) break;
          } else this.settle(kept, { status: "refused", kind: error.kind, message: error.message });
        }
      }
    } finally {
      this.state = state;
      this.isSending = false;
      this.onchange();
    }
    const isNew = (kept) => kept.name === this.session.name && !stuck.has(kept.decision.inspection_id);
    if (state === "ok" && this.waiting.some(isNew)) this.send();
  }

  settle(kept, answer) {
    this.waiting = this.waiting.filter((other) => other !== kept);
    try {
      localStorage.removeItem(this.prefix + kept.decision.client_id);
    } catch (error) {
      this.isKept = false;
    }
    this.onanswer(kept, answer);
  }

  /**
   * Whether a decision waits for somebody else to log in here, as their session is over. Until then
   * its part is for others; if they decide it, the server tells the person of the conflict.
   */
  isStranded(kept) {
    return kept.name !== this.session.name && this.ended.has(kept.token);
  }

  /** Numbers of parts that were decided here and are not yet known to be recorded. */
  get undecided() {
    const sent = this.waiting.filter((kept) => !this.isStranded(kept));
    return new Set(sent.map((kept) => kept.decision.inspection_id));
  }

  end() {
    clearInterval(this.timer);
  }
}

/** By when they were made; those on one part by its version, whatever the clock has done. */
function inOrder(waiting) {
  const last = new Map();
  const byVersion = [...waiting].sort((one, other) => one.decision.version - other.decision.version);
  const placed = byVersion.map((kept) => {
    const part = kept.decision.inspection_id;
    const at = Math.max(kept.at, (last.get(part) ?? -Infinity) + 1);
    last.set(part, at);
    return { kept, at };
  });
  return placed.sort((one, other) => one.at - other.at).map(({ kept }) => kept);
}
