/** The page «Concepts»: what was learned, lessons that are going on, and the ways in and out. */

import { call, follow, get, post, remove } from "./server.js";
import { asked, confirmed, openDialog } from "./dialog.js";
import { fill, h, pictureUrl } from "./dom.js";
import { complain, tell } from "./errors.js";
import { icon } from "./icons.js";
import { after, begun, leftover, progressBar } from "./progress.js";
import { reason } from "./session.js";
import { useWords } from "./talk.js";
import { choosePicture } from "./upload.js";

/** @param {Element} view @returns {() => void} */
export function conceptsPage(view) {
  const leaving = new AbortController();
  const lessons = h("div", { class: "cards" });
  const shelf = h("div", { class: "cards" });
  const file = h("input", {
    type: "file",
    accept: ".safetensors",
    hidden: true,
  });
  const show = () => fillShelf(shelf).catch(complain);
  file.addEventListener("change", () => taken(file, show));
  view.replaceChildren(
    h(
      "div",
      { class: "page" },
      h(
        "header",
        { class: "page-top" },
        h("h1", {}, "Concepts"),
        h(
          "p",
          {},
          "Things and styles that were learned from one picture. Say their name in a prompt: a <name> in the snow.",
        ),
      ),
      h(
        "div",
        { class: "buttons" },
        h(
          "button",
          { type: "button", class: "primary", onclick: choosePicture },
          icon("learn"),
          "Learn from a picture",
        ),
        h("button", { type: "button", class: "quiet", onclick: () => file.click() }, "Import a file"),
        file,
      ),
      lessons,
      shelf,
    ),
  );
  show();
  followLessons(lessons, leaving.signal, show).catch(complain);
  return () => leaving.abort();
}

/** @param {Element} shelf */
async function fillShelf(shelf) {
  const rows = await get("/api/concepts");
  const cards = rows.map((/** @type {Record<string, any>} */ row) => card(row, () => fillShelf(shelf).catch(complain)));
  fill(
    shelf,
    cards.length ? cards : h("p", { class: "faint" }, "Nothing was learned yet. One picture is enough to begin."),
  );
}

/** @param {Record<string, any>} row @param {() => void} again */
function card(row, again) {
  const word = row.word ?? `<${row.name}>`;
  const at = `/api/concepts/${encodeURIComponent(row.name)}`;
  const facts = [row.like && `like ${row.like}`, row.method, row.steps && `${row.steps} steps`]
    .filter(Boolean)
    .join(" · ");
  const picture = row.thumbnail
    ? h("img", { class: "card-picture", src: row.thumbnail, alt: `What ${word} was learned from`, loading: "lazy" })
    : h("span", { class: "card-picture" }, icon("learn"));
  return h(
    "article",
    { class: "card", "aria-label": word },
    picture,
    h("h2", {}, word),
    h("p", { class: "faint" }, row.problem || facts),
    h(
      "div",
      { class: "buttons" },
      h(
        "button",
        { type: "button", class: "quiet small", disabled: Boolean(row.problem), onclick: () => useWords(`a ${word} `) },
        "Use it",
      ),
      h("a", { class: "button quiet small", href: `${at}/file`, download: `${row.name}.safetensors` }, "Export"),
      h(
        "button",
        {
          type: "button",
          class: "bare small",
          "aria-label": `Delete ${word}`,
          onclick: () => gone(row.name, at, again),
        },
        icon("trash"),
      ),
    ),
  );
}

/** @param {string} name @param {string} at @param {() => void} again */
async function gone(name, at, again) {
  const text = `<${name}> is deleted. Pictures that were drawn with it stay; they cannot be drawn again without it.`;
  if (await confirmed("Delete this concept?", text, "Delete it")) remove(at).then(again, complain);
}

/** @param {HTMLInputElement} input @param {() => void} again */
async function taken(input, again) {
  const file = input.files?.[0];
  input.value = "";
  if (!file) return;
  const given = await asked(
    "Import a concept",
    [
      [
        "name",
        "Name",
        "You say it as <name> from then on.",
        {
          required: true,
          pattern: "[A-Za-z0-9_\\-]+",
          maxlength: 48,
          value: file.name.replace(/\.\w+$/, "").replace(/[^\w-]+/g, "-"),
        },
      ],
      ["like", "Like what? (optional)", "Plain words for it, where a model must read its name.", { maxlength: 200 }],
    ],
    "Import it",
  );
  if (!given?.name) return;
  const form = new FormData();
  for (const [key, value] of Object.entries(given)) if (value) form.append(key, value);
  form.append("file", file);
  try {
    const { name, matched, of } = await call("POST", "/api/concepts", form);
    tell(`<${name}> is on the shelf`, `${matched} of ${of} of its parts were understood.`);
    again();
  } catch (error) {
    complain(error);
  }
}

/**
 * Show every lesson that waits or runs, until it ends.
 * @param {Element} place
 * @param {AbortSignal} signal
 * @param {() => void} ended
 */
async function followLessons(place, signal, ended) {
  const jobs = await get("/api/jobs?limit=50");
  const open = jobs.filter(
    (/** @type {import("./types.js").Job} */ job) => job.kind === "learn" && ["queued", "running"].includes(job.state),
  );
  for (const job of open) lesson(job, place, signal, ended).catch((error) => signal.aborted || complain(error));
}

/**
 * @param {import("./types.js").Job} job
 * @param {Element} place
 * @param {AbortSignal} signal
 * @param {() => void} ended
 */
async function lesson(job, place, signal, ended) {
  const card = h("article", { class: "card lesson", "aria-label": `Learning ${job.params.name}` });
  let now = begun(job.id);
  const stop = () => {
    now = { ...now, stopping: true };
    show();
    post(`/api/jobs/${job.id}/cancel`).catch(complain);
  };
  const show = () => {
    const seen = now.preview ?? job.params.picture;
    const picture =
      seen &&
      h("img", {
        class: "card-picture",
        src: pictureUrl(seen, 256),
        alt: now.preview ? "Drawn with what is known by now" : "What is learned from",
      });
    fill(card, picture, h("h2", {}, `<${job.params.name}>`), progressBar(now, stop));
  };
  place.append(card);
  show();
  const last = await follow(job.id, (event) => ((now = after(now, event)), show()), { signal });
  card.remove();
  if (last.kind === "cancelled") tell("Stopped", leftover(now));
  if (last.kind === "failed") complain(Object.assign(new Error(reason(last).message), { hint: reason(last).hint }));
  const sheet = last.data?.result?.previews?.picture;
  if (sheet)
    openDialog(
      `<${job.params.name}> is learned`,
      [h("img", { src: pictureUrl(sheet), alt: "The picture that was learned from, and what is drawn with it" })],
      { wide: true },
    );
  ended();
}
