// What is known of a part, why it is rejected, and what it may be compared with.

import { button, el, figure, fill } from "./dom.js";
import { keyName } from "./keys.js";
import * as server from "./server.js";

// Who goes from part to part quickly does not wait for parts to compare with.
const REST_MS = 500;

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
    this.alike = el("div", { className: "thumbs" });
    this.limits = el("div", { className: "thumbs" });
    this.node = el(
      "aside",
      { className: "side" },
      this.section("reasons", this.rule, this.reasons, this.commentLabel),
      this.section("about", this.facts, this.regions),
      this.section("limit_samples", this.limits),
      this.section("alike", this.alike),
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
    this.tellLimits();
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
    this.alike.replaceChildren();
    for (const node of this.reasons.children) node.setAttribute("aria-pressed", "false");
    this.describe();
    clearTimeout(this.resting);
    // Whoever gives a second opinion is told of no first one, not even of a part that looks alike.
    const isBlind = this.desk.tools.queue === "second";
    this.limits.hidden = isBlind;
    if (part?.pictures.map && !isBlind) {
      this.resting = setTimeout(() => this.loadAlike(part), REST_MS);
    }
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

  /** Which part it is, what the machine says, and how odd that is. */
  headline(part) {
    const { words } = this;
    const name = el("strong", { textContent: part.serial || `${words.part} ${part.id}` });
    const verdict = el("span", {
      className: `verdict ${part.verdict}`,
      textContent: words[`verdict_${part.verdict}`],
    });
    if (part.score === null || part.threshold === null) {
      return [name, verdict, el("span", { className: "why", textContent: noteOf(part, words) })];
    }
    const odd = el("span", { className: "odd", textContent: this.oddity(part) });
    return [name, verdict, this.scoreBar(part), odd];
  }

  oddity(part) {
    if (part.p_value === null) return "";
    if (part.p_value > 0.5) return this.words.odd_usual;
    // Rounded down, and 1/201 counts as 201, however it is kept: never better than it is.
    const n = Math.floor((1 + 1e-9) / part.p_value);
    return fill(this.words.odd, { n: n.toLocaleString(this.desk.data.language) });
  }

  /** The score between the thresholds. */
  scoreBar(part) {
    const { words } = this;
    const { score, threshold, reject } = part;
    const said = (name, value) => `${words[name]} ${figure(value, this.desk.data.language)}`;
    const scale = Math.abs(threshold) || 1;
    const low = Math.min(threshold - scale, score);
    const high = Math.max(threshold + scale, (reject ?? threshold) + scale / 2, score) * 1.02;
    const at = (value) => `${(100 * (value - low)) / (high - low)}%`;
    const tick = (value, name) => {
      const node = el("i", { className: `tick ${name}`, title: said(name, value) });
      node.style.left = at(value);
      return node;
    };
    const marker = el("b", { className: "marker" });
    marker.style.left = at(score);
    const passing = el("i", { className: "zone" });
    passing.style.width = at(threshold);
    const text = [said("score", score), said("threshold", threshold)];
    const ticks = [tick(threshold, "threshold")];
    if (reject !== null) {
      text.push(said("reject_threshold", reject));
      ticks.push(tick(reject, "reject_threshold"));
    }
    return el(
      "span",
      { className: "score" },
      el("span", { className: "bar", "aria-hidden": "true" }, passing, ...ticks, marker),
      el("span", { textContent: text.join(" · ") }),
    );
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

  async loadAlike(part) {
    let found = [];
    try {
      found = (await server.alike(this.desk.data.token, part.id)).parts;
    } catch (error) {
      return; // the part can be judged without
    }
    if (part !== this.part) return;
    this.alike.replaceChildren(...found.map((other) => this.thumb(other)));
    if (!found.length) this.alike.append(el("small", { textContent: this.words.none_alike }));
  }

  async loadLimitSamples() {
    const { line, token } = this.desk.data;
    this.samples = [];
    let found = [];
    try {
      found = (await server.limitSamples(token, line)).parts;
    } catch (error) {
      return; // parts can be judged without
    }
    if (line !== this.desk.data.line) return;
    this.samples = found;
    this.tellLimits();
  }

  tellLimits() {
    const samples = this.samples ?? [];
    this.limits.replaceChildren(...samples.slice(0, 8).map((part) => this.thumb(part)));
    if (!samples.length) this.limits.append(el("small", { textContent: this.words.no_limit_samples }));
  }

  /** A decided part in small; pressed, it stands beside the one on the screen. */
  thumb(part) {
    const { words } = this;
    const said = part.decision ? words[part.decision] : "";
    const sign = part.decision ? words[`${part.decision}_sign`] : "";
    const image = el("img", { src: part.pictures.photo, alt: "", loading: "lazy" });
    return button("", () => this.desk.compare(part), {
      className: `thumb ${part.decision ?? ""}`,
      "aria-label": `${words.compare_with} ${part.id}: ${said}`,
    }).appendChild(el("span", {}, image, el("small", { textContent: `${sign} ${said}` }))).parentNode;
  }

  tellHistory() {
    const { words } = this;
    if (!words) return;
    const { history } = this.desk;
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

/** Why a part was set aside: of what kind that is, in the reader's language, then the detail as it is. */
function noteOf({ reason }, words) {
  const [kind, ...detail] = reason.split(":");
  const said = detail.length && words[`note_${kind}`];
  return said ? fill(words.note, { kind: said, detail: detail.join(":").trim() }) : reason;
}
