/** The plain page of `limner rate`: two pictures, three answers, keys 1, 2 and 3. */

const KEYS = { 1: "left", 2: "tie", 3: "right" };
const place = (id) => document.getElementById(id);
let [pair, busy] = [null, false];

async function ask(address, options) {
  const answer = await fetch(address, options);
  const told = await answer.json();
  if (!answer.ok) throw new Error(`${told.error.message}. ${told.error.hint}`);
  return told;
}

async function show(next) {
  pair = next.id ? next : null;
  place("pair").hidden = place("choices").hidden = !pair;
  place("prompt").textContent = next.prompt;
  place("told").textContent = `${next.done} of ${next.total} rated`;
  if (pair) ["left", "right"].forEach((side) => (place(side).src = pair[side]));
  else await results();
}

async function results() {
  const all = await ask("/api/ratings");
  place("told").textContent =
    `All ${all.total} are rated. ${all.first} won ${all.win}, tied ${all.tie} and lost ${all.lose} against ${all.second}.`;
}

async function choose(choice) {
  if (!pair || busy) return;
  busy = true;
  const body = JSON.stringify({ id: pair.id, choice });
  const headers = { "Content-Type": "application/json" };
  await attempt(async () => show(await ask("/api/ratings", { method: "POST", headers, body })));
  busy = false;
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    place("told").textContent = `${error.message} Your answers so far are kept; reload to go on.`;
  }
}

document.querySelectorAll("[data-choice]").forEach((button) =>
  button.addEventListener("click", () => choose(button.dataset.choice)));
addEventListener("keydown", (event) => {
  if (KEYS[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat) choose(KEYS[event.key]);
});
attempt(async () => show(await ask("/api/ratings/next")));
