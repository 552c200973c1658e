// Which part it is, what the machine says of it, and how odd that is.

import { el, figure, fill } from "./dom.js";

/** Name, verdict, score and oddity of a part. */
export function headline(part, words, language) {
  const name = el("strong", { textContent: part.serial || `${words.part} ${part.id}` });
  const verdict = el("span", {
    className: `verdict ${part.verdict}`,
    textContent: words[`verdict_${part.verdict}`],
  });
  if (part.score === null || part.threshold === null) {
    return [name, verdict, el("span", { className: "why", textContent: noteOf(part, words) })];
  }
  const odd = el("span", { className: "odd", textContent: oddity(part, words, language) });
  return [name, verdict, scoreBar(part, words, language), odd];
}

function oddity(part, words, language) {
  if (part.p_value === null) return "";
  if (part.p_value > 0.5) return words.odd_usual;
  // Rounded down, and 1/201 counts as 201, however it is kept: never better than it is.
  const n = Math.floor((1 + 1e-9) / part.p_value);
  return fill(words.odd, { n: n.toLocaleString(language) });
}

/** The score between the thresholds. */
function scoreBar({ score, threshold, reject }, words, language) {
  const said = (name, value) => `${words[name]} ${figure(value, language)}`;
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

/** Why a part was set aside: of what kind that is, in the reader's language, then the detail as it is. */
export function noteOf({ reason }, words) {
  const [kind, ...detail] = reason.split(":");
  const said = detail.length && words[`note_${kind}`];
  return said ? fill(words.note, { kind: said, detail: detail.join(":").trim() }) : reason;
}
