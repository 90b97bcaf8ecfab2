/** Marking a part of the picture: with the finger, the pen or the mouse, or by the numbers of what was found. */

import { h } from "./dom.js";
import { complain } from "./errors.js";
import { icon } from "./icons.js";
import { runs } from "./overlay.js";
import { lookAt, useMask } from "./session.js";
import { update } from "./state.js";

const TINT = "rgb(61 79 196)";

/** The canvas over a picture, and its controls. @param {string} picture */
export function painter(picture) {
  const canvas = h("canvas", {
    class: "paint",
    "aria-label": "Paint over the part to change; or choose from what was found",
  });
  const size = h("input", { type: "range", min: "4", max: "40", value: "14", "aria-label": "Width of the brush" });
  const found = h("div", { class: "found", role: "group", "aria-label": "Mark what was found" });
  const use = h("button", { type: "button", class: "primary small", onclick: () => taken(canvas) }, "Use it");
  const button = (/** @type {string} */ words, /** @type {() => void} */ act) =>
    h("button", { type: "button", class: "quiet small", onclick: act }, words);
  const bar = h(
    "div",
    { class: "paint-bar" },
    h("label", { class: "brush" }, icon("brush"), size),
    found,
    button("Clear", () => context(canvas).clearRect(0, 0, canvas.width, canvas.height)),
    button("Leave", () => update({ painting: false })),
    use,
  );
  requestAnimationFrame(() => fit(canvas));
  brush(canvas, () => (Number(size.value) / 100) * canvas.width);
  findings(picture, canvas, found).catch(complain);
  return { canvas, bar };
}

/** Give the canvas the picture's own pixels. @param {HTMLCanvasElement} canvas */
async function fit(canvas) {
  const image = /** @type {HTMLImageElement | null} */ (canvas.parentElement?.querySelector(".large"));
  await image?.decode().catch(() => {});
  if (image) [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
}

/** @param {HTMLCanvasElement} canvas @param {() => number} width */
function brush(canvas, width) {
  let drawing = false;
  const stroke = (/** @type {PointerEvent} */ event) => {
    const at = canvas.getBoundingClientRect();
    const scale = canvas.width / at.width;
    const pen = context(canvas);
    Object.assign(pen, { lineWidth: width(), lineCap: "round", lineJoin: "round", strokeStyle: TINT });
    const point = /** @type {[number, number]} */ ([
      (event.clientX - at.left) * scale,
      (event.clientY - at.top) * scale,
    ]);
    if (event.type === "pointerdown") {
      pen.beginPath();
      pen.moveTo(...point);
    }
    pen.lineTo(...point);
    pen.stroke();
  };
  canvas.addEventListener("pointerdown", (event) => {
    drawing = true;
    canvas.setPointerCapture(event.pointerId);
    stroke(event);
  });
  canvas.addEventListener("pointermove", (event) => drawing && stroke(event));
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (drawing = false));
}

/**
 * Buttons for the things in the picture, for whoever cannot or would not paint.
 * @param {string} picture
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLElement} place
 */
async function findings(picture, canvas, place) {
  place.append(h("small", {}, "Looking what there is…"));
  const { regions } = await lookAt(picture);
  const buttons = regions.slice(0, 9).map((region, index) => {
    const words = `${index + 1} ${region.label}`;
    const button = h(
      "button",
      { type: "button", class: "choice small", "aria-pressed": "false", onclick: () => mark() },
      words,
    );
    const mark = () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      paintRegion(canvas, region, on);
    };
    return button;
  });
  place.replaceChildren(...(buttons.length ? buttons : [h("small", {}, "Nothing was found by name: paint.")]));
}

/** @param {HTMLCanvasElement} canvas @param {import("./types.js").Region} region @param {boolean} on */
function paintRegion(canvas, region, on) {
  const pen = context(canvas);
  const [x0, y0, x1, y1] = region.box;
  pen.fillStyle = TINT;
  const put = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ w, /** @type {number} */ l) =>
    on ? pen.fillRect(x, y, w, l) : pen.clearRect(x, y, w, l);
  if (!region.mask) return put(x0, y0, x1 - x0, y1 - y0);
  for (const [x, y, length] of runs(region.mask)) put(x - 1, y - 1, 3, length + 2); // a little over the edge
}

/** Send what is marked as a picture, bright where it is. @param {HTMLCanvasElement} canvas */
async function taken(canvas) {
  const { width, height } = canvas;
  const marked = context(canvas).getImageData(0, 0, width, height);
  let any = false;
  for (let at = 0; at < marked.data.length; at += 4) {
    const on = marked.data[at + 3] > 127;
    any ||= on;
    marked.data.set(on ? [255, 255, 255, 255] : [0, 0, 0, 255], at);
  }
  if (!any)
    return complain(Object.assign(new Error("Nothing is marked yet"), { hint: "Paint over what is to change." }));
  const sheet = Object.assign(document.createElement("canvas"), { width, height });
  context(sheet).putImageData(marked, 0, 0);
  const file = await new Promise((/** @type {BlobCallback} */ resolve) => sheet.toBlob(resolve, "image/png"));
  if (file) await useMask(file).then(() => document.getElementById("say")?.focus(), complain);
}

/** @param {HTMLCanvasElement} canvas */
function context(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
}
