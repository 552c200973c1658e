/**
 * Two thresholds on the cumulative curves of good and defective parts, to be moved by mouse, touch
 * or keyboard, with what they would cost computed while they move.
 *
 * A Streamlit component (v2). It is called again with new data on every rerun; what has to outlive
 * that is kept on its root element.
 *
 * data:
 *   curves      what `WhatIf.curves` returns; its docstring has the formulas of `figuresOf`
 *   thresholds  {review, reject} to begin with, a null reject for "never"; null: those in force
 *   revision    thresholds are read when the component appears, and when this is another than
 *               before; in between they are the person's
 *   language    of numbers, such as "ja"
 *   currency    code such as "JPY"; empty shows plain numbers
 *   words       every text on the screen:
 *     title             what the picture is, for those who cannot see it
 *     instructions      how to move a threshold
 *     score, share      names of the axes
 *     good, defective   names of the curves
 *     parts             name of the strip of judged parts
 *     pass, review, reject                 names of the zones
 *     review_threshold, reject_threshold   names of the handles
 *     never             nothing is rejected unseen
 *     figure, chosen, in_force, change     heads of the table's columns
 *     escapes, false_rejects, reviews, cost   its rows, each a day
 *     over_capacity     people have time for {reviews} only
 * state:
 *   thresholds  {review, reject} when a threshold is let go; a null reject for "never"
 */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 400;
const STRIP = 56;
const MARGIN = { left: 56, right: 20, top: 76, bottom: 44 };
const GAP = 18;
/** Wide enough for a gloved finger. */
const TOUCH = 48;
/** Of the axis, kept for "never" to the right of the last score. */
const NEVER_WIDTH = 72;
const FAR = 10;

export default function thresholds(component) {
  const { data, parentElement, setStateValue } = component;
  const root = parentElement.querySelector(".thresholds") ?? build(parentElement);
  const view = root.view;
  view.send = (chosen) => setStateValue("thresholds", chosen);
  view.update(data);
  return () => {
    view.close();
    root.remove();
  };
}

function build(parent) {
  const root = element("div", "thresholds");
  parent.appendChild(root);
  root.view = new View(root);
  return root;
}

/** What is on the screen. */
class View {
  constructor(root) {
    this.root = root;
    this.places = { review: 0, reject: 0 };
    this.dragged = null;
    this.picture = shape("svg", { class: "picture", role: "group" });
    this.help = element("p", "instructions");
    this.table = element("table", "figures");
    this.note = element("p", "note");
    this.note.setAttribute("role", "status");
    root.append(this.picture, this.help, this.table, this.note);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(root);
  }

  /** Takes in new data; a threshold under somebody's finger stays there. */
  update(data) {
    const isKept = this.data && (this.dragged || this.data.revision === data.revision);
    const start = isKept ? this.chosen() : (data.thresholds ?? data.curves.in_force);
    this.data = data;
    this.words = data.words;
    this.numbers = numbersOf(data);
    this.end = data.curves.thresholds.length; // the place after the last one is "never"
    // With other costs the grid may be another; the thresholds stay what they are.
    this.places = placesOf(start, data.curves.thresholds);
    this.draw();
  }

  close() {
    this.watch.disconnect();
    clearTimeout(this.pause);
  }

  /** The thresholds as they stand. */
  chosen() {
    const cuts = this.data.curves.thresholds;
    const { review, reject } = this.places;
    return { review: cuts[review], reject: reject === this.end ? null : cuts[reject] };
  }

