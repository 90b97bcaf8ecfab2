/** What a lesson draws on the way with what it knows by then: the newest first, each to be seen large. */

import { openDialog } from "./dialog.js";
import { h, pictureUrl } from "./dom.js";

/** @typedef {import("./types.js").Glimpse} Glimpse */

const SHOWN = 3;

/** @param {Glimpse[]} glimpses in the order in which they came */
export function looks(glimpses) {
  if (!glimpses.length) return null;
  return h("div", { class: "looks" }, glimpses.slice(-SHOWN).reverse().map(row));
}

/** @param {Glimpse} glimpse */
function row(glimpse) {
  const { step, prompts, pictures } = glimpse;
  const small = (/** @type {string} */ sha, /** @type {number} */ place) =>
    h("img", { src: pictureUrl(sha, 256), alt: prompts[place] ?? "", title: prompts[place] ?? "" });
  return h(
    "figure",
    {},
    h("figcaption", {}, `after ${step} steps`),
    h(
      "button",
      {
        type: "button",
        class: "look",
        "aria-label": `See large what was drawn after ${step} steps`,
        "data-key": `look-${step}`,
        onclick: () => large(glimpse),
      },
      pictures.map(small),
    ),
  );
}

/** @param {Glimpse} glimpse */
function large({ step, prompts, pictures }) {
  const one = (/** @type {string} */ sha, /** @type {number} */ place) =>
    h("figure", {}, h("img", { src: pictureUrl(sha), alt: "" }), h("figcaption", {}, prompts[place] ?? ""));
  openDialog(`Drawn after ${step} steps`, [h("div", { class: "looks-large" }, pictures.map(one))], { wide: true });
}
