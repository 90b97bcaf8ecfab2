/** Ways to take a picture or a whole session along. */

import { pictureUrl } from "./dom.js";
import { exportUrl } from "./session.js";
import { state } from "./state.js";

/** The items of the menu «Save». @returns {import("./menu.js").Item[]} */
export function downloads() {
  const session = state.session;
  const picture = session?.now?.picture;
  if (!session || !picture) return [];
  const file = `${fileName(session.now?.prompt ?? session.name)}.png`;
  const url = `${pictureUrl(picture)}?download=${encodeURIComponent(file)}`;
  return [
    { text: "Picture with its recipe", hint: "prompt, seed and model are inside", href: url, download: file },
    { text: "Picture alone", hint: "without metadata", href: `${url}&metadata=0`, download: file },
    {
      text: "Whole session",
      hint: "every turn and picture, as a zip",
      href: exportUrl(session.name),
      download: `${session.name}.zip`,
    },
  ];
}

/** @param {string} words */
function fileName(words) {
  const plain = words.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return plain.slice(0, 12).join("-").slice(0, 70) || "picture";
}
