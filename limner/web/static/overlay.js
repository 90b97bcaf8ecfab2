/** What was found in a picture, drawn over it: boxes with names, and the mask of the one that is pointed at. */

import { h, svg } from "./dom.js";

/** @typedef {import("./types.js").Region} Region */

/** @param {import("./types.js").Look} look @param {HTMLImageElement} image whose pixels the boxes count */
export function overlay({ caption, regions }, image) {
  const legend = h("p", { class: "caption" }, regions.length ? caption : `${caption} Nothing in it was found by name.`);
  const layer = h("div", { class: "overlay" });
  const draw = () => layer.replaceChildren(boxes(regions, image.naturalWidth, image.naturalHeight));
  if (image.complete && image.naturalWidth) draw();
  else image.addEventListener("load", draw, { once: true });
  return [layer, legend];
}

/** @param {Region[]} regions @param {number} width @param {number} height */
function boxes(regions, width, height) {
  const drawing = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    class: "boxes",
    "aria-label": "Things found",
    role: "group",
  });
  const largestFirst = [...regions].sort((a, b) => area(b) - area(a)); // so that the pointer reaches the small ones
  drawing.append(...largestFirst.map((region) => box(region, width, regions.indexOf(region) + 1)));
  return drawing;
}

/** @param {Region} region @param {number} width @param {number} number */
function box(region, width, number) {
  const [x0, y0, x1, y1] = region.box;
  const size = width / 30;
  const top = y0 > size * 1.5 ? y0 - size * 0.4 : y0 + size * 1.1;
  const name = `${number}. ${region.label}`;
  return svg(
    "g",
    {
      class: `region tint-${number % 6}`,
      tabindex: "0",
      role: "img",
      "aria-label": `${name}, ${Math.round(region.score * 100)} %`,
    },
    region.mask && svg("path", { class: "region-mask", d: maskPath(region.mask) }),
    svg("rect", {
      x: x0,
      y: y0,
      width: x1 - x0,
      height: y1 - y0,
      rx: width / 120,
      "vector-effect": "non-scaling-stroke",
    }),
    svg("text", { x: x0 + size * 0.2, y: top, "font-size": size }, name),
  );
}

/** @param {Region} region */
function area({ box: [x0, y0, x1, y1] }) {
  return (x1 - x0) * (y1 - y0);
}

/**
 * The runs of a mask (COCO's run lengths, down the columns), each as [x, y, length].
 * @param {{size: [number, number], counts: number[]}} mask
 */
export function* runs({ size: [height], counts }) {
  let start = 0;
  for (const [place, length] of counts.entries()) {
    for (let at = start; place % 2 === 1 && at < start + length;) {
      const y = at % height;
      const run = Math.min(height - y, start + length - at);
      yield [Math.floor(at / height), y, run];
      at += run;
    }
    start += length;
  }
}

/** @param {{size: [number, number], counts: number[]}} mask */
function maskPath(mask) {
  return [...runs(mask)].map(([x, y, length]) => `M${x} ${y}h1v${length}h-1z`).join("");
}
