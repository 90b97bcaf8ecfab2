/** The loss of a lesson, drawn as a line. */

import { h, svg } from "./dom.js";

const [WIDTH, HEIGHT, MOST] = [240, 56, 160];

/** @param {[number, number][]} points steps and losses, in order */
export function lossCurve(points) {
  const shown = smooth(points);
  const losses = shown.map(([, loss]) => loss);
  const [low, high] = [Math.min(...losses), Math.max(...losses)];
  const [first, last] = [shown[0][0], shown[shown.length - 1][0]];
  const line = shown.map(([step, loss]) => {
    const x = ((step - first) / (last - first || 1)) * WIDTH;
    return `${x.toFixed(1)},${(HEIGHT - 3 - ((loss - low) / (high - low || 1)) * (HEIGHT - 6)).toFixed(1)}`;
  });
  const told = `Loss ${losses[0].toFixed(3)} at the beginning, ${losses[losses.length - 1].toFixed(3)} now`;
  return h(
    "figure",
    { class: "curve" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": told },
      svg("polyline", { points: line.join(" ") }),
    ),
    h("figcaption", {}, `loss ${losses[losses.length - 1].toFixed(3)}`),
  );
}

/**
 * At most MOST points, each the mean of its neighbours: the loss of single steps jumps.
 * @param {[number, number][]} points
 * @returns {[number, number][]}
 */
function smooth(points) {
  const size = Math.ceil(points.length / MOST);
  const reach = Math.max(size, Math.ceil(points.length / 24));
  return points
    .filter((_, place) => place % size === 0 || place === points.length - 1)
    .map(([step]) => {
      const here = points.findIndex(([each]) => each === step);
      const near = points.slice(Math.max(0, here - reach), here + reach + 1);
      return [step, near.reduce((sum, [, loss]) => sum + loss, 0) / near.length];
    });
}
