/** The picture, large: what is in it, where the next change goes, and what can be done with it. */

import { openCompare } from "./compare.js";
import { downloads } from "./download.js";
import { fill, h, pictureUrl } from "./dom.js";
import { complain } from "./errors.js";
import { icon } from "./icons.js";
import { learnHere } from "./learn.js";
import { painter } from "./mask.js";
import { menu } from "./menu.js";
import { overlay } from "./overlay.js";
import { scorecard } from "./scorecard.js";
import { lookAt, step } from "./session.js";
import { state, update, watch } from "./state.js";

/** @type {{picture: string, canvas: HTMLCanvasElement, bar: HTMLElement} | null} */
let painting = null;

/** @returns {{node: HTMLElement, leave: () => void}} */
export function stage() {
  const tools = h("div", { class: "tools", role: "toolbar", "aria-label": "Picture" });
  const frame = h("div", { class: "frame" });
  const words = h("div", { class: "words" });
  const node = h("section", { class: "stage", "aria-label": "Picture" }, tools, frame, words);
  const showFrame = () => {
    if (!state.painting) painting = null;
    fill(frame, shown());
    fill(words, state.painting ? brushes().bar : told());
  };
  const leaves = [
    watch(["session", "pending", "look", "painting"], () => fill(tools, buttons())),
    watch(["session", "look", "looks", "painting"], showFrame),
    watch(["pending"], () => preview(frame)),
  ];
  return { node, leave: () => leaves.forEach((leave) => leave()) };
}

/** What the picture shows, and how much of what was said. */
function told() {
  const prompt = state.session?.now?.prompt;
  return [prompt && h("p", { class: "prompt" }, prompt), scorecard(shownTurn())];
}

/** The turn whose picture is shown. */
function shownTurn() {
  const path = state.session?.turns.filter((turn) => turn.on_path && turn.picture) ?? [];
  return path[path.length - 1];
}

function shown() {
  const now = state.session?.now;
  const sheet = h("div", { class: "sheet" });
  if (now?.picture) {
    const image = h("img", {
      class: "large",
      src: pictureUrl(now.picture),
      alt: now.prompt ?? "The picture",
      "data-sha": now.picture,
    });
    sheet.append(image);
    const found = state.look === now.picture ? state.looks.get(now.picture) : null;
    if (state.painting) fill(sheet, image, brushes().canvas);
    else if (found) fill(sheet, image, overlay(found, image));
  } else sheet.append(h("p", { class: "blank" }, "The picture will be here."));
  preview(sheet);
  return sheet;
}

/** Canvas and controls of the mask: the same ones until painting ends, whatever else changes on the page. */
function brushes() {
  const picture = String(state.session?.now?.picture);
  if (painting?.picture !== picture) painting = { picture, ...painter(picture) };
  return painting;
}

/** What is being drawn, over the picture that there is. @param {Element} frame */
function preview(frame) {
  const sheet = frame.matches(".sheet") ? frame : frame.querySelector(".sheet");
  if (!sheet) return;
  const { preview: sha = null } = state.pending ?? {};
  let image = sheet.querySelector(".preview");
  if (!sha) image?.remove();
  else if (!image) sheet.append((image = h("img", { class: "preview", alt: "What is being drawn, not finished" })));
  if (sha) image?.setAttribute("src", pictureUrl(sha));
  sheet.classList.toggle("busy", Boolean(state.pending));
}

function buttons() {
  const { session, pending } = state;
  const picture = session?.now?.picture;
  const idle = !pending;
  const looking = state.look !== null && state.look === picture;
  const save = tool("save", "Save", "Take it along", !picture);
  menu(save, () => downloads());
  return [
    tool("undo", "", "Undo (Ctrl Z)", !(idle && session?.can_undo), () => step("undo").catch(complain)),
    tool("redo", "", "Redo (Ctrl Shift Z)", !(idle && session?.can_redo), () => step("redo").catch(complain)),
    h("span", { class: "gap" }),
    tool("find", "Find", "What is in it", !picture, () => toggleLook(String(picture)), looking),
    tool(
      "brush",
      "Mark",
      "Mark a part; the next change is made only there",
      !(idle && picture),
      () => update({ painting: !state.painting, look: null }),
      state.painting,
    ),
    tool("compare", "Compare", "Two pictures under one slider", pictured() < 2, () => openCompare()),
    tool("learn", "Learn", "Learn what it shows, and give that a name", !(idle && picture), () => learnHere()),
    save,
  ];
}

function pictured() {
  return state.session?.turns.filter((turn) => turn.picture).length ?? 0;
}

/**
 * @param {string} name @param {string} words @param {string} title what it does, for who points at it
 * @param {boolean} off @param {() => void} [act] @param {boolean} [pressed]
 */
function tool(name, words, title, off, act, pressed) {
  const properties = { type: "button", class: "tool", title, disabled: off, onclick: act, "data-key": `tool-${name}` };
  const told = { "aria-label": words ? null : title, "aria-pressed": pressed === undefined ? null : String(pressed) };
  return h("button", { ...properties, ...told }, icon(name), words && h("span", { class: "tool-words" }, words));
}

/** @param {string} picture */
async function toggleLook(picture) {
  if (state.look === picture) return update({ look: null });
  update({ look: picture, painting: false });
  try {
    await lookAt(picture);
    if (state.look === picture) update({ looks: state.looks });
  } catch (error) {
    update({ look: null });
    complain(error);
  }
}
