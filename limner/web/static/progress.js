/** What is known of a running job, told by its events; and how that is shown. */

import { duration, h } from "./dom.js";
import { sentence } from "./errors.js";
import { lossCurve } from "./curve.js";
import { looks } from "./looks.js";

/** @typedef {import("./types.js").Progress} Progress */

const PHASES = /** @type {Record<string, string>} */ ({
  queued: "Waiting",
  started: "Beginning",
  load: "Loading the models",
  keywords: "Drawing",
  rewrite: "Drawing",
  instruction: "Changing it",
  attempt: "Changing the picture",
  look: "Looking",
  learn: "Learning",
  item: "Making pictures",
  again: "Making again what came after",
});
const TOLD = new Set(["draw", "assemble", "stage"]);
const NOTED = new Set(["warning", "round", "instruction", "rewrite", "dropped", "undo"]);
const COUNTED = new Set(["progress", "learn", "item"]);

/** @param {string} id @param {string} [said] @returns {Progress} */
export function begun(id, said = "") {
  const unknown = { position: null, eta: null, preview: null, rejected: null };
  const nothing = { base: 0, done: 0, total: 0, accepted: 0, stopping: false };
  return { id, said, ...unknown, ...nothing, phase: "Waiting", notes: [], curve: [], looks: [] };
}

/**
 * What is known after one more event.
 * @param {Progress} now
 * @param {import("./types.js").JobEvent} event
 * @returns {Progress}
 */
export function after(now, event) {
  const { kind, message, data = {} } = event;
  const next = { ...now, ...(COUNTED.has(kind) ? counted(now, event) : {}) };
  if (kind === "queued") Object.assign(next, begun(now.id, now.said), { position: data.position ?? null });
  if (kind === "started") next.position = null;
  if (kind === "preview" && data.picture) next.preview = data.picture;
  if (kind === "preview" && data.pictures) next.looks = [...next.looks, /** @type {any} */ (data)];
  next.phase = PHASES[kind] ?? (TOLD.has(kind) && message ? sentence(message).slice(0, -1) : next.phase);
  if (NOTED.has(kind)) next.notes = [...next.notes, { kind, text: message, diff: data.diff }];
  if (kind === "learn" && typeof data.loss === "number") next.curve = [...next.curve, [event.done, data.loss]];
  if (kind === "item") Object.assign(next, { accepted: data.accepted ?? event.done, rejected: data.rejected ?? {} });
  return next;
}

/**
 * How far it is. The steps of a drawing go on counting from batch to batch: the bar shows the batch.
 * @param {Progress} now
 * @param {import("./types.js").JobEvent} event
 */
function counted(now, { kind, done, total, data }) {
  const base = kind === "progress" && now.total > 0 && total > now.total ? now.total : now.base;
  const eta = data.eta_s ?? data.eta ?? data.seconds_left;
  return { base, done, total, eta: typeof eta === "number" ? eta : null };
}

/** What is going on, in a few words. @param {Progress} now */
export function inWords(now) {
  if (now.stopping) return "Stopping…";
  if (now.position) return `Waiting: ${now.position} before you`;
  const left = now.eta === null || now.eta < 0.5 ? "" : ` · about ${duration(Math.ceil(now.eta))} left`;
  return `${now.phase}…${left}`;
}

/** What there is of a job that was stopped. @param {Progress} now */
export function leftover(now) {
  return now.curve.length
    ? "What was learned by then is among the concepts; learn it again under its name to go on."
    : "Nothing half-made was kept.";
}

/**
 * Bar, words, and the way to stop it.
 * @param {Progress} now
 * @param {() => void} stop
 */
export function progressBar(now, stop) {
  const known = now.total > now.base && now.position === null;
  const bar = h("progress", {
    "aria-label": "Progress",
    ...(known ? { max: now.total - now.base, value: now.done - now.base } : {}),
  });
  const cancel = h(
    "button",
    { type: "button", class: "quiet small", disabled: now.stopping, "data-key": `stop-${now.id}`, onclick: stop },
    "Cancel",
  );
  return h(
    "div",
    { class: "progress" },
    bar,
    h("p", {}, inWords(now)),
    cancel,
    now.curve.length > 1 && lossCurve(now.curve),
    looks(now.looks),
  );
}
