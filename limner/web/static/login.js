/** Asking for the token of a server that wants one. It becomes a cookie that no script can read. */

import { connection } from "./errors.js";
import { field, openDialog } from "./dialog.js";
import { h } from "./dom.js";

/** @type {Promise<void> | null} */
let waiting = null;

/** Ask for the token, once however many wait for it; resolves when the server took it. @returns {Promise<void>} */
export function login() {
  waiting ??= ask().finally(() => (waiting = null));
  return waiting;
}

/** @returns {Promise<void>} */
function ask() {
  return new Promise((resolve) => {
    const wrong = h("p", { class: "problem", role: "alert" });
    const input = field("token", "Token", "Whoever started the server has it.", { type: "password", required: true });
    const enter = h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Enter"));
    const form = h("form", { class: "fields" }, input, wrong, enter);
    const dialog = openDialog("This Limner asks who you are", [form]);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      wrong.textContent = await refused(String(new FormData(form).get("token")));
      if (wrong.textContent) return;
      resolve();
      dialog.close();
    });
  });
}

/** Why a token was not taken, "" where it was. @param {string} token @returns {Promise<string>} */
async function refused(token) {
  const body = JSON.stringify({ token });
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/api/login", { method: "POST", headers, body }).catch(() => null);
  connection(answer !== null);
  if (answer?.ok) return "";
  if (answer?.status === 429) return "Too many tries. Wait a minute, then try again.";
  return answer ? "That is not the token. Look at how the server was started." : "Limner does not answer. Try again.";
}
