/** What can be done with a session: each asks the server, and the state says what came of it. */

import { follow, get, post, Refused, remove, upload } from "./server.js";
import { announce } from "./dom.js";
import { complain, tell } from "./errors.js";
import { after, begun, leftover } from "./progress.js";
import { keep, state, update } from "./state.js";

let following = new AbortController();

/** @param {string} name */
const at = (name) => `/api/sessions/${encodeURIComponent(name)}`;

/** Show a session, and go on waiting for its job where one runs. @param {string} name */
export async function openSession(name) {
  following.abort();
  const session = await get(at(name));
  update({ session, pending: null, look: null, mask: null, painting: false });
  keep("last", name);
  if (session.job) await waitFor(session.job);
}

/** Show none: the beginning. */
export function leaveSession() {
  following.abort();
  update({ session: null, pending: null, look: null, mask: null, painting: false });
}

/** Ask the server for the session as it is now. */
export async function refresh() {
  const name = state.session?.name;
  if (!name) return;
  const session = await get(at(name));
  if (state.session?.name !== name) return;
  update({ session });
  if (session.job && !state.pending) waitFor(session.job).catch(complain);
}

/** Begin a session that is named after what is said first. @param {string} said @returns {Promise<string>} its name */
export async function begin(said) {
  const words = said.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  const telling = words.filter((word) => !["a", "an", "the", "of", "in", "on", "to", "and", "with"].includes(word));
  const stem = telling.slice(0, 4).join("-").slice(0, 40) || "picture";
  const taken = new Set((await get("/api/sessions")).map((/** @type {{name: string}} */ row) => row.name));
  const name = [stem, ...Array.from({ length: taken.size + 1 }, (_, place) => `${stem}-${place + 2}`)].find(
    (each) => !taken.has(each),
  );
  const session = await post("/api/sessions", { name });
  update({ session, pending: null, look: null, mask: null, painting: false });
  keep("last", session.name);
  return session.name;
}

/** Say something; resolves when the server took it, and the rest is followed. @param {string} text */
export async function say(text) {
  const mask = state.mask?.picture;
  const job = await post(`${at(name())}/say`, { text, ...(mask ? { mask } : {}) });
  update({ mask: null, painting: false, look: null });
  waitFor(job.id, text).catch(complain);
}

/** Go on from a picture of the user's own. @param {string} picture */
export async function openPicture(picture) {
  const job = await post(`${at(name())}/open`, { picture });
  waitFor(job.id, "").catch(complain);
}

/** Make the later turns again without one. @param {string} turn */
export async function forget(turn) {
  const job = await post(`${at(name())}/forget`, { turn });
  waitFor(job.id, "").catch(complain);
}

/** Learn what the picture shows. @param {Record<string, any>} params */
export async function learnHere(params) {
  const job = await post("/api/jobs", { kind: "learn", session: name(), ...params });
  waitFor(job.id, "").catch(complain);
}

/** @param {"undo" | "redo"} which */
export async function step(which) {
  update({ session: await post(`${at(name())}/${which}`), look: null, mask: null, painting: false });
  announce(which === "undo" ? "Undone" : "Done again");
}

/** @param {string} turn */
export async function goTo(turn) {
  update({ session: await post(`${at(name())}/goto`, { turn }), look: null, mask: null, painting: false });
}

/** @param {string} branch */
export async function nameBranch(branch) {
  update({ session: await post(`${at(name())}/branch`, { name: branch }) });
}

/** @param {{mode?: string, ask?: string}} chosen */
export async function set(chosen) {
  update({ session: await post(`${at(name())}/set`, chosen) });
}

/** @param {string} session */
export async function removeSession(session) {
  await remove(at(session));
  if (state.session?.name === session) leaveSession();
}

/** The prompts of two turns, word by word. @param {string} first @param {string} second */
export const difference = (first, second) => get(`${at(name())}/diff?first=${first}&second=${second}`);

/** Where a session can be had as one file. @param {string} session */
export const exportUrl = (session) => `${at(session)}/export`;

/** Stop what this session waits for. */
export async function stop() {
  const pending = state.pending;
  if (!pending || pending.stopping) return;
  update({ pending: { ...pending, stopping: true } });
  await post(`/api/jobs/${pending.id}/cancel`);
}

/** What is in a picture; looked for once. @param {string} picture @returns {Promise<import("./types.js").Look>} */
export async function lookAt(picture) {
  const known = state.looks.get(picture);
  if (known) return known;
  const job = await post("/api/jobs", { kind: "look", picture });
  const last = await follow(job.id, () => {});
  if (last.kind !== "done")
    throw new Refused(500, last.message || "The picture was not looked at", last.data?.hint ?? "");
  const found = last.data.result ?? (await get(`/api/jobs/${job.id}`)).result;
  state.looks.set(picture, found);
  return found;
}

/** Send a mask; what is said next is done inside it. @param {Blob} file */
export async function useMask(file) {
  const { picture } = await upload(file);
  update({ mask: { picture, url: URL.createObjectURL(file) }, painting: false });
}

/** Follow a job of this session to its end, and show what came of it. @param {string} job @param {string} [said] */
async function waitFor(job, said) {
  following.abort();
  const mine = (following = new AbortController());
  const words = said ?? (await get(`/api/jobs/${job}`).catch(() => null))?.params?.text ?? "";
  update({ pending: begun(job, words) });
  const asking = setInterval(() => place(job).catch(() => {}), 2000);
  try {
    const last = await follow(job, (event) => heard(job, event), { signal: mine.signal });
    await refresh();
    if (state.pending?.id === job) ended(last);
  } finally {
    clearInterval(asking);
    if (state.pending?.id === job && !mine.signal.aborted) update({ pending: null });
  }
}

/** @param {import("./types.js").JobEvent} last */
function ended(last) {
  const left = state.pending && leftover(state.pending);
  update({ pending: null });
  if (last.kind === "failed") complain(new Refused(500, reason(last).message, reason(last).hint));
  else if (last.kind === "cancelled") tell("Stopped", left ?? "");
  else if (state.session) announce(summary(state.session));
}

/** Ask how many jobs are before one that waits. @param {string} job */
async function place(job) {
  if (state.pending?.id !== job || state.pending.position === null) return;
  const { position, state: now } = await get(`/api/jobs/${job}`);
  if (state.pending?.id === job && now === "queued") update({ pending: { ...state.pending, position } });
}

/** @param {string} job @param {import("./types.js").JobEvent} event */
function heard(job, event) {
  const before = state.pending;
  if (before?.id !== job) return;
  const pending = after(before, event);
  update({ pending });
  if (pending.phase !== before.phase) announce(pending.phase);
  if (event.kind === "turn") refresh().catch(complain);
}

/** Why a job failed. @param {import("./types.js").JobEvent} last @returns {{message: string, hint: string}} */
export function reason(last) {
  const { message = last.message || "It failed", hint = "" } = last.data?.error ?? {};
  return { message, hint: hint || "Say it in other words, or try it again." };
}

/** Where a session stands, for those who hear the page. @param {import("./types.js").Session} session */
function summary(session) {
  const turn = session.turns.find((each) => each.id === session.tip);
  return session.question ? session.question.text : (turn?.headline ?? "Back at the beginning");
}

function name() {
  if (!state.session) throw new Error("no session is open");
  return state.session.name;
}
