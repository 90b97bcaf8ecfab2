/** Small questions to the user, each in the browser's own dialog: it holds the focus, and Escape answers no. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

/**
 * A dialog with a title that is removed when it is closed.
 * @param {string} title @param {any[]} content @param {{wide?: boolean, closed?: () => void}} [options]
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, content, { wide = false, closed } = {}) {
  const close = h("button", { type: "button", class: "bare", "aria-label": "Close" }, icon("cross"));
  const dialog = h(
    "dialog",
    { class: wide ? "wide" : "", "aria-labelledby": "dialog-title" },
    h("header", { class: "dialog-top" }, h("h2", { id: "dialog-title" }, title), close),
    content,
  );
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (/** @type {MouseEvent} */ event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => (dialog.remove(), closed?.()));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Ask for a yes. @param {string} title @param {string} text @param {string} action what the button says
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, action) {
  return new Promise((resolve) => {
    const yes = h("button", { type: "submit", class: "danger" }, action);
    const no = h("button", { type: "button", class: "quiet", autofocus: true }, "Keep it");
    const form = h("form", { method: "dialog" }, h("p", {}, text), h("div", { class: "buttons" }, no, yes));
    const dialog = openDialog(title, [form], { closed: () => resolve(dialog.returnValue === "yes") });
    no.addEventListener("click", () => dialog.close());
    yes.value = "yes";
  });
}

/**
 * Ask for some words. Each field is [name, label, hint, properties of its input].
 * @param {string} title
 * @param {[name: string, label: string, hint: string, properties?: Record<string, any>][]} fields
 * @param {string} action
 * @returns {Promise<Record<string, string> | null>} what was given, null for a no
 */
export function asked(title, fields, action) {
  return new Promise((resolve) => {
    /** @type {Record<string, string> | null} */
    let given = null;
    const rows = fields.map(([name, label, hint, properties]) => field(name, label, hint, properties));
    const yes = h("button", { type: "submit", class: "primary" }, action);
    const form = h("form", { method: "dialog", class: "fields" }, rows, h("div", { class: "buttons" }, yes));
    form.addEventListener("submit", () => {
      given = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, String(value).trim()]));
    });
    openDialog(title, [form], { closed: () => resolve(given) });
  });
}

/**
 * A labelled input.
 * @param {string} name
 * @param {string} label
 * @param {string} hint
 * @param {Record<string, any>} [properties]
 */
export function field(name, label, hint, properties = {}) {
  const id = `field-${name}`;
  const describes = hint ? { "aria-describedby": `${id}-hint` } : {};
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h("input", { id, name, autocomplete: "off", ...describes, ...properties }),
    hint && h("small", { id: `${id}-hint` }, hint),
  );
}
