/** The pictures of a dataset, kept and rejected, with their boxes and the reason. */

import { get } from "./server.js";
import { fill, h, svg } from "./dom.js";
import { complain } from "./errors.js";

const PAGE = 24;
const KINDS = [
  ["accepted", "Kept"],
  ["rejected", "Rejected"],
];

/** @param {string} at the dataset's address */
export function gallery(at) {
  const grid = h("div", { class: "grid", "aria-live": "off" });
  const more = h("button", { type: "button", class: "quiet" }, "Show more");
  let [kind, shown] = ["accepted", 0];
  const load = async () => {
    const rows = await get(`${at}/pictures?kind=${kind}&offset=${shown}&limit=${PAGE}`);
    const list = rows.rows ?? rows.pictures ?? rows;
    grid.append(...list.map(figure));
    shown += list.length;
    more.hidden = list.length < PAGE;
    if (!shown)
      fill(grid, h("p", { class: "faint" }, kind === "accepted" ? "No picture was kept." : "No picture was rejected."));
  };
  const choose = (/** @type {string} */ wanted) => {
    [kind, shown] = [wanted, 0];
    fill(grid);
    fill(tabs, buttons());
    load().catch(complain);
  };
  const buttons = () =>
    KINDS.map(([value, words]) =>
      h(
        "button",
        {
          type: "button",
          class: "tab",
          "data-key": value,
          "aria-pressed": String(value === kind),
          onclick: () => choose(value),
        },
        words,
      ),
    );
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Which pictures" }, buttons());
  more.addEventListener("click", () => load().catch(complain));
  load().catch(complain);
  return h("section", { "aria-label": "Pictures" }, tabs, grid, more);
}

/** @param {Record<string, any>} row */
function figure(row) {
  const image = row.url
    ? h("img", { src: row.url, alt: row.caption ?? "", loading: "lazy" })
    : h("span", { class: "blank" }, "no picture was kept");
  const sheet = h("div", { class: "grid-picture" }, image);
  const boxes = row.boxes ?? [];
  if (row.url && boxes.length) image.addEventListener("load", () => sheet.append(drawn(boxes, image)), { once: true });
  return h(
    "figure",
    {},
    sheet,
    h("figcaption", {}, row.reason && h("strong", {}, row.reason), " ", row.caption || row.detail),
  );
}

/** @param {any[]} boxes @param {HTMLImageElement} image */
function drawn(boxes, image) {
  const shapes = boxes.map((each, place) => {
    const [x0, y0, x1, y1] = each.box ?? each;
    const rect = svg("rect", { x: x0, y: y0, width: x1 - x0, height: y1 - y0, "vector-effect": "non-scaling-stroke" });
    return svg("g", { class: `region tint-${(place + 1) % 6}` }, rect, svg("title", {}, each.label ?? ""));
  });
  return svg(
    "svg",
    { class: "boxes", viewBox: `0 0 ${image.naturalWidth} ${image.naturalHeight}`, "aria-hidden": "true" },
    shapes,
  );
}
