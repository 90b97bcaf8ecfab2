/** The scorecard of a picture: a chip for each of the user's words, whether it was found, and what was done for it. */

import { count, h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * @typedef {object} Chip
 * @property {string} text
 * @property {boolean} passed
 * @property {number} share how full the bar is, in [0, 1]; half is the threshold where there is one
 * @property {boolean} marked whether half is the threshold
 * @property {string[]} told
 */

/**
 * The chips of a turn, none for one that made no picture of its own.
 * @param {import("./types.js").Turn | undefined} turn
 */
export function scorecard(turn) {
  if (!turn) return null;
  const chips = turn.checks ? ofChecks(turn.checks) : ofScores(turn);
  if (!chips.length) return null;
  const found = chips.filter((chip) => chip.passed).length;
  const words = turn.checks
    ? `${found} of ${count(chips.length, "check")} passed`
    : `${found} of ${count(chips.length, "keyword")} found`;
  return h(
    "section",
    { class: "scorecard", "aria-label": "Scorecard" },
    h("h2", { class: found === chips.length ? "pass" : "miss" }, words),
    h(
      "ul",
      {},
      chips.map((chip, place) => h("li", {}, shown(chip, place))),
    ),
  );
}

/** How many of a turn's words were found, in short. @param {import("./types.js").Turn} turn */
export function verdict(turn) {
  const chips = turn.checks ? ofChecks(turn.checks) : ofScores(turn);
  if (!chips.length) return null;
  const found = chips.filter((chip) => chip.passed).length;
  const all = found === chips.length;
  const words = turn.checks ? (all ? "done" : "not quite") : `${found} of ${chips.length} found`;
  return h("span", { class: `verdict ${all ? "pass" : "miss"}` }, icon(all ? "check" : "warn"), words);
}

/** @param {Chip} chip @param {number} place */
function shown(chip, place) {
  const meter = h("span", { class: `meter ${chip.marked ? "marked" : ""}`, "aria-hidden": "true" }, h("span", {}));
  /** @type {HTMLElement} */ (meter.firstChild).style.width = `${Math.round(chip.share * 100)}%`;
  return h(
    "button",
    { type: "button", class: `chip ${chip.passed ? "pass" : "miss"}`, "data-key": `chip-${place}` },
    h("span", { class: "chip-top" }, icon(chip.passed ? "check" : "warn"), h("span", {}, chip.text)),
    meter,
    h(
      "span",
      { class: "tip" },
      h("strong", {}, chip.passed ? "Found" : "Not found"),
      chip.told.map((line) => h("span", {}, line)),
    ),
  );
}

/** @param {import("./types.js").Turn} turn @returns {Chip[]} */
function ofScores({ scores, threshold, prompt: said, drawn_with: prompt = "" }) {
  /** Where the user said it; what is not said so comes last. @param {string} text */
  const place = (text) => (said?.includes(text) ? said.indexOf(text) : Infinity);
  const inOrder = Object.entries(scores ?? {}).sort(([a], [b]) => (place(a) === place(b) ? a.length - b.length : place(a) - place(b)));
  return inOrder.map(([text, score]) => {
    const least = threshold?.[text] ?? 0;
    const share = least > 0 ? score / (2 * least) : 0.5 + score - least;
    const told = [`score ${score.toFixed(2)}, needs ${least.toFixed(2)}`, ...done(text, prompt ?? "")];
    return { text, passed: score >= least, share: Math.min(1, Math.max(0.02, share)), marked: true, told };
  });
}

/** @param {import("./types.js").Checks} checks @returns {Chip[]} */
function ofChecks(checks) {
  return Object.entries(checks).map(([text, { value, passed }]) => {
    const share = Math.min(1, Math.max(0.02, value));
    return { text, passed, share, marked: false, told: [`measured ${value.toFixed(2)}`] };
  });
}

/**
 * What was done so that a keyword is seen, read from the prompt with its weights.
 * @param {string} text
 * @param {string} prompt
 */
function done(text, prompt) {
  if (!prompt) return [];
  const weighted = [...prompt.matchAll(/\(([^()]*):(\d+(?:\.\d+)?)\)/g)];
  const own = weighted.find(([, words]) => words.toLowerCase().includes(text.toLowerCase()));
  if (own) return [`asked more strongly: weight ${Number(own[2]).toFixed(2)}`];
  const plain = prompt.replace(/[()[\]]|:\d+(\.\d+)?/g, "").toLowerCase();
  const said = text
    .toLowerCase()
    .split(" ")
    .every((word) => plain.includes(word));
  return [said ? "asked for as you said it" : `asked for in other words: ${prompt}`];
}
