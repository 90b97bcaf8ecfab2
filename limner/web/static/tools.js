/** The right end of the top line: running jobs, history, light and dark, and the list of pages on a narrow screen. */

import { get, post } from "./server.js";
import { openDialog } from "./dialog.js";
import { count, fill, h } from "./dom.js";
import { complain } from "./errors.js";
import { icon } from "./icons.js";
import { keep, kept } from "./state.js";

/** @param {HTMLElement} place */
export function topTools(place) {
  const button = (/** @type {string} */ name, /** @type {string} */ words, /** @type {() => void} */ act) =>
    h(
      "button",
      { type: "button", class: `round bare show-${name}`, "aria-label": words, title: words, onclick: act },
      icon(name),
    );
  const pages = button("menu", "Pages", () => openPages(pages));
  place.append(
    button("history", "History", () => document.getElementById("history")?.classList.toggle("open")),
    button("jobs", "Jobs", () => openJobs().catch(complain)),
    themeButton(),
    pages,
  );
}

/** @param {HTMLElement} button */
function openPages(button) {
  const list = document.getElementById("pages");
  const open = list?.classList.toggle("open") ?? false;
  button.setAttribute("aria-expanded", String(open));
}

function themeButton() {
  const root = document.documentElement;
  const dark = () =>
    (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const button = h("button", { type: "button", class: "round bare" });
  const show = () => {
    const words = dark() ? "Make the page light" : "Make the page dark";
    fill(button, icon(dark() ? "sun" : "moon"));
    Object.assign(button, { title: words });
    button.setAttribute("aria-label", words);
  };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    keep("theme", root.dataset.theme);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => kept("theme") || show());
  show();
  return button;
}

/** All jobs that wait or run, and the newest that ended. */
async function openJobs() {
  const list = h("ul", { class: "job-list" });
  const show = async () => fill(list, rows(await get("/api/jobs?limit=30"), show));
  await show();
  const timer = setInterval(() => show().catch(() => {}), 1500);
  openDialog("Jobs", [list], { closed: () => clearInterval(timer) });
}

/** @param {import("./types.js").Job[]} jobs @param {() => Promise<any>} again */
function rows(jobs, again) {
  if (!jobs.length) return [h("li", { class: "faint" }, "Nothing was asked for yet.")];
  return jobs.map((job) =>
    h(
      "li",
      {},
      h("span", { class: `state state-${job.state}` }, job.state),
      h("span", { class: "job-words" }, wording(job)),
      ending(job, again),
    ),
  );
}

/** @param {import("./types.js").Job} job @param {() => Promise<any>} again */
function ending(job, again) {
  if (job.state === "failed") return h("small", {}, job.error?.message ?? "");
  if (job.state !== "queued" && job.state !== "running") return null;
  const cancel = () => post(`/api/jobs/${job.id}/cancel`).then(again, complain);
  const place =
    job.state === "queued" && job.position ? h("small", {}, `${count(job.position, "job")} before it`) : null;
  return [
    place,
    h("button", { type: "button", class: "quiet small", "data-key": `cancel-${job.id}`, onclick: cancel }, "Cancel"),
  ];
}

/** @param {import("./types.js").Job} job */
function wording({ kind, params }) {
  const about = params.text ?? params.prompt ?? params.instruction ?? params.name ?? params.session ?? "";
  return kind === "say" && about ? `«${about}»` : `${kind}${about ? `: ${about}` : ""}`;
}
