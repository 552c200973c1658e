// The review desk: one part after the other, decided by key or touch.
//
// Number and pictures of a part change in one step. A decision is about the part that has been on
// the screen for long enough to be seen, and about no other: keys that are held, double presses and
// presses behind a dialog decide nothing.

import { Acts } from "./acts.js";
import { Attendance } from "./attendance.js";
import { Decisions } from "./decisions.js";
import { el } from "./dom.js";
import { Facts } from "./facts.js";
import { Feed } from "./feed.js";
import { headline } from "./headline.js";
import { Help } from "./help.js";
import { Keyboard } from "./keyboard.js";
import { Keys } from "./keys.js";
import { Lending } from "./lending.js";
import { Notices } from "./notices.js";
import { Outbox } from "./outbox.js";
import { Panes } from "./panes.js";
import { load } from "./pictures.js";
import { Tools } from "./tools.js";

const ASK_AGAIN_MS = 4000;

class Desk {
  constructor(root, data) {
    this.data = data;
    this.shownAt = null; // when the part's pictures were on the screen; null while they are not
    this.notices = new Notices();
    this.keys = new Keys();
    this.panes = new Panes(data.words);
    this.decisions = new Decisions(this);
    this.lending = new Lending(this);
    this.feed = new Feed(this);
    this.tools = new Tools(this);
    this.facts = new Facts(this);
    this.help = new Help(this);
    this.attendance = new Attendance(() => this.lending.comeBack());
    this.outbox = new Outbox(
      data.plant,
      (kept, answer) => this.decisions.onanswer(kept, answer),
      () => this.report(),
    );
    this.build(root);
    this.keyboard = new Keyboard(this);
    this.onleave = () => this.lending.release();
    this.onseen = () => {
      this.panes.isHidden = false; // nothing reports a key that is let go elsewhere
      this.look();
      this.lending.renew();
    };
    document.addEventListener("visibilitychange", this.onseen);
    window.addEventListener("blur", this.onseen);
    window.addEventListener("pagehide", this.onleave);
    this.timer = setInterval(() => this.lending.renew(), ASK_AGAIN_MS);
    this.update(data);
  }

  build(root) {
    this.head = el("div", { className: "head", "aria-live": "polite" });
    this.empty = el("div", { className: "empty", hidden: true });
    this.acts = new Acts((name) => this.act(name));
    const { notices, panes, tools, acts } = this;
    const rows = [...notices.nodes, this.head, panes.node, this.empty, tools.node, acts.node];
    const main = el("div", { className: "main" }, ...rows);
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
    else this.feed.refill(true);
    if (isOther || isNew) this.facts.samples.loadLimits();
  }

  say() {
    const { words, keys } = this;
    this.node.lang = this.data.language;
    this.node.classList.toggle("kiosk", this.data.is_kiosk);
    this.node.setAttribute("aria-label", words.queue);
    this.acts.say(words, keys.bound);
    for (const part of [this.panes, this.tools, this.facts, this.help]) part.say(words);
    this.describe();
    this.report();
  }

  /** Another line, queue, order or person: what is on the screen goes. */
  startOver() {
    this.lending.startOver();
    this.decisions.startOver();
    this.blank();
    this.feed.startOver();
    this.describe();
    this.feed.refill(true);
  }

  show(part, found) {
    this.notices.tell("");
    this.compared = null;
    this.facts.show(part);
    this.panes.show(part, found);
    this.node.dataset.part = part.id;
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
    const part = this.feed.current;
    delete this.node.dataset.shown;
    this.shownAt = null;
    if (!part || this.node.dataset.part !== String(part.id)) return;
    if (document.visibilityState !== "visible") return;
    requestAnimationFrame(() => {
      if (part !== this.feed.current || this.node.dataset.part !== String(part.id)) return;
      this.shownAt = performance.now();
      this.node.dataset.shown = part.id;
    });
  }

  /** Whether what is on the screen may be decided now. */
  get isSeen() {
    if (!this.feed.current || this.shownAt === null) return false;
    return performance.now() - this.shownAt >= this.data.settings.min_look_ms;
  }

  act(name) {
    if (name === "undo") this.decisions.undo();
    else this.decisions.decide(name);
  }

  /** Count something where tests and styles see it. */
  count(name) {
    this.node.dataset[name] = Number(this.node.dataset[name] ?? 0) + 1;
  }

  /** What the server says; before it, of what kind that is, in the language of the page. */
  said({ kind, message }) {
    return [this.data.errors[kind], message].filter(Boolean).join(" ");
  }

  /** Another part's photograph in place of the restoration; asked again, the restoration. */
  async compare(other) {
    const { turn } = this.feed;
    const isOver = this.compared === other.id;
    const image = isOver ? null : await load(other.pictures.photo).catch(() => null);
    if (turn !== this.feed.turn || !this.node.dataset.part) return;
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

  /** The head of the desk: which part, and how odd; or what stands there instead. */
  describe() {
    const { words, data } = this;
    const part = this.feed.current;
    const mayDecide = Boolean(data.token);
    const isEmpty = !mayDecide || (!part && this.feed.isDrained);
    this.empty.hidden = !isEmpty;
    this.empty.replaceChildren(...(isEmpty ? instead(this) : []));
    this.panes.node.hidden = isEmpty;
    // To whoever may never decide nothing is shown that is for deciding.
    const isClosed = !mayDecide && Boolean(data.name);
    this.node.classList.toggle("closed", isClosed);
    for (const node of [this.tools.node, this.acts.node, this.facts.node]) node.hidden = isClosed;
    this.head.replaceChildren(...(part ? headline(part, words, data.language) : []));
    if (!part && !isEmpty) this.head.textContent = words.loading;
    this.acts.enable({
      canDecide: mayDecide && Boolean(part),
      canUndo: mayDecide && this.decisions.canUndo,
    });
    if (part && !this.node.dataset.part) this.head.append(` ${words.loading}`);
  }

  /** How much there is to do, and whether the server answers. */
  report() {
    this.node.dataset.unsent = this.outbox.waiting.length;
    this.tools.tellWork(this.feed.work);
    this.notices.report(this);
  }

  /** A press that decided nothing, for nobody can have seen the part. */
  hint() {
    this.node.classList.add("unseen");
    setTimeout(() => this.node.classList.remove("unseen"), 300);
  }

  end() {
    this.feed.end();
    clearInterval(this.timer);
    document.removeEventListener("visibilitychange", this.onseen);
    window.removeEventListener("blur", this.onseen);
    window.removeEventListener("pagehide", this.onleave);
    for (const part of [this.keyboard, this.attendance, this.outbox, this.panes]) part.end();
    this.lending.release();
  }
}

/** What stands on the desk instead of a part. */
function instead(desk) {
  const { words, data } = desk;
  if (data.token) return [words[`empty_${desk.tools.queue}`]];
  if (!data.name) return [words.name_first];
  return [
    el("p", { textContent: words.only_looks }),
    el("p", {}, el("a", { className: "way", href: desk.addressOf(null), textContent: words.to_history })),
  ];
}

/** Put a desk into an element. */
export function mount(root, data) {
  return new Desk(root, data);
}
