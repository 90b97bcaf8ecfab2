/** Learning from one picture: what is asked before, and where it goes on. */

import { post } from "./server.js";
import { asked } from "./dialog.js";
import { complain } from "./errors.js";
import { learnHere as learn } from "./session.js";
import { state } from "./state.js";

const [USUAL, LOOKS, GRID] = [400, 5, 10];

/** Learn what the picture of this session shows. */
export async function learnHere() {
  const chosen = await ask("Learn what this picture shows");
  if (chosen) learn(chosen).catch(complain);
}

/** Learn what a picture of the user's own shows; the page «Concepts» shows how it goes. @param {string} picture */
export async function learnFrom(picture) {
  const chosen = await ask("Learn what your picture shows");
  if (!chosen) return;
  try {
    await post("/api/jobs", { kind: "learn", picture, ...chosen });
    if (location.hash === "#/concepts") dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = "#/concepts";
  } catch (error) {
    complain(error);
  }
}

/**
 * So many steps between two looks at what is known, that there are a few of them; a lesson tells of every tenth step.
 * @param {number} steps
 */
function between(steps) {
  return Math.ceil(steps / LOOKS / GRID) * GRID;
}

/** @param {string} title @returns {Promise<Record<string, any> | null>} */
async function ask(title) {
  const things = state.about?.knows?.concepts?.slice(0, 3).join(", ");
  const given = await asked(
    title,
    [
      [
        "name",
        "Name",
        "You say it as <name> from then on. Letters, digits, - and _.",
        { required: true, pattern: "[A-Za-z0-9_\\-]+", maxlength: 48 },
      ],
      [
        "like",
        "Like what? (optional)",
        `A plain word to begin from${things ? `: ${things}, …` : "."}`,
        { maxlength: 60 },
      ],
      [
        "steps",
        "Steps (optional)",
        "More takes longer and is closer to the picture.",
        { type: "number", min: 1, max: 20000, inputmode: "numeric" },
      ],
    ],
    "Learn it",
  );
  if (!given?.name) return null;
  const { name, like, steps } = given;
  const length = steps ? { steps: Number(steps) } : {};
  return { name, ...(like ? { like } : {}), ...length, preview_every: between(Number(steps) || USUAL) };
}
