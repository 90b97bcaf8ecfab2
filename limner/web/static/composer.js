/** Where one says what to draw: it grows with what is written, and the draft outlives the page. */

import { fill, h } from "./dom.js";
import { complain } from "./errors.js";
import { icon } from "./icons.js";
import { asking } from "./options.js";
import { begin, say, stop } from "./session.js";
import { keep, kept, state, update, watch } from "./state.js";
import { choosePicture } from "./upload.js";

const NEW = "draft.";

/** @returns {{node: HTMLElement, leave: () => void, write: (text: string, send?: boolean) => void}} */
export function composer() {
  const text = h("textarea", { id: "say", rows: "1", maxlength: "2000", enterkeyhint: "send", autocomplete: "off" });
  const send = h("button", { type: "submit", class: "round primary" });
  const marked = h("div", { class: "marked" });
  const attach = h(
    "button",
    {
      type: "button",
      class: "round bare",
      "aria-label": "Bring a picture along",
      title: "Bring a picture along (or drop or paste it)",
      onclick: choosePicture,
    },
    icon("picture"),
  );
  const node = h(
    "form",
    { class: "composer", "aria-label": "Say something" },
    marked,
    h("label", { for: "say", class: "unseen" }, "What to draw, or what to change"),
    h("div", { class: "composer-row" }, attach, text, asking(), send),
  );
  const grow = () => {
    text.style.height = "auto";
    text.style.height = `${Math.min(text.scrollHeight, 160)}px`;
    send.disabled = !state.pending && !text.value.trim();
  };
  const submit = () => (state.pending ? stop().catch(complain) : submitted(text, grow));
  node.addEventListener("submit", (/** @type {Event} */ event) => (event.preventDefault(), submit()));
  text.addEventListener("input", () => (grow(), keep(draft(), text.value)));
  text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!state.pending && text.value.trim()) submit();
  });
  let shown = "";
  const showSession = () => {
    const name = draft();
    if (name !== shown) text.value = kept(name);
    shown = name;
    text.placeholder = placeholder();
    grow();
  };
  const showSend = () => {
    fill(send, icon(state.pending ? "stop" : "send"));
    send.setAttribute("aria-label", state.pending ? "Stop" : "Send");
    grow();
  };
  const leaves = [
    watch(["session", "mask"], showSession),
    watch(["pending"], showSend),
    watch(["mask"], () => fill(marked, chip())),
  ];
  const write = (/** @type {string} */ words, send = false) => {
    text.value = words;
    grow();
    text.focus();
    if (send && !state.pending) submit();
  };
  return { node, write, leave: () => leaves.forEach((leave) => leave()) };
}

/**
 * Send what is written; it stays there until the server has it.
 * @param {HTMLTextAreaElement} text
 * @param {() => void} grow
 */
async function submitted(text, grow) {
  const words = text.value.trim();
  if (!words) return;
  text.readOnly = true;
  try {
    if (!state.session) {
      const name = await begin(words);
      keep(NEW, "");
      history.replaceState(null, "", `#/s/${name}`);
    }
    await say(words);
    keep(draft(), "");
    if (text.value.trim() === words) text.value = "";
  } catch (error) {
    complain(error);
  } finally {
    text.readOnly = false;
    grow();
  }
}

function draft() {
  return NEW + (state.session?.name ?? "");
}

function placeholder() {
  if (state.mask) return "What should be there instead?";
  if (state.session?.question) return "Your answer";
  return state.session?.now?.picture ? "What to change?" : "Say what to draw";
}

/** That a part of the picture is marked, and the way to let that go. */
function chip() {
  if (!state.mask) return [];
  const drop = () => update({ mask: null });
  return [
    h("img", { src: state.mask.url, alt: "", width: 24, height: 24 }),
    h("span", {}, "Only inside the marked part"),
    h(
      "button",
      { type: "button", class: "bare small", "aria-label": "Forget the marked part", onclick: drop },
      icon("cross"),
    ),
  ];
}
