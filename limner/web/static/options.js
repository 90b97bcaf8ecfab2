/** How a session goes about a change, and how readily it asks back. */

import { h } from "./dom.js";
import { complain } from "./errors.js";
import { icon } from "./icons.js";
import { menu } from "./menu.js";
import { set } from "./session.js";
import { state } from "./state.js";

const MODES = [
  ["auto", "Let Limner choose", "the picture where it can, else the words"],
  ["edit", "Change the picture", "what you did not name stays as it is"],
  ["rewrite", "Change the words", "the prompt is rewritten and drawn again"],
];
const ASKS = [
  ["needed", "Ask when unclear", ""],
  ["often", "Ask before each change", ""],
  ["never", "Never ask, guess", ""],
];

/** The button of the composer that opens them. */
export function asking() {
  const button = h(
    "button",
    { type: "button", class: "round bare", "aria-label": "How changes are made", title: "How changes are made" },
    icon("tune"),
  );
  menu(button, () => [title("Changes"), ...rows("mode", MODES), title("Questions"), ...rows("ask", ASKS)]);
  return button;
}

/** @param {string} text */
const title = (text) => h("p", { class: "menu-title", role: "presentation" }, text);

/** @param {"mode" | "ask"} name @param {string[][]} choices */
function rows(name, choices) {
  const now = state.session?.[name] ?? choices[0][0];
  return choices.map(([value, text, hint]) => ({ text, hint, current: value === now, act: () => choose(name, value) }));
}

/** @param {"mode" | "ask"} name @param {string} value */
function choose(name, value) {
  if (!state.session)
    return complain(Object.assign(new Error("Nothing was drawn yet"), { hint: "Say what to draw first." }));
  set({ [name]: value }).catch(complain);
}
