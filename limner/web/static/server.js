/** Talking to the server: JSON calls, pictures, and the events of a job, through lost connections and logins. */

import { connection } from "./errors.js";
import { login } from "./login.js";

/** A refusal, told by the server in a sentence, with a hint what to do next. */
export class Refused extends Error {
  /** @param {number} status @param {string} message @param {string} hint @param {number} [after] seconds to wait */
  constructor(status, message, hint, after = 0) {
    super(message);
    this.status = status;
    this.hint = hint;
    this.after = after;
  }
}

/** No answer at all: the server or the network is away. */
export class Away extends Error {
  constructor() {
    super("Limner does not answer");
    this.hint = "It will be tried again; what you wrote is kept.";
  }
}

const LAST = new Set(["done", "failed", "cancelled"]);
const LONGEST_WAIT = 5000;

/**
 * @param {string} method
 * @param {string} path
 * @param {any} [body] a Blob or a FormData as it is, anything else as JSON
 * @returns {Promise<any>} what was answered, null for no content
 */
export async function call(method, path, body) {
  const answer = await reach(path, request(method, body));
  if (answer.status === 401) {
    await login();
    return call(method, path, body);
  }
  if (!answer.ok) throw await refusal(answer);
  return answer.status === 204 ? null : answer.json();
}

/** @param {string} path */
export const get = (path) => call("GET", path);
/** @param {string} path @param {any} [body] */
export const post = (path, body = {}) => call("POST", path, body);
/** @param {string} path */
export const remove = (path) => call("DELETE", path);

/** Bring a picture along. @param {Blob} file @returns {Promise<{picture: string, width: number, height: number}>} */
export async function upload(file) {
  const form = new FormData();
  form.append("file", file, "picture");
  return post("/api/pictures", form);
}

/**
 * The events of a job, from after `after` to the last, which is returned. A lost connection is taken up again.
 * @param {string} job
 * @param {(event: import("./types.js").JobEvent) => void} tell
 * @param {{after?: number, signal?: AbortSignal}} [options]
 * @returns {Promise<import("./types.js").JobEvent>}
 */
export async function follow(job, tell, { after = 0, signal } = {}) {
  for (let last = after, wait = 250; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
    try {
      for await (const event of events(job, last, signal)) {
        [last, wait] = [event.seq, 250];
        tell(event);
        if (LAST.has(event.kind)) return event;
      }
    } catch (error) {
      if (signal?.aborted || (error instanceof Refused && error.status < 500 && error.status !== 429)) throw error;
    }
    await sleep(wait, signal);
  }
}

/**
 * The events of one connection, until it ends.
 * @param {string} job @param {number} after @param {AbortSignal} [signal]
 * @returns {AsyncGenerator<import("./types.js").JobEvent>}
 */
async function* events(job, after, signal) {
  const headers = { accept: "text/event-stream", "last-event-id": String(after) };
  const answer = await reach(`/api/jobs/${job}/events?after=${after}`, { headers, signal });
  if (answer.status === 401) return void (await login());
  if (!answer.ok || !answer.body) throw await refusal(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let rest = ""; ;) {
      const { done, value } = await reader.read().catch(lost);
      if (done) return;
      const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const data = block.split("\n").filter((line) => line.startsWith("data:"));
        if (data.length) yield JSON.parse(data.map((line) => line.slice(5)).join("\n"));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} method @param {any} body @returns {RequestInit} */
function request(method, body) {
  if (body === undefined || body instanceof FormData || body instanceof Blob) return { method, body };
  return { method, body: JSON.stringify(body), headers: { "content-type": "application/json" } };
}

/** @param {string} path @param {RequestInit} init */
async function reach(path, init) {
  const answer = await fetch(path, { credentials: "same-origin", ...init }).catch((error) => {
    if (init.signal?.aborted) throw error;
    return lost();
  });
  connection(true);
  return answer;
}

/** @returns {never} */
function lost() {
  connection(false);
  throw new Away();
}

/** @param {Response} answer */
async function refusal(answer) {
  const told = await answer.json().catch(() => ({}));
  const { message, hint } = told.error ?? {};
  const after = Number(answer.headers.get("retry-after")) || 0;
  const wait = after ? `Try again in ${after} s.` : "Try it again; the server's log says more.";
  return new Refused(answer.status, message || `The server answered ${answer.status}`, hint || wait, after);
}

/** @param {number} milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    const stop = () => (clearTimeout(timer), reject(signal?.reason));
    signal?.addEventListener("abort", stop, { once: true });
  });
}
