/**
 * Two thresholds on the cumulative curves of good and defective parts, to be moved by mouse, touch
 * or keyboard, with what they would cost computed while they move.
 *
 * A module of a Streamlit component (v2), mounted once; new data comes on every rerun.
 *
 * data:
 *   curves      what `WhatIf.curves` returns; its docstring has the formulas of `figuresOf`
 *   thresholds  {review, reject}, a null reject for "never"
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
 *   thresholds  {review, reject, revision} when a threshold is let go: where they are, and what
 *               the revision of those was that they were moved from
 */

import { el } from "../desk/dom.js";
import {
  GAP,
  HEIGHT,
  MARGIN,
  STRIP,
  axisOf,
  clamp,
  drawAxes,
  drawCurves,
  drawInForce,
  drawNames,
  drawStrip,
  drawZones,
  knob,
  spreadLabels,
} from "./chart.js";
import { fillTable, numbersOf, placesOf } from "./figures.js";
import { shape, text } from "./svg.js";

/** Wide enough for a gloved finger. */
const TOUCH = 48;
/** Places that a threshold goes with Page Up and Page Down. */
const FAR = 10;

export function mount(root, data, set) {
  const view = new View(root, (moved) => set("thresholds", moved));
  view.update(data);
  return view;
}

/** What is on the screen. */
class View {
  constructor(parent, send) {
    this.send = send;
    this.places = { review: 0, reject: 0 };
    this.dragged = null;
    this.picture = shape("svg", { class: "picture", role: "group" });
    this.help = el("p", { className: "instructions" });
    this.table = el("table", { className: "figures" });
    this.note = el("p", { className: "note", role: "status" });
    const parts = [this.picture, this.help, this.table, this.note];
    this.root = el("div", { className: "thresholds" }, ...parts);
    parent.append(this.root);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(this.root);
  }

  /** Takes in new data; a threshold under somebody's finger stays there. */
  update(data) {
    const isSame = this.data?.revision === data.revision;
    const start = isSame || this.dragged ? this.chosen() : data.thresholds;
    // The page has put them elsewhere: it has to hear where they are, moved any further or not.
    if (this.dragged && !isSame) this.unsent = true;
    this.data = data;
    this.root.dataset.revision = data.revision;
    this.words = data.words;
    this.numbers = numbersOf(data);
    this.never = data.curves.thresholds.length; // a place after the last one
    // With other costs the grid may be another; the thresholds stay what they are.
    this.places = placesOf(start, data.curves.thresholds);
    this.draw();
  }

  end() {
    this.watch.disconnect();
    clearTimeout(this.pause);
    this.root.remove();
  }

  /** The thresholds as they stand. */
  chosen() {
    const cuts = this.data.curves.thresholds;
    const { review, reject } = this.places;
    return { review: cuts[review], reject: reject === this.never ? null : cuts[reject] };
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
        ? clamp(place, 0, Math.min(reject, this.never - 1))
        : clamp(place, review, this.never);
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
    const score = cuts[Math.min(place, this.never - 1)];
    const told = place === this.never ? this.words.never : this.numbers.score(score);
    group.setAttribute("aria-label", this.words[`${which}_threshold`]);
    group.setAttribute("aria-orientation", "horizontal");
    group.setAttribute("aria-valuemin", cuts[0]);
    group.setAttribute("aria-valuemax", cuts[this.never - 1]);
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
    if (this.unsent) this.send({ ...this.chosen(), revision: this.data.revision });
    this.unsent = false;
  }

  /** Follows a finger or the mouse until it lets go. */
  take(event) {
    if (event.button !== 0 || this.dragged) return;
    event.preventDefault();
    const start = this.across(event);
    const grabbed = this.nearer(start);
    const offset = start - this.axis.placeX(this.places[grabbed ?? "review"]);
    const before = JSON.stringify(this.chosen());
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
      this.unsent ||= before !== JSON.stringify(this.chosen());
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
