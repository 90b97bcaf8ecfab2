/** Line icons, drawn on a grid of 20. They say nothing by themselves: whoever uses one gives it words. */

import { svg } from "./dom.js";

/** @type {Record<string, string>} */
const PATHS = {
  undo: "M7 4 3.5 7.5 7 11M3.5 7.5H12a4.5 4.5 0 0 1 0 9H8",
  redo: "m13 4 3.5 3.5L13 11m3.5-3.5H8a4.5 4.5 0 0 0 0 9h4",
  find: "M2 10s3-5.5 8-5.5 8 5.5 8 5.5-3 5.5-8 5.5S2 10 2 10Zm8 2.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z",
  brush: "M16.5 3.5 8.5 11.5m0 0c-2-.5-3.5.5-4 2.5-.3 1.2-1 2-2 2.5 3 1 7 .5 7.5-2.5a2.4 2.4 0 0 0-1.5-2.5Z",
  compare: "M10 2.5v15M4 5h3.5v10H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Zm8.5 0H16a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1h-3.5",
  learn: "M10 2.5l1.8 4.7 4.7 1.8-4.7 1.8L10 15.5l-1.8-4.7L3.5 9l4.7-1.8ZM16 14v3m-1.5-1.5h3",
  save: "M10 3v9m-3.5-3.5L10 12l3.5-3.5M3.5 14v1.5a1 1 0 0 0 1 1h11a1 1 0 0 0 1-1V14",
  picture:
    "M4 3.5h12a1 1 0 0 1 1 1v11a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1v-11a1 1 0 0 1 1-1Zm-.5 11 4-4.5 3 3 2-2 4 3.5M13 7.5h.01",
  send: "M10 16V4m-4.5 4.5L10 4l4.5 4.5",
  stop: "M6 6h8v8H6Z",
  check: "m4 10.5 4 4 8-9",
  cross: "m5 5 10 10M15 5 5 15",
  warn: "M10 3 2.5 16.5h15ZM10 8.5v3.5m0 2.2v.1",
  dots: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  down: "m5.5 8 4.5 4.5L14.5 8",
  menu: "M3 6h14M3 10h14M3 14h14",
  sun: "M10 13.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM10 2v1.5m0 13V18m-8-8h1.5m13 0H18M4.3 4.3l1.1 1.1m9.2 9.2 1.1 1.1m-11.4 0 1.1-1.1m9.2-9.2 1.1-1.1",
  moon: "M16.5 11.5A7 7 0 1 1 8.5 3.5a5.5 5.5 0 0 0 8 8Z",
  branch: "M6 3v14M6 12.5c0-3.5 8-1.5 8-6M14 6.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Z",
  history: "M3.5 10a6.5 6.5 0 1 0 2-4.7L3.5 7M3.5 3.5V7H7M10 6.5V10l2.5 1.5",
  question: "M7.5 7.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7m0 3v.1",
  plus: "M10 4v12M4 10h12",
  trash: "M4 5.5h12M8 5.5v-2h4v2M5.5 5.5l.7 11h7.6l.7-11",
  tune: "M3 6h8m4 0h2M3 14h2m4 0h8M13 8a2 2 0 1 0 0-4 2 2 0 0 0 0 4ZM7 16a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  note: "M3.5 4.5h13v9h-7l-3.5 3v-3H3.5Z",
  jobs: "M3.5 5.5h13M3.5 10h13M3.5 14.5h7",
};

/** @param {string} name @returns {SVGElement} */
export function icon(name) {
  return svg(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" },
    svg("path", { d: PATHS[name] ?? PATHS.note }),
  );
}
