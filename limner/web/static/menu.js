/** A button with a list of actions under it, worked by arrows, Enter and Escape as menus are. */

import { h } from "./dom.js";

/**
 * @typedef {object} Item
 * @property {string} text
 * @property {() => void} [act]
 * @property {string} [href] a link instead of an action
 * @property {string} [download] what its file is called
 * @property {boolean} [current]
 * @property {boolean} [danger]
 * @property {string} [hint]
 */

/**
 * Make a button open a menu. The items are asked for each time it opens.
 * @param {HTMLButtonElement} button
 * @param {() => (Item | Node)[]} items
 */
export function menu(button, items) {
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => open(button, items()));
}

/** @param {HTMLButtonElement} button @param {(Item | Node)[]} items */
function open(button, items) {
  const list = h(
    "div",
    { class: "menu", role: "menu", popover: "auto" },
    items.map((each) => row(each, () => close())),
  );
  const close = () => list.hidePopover();
  list.addEventListener("toggle", (/** @type {ToggleEvent} */ event) => {
    button.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState === "closed") list.remove();
  });
  list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => move(event, list, button));
  (button.closest("dialog") ?? document.body).append(list);
  list.showPopover();
  beside(list, button.getBoundingClientRect());
  list.querySelector("[role^=menuitem]")?.focus();
}

/** @param {Item | Node} item @param {() => void} close */
function row(item, close) {
  if (item instanceof Node) return item;
  const { text, act, href, download, current, danger, hint } = item;
  const properties = {
    role: current === undefined ? "menuitem" : "menuitemradio",
    "aria-checked": current === undefined ? null : String(current),
    class: danger ? "danger" : "",
    tabindex: "-1",
    onclick: () => (close(), act?.()),
  };
  const words = [h("span", {}, text), hint && h("small", {}, hint)];
  return href
    ? h("a", { ...properties, href, download }, words)
    : h("button", { ...properties, type: "button" }, words);
}

/** Put a menu under its button, or over it where there is more room. @param {HTMLElement} list @param {DOMRect} at */
function beside(list, at) {
  const { width, height } = list.getBoundingClientRect();
  const left = Math.min(at.left, window.innerWidth - width - 8);
  const below = at.bottom + height + 8 < window.innerHeight;
  list.style.left = `${Math.max(8, left)}px`;
  list.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - height - 4)}px`;
}

/** @param {KeyboardEvent} event @param {HTMLElement} list @param {HTMLElement} button */
function move(event, list, button) {
  const items = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[role^=menuitem]")]);
  const here = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  /** @type {Record<string, number>} */
  const steps = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: items.length - 1 };
  if (event.key === "Escape" || event.key === "Tab") {
    list.hidePopover();
    button.focus();
  } else if (event.key in steps) {
    event.preventDefault();
    items.at(steps[event.key] % items.length)?.focus();
  }
}
