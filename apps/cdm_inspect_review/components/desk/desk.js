// The review desk: one part after the other, decided by key or touch.
//
// Number and pictures of a part change in one step. A decision is about the part that has been on
// the screen for long enough to be seen, and about no other: keys that are held, double presses and
// presses behind a dialog decide nothing.

import { Attendance } from "./attendance.js";
import { button, el, fill } from "./dom.js";
import { Facts } from "./facts.js";
import { Keys, isWriting, keyName } from "./keys.js";
import { Help } from "./help.js";
import { Notices } from "./notices.js";
import { Outbox } from "./outbox.js";
import { Panes } from "./panes.js";
import { Later, Pictures, load } from "./pictures.js";
import * as server from "./server.js";
import { Tools } from "./tools.js";

const AHEAD = 12; // parts that are asked for
const MOST = 60;
const REFILL = 7; // below this many, more are asked for
const PRELOADED = 5;
const ASK_AGAIN_MS = 4000;
const TRIES = 3; // for a photograph that is missing
const LOST_MS = 3 * 60_000; // until a lost one is tried again
const DECISIONS = ["accept", "reject", "unsure"];

class Desk {
  constructor(root, data) {
    this.data = data;
    this.holder = newName();
    this.queue = [];
    this.current = null;
    this.shownAt = null; // when the part's pictures were on the screen; null while they are not
    this.decided = new Map(); // number of the part → version that our decision was about
    this.history = [];
    this.work = null;
    this.turn = 0; // counts the parts that came onto the screen
    this.round = 0; // counts the times that everything began anew
    this.isDrained = false; // the server has nothing more to show
    this.pictures = new Pictures();
    this.notices = new Notices();
    this.keys = new Keys();
    this.panes = new Panes(data.words);
    this.tools = new Tools(this);
    this.facts = new Facts(this);
    this.help = new Help(this);
    this.lost = new Map(); // number of a part whose photograph is lost → when it was found to be
    this.undoneAt = -Infinity;
    this.isResting = false; // nobody is here, and no part is kept
    this.givenBack = null; // the part on the screen, where it was given back
    this.attendance = new Attendance(() => this.comeBack());
    this.outbox = new Outbox(data.plant, (kept, answer) => this.onanswer(kept, answer), () => this.report());
    this.build(root);
    this.onkey = (event) => this.press(event);
    this.onkeyup = (event) => this.letGo(event);
    this.onleave = () => server.release(this.data.token, this.holder);
    this.onseen = () => {
      this.panes.isHidden = false; // nobody hears of a key that is let go elsewhere
      this.look();
      this.renew();
    };
    document.addEventListener("keydown", this.onkey);
    document.addEventListener("keyup", this.onkeyup);
    document.addEventListener("visibilitychange", this.onseen);
    window.addEventListener("blur", this.onseen);
    window.addEventListener("pagehide", this.onleave);
    this.timer = setInterval(() => this.renew(), ASK_AGAIN_MS);
    this.update(data);
  }

  build(root) {
    this.head = el("div", { className: "head", "aria-live": "polite" });
    this.empty = el("div", { className: "empty", hidden: true });
    this.buttons = Object.fromEntries(
      [...DECISIONS, "undo"].map((name) => [
        name,
        button("", () => this.act(name), { className: `act ${name}` }),
      ]),
    );
    this.acts = el("div", { className: "acts" }, ...Object.values(this.buttons));
    const main = el(
      "div",
      { className: "main" },
      ...this.notices.nodes,
      this.head,
      this.panes.node,
      this.empty,
      this.tools.node,
      this.acts,
    );
    this.node = el("section", { className: "board" }, main, this.facts.node, this.help.node);
    root.replaceChildren(this.node);
  }

  /** What the page says: person, line, language. Called again whenever one of them changes. */
  update(data) {
    const isOther = data.line !== this.data.line || data.name !== this.data.name;
    const isNew = this.data === data;
    this.data = data;
    this.words = data.words;
    if (isOther || isNew) this.keys.login(data.name);
    this.outbox.login({ token: data.token, name: data.name });
    this.say();
    if (isOther) this.startOver();
    else this.refill(true);
    if (isOther || isNew) this.facts.loadLimitSamples();
  }

