/** Keys that work wherever one is on the page «Draw». */

import { place } from "./dom.js";
import { complain } from "./errors.js";
import { step, stop } from "./session.js";
import { state, update } from "./state.js";

/** Listen to the keyboard. */
export function listen() {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || document.querySelector("dialog[open], [popover]:popover-open")) return;
    const act = action(event);
    if (!act) return;
    event.preventDefault();
    act();
  });
  place("skip").addEventListener("click", () => (document.getElementById("say") ?? place("view")).focus());
}

/** What a key does; null where it belongs to what is being written. @param {KeyboardEvent} event */
function action(event) {
  const writing = /** @type {HTMLInputElement} */ (event.target);
  const busy = writing.matches?.("input, select") || (writing.matches?.("textarea") && writing.value !== "");
  const { session, pending, painting, mask } = state;
  if (event.key === "Escape" && painting) return () => update({ painting: false });
  if (event.key === "Escape" && mask) return () => update({ mask: null });
  if (event.key === "Escape" && pending) return () => stop().catch(complain);
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.key.toLowerCase() !== "z" || busy || pending)
    return null;
  if (event.shiftKey) return session?.can_redo ? () => step("redo").catch(complain) : null;
  return session?.can_undo ? () => step("undo").catch(complain) : null;
}
