/** One turn of the conversation as it is read: what was said, what was done, by whom, and what there is to know. */

import { count, duration, h, pictureUrl } from "./dom.js";
import { sentence } from "./errors.js";
import { icon } from "./icons.js";
import { verdict } from "./scorecard.js";

/** @typedef {import("./types.js").Turn} Turn */

/**
 * @param {Turn} turn
 * @param {boolean} repeats whether its words are those of the turn before, said once
 * @param {{choices: string[], answer: (choice: string) => void} | null} question where it is the open one
 */
export function turnItem(turn, repeats, question) {
  return h(
    "li",
    { class: `turn turn-${turn.kind}` },
    turn.said && !repeats && said(turn.said),
    turn.kind !== "answer" && h("div", { class: "made" }, body(turn), question && choices(question), about(turn)),
  );
}

/** @param {string} words */
export function said(words) {
  return h("p", { class: "said" }, h("span", { class: "unseen" }, "You: "), words);
}

/** @param {Turn} turn */
function body(turn) {
  switch (turn.kind) {
    case "draw":
      return [line("Drew it.", turn), warnings(turn)];
    case "rewrite":
      return [line("Changed the words and drew it again.", turn), turn.diff && diffLine(turn.diff), warnings(turn)];
    case "edit":
      return [line(`Changed the picture: ${instruction(turn)}`, turn), warnings(turn)];
    case "open":
      return [
        line("Opened your picture.", turn),
        turn.prompt && h("p", {}, `It seems to show: ${turn.prompt}`),
        warnings(turn),
      ];
    case "ask":
      return h("p", { class: "question" }, icon("question"), h("span", {}, turn.question ?? plain(turn)));
    case "note":
      return h("p", {}, turn.reply ?? plain(turn));
    default:
      return [line(sentence(plain(turn)), turn), warnings(turn)];
  }
}

/** @param {string} words @param {Turn} turn */
function line(words, turn) {
  return h("p", { class: "line" }, h("span", {}, words), verdict(turn));
}

/** @param {import("./types.js").Diff} diff */
export function diffLine(diff) {
  const parts = diff.map(([kind, words]) =>
    kind === "out" ? h("del", {}, words) : kind === "in" ? h("ins", {}, words) : words,
  );
  return h(
    "p",
    { class: "diff" },
    parts.flatMap((part, place) => (place ? [" ", part] : [part])),
  );
}

/** @param {Turn} turn */
function warnings(turn) {
  return (turn.warnings ?? []).map((text) => note("warning", text));
}

/** @param {string} kind @param {string} text */
export function note(kind, text) {
  return h(
    "p",
    { class: `note note-${kind}` },
    icon(kind === "warning" || kind === "dropped" ? "warn" : "note"),
    h("span", {}, sentence(text)),
  );
}

/** @param {{choices: string[], answer: (choice: string) => void}} question */
function choices({ choices: given, answer }) {
  const button = (/** @type {string} */ choice) =>
    h("button", { type: "button", class: "choice", onclick: () => answer(choice) }, choice);
  return h("div", { class: "choices", role: "group", "aria-label": "Answers" }, given.map(button));
}

/** Who did it, and what it cost. @param {Turn} turn */
function about(turn) {
  const words = [
    turn.writer && `prompt by ${turn.writer}`,
    !turn.writer && turn.llm && `keywords by ${turn.llm}`,
    turn.drawn && `${count(turn.drawn, "picture")} drawn`,
    turn.seconds > 0.05 && duration(turn.seconds),
  ].filter(Boolean);
  return words.length > 0 && h("p", { class: "about" }, words.join(" · "));
}

/** @param {Turn} turn */
function instruction(turn) {
  return turn.instruction ?? plain(turn).replace(/ \(not quite\)$/, "");
}

/** What a turn was, without the word for its kind. @param {Turn} turn */
export function plain(turn) {
  return turn.headline.replace(/^(draw|rewrite|edit|asked|answered|opened a picture|note): /, "");
}

/** The small picture of a turn, or an icon of its kind. @param {Turn} turn */
export function thumbnail(turn) {
  const kinds = /** @type {Record<string, string>} */ ({
    ask: "question",
    answer: "note",
    learn: "learn",
    note: "note",
  });
  if (turn.picture)
    return h("img", {
      class: "thumb",
      src: pictureUrl(turn.picture, 96),
      alt: "",
      loading: "lazy",
      width: 44,
      height: 44,
    });
  return h("span", { class: "thumb" }, icon(kinds[turn.kind] ?? "note"));
}
