// What was decided at this screen, and what became of it.

import { fill } from "./dom.js";
import { newName } from "./lending.js";

const REMEMBERED = 10;

export class Decisions {
  constructor(desk) {
    this.desk = desk;
    this.versions = new Map(); // number of the part → version that our decision was about
    this.history = [];
    this.undoneAt = -Infinity;
  }

  startOver() {
    this.history = [];
    this.versions.clear();
  }

  decide(decision) {
    const { desk } = this;
    const { feed, facts } = desk;
    if (!desk.data.token) return;
    if (!desk.isSeen) return desk.hint();
    const part = feed.current;
    const sent = {
      client_id: newName(),
      inspection_id: part.id,
      version: part.version,
      sha256: part.sha256,
      decision,
      queue: desk.tools.queue,
      reason: decision === "reject" ? facts.reason : "",
      comment: facts.comment,
      region: facts.region,
      seen_ms: Math.round(performance.now() - desk.shownAt),
    };
    desk.count("decided");
    this.versions.set(part.id, part.version);
    this.history.unshift({ part, decision, state: "sent", client_id: sent.client_id });
    this.history.length = Math.min(this.history.length, REMEMBERED);
    feed.remove(part.id);
    desk.outbox.add(sent);
    feed.next();
    facts.tellHistory();
  }

  /** Take back the last decision that still stands; the part is on the screen again. */
  undo() {
    const { desk } = this;
    const { feed } = desk;
    if (!desk.data.token) return;
    const last = this.history.find((entry) => entry.state !== "undone" && entry.state !== "refused");
    if (!last || !this.canUndo) return desk.notices.tell(desk.words.nothing_to_undo);
    // Pressed twice it was meant once.
    if (performance.now() - this.undoneAt < desk.data.settings.min_look_ms) return desk.hint();
    this.undoneAt = performance.now();
    last.state = "undone";
    const version = last.part.version + 1;
    desk.outbox.add({
      client_id: newName(),
      inspection_id: last.part.id,
      version,
      sha256: last.part.sha256,
      decision: "undo",
      undoes: last.client_id,
      queue: desk.tools.queue,
    });
    const part = { ...last.part, version: version + 1, decision: null, reviewer: "" };
    this.versions.set(part.id, version);
    feed.remove(part.id);
    feed.queue.unshift(part);
    feed.next();
    desk.facts.tellHistory();
  }

  /** What was settled or said blindly is taken back elsewhere, by who may. */
  get canUndo() {
    return ["flagged", "audit"].includes(this.desk.tools.queue);
  }

  /** The server has said what became of a decision. */
  onanswer(kept, answer) {
    const { decision } = kept;
    const entry = this.history.find((other) => other.client_id === decision.client_id);
    if (entry && answer.status !== "stored") entry.state = "refused"; // also if it was taken back
    else if (entry?.state === "sent") entry.state = "stored";
    if (answer.status !== "stored") this.onrefusal(decision, this.desk.said(answer));
    this.desk.count("answered");
    this.desk.facts.tellHistory();
  }

  /** It was not recorded: what is here of the part is not true; it comes again, if it waits. */
  onrefusal(decision, why) {
    const { feed, notices, words } = this.desk;
    const number = decision.inspection_id;
    this.versions.delete(number);
    const undone = this.history.find((entry) => entry.client_id === decision.undoes);
    if (undone?.state === "undone") undone.state = "stored";
    feed.remove(number);
    if (feed.current?.id === number) feed.next();
    notices.refuse(fill(words.not_recorded, { part: number, why }));
  }
}
