/** The page «Draw»: conversation, picture and history side by side, or one under the other on a narrow screen. */

import { composer } from "./composer.js";
import { conversation } from "./conversation.js";
import { h } from "./dom.js";
import { stage } from "./picture.js";
import { state, watch } from "./state.js";
import { tree } from "./tree.js";

const EXAMPLES = [
  "a red fox to the left of a castle in the snow",
  "a penguin in space",
  "a house by the sea at sunset",
];

/** @type {((text: string, send?: boolean) => void) | null} */
let write = null;

/** Show this page with words where the user writes. @param {string} text */
export function useWords(text) {
  const name = state.session?.name;
  location.hash = name ? `#/s/${encodeURIComponent(name)}` : "#/new";
  setTimeout(() => write?.(text), 60); // once the page is there
}

/** @param {Element} view @returns {() => void} how to leave it */
export function talkPage(view) {
  const [talk, picture, say, history] = [conversation(), stage(), composer(), tree()];
  write = say.write;
  const page = h("div", { class: "talk" }, talk.node, picture.node, welcome(), say.node, history.node);
  view.replaceChildren(page);
  const show = () => page.classList.toggle("empty", !state.session?.turns.length && !state.pending);
  const leave = watch(["session", "pending"], show);
  if (matchMedia("(hover: hover)").matches) document.getElementById("say")?.focus();
  return () => [leave, talk.leave, picture.leave, say.leave, history.leave].forEach((each) => each());
}

/** One line and three examples, for whoever is here for the first time. */
function welcome() {
  const example = (/** @type {string} */ text) =>
    h("li", {}, h("button", { type: "button", class: "example", onclick: () => write?.(text, true) }, text));
  const known = h("p", { class: "knows" });
  watch(["about"], () => known.replaceChildren(knows()));
  return h(
    "section",
    { class: "welcome", "aria-label": "Welcome" },
    h("h1", {}, "Say what to draw"),
    h("p", {}, "Limner draws it, shows which of your words are in the picture, and changes it as you talk."),
    h("ul", { "aria-label": "Examples" }, EXAMPLES.map(example)),
    known,
  );
}

/** What a model with a closed vocabulary can draw, folded away. */
function knows() {
  const known = state.about?.knows;
  if (!known?.concepts) return "";
  const lists = [
    ["things", known.concepts],
    ["places", known.backgrounds],
    ["colours", known.colours],
  ];
  const rows = lists
    .filter(([, words]) => words?.length)
    .map(([name, words]) => h("p", {}, h("strong", {}, `${name}: `), words.join(", ")));
  const first = `The built-in model knows ${known.concepts.length} things and ${known.backgrounds?.length ?? 0} places`;
  return h("details", {}, h("summary", {}, first), rows);
}
