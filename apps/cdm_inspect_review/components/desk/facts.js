// What is known of a part, why it is rejected, and what it may be compared with.

import { button, el, figure, fill } from "./dom.js";
import { keyName } from "./keys.js";
import { noteOf } from "./headline.js";
import { Samples } from "./samples.js";

export class Facts {
  constructor(desk) {
    this.desk = desk;
    this.reason = "";
    this.chosenAt = -Infinity;
    this.region = null;
    this.part = null;
    this.sections = {};
    this.reasons = el("div", { className: "reasons", role: "group" });
    this.rule = el("p", { className: "rule" });
    this.input = el("input", { type: "text", maxLength: 1000, className: "comment" });
    this.commentLabel = el("label", {}, el("span"), this.input);
    this.facts = el("dl");
    this.regions = el("ol", { className: "regions" });
    this.history = el("ol", { className: "history" });
    this.samples = new Samples(desk);
    this.node = el(
      "aside",
      { className: "side" },
      this.section("reasons", this.rule, this.reasons, this.commentLabel),
      this.section("about", this.facts, this.regions),
      this.section("limit_samples", this.samples.limits),
      this.section("alike", this.samples.alike),
      this.section("last_decisions", this.history),
    );
  }

  section(name, ...content) {
    const title = el("h3");
    this.sections[name] = title;
    return el("section", {}, title, ...content);
  }

  say(words) {
    this.words = words;
    for (const [name, title] of Object.entries(this.sections)) title.textContent = words[name];
    this.node.setAttribute("aria-label", words.about);
    this.commentLabel.firstChild.textContent = words.comment;
    this.rule.textContent = fill(words.reason_first, { key: keyName(this.desk.keys.bound.reject, words) });
    this.reasons.setAttribute("aria-label", words.reasons);
    this.reasons.replaceChildren(
      ...this.desk.data.settings.reasons.map((reason, index) =>
        button("", () => this.choose(index + 1), { "aria-pressed": String(reason.code === this.reason) }),
      ),
    );
    this.desk.data.settings.reasons.forEach((reason, index) => {
      this.reasons.children[index].append(el("kbd", { textContent: index + 1 }), ` ${reason.name}`);
    });
    this.describe();
    this.tellHistory();
    this.samples.say();
  }

  get comment() {
    return this.input.value.trim();
  }

  /** Whether something is being said of the part, or about to be. */
  get isBegun() {
    return Boolean(this.reason || this.region || this.input.value) || this.input.matches(":focus");
  }

  /** Another part; what was said of the last one goes with it. */
  show(part) {
    if (part?.id === this.part?.id && part !== null) {
      this.part = part;
      return;
    }
    this.part = part;
    this.reason = "";
    this.region = null;
    this.input.value = "";
    for (const node of this.reasons.children) node.setAttribute("aria-pressed", "false");
    this.describe();
    this.samples.show(part);
  }

  /** The reason of a number key; chosen again, none. */
  choose(number) {
    const reason = this.desk.data.settings.reasons[number - 1];
    if (!reason) return;
    // Said behind a decision, it was meant for the part that has gone.
    if (!this.desk.isSeen) return this.desk.hint();
    const now = performance.now();
    const { min_look_ms } = this.desk.data.settings;
    // Pressed twice it was meant once.
    if (this.reason === reason.code && now - this.chosenAt < min_look_ms) return;
    this.chosenAt = now;
    this.reason = this.reason === reason.code ? "" : reason.code;
    [...this.reasons.children].forEach((node, index) => {
      node.setAttribute("aria-pressed", String(index === number - 1 && this.reason !== ""));
    });
  }

  writeComment() {
    this.input.focus();
  }

  describe() {
    const { part, words } = this;
    if (!words) return;
    const { language } = this.desk.data;
    const facts = part
      ? [
          ["number", part.id],
          ["serial", part.serial],
          ["lot", part.lot],
          ["station", part.station],
          ["camera", part.camera],
          ["taken_at", part.taken_at],
          ["image", part.image],
          ["model", part.model.slice(0, 12)],
          ["reason_given", noteOf(part, words)],
        ]
      : [];
    this.facts.replaceChildren(
      ...facts
        .filter(([, value]) => value !== "")
        .flatMap(([name, value]) => [
          el("dt", { textContent: words[name] }),
          el("dd", { textContent: value }),
        ]),
    );
    this.regions.replaceChildren(
      ...(part?.regions ?? []).slice(0, 6).map((region, index) =>
        el(
          "li",
          {},
          button(
            fill(words.region, {
              area: region.area.toLocaleString(language),
              peak: figure(region.peak, language),
            }),
            () => this.pick(region, index),
            { "aria-pressed": String(this.region === region) },
          ),
        ),
      ),
    );
  }

  /** The region that is meant; chosen again, none. */
  pick(region, index) {
    this.region = this.region === region ? null : region;
    this.describe();
    this.desk.panes.mark(this.part, this.region ? index : null);
    if (this.region) this.desk.panes.closeUp(region);
    else this.desk.panes.fit();
  }

  tellHistory() {
    const { words } = this;
    if (!words) return;
    const { history } = this.desk.decisions;
    this.history.replaceChildren(
      ...history.map((entry) => {
        const name = `${words[`${entry.decision}_sign`]} ${entry.part.serial || entry.part.id}`;
        const said = `${name} · ${words[entry.decision]} · ${words[`state_${entry.state}`]}`;
        // What is still to be sent keeps people on this page.
        const isSent = entry.state === "sent";
        const link = () => el("a", { href: this.desk.addressOf(entry.part), textContent: said });
        return el("li", { className: entry.state }, isSent ? said : link());
      }),
    );
    if (!history.length) this.history.append(el("li", { textContent: words.nothing_yet }));
  }
}
