// The picture: axes, curves with their bands, judged parts, zones and the thresholds in force.

import { placesOf } from "./figures.js";
import { shape, text } from "./svg.js";

export const HEIGHT = 400;
export const STRIP = 56;
export const MARGIN = { left: 56, right: 20, top: 76, bottom: 44 };
export const GAP = 18;
/** Of the axis, kept for "never" to the right of the last score. */
const NEVER_WIDTH = 72;

/** Where scores and shares lie in the picture, in pixels. */
export function axisOf(curves, width) {
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

export function drawAxes({ axis, data, words, numbers }) {
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
export function drawCurves({ axis, data }) {
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
export function drawNames(view) {
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
export function drawStrip({ axis, data, words }) {
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
    text(`▲ ${words.good}`, { class: "tick", x: axis.width, y: middle - 8, anchor: "end" }),
    text(`▼ ${words.defective}`, { class: "tick", x: axis.width, y: middle + 18, anchor: "end" }),
  );
  return group;
}

/** Thin dotted lines where the thresholds in force are. */
export function drawInForce({ axis, data, words }) {
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
export function drawZones({ axis, words }, at) {
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
export function spreadLabels({ handles, axis }, at) {
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

/** Of each handle another, so that they can be told apart without colour: a disc and a diamond. */
export function knob(which, y) {
  if (which === "review") return `M -11 ${y} a 11 11 0 1 0 22 0 a 11 11 0 1 0 -22 0`;
  return `M 0 ${y - 13} L 13 ${y} L 0 ${y + 13} L -13 ${y} Z`;
}

/** `value`, or the end of the range that is nearer. */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
