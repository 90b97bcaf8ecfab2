/** What the page knows, in one place. Parts are told when something they named has changed; nobody else writes. */

/**
 * @typedef {object} State
 * @property {Record<string, any> | null} about what the server is: profile, llm, limits, user, knows
 * @property {import("./types.js").Session | null} session
 * @property {import("./types.js").Progress | null} pending the job that this session waits for
 * @property {string | null} look the picture whose things are shown
 * @property {Map<string, import("./types.js").Look>} looks what was found in pictures, by sha256
 * @property {{picture: string, url: string} | null} mask where the next change is to be made: the uploaded mask
 * @property {boolean} painting whether a mask is being painted
 */

/** @type {State} */
export const state = {
  about: null,
  session: null,
  pending: null,
  look: null,
  looks: new Map(),
  mask: null,
  painting: false,
};

/** @type {Set<{names: (keyof State)[], tell: () => void}>} */
const listeners = new Set();

/** Change what is known, and tell those who asked to know. @param {Partial<State>} changes */
export function update(changes) {
  Object.assign(state, changes);
  const names = Object.keys(changes);
  for (const { names: wanted, tell } of [...listeners]) if (wanted.some((name) => names.includes(name))) tell();
}

/**
 * Be told when one of these changes, and once now; returns how to end it.
 * @param {(keyof State)[]} names
 * @param {() => void} tell
 */
export function watch(names, tell) {
  const listener = { names, tell };
  listeners.add(listener);
  tell();
  return () => listeners.delete(listener);
}

/** Something kept in this browser; "" where there is nothing, or storage is off. @param {string} name */
export function kept(name) {
  try {
    return localStorage.getItem(`limner.${name}`) ?? "";
  } catch {
    return "";
  }
}

/** Keep something in this browser; "" removes it. @param {string} name @param {string} value */
export function keep(name, value) {
  try {
    if (value) localStorage.setItem(`limner.${name}`, value);
    else localStorage.removeItem(`limner.${name}`);
  } catch {
    // Storage is off or full: nothing but the draft is lost.
  }
}
