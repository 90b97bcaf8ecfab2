/** The page «Datasets»: labelled pictures made to order, as they come, with every reject and its reason. */

import { follow, get, post } from "./server.js";
import { field } from "./dialog.js";
import { count, fill, h } from "./dom.js";
import { complain } from "./errors.js";
import { gallery } from "./gallery.js";
import { after, begun, progressBar } from "./progress.js";
import { reason } from "./session.js";
import { state } from "./state.js";

/** @param {Element} view @param {string} name the dataset that is shown, "" for the list @returns {() => void} */
export function datasetsPage(view, name) {
  const leaving = new AbortController();
  const page = h("div", { class: "page" });
  view.replaceChildren(page);
  (name ? showOne(page, name, leaving.signal) : showAll(page)).catch(
    (error) => leaving.signal.aborted || complain(error),
  );
  return () => leaving.abort();
}

/** @param {Element} page */
async function showAll(page) {
  const list = h("ul", { class: "rows" });
  fill(
    page,
    h(
      "header",
      { class: "page-top" },
      h("h1", {}, "Datasets"),
      h("p", {}, "Name classes, and get pictures of them with boxes, masks and captions."),
    ),
    orderForm(),
    list,
  );
  const rows = await get("/api/datasets");
  const row = (/** @type {Record<string, any>} */ each) =>
    h(
      "li",
      {},
      h(
        "a",
        { href: `#/datasets/${encodeURIComponent(each.name)}` },
        h("strong", {}, each.name),
        h("span", { class: "faint" }, inShort(each)),
      ),
    );
  fill(list, rows.length ? rows.map(row) : h("li", { class: "faint" }, "No dataset was made yet."));
}

/** @param {Record<string, any>} row */
function inShort(row) {
  const classes = row.classes?.join?.(", ") ?? row.classes ?? "";
  return [
    classes,
    row.accepted !== undefined && count(row.accepted, "picture"),
    row.complete === false && "not complete",
  ]
    .filter(Boolean)
    .join(" · ");
}

function orderForm() {
  const known = state.about?.knows?.concepts?.slice(0, 3).join(", ") ?? "fox, car, house";
  const forms = ["coco", "yolo", "webdataset", "imagefolder"].map((form) =>
    h(
      "label",
      { class: "check" },
      h("input", { type: "checkbox", name: "formats", value: form, checked: form === "coco" }),
      form,
    ),
  );
  const form = h(
    "form",
    { class: "fields order", "aria-label": "Order a dataset" },
    field("name", "Name", "Letters, digits, - and _.", {
      required: true,
      pattern: "[A-Za-z0-9_\\-]+",
      maxlength: 64,
      placeholder: "foxes",
    }),
    field("classes", "Classes", "With commas between them.", { required: true, maxlength: 2000, placeholder: known }),
    field("count", "Pictures", "", {
      type: "number",
      required: true,
      min: 1,
      max: 100000,
      value: 20,
      inputmode: "numeric",
    }),
    h("fieldset", {}, h("legend", {}, "Formats"), forms),
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Make it")),
  );
  form.addEventListener(
    "submit",
    (/** @type {SubmitEvent} */ event) => (event.preventDefault(), order(form).catch(complain)),
  );
  return form;
}

/** @param {HTMLFormElement} form */
async function order(form) {
  const given = new FormData(form);
  const [name, classes] = [String(given.get("name")).trim(), String(given.get("classes")).trim()];
  const formats = given.getAll("formats").join(",");
  await post("/api/datasets", { name, classes, count: Number(given.get("count")), ...(formats ? { formats } : {}) });
  location.hash = `#/datasets/${encodeURIComponent(name)}`;
}

/** @param {Element} page @param {string} name @param {AbortSignal} signal */
async function showOne(page, name, signal) {
  const work = h("div", {});
  const facts = h("div", {});
  const back = h("a", { class: "back", href: "#/datasets" }, "All datasets");
  fill(page, back, h("header", { class: "page-top" }, h("h1", {}, name)), work, facts);
  const jobs = await get("/api/jobs?limit=200");
  const job = jobs.find(
    (/** @type {import("./types.js").Job} */ each) => each.kind === "synth" && each.params.name === name,
  );
  if (job && ["queued", "running"].includes(job.state)) await followOne(job.id, work, signal);
  else if (job?.state === "failed") fill(work, failure(job.error));
  fill(facts, await report(name));
}

/** @param {{message: string, hint: string} | null} error */
function failure(error) {
  return h("p", { class: "problem", role: "alert" }, `${error?.message ?? "It failed"}. ${error?.hint ?? ""}`);
}

/** @param {string} job @param {Element} place @param {AbortSignal} signal */
async function followOne(job, place, signal) {
  let now = begun(job);
  const stop = () => ((now = { ...now, stopping: true }), show(), post(`/api/jobs/${job}/cancel`).catch(complain));
  const show = () =>
    fill(
      place,
      h("article", { class: "card lesson" }, progressBar(now, stop), reasons(now.accepted, now.rejected ?? {})),
    );
  show();
  const last = await follow(job, (event) => ((now = after(now, event)), show()), { signal });
  fill(place, last.kind === "failed" ? failure(reason(last)) : "");
}

/** @param {number} accepted @param {Record<string, number>} rejected */
function reasons(accepted, rejected) {
  const rows = Object.entries(rejected).sort(([, a], [, b]) => b - a);
  return h(
    "dl",
    { class: "tally" },
    h("div", { class: "pass" }, h("dt", {}, "kept"), h("dd", {}, accepted)),
    rows.map(([why, number]) => h("div", {}, h("dt", {}, why), h("dd", {}, number))),
  );
}

/** @param {string} name */
async function report(name) {
  const at = `/api/datasets/${encodeURIComponent(name)}`;
  const told = await get(at).catch((error) => (error.status === 404 ? null : Promise.reject(error)));
  if (!told?.report) return h("p", { class: "faint" }, "It is not finished: order it again under this name to go on.");
  const forms = ["limner", ...(told.form ?? [])];
  const report = told.report ?? {};
  const link = (/** @type {string} */ words, /** @type {string} */ href) =>
    h("a", { class: "button quiet small", href }, words);
  return [
    reasons(told.accepted ?? 0, report.rejected ?? {}),
    h(
      "div",
      { class: "buttons" },
      link("Its card", `${at}/card`),
      forms.map((form) => link(`${form} as zip`, `${at}/zip?format=${form}`)),
    ),
    gallery(at),
  ];
}
