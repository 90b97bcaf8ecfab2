/** Pictures that the user brings along: dropped, pasted or chosen; then it is asked what to do with one. */

import { upload } from "./server.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { complain } from "./errors.js";
import { begin, openPicture } from "./session.js";
import { learnFrom } from "./learn.js";
import { state } from "./state.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];
const MOST_BYTES = 20 * 2 ** 20;

/** Let the whole page take pictures. */
export function takePictures() {
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  for (const end of ["dragleave", "drop"]) {
    addEventListener(end, (event) => {
      if (end === "drop" || !(/** @type {DragEvent} */ (event).relatedTarget))
        document.body.classList.remove("dropping");
    });
  }
  addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
  addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}

/** Let the user choose a file. */
export function choosePicture() {
  const input = h("input", { type: "file", accept: TYPES.join(",") });
  input.addEventListener("change", () => input.files?.[0] && take(input.files[0]));
  input.click();
}

/** @param {File} file */
async function take(file) {
  try {
    check(file);
    const { picture } = await upload(file);
    ask(picture, file);
  } catch (error) {
    complain(error);
  }
}

/** @param {File} file */
function check(file) {
  const name = file.name.slice(0, 60) || "The file";
  if (!TYPES.includes(file.type))
    throw refused(`${name} is not a picture that can be read`, "Bring a PNG, JPEG or WebP.");
  if (file.size > MOST_BYTES) throw refused(`${name} is too large`, "At most 20 MB; make it smaller first.");
}

/** @param {string} message @param {string} hint */
function refused(message, hint) {
  return Object.assign(new Error(message), { hint });
}

/** @param {string} picture @param {File} file */
function ask(picture, file) {
  const url = URL.createObjectURL(file);
  const act = (/** @type {string} */ words, /** @type {string} */ hint, /** @type {() => void} */ does) =>
    h(
      "button",
      { type: "button", class: "offer", onclick: () => (dialog.close(), does()) },
      h("strong", {}, words),
      h("span", {}, hint),
    );
  const dialog = openDialog(
    "Your picture",
    [
      h("img", { class: "brought", src: url, alt: "The picture that you brought" }),
      act("Change it", "Say what should be different, as with a picture that was drawn here.", () =>
        opened(picture, file),
      ),
      act("Learn what it shows", "Give it a name, and say that name in prompts from then on.", () =>
        learnFrom(picture),
      ),
    ],
    { closed: () => URL.revokeObjectURL(url) },
  );
}

/** @param {string} picture @param {File} file */
async function opened(picture, file) {
  try {
    if (!state.session || state.session.now) {
      const name = await begin(file.name.replace(/\.\w+$/, ""));
      history.replaceState(null, "", `#/s/${name}`);
      dispatchEvent(new HashChangeEvent("hashchange"));
    }
    await openPicture(picture);
  } catch (error) {
    complain(error);
  }
}
