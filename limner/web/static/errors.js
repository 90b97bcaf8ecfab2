/** Failures as the user meets them: a sentence and what to do next, and a quiet bar while the server is away. */

import { fill, h, place } from "./dom.js";
import { icon } from "./icons.js";

/** How long a message stays, in milliseconds: one that asks for something longer than one that only tells. */
const SHOWN_FOR = { failed: 20_000, told: 5000 };

/** @type {Set<() => void>} */
const returned = new Set();
let away = false;
/** @type {number | undefined} */
let knocking;

/**
 * Tell a failure. A lost connection has its own bar and is not told again.
 * @param {any} error
 * @param {{again?: () => void}} [options] what «Try again» does, where that makes sense
 */
export function complain(error, { again } = {}) {
  if (error?.name === "AbortError") return;
  if (away && error?.constructor?.name === "Away") return;
  const message = error instanceof Error && "hint" in error ? error.message : "Something on this page went wrong";
  const hint = /** @type {any} */ (error)?.hint ?? "Reload the page; nothing on the server is lost.";
  if (!(error instanceof Error && "hint" in error)) console.error(error);
  show(sentence(message), sentence(hint), again);
}

/** Tell something that needs no answer. @param {string} message @param {string} [hint] */
export function tell(message, hint = "") {
  show(sentence(message), sentence(hint), undefined, "told");
}

/** @param {string} message @param {string} hint @param {(() => void) | undefined} again @param {"failed" | "told"} [kind] */
function show(message, hint, again, kind = "failed") {
  const close = () => alert.remove();
  const alert = h(
    "div",
    { class: `alert ${kind}` },
    icon(kind === "failed" ? "warn" : "check"),
    h("p", {}, h("strong", {}, message), hint && ` ${hint}`),
    again && h("button", { type: "button", class: "quiet", onclick: () => (close(), again()) }, "Try again"),
    h("button", { type: "button", class: "bare", "aria-label": "Close this message", onclick: close }, icon("cross")),
  );
  place("alerts").append(alert);
  const expire = () => (alert.matches(":hover, :focus-within") ? setTimeout(expire, 2000) : close());
  setTimeout(expire, SHOWN_FOR[kind]);
}

/** A message as a sentence: a capital first, a full stop last. @param {string} text */
export function sentence(text) {
  const plain = text.trim();
  if (!plain) return "";
  return plain[0].toUpperCase() + plain.slice(1) + (/[.!?…»]$/.test(plain) ? "" : ".");
}

/** Say whether the server was reached just now. @param {boolean} reached */
export function connection(reached) {
  if (reached !== away) return;
  away = !reached;
  const bar = place("connection");
  bar.hidden = reached;
  fill(bar, reached ? "" : "Reconnecting… Nothing is lost: drawing goes on, and what you wrote is kept.");
  if (away) knock();
  else for (const back of [...returned]) back();
}

/** Be told when the server is there again. @param {() => void} back */
export function whenBack(back) {
  returned.add(back);
}

/** Ask every now and then whether the server is there. */
function knock() {
  clearTimeout(knocking);
  knocking = window.setTimeout(async () => {
    const reached = await fetch("/healthz").then(
      () => true,
      () => false,
    );
    if (reached) connection(true);
    else if (away) knock();
  }, 2000);
}

window.addEventListener("offline", () => connection(false));
