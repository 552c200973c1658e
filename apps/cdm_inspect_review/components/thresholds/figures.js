// What a pair of thresholds brings a day, and how it is written.

import { el } from "../desk/dom.js";

/** Places on the grid that are nearest to two thresholds. */
export function placesOf({ review, reject }, cuts) {
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

/** What a pair of places brings a day, by the formulas of `WhatIf.curves`; null: nobody can say. */
function figuresOf(curves, { review, reject }) {
  if (curves.refusal) return null;
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

/** What the chosen thresholds bring a day, what those in force do, and the difference. */
export function fillTable({ table, note, data, places, words, numbers }) {
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
  table.replaceChildren(...[head, ...rows].map((cells) => el("tr", {}, ...cells)));
  const limit = curves.constants.review_share * curves.constants.parts_per_day;
  const isOver = now !== null && now.reviews > limit * (1 + 1e-9);
  const told = isOver ? words.over_capacity.replace("{reviews}", numbers.count(limit)) : "";
  if (note.textContent !== told) note.textContent = told;
}

/** Numbers as the reader writes them. */
export function numbersOf({ language, currency }) {
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

function cell(name, content, scope) {
  return el(name, scope ? { scope, textContent: content } : { textContent: content });
}
