/** The history: every turn of the session, forks moved in, where one is marked, and what can be done with each. */

import { openCompare } from "./compare.js";
import { asked, confirmed } from "./dialog.js";
import { fill, h } from "./dom.js";
import { complain } from "./errors.js";
import { icon } from "./icons.js";
import { menu } from "./menu.js";
import { forget, goTo, nameBranch } from "./session.js";
import { state, watch } from "./state.js";
import { plain, thumbnail } from "./turns.js";

/** @typedef {import("./types.js").Turn} Turn */

const DEEPEST = 5;

/** @returns {{node: HTMLElement, leave: () => void}} */
export function tree() {
  const list = h("ol", { class: "tree" });
  const close = h(
    "button",
    { type: "button", class: "bare history-close", "aria-label": "Close the history" },
    icon("cross"),
  );
  const node = h(
    "aside",
    { class: "history", id: "history", "aria-label": "History" },
    h("header", {}, h("h2", {}, "History"), close),
    list,
  );
  close.addEventListener("click", () => node.classList.remove("open"));
  const show = () => {
    fill(list, rows());
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  };
  const leave = watch(["session", "pending"], show);
  return { node, leave };
}

/** The turns in the order of the tree, each with how far it is moved in. @returns {[Turn, number][]} */
function ordered() {
  const turns = state.session?.turns ?? [];
  const known = new Set(turns.map((turn) => turn.id));
  const below = Map.groupBy(turns, (turn) => (turn.parent && known.has(turn.parent) ? turn.parent : ""));
  /** @type {[Turn, number][]} */
  const done = [];
  const waiting = placed(below.get("") ?? [], 0);
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    done.push(next);
    waiting.push(...placed(below.get(next[0].id) ?? [], next[1]));
  }
  return done;
}

/**
 * A line of turns is drawn straight down; only a fork moves its children in.
 * @param {Turn[]} turns
 * @param {number} depth
 * @returns {[Turn, number][]}
 */
function placed(turns, depth) {
  const inner = turns.length > 1 ? Math.min(depth + 1, DEEPEST) : depth;
  return turns.map((turn) => /** @type {[Turn, number]} */ ([turn, inner])).reverse();
}

function rows() {
  return ordered().map(([turn, depth]) => row(turn, depth));
}

/** @param {Turn} turn @param {number} depth */
function row(turn, depth) {
  const session = state.session;
  const here = turn.id === session?.tip;
  const names = Object.entries(session?.branches ?? {}).filter(([, id]) => id === turn.id);
  const go = h(
    "button",
    {
      type: "button",
      class: "node",
      "data-key": turn.id,
      "aria-current": here ? "step" : null,
      disabled: Boolean(state.pending) && !here,
      title: plain(turn),
      onclick: () => here || goTo(turn.id).catch(complain),
    },
    thumbnail(turn),
    h(
      "span",
      { class: "node-words" },
      h("span", { class: "node-text" }, plain(turn)),
      names.map(([name]) => h("span", { class: "tag" }, icon("branch"), name)),
    ),
  );
  const more = h(
    "button",
    { type: "button", class: "bare more", "aria-label": `More about turn ${turn.number}` },
    icon("dots"),
  );
  menu(more, () => choices(turn, here));
  return h("li", { class: `depth-${depth} ${turn.on_path ? "on-path" : ""}` }, go, more);
}

/** @param {Turn} turn @param {boolean} here @returns {import("./menu.js").Item[]} */
function choices(turn, here) {
  const compare =
    turn.picture && !here ? [{ text: "Compare with where you are", act: () => openCompare(turn.id) }] : [];
  const name = here ? [{ text: "Name this place…", act: () => named() }] : [];
  const lose = turn.on_path && !state.pending ? [{ text: "Forget this…", danger: true, act: () => lost(turn) }] : [];
  const go = here || state.pending ? [] : [{ text: "Go there", act: () => void goTo(turn.id).catch(complain) }];
  return [...go, ...compare, ...name, ...lose];
}

async function named() {
  const hint = "Letters, digits, - and _. You come back to it in the history.";
  const given = await asked(
    "Name this place",
    [["name", "Name", hint, { required: true, maxlength: 64, pattern: "[\\w\\-]*[A-Za-z_\\-][\\w\\-]*" }]],
    "Name it",
  );
  if (given?.name) nameBranch(given.name).catch(complain);
}

/** @param {Turn} turn */
async function lost(turn) {
  const text = `What came after «${plain(turn)}» is made again without it. What is there now stays in the history.`;
  if (await confirmed("Forget this turn?", text, "Forget it")) forget(turn.id).catch(complain);
}
