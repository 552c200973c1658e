// What is looked at, and how: queue, order, overlay.

import { button, el, fill } from "./dom.js";
import { legend, scaleNames } from "./overlay.js";

const QUEUES = ["flagged", "audit", "second", "open"];
const ORDERS = ["uncertain", "oddest", "oldest"];
const KEY = "cdm-inspect-desk";

export class Tools {
  constructor(desk) {
    this.desk = desk;
    this.chosen = { queue: "flagged", order: "uncertain", scale: "cividis", opacity: 70, contour: true };
    try {
      Object.assign(this.chosen, JSON.parse(localStorage.getItem(KEY) ?? "{}"));
    } catch (error) {
      // A browser that keeps nothing starts anew.
    }
    // A page begins with what most people are here for.
    this.chosen.queue = "flagged";
    this.build();
    this.arrange();
    this.apply();
  }

  build() {
    const { desk } = this;
    const choice = (name) =>
      el("select", {
        onchange: (event) => {
          event.target.blur(); // or keys would go on choosing here
          this.pick(name, event.target.value);
        },
      });
    this.queues = choice("queue");
    this.orders = choice("order");
    this.scales = choice("scale");
    this.opacity = el("input", {
      type: "range",
      min: 0,
      max: 100,
      step: 5,
      value: this.chosen.opacity,
      oninput: () => this.pick("opacity", Number(this.opacity.value)),
    });
    this.contour = el("input", {
      type: "checkbox",
      checked: this.chosen.contour,
      onchange: () => this.pick("contour", this.contour.checked),
    });
    this.hold = button("", () => {});
    this.hold.addEventListener("pointerdown", () => (desk.panes.isHidden = true));
    this.hold.addEventListener("keydown", (event) => {
      if (!/^(Enter| )$/.test(event.key)) return;
      event.preventDefault();
      desk.panes.isHidden = true;
    });
    for (const kind of ["pointerup", "pointerleave", "keyup", "blur"]) {
      this.hold.addEventListener(kind, () => (desk.panes.isHidden = false));
    }
    this.fit = button("", () => desk.panes.fit());
    this.original = button("", () => desk.panes.original());
    this.help = button("?", () => desk.help.open(), { className: "help" });
  }

  /** Everything in a row, with its labels. */
  arrange() {
    this.labels = Object.fromEntries(
      [
        ["show", this.queues],
        ["order", this.orders],
        ["opacity", this.opacity],
        ["scale", this.scales],
        ["contour", this.contour],
      ].map(([name, input]) => {
        const text = el("span");
        return [name, { text, node: el("label", { className: name }, text, input) }];
      }),
    );
    this.bar = el("span", { className: "legend" });
    this.work = el("span", { className: "work" });
    this.node = el(
      "div",
      { className: "tools" },
      this.labels.show.node,
      this.labels.order.node,
      this.work,
      this.labels.opacity.node,
      this.labels.scale.node,
      this.bar,
      this.labels.contour.node,
      this.hold,
      this.fit,
      this.original,
      this.help,
    );
  }

  get queue() {
    return this.chosen.queue;
  }

  get order() {
    return this.chosen.order;
  }

  say(words) {
    for (const [name, { text }] of Object.entries(this.labels)) text.textContent = words[name];
    const queues = QUEUES.filter((name) => name !== "open" || this.desk.data.may_settle);
    if (!queues.includes(this.chosen.queue)) {
      // The right to what was shown has gone.
      this.chosen.queue = "flagged";
      queueMicrotask(() => this.desk.startOver());
    }
    options(this.queues, queues, words, this.chosen.queue);
    options(this.orders, ORDERS, words, this.chosen.order);
    options(this.scales, scaleNames, words, this.chosen.scale);
    this.hold.textContent = words.hold_to_hide;
    this.fit.textContent = words.fit;
    this.original.textContent = "1:1";
    this.original.title = words.original;
    this.help.setAttribute("aria-label", words.help);
    this.orders.disabled = this.chosen.queue !== "flagged";
    this.words = words;
  }

  pick(name, value) {
    this.chosen[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this.chosen));
    } catch (error) {
      // It holds until the page is closed.
    }
    this.apply();
    if (name === "queue" || name === "order") {
      this.orders.disabled = this.chosen.queue !== "flagged";
      this.desk.startOver();
    }
  }

  toggleContour() {
    this.contour.checked = !this.contour.checked;
    this.pick("contour", this.contour.checked);
  }

  apply() {
    const { panes } = this.desk;
    panes.opacity = this.chosen.opacity / 100;
    panes.hasContour = this.chosen.contour;
    if (panes.scale !== this.chosen.scale || !this.bar.firstChild) {
      panes.scale = this.chosen.scale;
      panes.paint();
      const [none, twice] = ["0", "2×"].map((text) => el("small", { textContent: text }));
      this.bar.replaceChildren(none, legend(this.chosen.scale), twice);
    }
  }

  /** What waits on the line. */
  tellWork(work) {
    if (!work || !this.words) {
      this.work.textContent = "";
      return;
    }
    const { words } = this;
    const counts = {
      flagged: fill(words.n_waiting, { n: plain(work.waiting) }),
      audit: fill(words.n_audited, { n: work.audited, of: work.audit_wanted }),
      second: fill(words.n_second, { n: work.second_wanted }),
      open: fill(words.n_open, { n: work.open }),
    };
    let text = counts[this.queue];
    if (this.queue === "flagged" && work.oldest) {
      text += ` · ${fill(words.oldest_since, { age: age(work.oldest, words) })}`;
    }
    this.work.textContent = text;
  }
}

function options(select, names, words, chosen) {
  const option = (name) => el("option", { value: name, textContent: words[`${name}_name`] });
  select.replaceChildren(...names.map(option));
  select.value = chosen;
}

const plain = (n) => (n > 9999 ? "9999+" : String(n));

function age(since, words) {
  const minutes = Math.max(0, Math.round((Date.now() - Date.parse(since)) / 60_000));
  if (minutes < 60) return fill(words.minutes, { n: minutes });
  if (minutes < 48 * 60) return fill(words.hours, { n: Math.round(minutes / 60) });
  return fill(words.days, { n: Math.round(minutes / 1440) });
}