  say() {
    const { words, keys } = this;
    this.node.lang = this.data.language;
    this.node.classList.toggle("kiosk", this.data.is_kiosk);
    this.node.setAttribute("aria-label", words.queue);
    for (const [name, node] of Object.entries(this.buttons)) {
      node.replaceChildren(
        el("span", { className: "sign", textContent: words[`${name}_sign`], "aria-hidden": "true" }),
        el("span", { textContent: words[name] }),
        el("kbd", { textContent: keyName(keys.bound[name], words) }),
      );
    }
    this.panes.say(words);
    this.tools.say(words);
    this.facts.say(words);
    this.help.say(words);
    this.describe();
    this.report();
  }

  /** Another line, queue, order or person: what is on the screen goes. */
  startOver() {
    server.release(this.data.token, this.holder);
    this.holder = newName();
    this.queue = [];
    this.history = [];
    this.decided.clear();
    this.lost.clear();
    this.pictures = new Pictures(); // numbers may be those of another store
    this.turn += 1;
    this.round += 1;
    this.asking = false;
    this.isDrained = false;
    this.isResting = false;
    this.givenBack = null;
    this.blank();
    this.current = null;
    this.work = null;
    this.describe();
    this.refill(true);
  }

  /** Keep the parts of this screen, as long as somebody is there who can see it. */
  renew() {
    if (document.visibilityState !== "visible") return;
    if (this.current && this.attendance.isOver) this.rest();
    else this.refill(true);
  }

  /** Nobody is here: the parts are for others, and the one that is shown stays on the screen. */
  rest() {
    if (this.isResting || this.asking) return;
    this.isResting = true;
    this.givenBack = this.current;
    this.queue = [this.current];
    server.release(this.data.token, this.holder);
    this.holder = newName(); // the release may come late
  }

  /** Somebody is here again. */
  comeBack() {
    if (!this.isResting) return;
    this.isResting = false;
    this.refill(true);
  }

  /** What was given back stays on the screen only if it is ours again. */
  takeUp(parts) {
    const part = this.givenBack;
    // What was decided here, and is still to be sent, the server does not know yet.
    if (!part || this.outbox.undecided.has(part.id)) return;
    this.givenBack = null;
    if (part !== this.current) return;
    if (parts.some((other) => other.id === part.id && other.version === part.version)) return;
    this.drop();
    this.notices.refuse(fill(this.words.given_back, { part: part.id }));
  }

  /** Nothing is on the screen until the next part. */
  drop() {
    this.turn += 1;
    this.current = null;
    this.blank();
  }

  /**
   * Whether the part on the screen may be on another one: it came up after the server was asked, and
   * of few flagged parts a screen keeps its share and what it has said it shows.
   */
  isShared(parts, asked) {
    const part = this.current;
    if (!part || asked.queue !== "flagged" || asked.busy.includes(part.id)) return false;
    if (parts.some((other) => other.id === part.id)) return false;
    // What was taken back here stays. So does what somebody has begun with: should two decide it,
    // the second is told.
    return !this.decided.has(part.id) && !this.facts.isBegun;
  }

  /** Numbers of parts that this screen cannot show, for now. */
  get unshowable() {
    const now = performance.now();
    return [...this.lost].filter(([, at]) => now - at < LOST_MS).map(([id]) => id);
  }

