/** The page «Rate»: two pictures of one prompt, who made which is not said, and a choice between them. */

import { get, post } from "./server.js";
import { fill, h } from "./dom.js";
import { complain } from "./errors.js";

const CHOICES = [
  ["left", "Left", "1"],
  ["tie", "As good", "2"],
  ["right", "Right", "3"],
];

/** @param {Element} view @returns {() => void} */
export function ratePage(view) {
  const place = h("div", {});
  let [pair, busy] = [/** @type {Record<string, any> | null} */ (null), false];
  const next = async () => {
    const told = await get("/api/ratings/next");
    pair = told.left ? told : null;
    fill(place, pair ? shown(pair, choose) : results(await get("/api/ratings")));
  };
  const choose = async (/** @type {string} */ choice) => {
    if (!pair || busy) return;
    busy = true;
    await post("/api/ratings", { id: pair.id, choice }).then(next).catch(complain);
    busy = false;
  };
  const key = (/** @type {KeyboardEvent} */ event) => {
    const chosen = CHOICES.find(([, , key]) => key === event.key);
    const elsewhere = event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]");
    if (chosen && !event.repeat && !elsewhere) choose(chosen[0]);
  };
  view.replaceChildren(
    h(
      "div",
      { class: "page" },
      h(
        "header",
        { class: "page-top" },
        h("h1", {}, "Rate"),
        h(
          "p",
          {},
          "Which picture shows better what was said?",
          h("span", { class: "rate-keys" }, " Keys 1, 2 and 3 answer."),
        ),
      ),
      place,
    ),
  );
  addEventListener("keydown", key);
  next().catch((error) => (error.status === 404 ? fill(place, nothing()) : complain(error)));
  return () => removeEventListener("keydown", key);
}

function nothing() {
  return h(
    "p",
    { class: "faint" },
    "There are no pairs to rate. `limner rate A B` makes them from two folders of pictures.",
  );
}

/** @param {Record<string, any>} told */
function results({ done, first, second, win = 0, tie = 0, lose = 0 }) {
  const rows = [
    [`${first} is better`, win],
    ["as good", tie],
    [`${second} is better`, lose],
  ];
  return [
    h("p", { class: "rate-end" }, `All ${done} pairs are rated.`),
    h(
      "dl",
      { class: "tally" },
      rows.map(([words, number]) => h("div", {}, h("dt", {}, words), h("dd", {}, number))),
    ),
  ];
}

/** @param {Record<string, any>} pair @param {(choice: string) => void} choose */
function shown(pair, choose) {
  const picture = (/** @type {string} */ side) => h("img", { src: pair[side], alt: `The ${side} picture` });
  const button = (/** @type {string[]} */ [choice, words, key]) =>
    h(
      "button",
      { type: "button", class: "quiet", "data-key": choice, onclick: () => choose(choice) },
      `${words} `,
      h("kbd", {}, key),
    );
  return [
    h("p", { class: "rate-prompt" }, pair.prompt ?? ""),
    h("div", { class: "rate-pair" }, picture("left"), picture("right")),
    h(
      "div",
      { class: "buttons rate-buttons" },
      CHOICES.map((choice) => button(choice)),
    ),
    h("progress", { "aria-label": "Pairs rated", max: pair.total, value: pair.done }),
    h("p", { class: "faint" }, `${pair.done} of ${pair.total} rated`),
  ];
}