  /** Draws everything anew. */
  draw() {
    const width = this.root.clientWidth;
    if (!this.data || !width) return;
    const focused = this.root.getRootNode().activeElement?.dataset?.which;
    this.axis = axisOf(this.data.curves, width);
    this.help.textContent = this.words.instructions;
    this.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT + STRIP + GAP}`);
    this.picture.setAttribute("width", width);
    this.picture.setAttribute("height", HEIGHT + STRIP + GAP);
    this.picture.setAttribute("aria-label", this.words.title);
    this.zones = shape("g", {});
    this.picture.replaceChildren(
      this.zones,
      drawAxes(this),
      drawCurves(this),
      drawStrip(this),
      drawInForce(this),
      ...["review", "reject"].map((which) => this.handle(which)),
      drawNames(this),
    );
    this.move();
    if (focused) this.handles[focused].focus();
  }

  /** Puts zones, handles and figures where the thresholds are. */
  move() {
    const { review, reject } = this.places;
    const at = { review: this.axis.placeX(review), reject: this.axis.placeX(reject) };
    this.zones.replaceChildren(...drawZones(this, at));
    for (const which of ["review", "reject"]) {
      this.handles[which].setAttribute("transform", `translate(${at[which]} 0)`);
      this.describe(which);
    }
    spreadLabels(this, at);
    fillTable(this);
  }

  /** Moves one threshold to a place of the grid; it never passes the other. */
  put(which, place) {
    const { review, reject } = this.places;
    const found =
      which === "review"
        ? clamp(place, 0, Math.min(reject, this.end - 1))
        : clamp(place, review, this.end);
    if (found === this.places[which]) return false;
    this.places[which] = found;
    this.move();
    return true;
  }

  /** A threshold that can be taken hold of. */
  handle(which) {
    const bottom = HEIGHT - MARGIN.bottom;
    const group = shape("g", { class: `handle ${which}`, tabindex: 0, role: "slider" });
    group.dataset.which = which;
    group.append(
      shape("rect", { class: "grip", x: -TOUCH / 2, y: 0, width: TOUCH, height: bottom + 12 }),
      shape("line", { class: "stem", y1: MARGIN.top - 8, y2: bottom }),
      shape("path", { class: "knob", d: knob(which, MARGIN.top - 8) }),
      text("", { class: "handle-label", y: MARGIN.top - 34 }),
    );
    group.addEventListener("keydown", (event) => this.press(which, event));
    group.addEventListener("pointerdown", (event) => this.take(event));
    group.addEventListener("blur", () => this.settle());
    this.handles = { ...this.handles, [which]: group };
    return group;
  }

  /** What a screen reader says of a handle. */
  describe(which) {
    const cuts = this.data.curves.thresholds;
    const place = this.places[which];
    const group = this.handles[which];
    const score = cuts[Math.min(place, this.end - 1)];
    const told = place === this.end ? this.words.never : this.numbers.score(score);
    group.setAttribute("aria-label", this.words[`${which}_threshold`]);
    group.setAttribute("aria-orientation", "horizontal");
    group.setAttribute("aria-valuemin", cuts[0]);
    group.setAttribute("aria-valuemax", cuts[this.end - 1]);
    group.setAttribute("aria-valuenow", score);
    group.setAttribute("aria-valuetext", told);
    group.querySelector(".handle-label").textContent = `${this.words[which]} ${told}`;
  }

  press(which, event) {
    const steps = {
      ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1,
      PageUp: FAR, PageDown: -FAR, End: Infinity, Home: -Infinity,
    };
    const step = steps[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    if (this.put(which, this.places[which] + step)) this.unsent = true;
    if (!this.unsent) return;
    // A held key is one move: the page hears of where it ends.
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.settle(), 300);
  }

  settle() {
    if (this.unsent) this.send(this.chosen());
    this.unsent = false;
  }

  /** Follows a finger or the mouse until it lets go. */
  take(event) {
    if (event.button !== 0 || this.dragged) return;
    event.preventDefault();
    const start = this.across(event);
    const grabbed = this.nearer(start);
    const offset = start - this.axis.placeX(this.places[grabbed ?? "review"]);
    const before = JSON.stringify(this.places);
    this.dragged = { which: grabbed };
    if (grabbed) this.handles[grabbed].focus();
    const follow = (moved) => {
      const x = this.across(moved);
      // Of two on one spot it is the one that can go where the finger goes.
      if (Math.abs(x - start) > 3) this.dragged.which ??= x < start ? "review" : "reject";
      if (this.dragged.which) this.put(this.dragged.which, this.axis.nearest(x - offset));
    };
    const letGo = () => {
      this.picture.removeEventListener("pointermove", follow);
      this.picture.removeEventListener("pointerup", letGo);
      this.picture.removeEventListener("pointercancel", letGo);
      if (this.dragged.which) this.handles[this.dragged.which].focus();
      this.dragged = null;
      this.unsent ||= before !== JSON.stringify(this.places);
      this.settle();
    };
    // The picture stays when its parts are drawn anew.
    this.picture.setPointerCapture(event.pointerId);
    this.picture.addEventListener("pointermove", follow);
    this.picture.addEventListener("pointerup", letGo);
    this.picture.addEventListener("pointercancel", letGo);
  }

  /** Where in the picture a pointer is, in pixels from its left. */
  across(event) {
    return event.clientX - this.picture.getBoundingClientRect().left;
  }

  /** The threshold that is nearer to a point; null if both are one. */
  nearer(x) {
    if (this.places.review === this.places.reject) return null;
    const distance = (which) => Math.abs(x - this.axis.placeX(this.places[which]));
    return distance("review") < distance("reject") ? "review" : "reject";
  }
}

/** Places on the grid that are nearest to two thresholds. */
function placesOf({ review, reject }, cuts) {
  const found = nearestPlace(review, cuts);
  const end = reject === null || reject === undefined ? cuts.length : nearestPlace(reject, cuts);
  return { review: found, reject: Math.max(found, end) };
}

function nearestPlace(score, cuts) {
  let best = 0;
  for (let i = 1; i < cuts.length; i += 1) {
    if (Math.abs(cuts[i] - score) < Math.abs(cuts[best] - score)) best = i;
  }
  return best;
}

/** What a pair of places brings a day; the formulas are those of `WhatIf.curves`. */
function figuresOf(curves, { review, reject }) {
  if (!curves.good || !curves.defective) return null;
  const c = curves.constants;
  const p = c.defect_share;
  const never = reject === curves.thresholds.length;
  const falsely = never ? 0 : curves.good.share[reject];
  const flagged = (i) => (1 - p) * curves.good.share[i] + p * (1 - curves.defective.share[i]);
  const escapes = p * curves.defective.share[review];
  const rejects = (1 - p) * falsely;
  const reviews = flagged(review) - (never ? 0 : flagged(reject));
  const cost = c.escape * escapes + c.review * reviews + c.false_reject * rejects;
  const a_day = (share) => share * c.parts_per_day;
  return {
    escapes: a_day(escapes),
    false_rejects: a_day(rejects),
    reviews: a_day(reviews),
    cost: a_day(cost),
  };
}

/** Where scores and shares lie in the picture, in pixels. */
function axisOf(curves, width) {
  const cuts = curves.thresholds;
  const left = MARGIN.left;
  const right = width - MARGIN.right - NEVER_WIDTH;
  const bottom = HEIGHT - MARGIN.bottom;
  const scaled = curves.scale === "log" ? Math.log : (value) => value;
  const [from, to] = [scaled(cuts[0]), scaled(cuts[cuts.length - 1])];
  const x = (score) => left + ((scaled(score) - from) / (to - from || 1)) * (right - left);
  const y = (share) => bottom - share * (bottom - MARGIN.top);
  const never = width - MARGIN.right - 8;
  const placeX = (place) => (place === cuts.length ? never : x(cuts[place]));
  const nearest = (at) => {
    if (at > (right + never) / 2) return cuts.length;
    let best = 0;
    for (let i = 1; i < cuts.length; i += 1) {
      if (Math.abs(x(cuts[i]) - at) < Math.abs(x(cuts[best]) - at)) best = i;
    }
    return best;
  };
  return { left, right, bottom, never, width, x, y, placeX, nearest, ends: [cuts[0], cuts.at(-1)] };
}

function drawAxes({ axis, data, words, numbers }) {
  const group = shape("g", { class: "axes" });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const y = axis.y(share);
    group.append(
      shape("line", { class: "rule", x1: axis.left, x2: axis.width - MARGIN.right, y1: y, y2: y }),
      text(numbers.share(share), { class: "tick", x: axis.left - 8, y: y + 4, anchor: "end" }),
    );
  }
  for (const score of ticksOf(data.curves.scale, axis)) {
    const x = axis.x(score);
    group.append(
      shape("line", { class: "notch", x1: x, x2: x, y1: axis.bottom, y2: axis.bottom + 5 }),
      text(numbers.score(score), { class: "tick", x, y: axis.bottom + 19, anchor: "middle" }),
    );
  }
  group.append(
    text(words.never, { class: "tick", x: axis.never, y: axis.bottom + 19, anchor: "middle" }),
    text(words.score, {
      class: "axis-name", x: (axis.left + axis.right) / 2, y: axis.bottom + 37, anchor: "middle",
    }),
    text(words.share, { class: "axis-name", x: 4, y: 14, anchor: "start" }),
  );
  return group;
}

/** Round scores along the axis, far enough from each other to be read. */
function ticksOf(scale, axis) {
  const [low, high] = axis.ends;
  const room = Math.max(2, Math.floor((axis.right - axis.left) / 80));
  if (scale === "log") return logTicks(low, high, room);
  const raw = (high - low) / room || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((one) => one * power >= raw) * power;
  const first = Math.ceil(low / step);
  const count = Math.max(0, Math.floor(high / step) - first + 1);
  // A multiple, not a sum: what is rounded does not add up.
  return Array.from({ length: Math.min(count, 50) }, (_, i) => (first + i) * step);
}

function logTicks(low, high, room) {
  for (const digits of [[1, 2, 5], [1, 3], [1]]) {
    const found = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e += 1) {
      for (const digit of digits) found.push(digit * 10 ** e);
    }
    const inside = found.filter((one) => one >= low && one <= high);
    if (inside.length <= room) return inside;
  }
  return [low, high];
}

/** Each curve with its band; dashed and solid, so that colour is not needed. */
function drawCurves({ axis, data }) {
  const group = shape("g", { class: "curves" });
  for (const kind of ["good", "defective"]) {
    const curve = data.curves[kind];
    if (!curve) continue;
    const xs = data.curves.thresholds.map(axis.x);
    const along = (shares) => shares.map((share, i) => `${xs[i]},${axis.y(share)}`);
    const band = [...along(curve.high), ...along(curve.low).reverse()].join(" ");
    group.append(
      shape("polygon", { class: `band ${kind}`, points: band }),
      shape("polyline", { class: `curve ${kind}`, points: along(curve.share).join(" ") }),
    );
  }
  return group;
}

/** The names of the curves, over everything else. */
function drawNames(view) {
  const { data, words } = view;
  const group = shape("g", { class: "names" });
  for (const kind of ["good", "defective"]) {
    const curve = data.curves[kind];
    if (curve) group.append(curveLabel(view, kind, curve, words[kind]));
  }
  return group;
}

/** A curve's name with a piece of its line, beside its steep part. */
function curveLabel({ axis, data }, kind, curve, name) {
  const cuts = data.curves.thresholds;
  const level = kind === "good" ? 0.85 : 0.7;
  const isPassed = (share) => (kind === "good" ? share <= level : share >= level);
  const found = curve.share.findIndex(isPassed);
  const x = axis.x(cuts[found < 0 ? cuts.length - 1 : found]);
  const y = axis.y(level);
  const isLeft = x > (axis.left + axis.right) / 2;
  const side = isLeft ? -1 : 1;
  const group = shape("g", { class: "curve-label" });
  group.append(
    shape("line", { class: `curve ${kind}`, x1: x + side * 14, x2: x + side * 38, y1: y, y2: y }),
    text(name, { x: x + side * 44, y: y + 4, anchor: isLeft ? "end" : "start" }),
  );
  return group;
}

/** The judged parts along the same axis: good ones upwards, defective ones downwards. */
function drawStrip({ axis, data, words }) {
  const { edges, good, defective } = data.curves.histogram;
  const group = shape("g", { class: "strip" });
  const middle = HEIGHT + GAP / 2 + STRIP / 2;
  const half = STRIP / 2 - 2;
  // By the root: one defect beside a thousand good parts can still be seen.
  const size = (count, counts) =>
    count ? Math.max(2, half * Math.sqrt(count / Math.max(...counts))) : 0;
  edges.slice(0, -1).forEach((edge, i) => {
    const x = axis.x(edge);
    const width = Math.max(1, axis.x(edges[i + 1]) - x - 1);
    const up = size(good[i], good);
    const down = size(defective[i], defective);
    group.append(
      shape("rect", { class: "bar good", x, width, y: middle - up - 1, height: up }),
      shape("rect", { class: "bar defective", x, width, y: middle + 1, height: down }),
    );
  });
  group.append(
    shape("line", { class: "notch", x1: axis.left, x2: axis.right, y1: middle, y2: middle }),
    text(words.parts, { class: "axis-name", x: 4, y: HEIGHT - 2, anchor: "start" }),
    text(`▲ ${words.good}`, { class: "tick", x: axis.right + 8, y: middle - 8 }),
    text(`▼ ${words.defective}`, { class: "tick", x: axis.right + 8, y: middle + 18 }),
  );
  return group;
}

/** Thin dotted lines where the thresholds in force are. */
function drawInForce({ axis, data, words }) {
  const group = shape("g", { class: "in-force" });
  const { review, reject } = placesOf(data.curves.in_force, data.curves.thresholds);
  for (const place of new Set([review, reject])) {
    const x = axis.placeX(place);
    group.append(shape("line", { x1: x, x2: x, y1: MARGIN.top, y2: axis.bottom }));
  }
  group.append(
    text(words.in_force, {
      class: "tick", x: axis.placeX(review) + 8, y: MARGIN.top + 18, anchor: "start",
    }),
  );
  return group;
}

/** Pass, review and reject, as tinted areas, each with its name above it where there is room. */
function drawZones({ axis, words }, at) {
  const right = axis.width - MARGIN.right;
  const ends = {
    pass: [axis.left, at.review],
    review: [at.review, at.reject],
    reject: [at.reject, right],
  };
  return Object.entries(ends).flatMap(([zone, [from, to]]) => {
    const width = Math.max(0, to - from);
    const parts = [
      shape("rect", {
        class: `zone ${zone}`, x: from, width, y: MARGIN.top, height: axis.bottom - MARGIN.top,
      }),
    ];
    if (width > words[zone].length * 9 + 40) {
      parts.push(
        text(words[zone], {
          class: "zone-name", x: (from + to) / 2, y: MARGIN.top - 6, anchor: "middle",
        }),
      );
    }
    return parts;
  });
}

/** Keeps the names of the handles inside the picture and off each other. */
function spreadLabels({ handles, axis }, at) {
  const names = ["review", "reject"].map((which) => handles[which].querySelector(".handle-label"));
  const [first, second] = names.map((name) => name.getComputedTextLength());
  const room = axis.width - 4;
  let left = clamp(at.review - first / 2, 4, room - first);
  let right = clamp(at.reject - second / 2, 4, room - second);
  const overlap = left + first + 12 - right;
  if (overlap > 0) {
    left = Math.max(4, left - overlap / 2);
    right = Math.min(room - second, left + first + 12);
    left = Math.min(left, right - first - 12);
  }
  names[0].setAttribute("x", left - at.review);
  names[1].setAttribute("x", right - at.reject);
}

/** What the chosen thresholds bring a day, what those in force do, and the difference. */
function fillTable({ table, note, data, places, words, numbers }) {
  const { curves } = data;
  const now = figuresOf(curves, places);
  const before = figuresOf(curves, placesOf(curves.in_force, curves.thresholds));
  const columns = ["figure", "chosen", "in_force", "change"];
  const head = columns.map((name) => cell("th", words[name], "col"));
  const rows = ["escapes", "false_rejects", "reviews", "cost"].map((name) => {
    const write = name === "cost" ? numbers.money : numbers.count;
    const change = now ? now[name] - before[name] : null;
    return [
      cell("th", words[name], "row"),
      cell("td", now ? write(now[name]) : "–"),
      cell("td", before ? write(before[name]) : "–"),
      cell("td", change === null ? "–" : write(change, "exceptZero")),
    ];
  });
  table.replaceChildren(...[head, ...rows].map((cells) => {
    const row = element("tr");
    row.append(...cells);
    return row;
  }));
  const limit = curves.constants.review_share * curves.constants.parts_per_day;
  const isOver = now !== null && now.reviews > limit * (1 + 1e-9);
  const told = isOver ? words.over_capacity.replace("{reviews}", numbers.count(limit)) : "";
  if (note.textContent !== told) note.textContent = told;
}

function numbersOf({ language, currency }) {
  const format = (options) => new Intl.NumberFormat(language, options);
  const money = { style: "currency", currency }; // which knows how many digits it has
  const digits = (value) => (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
  const round = (value) => ({
    minimumFractionDigits: digits(value), maximumFractionDigits: digits(value),
  });
  return {
    score: (value) => format({ maximumSignificantDigits: 4 }).format(value),
    share: (value) => format({ style: "percent" }).format(value),
    count: (value, signDisplay = "auto") => format({ ...round(value), signDisplay }).format(value),
    money: (value, signDisplay = "auto") =>
      format({ ...(currency ? money : round(value)), signDisplay }).format(value),
  };
}

/** Of each handle another, so that they can be told apart without colour: a disc and a diamond. */
function knob(which, y) {
  if (which === "review") return `M -11 ${y} a 11 11 0 1 0 22 0 a 11 11 0 1 0 -22 0`;
  return `M 0 ${y - 13} L 13 ${y} L 0 ${y + 13} L -13 ${y} Z`;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function text(content, { anchor = "start", ...attributes }) {
  const made = shape("text", { ...attributes, "text-anchor": anchor });
  made.textContent = content;
  return made;
}

function element(name, className = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  return made;
}

function cell(name, content, scope) {
  const made = element(name);
  if (scope) made.scope = scope;
  made.textContent = content;
  return made;
}