  /** Ask for more parts, where few are left; asking also renews the loan of those that are here. */
  async refill(isDue = false) {
    if (this.asking || this.isResting || !this.data.token) return;
    if (!isDue && this.queue.length >= REFILL) return;
    this.asking = true;
    const { round, outbox, unshowable } = this;
    const { token } = this.data;
    const asked = {
      line: this.data.line,
      queue: this.tools.queue,
      order: this.tools.order,
      holder: this.holder,
      // Of those that come some may be decided already, and not yet known to be.
      count: Math.min(MOST, AHEAD + outbox.undecided.size + unshowable.length),
      busy: [this.current?.id, ...outbox.undecided].filter(Boolean).slice(0, MOST),
      lost: unshowable.slice(0, MOST),
    };
    try {
      const found = await server.take(token, asked);
      if (round !== this.round) return;
      this.isReachable = true;
      this.work = found.work;
      this.receive(found.parts, asked);
    } catch (error) {
      if (round !== this.round) return;
      if (error instanceof server.Unreachable) this.isReachable = false;
      else if (error instanceof server.LoggedOut) this.outbox.state = "logged-out";
      else this.notices.tell(this.said(error));
    } finally {
      if (round === this.round) this.asking = false;
      // Lent to a name that was given up meanwhile.
      else server.release(token, asked.holder);
      this.report();
    }
  }

  receive(parts, asked) {
    this.takeUp(parts);
    if (this.isShared(parts, asked)) this.drop();
    this.renewAddresses(parts);
    const waits = this.outbox.undecided;
    const { unshowable } = this;
    const fresh = parts.filter(
      (part) =>
        !waits.has(part.id) &&
        !unshowable.includes(part.id) &&
        !(this.decided.get(part.id) >= part.version),
    );
    // The part on the screen stays, whatever the server thinks of it meanwhile.
    const rest = fresh.filter((part) => part.id !== this.current?.id);
    this.queue = this.current ? [this.current, ...rest] : rest;
    this.isDrained = !this.queue.length && !waits.size;
    if (this.current) this.preload();
    else if (this.queue.length) this.next();
    else this.describe();
  }

  /** The part on the screen stays as it is; only the addresses of its pictures end. */
  renewAddresses(parts) {
    const same = parts.find((part) => part.id === this.current?.id);
    if (!same) return;
    this.current.pictures = same.pictures;
    this.panes.renew(same);
  }

  preload() {
    for (const part of this.queue.slice(0, PRELOADED + 1)) this.pictures.of(part);
  }

  /** The next part comes onto the screen: at once, where its pictures are here. */
  next() {
    this.turn += 1;
    this.current = this.queue[0] ?? null;
    this.shownAt = null;
    const found = this.current && this.pictures.now(this.current);
    if (found && !isLost(this.current, found)) this.show(found);
    else this.wait();
    this.preload();
    this.refill();
  }

  /** Its pictures are on their way: nothing is shown, and nothing can be decided. */
  async wait() {
    const part = this.current;
    const turn = this.turn;
    this.blank();
    this.describe();
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
    this.notices.tell(this.words.picture_retry);
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
    if (!this.lost.has(part.id)) this.notices.refuse(fill(this.words.picture_lost, { part: part.id }));
    this.lost.set(part.id, performance.now());
    this.pictures.forget(part);
    this.queue = this.queue.filter((other) => other !== part);
    this.notices.tell("");
    this.next();
  }

  show(found) {
    this.notices.tell("");
    this.lost.delete(this.current.id);
    this.compared = null;
    this.facts.show(this.current);
    this.panes.show(this.current, found);
    this.node.dataset.part = this.current.id;
    this.describe();
    this.look();
  }

  blank() {
    this.shownAt = null;
    delete this.node.dataset.shown;
    delete this.node.dataset.part;
    this.panes.clear();
    this.facts.show(null);
  }

  /** From the frame on in which the part is on the screen, it is being looked at. */
  look() {
    const part = this.current;
    delete this.node.dataset.shown;
    this.shownAt = null;
    if (!part || this.node.dataset.part !== String(part.id)) return;
    if (document.visibilityState !== "visible") return;
    requestAnimationFrame(() => {
      if (part !== this.current || this.node.dataset.part !== String(part.id)) return;
      this.shownAt = performance.now();
      this.node.dataset.shown = part.id;
    });
  }

  /** Whether what is on the screen may be decided now. */
  get isSeen() {
    if (!this.current || this.shownAt === null) return false;
    return performance.now() - this.shownAt >= this.data.settings.min_look_ms;
  }

  act(name) {
    if (name === "undo") this.undo();
    else this.decide(name);
  }

