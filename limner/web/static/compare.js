/** Two pictures of a session under one slider, and their prompts word by word. */

import { openDialog } from "./dialog.js";
import { fill, h, pictureUrl } from "./dom.js";
import { complain } from "./errors.js";
import { difference } from "./session.js";
import { state } from "./state.js";
import { diffLine, plain } from "./turns.js";

/** @typedef {import("./types.js").Turn} Turn */

/** Compare a turn, by default the picture before, with where one is. @param {string} [turn] */
export function openCompare(turn) {
  const pictured = (state.session?.turns ?? []).filter((each) => each.picture);
  const path = pictured.filter((each) => each.on_path);
  const now = path[path.length - 1] ?? pictured[pictured.length - 1];
  const before =
    pictured.find((each) => each.id === turn) ?? path[path.length - 2] ?? pictured.find((each) => each !== now);
  if (!now || !before) return;
  const view = h("div", { class: "compare-view" });
  const first = chooser("Left", pictured, before.id, () => show());
  const second = chooser("Right", pictured, now.id, () => show());
  const show = () => {
    const [left, right] = [first, second].map((choice) =>
      pictured.find((each) => each.id === choice.querySelector("select").value),
    );
    if (left && right) fill(view, slider(left, right), words(left, right));
  };
  openDialog("Compare", [h("div", { class: "compare-choices" }, first, second), view], { wide: true });
  show();
}

/** @param {string} label @param {Turn[]} turns @param {string} chosen @param {() => void} changed */
function chooser(label, turns, chosen, changed) {
  const options = turns.map((turn) =>
    h("option", { value: turn.id, selected: turn.id === chosen }, `${turn.number}. ${plain(turn)}`),
  );
  return h("label", { class: "field" }, h("span", {}, label), h("select", { onchange: changed }, options));
}

/** @param {Turn} left @param {Turn} right */
function slider(left, right) {
  const over = h("img", {
    class: "over",
    src: pictureUrl(String(left.picture)),
    alt: `Left: ${left.prompt ?? plain(left)}`,
  });
  const under = h("img", { src: pictureUrl(String(right.picture)), alt: `Right: ${right.prompt ?? plain(right)}` });
  const edge = h("span", { class: "edge", "aria-hidden": "true" });
  const range = h("input", {
    type: "range",
    min: "0",
    max: "100",
    value: "50",
    "aria-label": "How much of the left picture is seen",
  });
  const move = () => {
    over.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`;
    edge.style.left = `${range.value}%`;
  };
  range.addEventListener("input", move);
  move();
  return h("div", { class: "slider" }, under, over, edge, range);
}

/** @param {Turn} left @param {Turn} right */
function words(left, right) {
  const line = h("div", {});
  difference(left.id, right.id).then(({ prompt }) => fill(line, diffLine(prompt)), complain);
  return line;
}
