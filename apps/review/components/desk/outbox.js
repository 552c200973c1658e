// Decisions on their way to the server. Each is kept by the browser until the server says that it
// is durable, so that neither a crash of the server nor a reload of the page loses one. The name of
// a decision (`client_id`) is made here and never changes: sent again, it is recorded once.

import { LoggedOut, Unreachable, decide } from "./server.js";

const PREFIX = "cdm-inspect-decision:";
const RETRY_MS = 1500;

export class Outbox {
  /**
   * @param {(kept: object, answer: object) => void} onanswer - told what became of a decision.
   * @param {() => void} onchange - told when something about the outbox is different.
   */
  constructor(onanswer, onchange) {
    this.onanswer = onanswer;
    this.onchange = onchange;
    this.waiting = [];
    this.state = "ok"; // or "unreachable", "logged-out"
    this.isKept = true; // whether the browser lets us keep things
    this.isSending = false;
    this.session = { token: "", name: "" };
    this.timer = setInterval(() => this.send(), RETRY_MS);
    this.read();
  }

  /** Take up what this browser has kept, also of a page that was closed. */
  read() {
    try {
      const known = new Set(this.waiting.map((kept) => kept.decision.client_id));
      for (const key of Object.keys(localStorage).filter((name) => name.startsWith(PREFIX))) {
        const kept = JSON.parse(localStorage.getItem(key));
        if (!known.has(kept.decision.client_id)) this.waiting.push(kept);
      }
      this.waiting.sort((one, other) => one.at - other.at);
    } catch (error) {
      this.isKept = false;
    }
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
      localStorage.setItem(PREFIX + decision.client_id, JSON.stringify(kept));
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
    try {
      for (const kept of [...this.waiting]) {
        try {
          this.settle(kept, await decide(kept.token, kept.decision));
        } catch (error) {
          // Of another person's session nothing can be said; their decisions wait for them.
          if (error instanceof LoggedOut && kept.name !== this.session.name) continue;
          if (error instanceof LoggedOut || error instanceof Unreachable) {
            this.state = error instanceof LoggedOut ? "logged-out" : "unreachable";
            return;
          }
          this.settle(kept, { status: "refused", message: error.message });
        }
        this.state = "ok";
      }
    } finally {
      this.isSending = false;
      this.onchange();
    }
    if (this.waiting.some((kept) => kept.name === this.session.name)) this.send();
  }

  settle(kept, answer) {
    this.waiting = this.waiting.filter((other) => other !== kept);
    try {
      localStorage.removeItem(PREFIX + kept.decision.client_id);
    } catch (error) {
      this.isKept = false;
    }
    this.onanswer(kept, answer);
  }

  /** Numbers of parts that were decided here and are not yet known to be recorded. */
  get undecided() {
    return new Set(this.waiting.map((kept) => kept.decision.inspection_id));
  }

  end() {
    clearInterval(this.timer);
  }
}