  decide(decision) {
    if (!this.data.token) return;
    if (!this.isSeen) return this.hint();
    const part = this.current;
    const sent = {
      client_id: newName(),
      inspection_id: part.id,
      version: part.version,
      sha256: part.sha256,
      decision,
      queue: this.tools.queue,
      reason: decision === "reject" ? this.facts.reason : "",
      comment: this.facts.comment,
      region: this.facts.region,
      seen_ms: Math.round(performance.now() - this.shownAt),
    };
    this.node.dataset.decided = Number(this.node.dataset.decided ?? 0) + 1;
    this.decided.set(part.id, part.version);
    this.history.unshift({ part, decision, state: "sent", client_id: sent.client_id });
    this.history.length = Math.min(this.history.length, 10);
    this.queue = this.queue.filter((other) => other !== part);
    this.outbox.add(sent);
    this.next();
    this.facts.tellHistory();
  }

  /** Take back the last decision that still stands; the part is on the screen again. */
  undo() {
    if (!this.data.token) return;
    const last = this.history.find((entry) => entry.state !== "undone" && entry.state !== "refused");
    if (!last || !this.canUndo) return this.notices.tell(this.words.nothing_to_undo);
    // Pressed twice it was meant once.
    if (performance.now() - this.undoneAt < this.data.settings.min_look_ms) return this.hint();
    this.undoneAt = performance.now();
    last.state = "undone";
    const version = last.part.version + 1;
    this.outbox.add({
      client_id: newName(),
      inspection_id: last.part.id,
      version,
      sha256: last.part.sha256,
      decision: "undo",
      undoes: last.client_id,
      queue: this.tools.queue,
    });
    const part = { ...last.part, version: version + 1, decision: null, reviewer: "" };
    this.decided.set(part.id, version);
    this.queue = [part, ...this.queue.filter((other) => other.id !== part.id)];
    this.next();
    this.facts.tellHistory();
  }

  /** What was settled or said blindly is taken back elsewhere, by who may. */
  get canUndo() {
    return this.tools.queue === "flagged" || this.tools.queue === "audit";
  }

  /** The server has said what became of a decision. */
  onanswer(kept, answer) {
    const { decision } = kept;
    const entry = this.history.find((other) => other.client_id === decision.client_id);
    if (entry && answer.status !== "stored") entry.state = "refused"; // also if it was taken back
    else if (entry?.state === "sent") entry.state = "stored";
    if (answer.status !== "stored") this.onrefusal(decision, this.said(answer));
    this.node.dataset.answered = Number(this.node.dataset.answered ?? 0) + 1;
    this.facts.tellHistory();
  }

  /** It was not recorded: what is here of the part is not true; it comes again, if it waits. */
  onrefusal(decision, why) {
    const number = decision.inspection_id;
    this.decided.delete(number);
    const undone = this.history.find((entry) => entry.client_id === decision.undoes);
    if (undone?.state === "undone") undone.state = "stored";
    this.queue = this.queue.filter((part) => part.id !== number);
    if (this.current?.id === number) this.next();
    this.notices.refuse(fill(this.words.not_recorded, { part: number, why }));
  }

  /** What the server says; before it, of what kind that is, in the language of the page. */
  said({ kind, message }) {
    return [this.data.errors[kind], message].filter(Boolean).join(" ");
  }

  press(event) {
    const target = event.composedPath()[0];
    const isOnButton = target instanceof HTMLButtonElement && /^(Enter| )$/.test(event.key);
    if (event.repeat && target instanceof HTMLElement && target.closest(".act")) event.preventDefault();
    if (isOnButton) return;
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (isWriting(event)) {
      if (event.key === "Escape") target.blur();
      return;
    }
    // Behind a dialog, ours or Streamlit's, keys mean nothing.
    if (this.help.isOpen || document.querySelector('[role="dialog"], dialog[open]')) return;
    if (event.key === "Escape") return this.panes.fit();
    const meaning = this.keys.meaning(event);
    if (!meaning) return;
    event.preventDefault();
    // Nobody else on the page is to make something of it.
    event.stopPropagation();
    if (meaning.reason) this.facts.choose(meaning.reason);
    else this.command(meaning.action);
  }

