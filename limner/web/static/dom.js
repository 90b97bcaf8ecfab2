/** Building the page: elements without markup text, so that nothing that was said or stored can become code. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `on…` properties are listeners, `true` is an empty attribute, null and false are left out.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...any} children texts, nodes, lists of them; null and false are left out
 * @returns {any}
 */
export function h(tag, properties = {}, ...children) {
  return dressed(document.createElement(tag), properties, children);
}

/**
 * An SVG element, as `h`.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...any} children
 * @returns {any}
 */
export function svg(tag, properties = {}, ...children) {
  return dressed(document.createElementNS(SVG, tag), properties, children);
}

/** @param {Element} node @param {Record<string, any>} properties @param {any[]} children */
function dressed(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "value" || name === "checked") /** @type {any} */ (node)[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...given(children));
  return node;
}

/** @param {any[]} children @returns {(Node | string)[]} */
function given(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Put other children into a node. Whoever had the focus in it keeps it where an element of its `data-key` is there.
 * @param {Element} node
 * @param {...any} children
 */
export function fill(node, ...children) {
  const focused = node.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement) : null;
  const key = focused?.dataset.key;
  node.replaceChildren(...given(children));
  if (key) /** @type {HTMLElement | null} */ (node.querySelector(`[data-key="${CSS.escape(key)}"]`))?.focus();
}

/** The element with an id, which is in index.html. @param {string} id @returns {HTMLElement} */
export function place(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** Say something to those who hear the page, when what they are told next allows. @param {string} text */
export function announce(text) {
  place("polite").textContent = text;
}

/** A length of time as people say it. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 10) return `${Number(Math.max(0.1, seconds).toFixed(1))} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** «1 picture», «3 pictures». @param {number} number @param {string} noun */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Where a picture lies. @param {string} sha256 @param {number} [size] pixels of the longer side, 0 for all */
export function pictureUrl(sha256, size = 0) {
  return `/api/pictures/${sha256}${size ? `?size=${size}` : ""}`;
}
