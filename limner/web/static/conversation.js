/** The conversation: what was said on the way to here, what was done, and what is going on. */

import { fill, h } from "./dom.js";
import { complain } from "./errors.js";
import { progressBar } from "./progress.js";
import { say, stop } from "./session.js";
import { state, watch } from "./state.js";
import { diffLine, note, said, turnItem } from "./turns.js";

/** The list of turns, and under it the running job. @returns {{node: HTMLElement, leave: () => void}} */
export function conversation() {
  const turns = h("ol", { class: "turns" });
  const pending = h("div", { class: "pending" });
  const node = h("section", { class: "conversation", "aria-label": "Conversation", tabindex: "0" }, turns, pending);
  const toEnd = () => requestAnimationFrame(() => (node.scrollTop = node.scrollHeight)); // once it has its place
  const showTurns = () => {
    fill(turns, items());
    toEnd();
  };
  let busy = false;
  const showPending = () => {
    if (busy !== Boolean(state.pending)) showTurns(); // a question can be answered only when nothing is going on
    busy = Boolean(state.pending);
    const atEnd = node.scrollHeight - node.scrollTop - node.clientHeight < 80;
    fill(pending, waiting());
    if (atEnd) toEnd();
  };
  const leaves = [watch(["session"], showTurns), watch(["session", "pending"], showPending)];
  return { node, leave: () => leaves.forEach((leave) => leave()) };
}

function items() {
  const session = state.session;
  const path = (session?.turns ?? []).filter((turn) => turn.on_path);
  return path.map((turn, place) => {
    const before = path[place - 1];
    const repeats = before?.said === turn.said && before.kind !== "ask";
    const open = session?.question?.turn === turn.id && !state.pending ? session.question : null;
    return turnItem(turn, repeats, open && { choices: open.choices, answer: (choice) => say(choice).catch(complain) });
  });
}

function waiting() {
  const pending = state.pending;
  if (!pending) return [];
  const told = state.session?.turns.find((turn) => turn.on_path && turn.id === state.session?.tip);
  const saidAlready = told?.said === pending.said; // the first of several turns is there, the next is being made
  return [
    pending.said && !saidAlready && said(pending.said),
    pending.notes.map((each) => (each.diff ? diffLine(each.diff) : note(each.kind, each.text))),
    progressBar(pending, () => stop().catch(complain)),
  ];
}