  command(action) {
    const commands = {
      hide: () => (this.panes.isHidden = true),
      fit: () => this.panes.fit(),
      original: () => this.panes.original(),
      contour: () => this.tools.toggleContour(),
      comment: () => this.facts.writeComment(),
      help: () => this.help.open(),
    };
    if (commands[action]) commands[action]();
    else this.act(action);
  }

  letGo(event) {
    if (this.keys.meaning(event)?.action === "hide") this.panes.isHidden = false;
  }

  /** Another part's photograph in place of the restoration; asked again, the restoration. */
  async compare(other) {
    const { turn } = this;
    const isOver = this.compared === other.id;
    const image = isOver ? null : await load(other.pictures.photo).catch(() => null);
    if (turn !== this.turn || !this.node.dataset.part) return;
    this.compared = image ? other.id : null;
    this.panes.compare(image, `${this.words.part} ${other.id}`, other.size);
  }

  /** Where the page History tells of a part; without one, of all. */
  addressOf(part) {
    const asked = new URLSearchParams({ line: this.data.line });
    if (part) asked.set("part", part.id);
    if (this.data.is_kiosk) asked.set("kiosk", "1");
    return `/history?${asked}`;
  }

  /** What stands here instead of a part. */
  instead() {
    const { words, data } = this;
    if (data.token) return [words[`empty_${this.tools.queue}`]];
    if (!data.name) return [words.name_first];
    return [
      el("p", { textContent: words.only_looks }),
      el("p", {}, el("a", { className: "way", href: this.addressOf(null), textContent: words.to_history })),
    ];
  }

  /** The head of the desk: which part, and how odd. */
  describe() {
    const { words, current: part } = this;
    const mayDecide = Boolean(this.data.token);
    const isEmpty = !mayDecide || (!part && this.isDrained);
    this.empty.hidden = !isEmpty;
    this.empty.replaceChildren(...(isEmpty ? this.instead() : []));
    this.panes.node.hidden = isEmpty;
    // To whoever may never decide nothing is shown that is for deciding.
    const isClosed = !mayDecide && Boolean(this.data.name);
    this.node.classList.toggle("closed", isClosed);
    for (const node of [this.tools.node, this.acts, this.facts.node]) node.hidden = isClosed;
    this.head.replaceChildren(...(part ? this.facts.headline(part) : []));
    if (!part && !isEmpty) this.head.textContent = words.loading;
    for (const name of DECISIONS) this.buttons[name].disabled = !part || !mayDecide;
    this.buttons.undo.disabled = !mayDecide || !this.canUndo;
    if (part && !this.node.dataset.part) this.head.append(` ${words.loading}`);
  }

  /** How much there is to do, and whether the server hears us. */
  report() {
    this.node.dataset.unsent = this.outbox.waiting.length;
    this.tools.tellWork(this.work);
    this.notices.report(this);
  }

  /** A press that decided nothing, for nobody can have seen the part. */
  hint() {
    this.node.classList.add("unseen");
    setTimeout(() => this.node.classList.remove("unseen"), 300);
  }

  end() {
    this.turn += 1; // nothing that is on its way comes onto the screen
    this.round += 1;
    clearInterval(this.timer);
    document.removeEventListener("keydown", this.onkey);
    document.removeEventListener("keyup", this.onkeyup);
    document.removeEventListener("visibilitychange", this.onseen);
    window.removeEventListener("blur", this.onseen);
    window.removeEventListener("pagehide", this.onleave);
    this.attendance.end();
    this.outbox.end();
    this.panes.end();
    server.release(this.data.token, this.holder);
  }
}

/** A name that nobody else has; `crypto.randomUUID` is not there without TLS. */
function newName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A part that was judged by a photograph which cannot be shown; of others there may be none. */
function isLost(part, found) {
  return Boolean(part.pictures.photo) && !found.photo && part.verdict !== "undecided";
}

/** Put a desk into an element. */
export function mount(root, data) {
  return new Desk(root, data);
}
