/** Which session is open, the others, and what can be done with one. */

import { get } from "./server.js";
import { confirmed } from "./dialog.js";
import { fill, h } from "./dom.js";
import { complain, tell } from "./errors.js";
import { icon } from "./icons.js";
import { menu } from "./menu.js";
import { exportUrl, removeSession } from "./session.js";
import { keep, kept, state, watch } from "./state.js";

/** @type {Record<string, any>[]} */
let known = [];

/** Put the button that lists the sessions into the top line. @param {HTMLElement} place */
export function sessionMenu(place) {
  const words = h("span", {});
  const button = h("button", { type: "button", class: "session-button" }, words, icon("down"));
  menu(button, items);
  button.addEventListener("pointerenter", () => learnNames().catch(() => {}));
  button.addEventListener("focus", () => learnNames().catch(() => {}));
  place.append(button);
  watch(["session"], () => {
    fill(words, state.session?.name ?? "New picture");
    button.setAttribute("aria-label", state.session ? `Session ${state.session.name}` : "Sessions");
    learnNames().catch(() => {});
  });
}

async function learnNames() {
  known = await get("/api/sessions");
}

/** @returns {(import("./menu.js").Item | Node)[]} */
function items() {
  const open = state.session?.name;
  const rows = known.slice(0, 30).map((row) => ({
    text: nameOf(row),
    hint: row.shows ?? "nothing drawn yet",
    current: nameOf(row) === open,
    href: `#/s/${encodeURIComponent(nameOf(row))}`,
  }));
  const own = open
    ? [
        h("hr"),
        { text: "Save this session as a zip", href: exportUrl(open), download: `${open}.zip` },
        { text: "Delete this session…", danger: true, act: () => gone(open) },
      ]
    : [];
  return [{ text: "New picture", href: "#/new" }, ...(rows.length ? [h("hr")] : []), ...rows, ...own];
}

/** @param {Record<string, any>} row @returns {string} */
const nameOf = (row) => row.name ?? row.session;

/** @param {string} name */
async function gone(name) {
  const text = `«${name}» is deleted with its turns and pictures. This cannot be undone.`;
  if (!(await confirmed("Delete this session?", text, "Delete it"))) return;
  try {
    await removeSession(name);
    if (kept("last") === name) keep("last", "");
    keep(`draft.${name}`, "");
    location.hash = "#/new";
    tell(`«${name}» is deleted`);
  } catch (error) {
    complain(error);
  }
}
