/** The beginning: what the address says is shown, and what the server says is followed. */

import { get, Refused } from "./server.js";
import { conceptsPage } from "./concepts.js";
import { datasetsPage } from "./datasets.js";
import { place } from "./dom.js";
import { complain, whenBack } from "./errors.js";
import { listen } from "./keys.js";
import { ratePage } from "./rate.js";
import { leaveSession, openSession, refresh } from "./session.js";
import { sessionMenu } from "./sessions.js";
import { keep, kept, state, update } from "./state.js";
import { talkPage } from "./talk.js";
import { topTools } from "./tools.js";
import { takePictures } from "./upload.js";

/** @type {Record<string, (view: Element, name: string) => () => void>} */
const PAGES = { concepts: conceptsPage, datasets: datasetsPage, rate: ratePage, talk: talkPage };

/** @type {() => void} */
let leave = () => {};
let shown = "";

/** Show what the address says: #/s/NAME, #/new, #/ (where one was last), #/concepts, #/datasets[/NAME], #/rate. */
async function route() {
  const [page = "", name = ""] = location.hash.replace(/^#\//, "").split("/").map(decodeURIComponent);
  place("pages").classList.remove("open");
  if (page === "" && kept("last")) return location.replace(`#/s/${encodeURIComponent(kept("last"))}`);
  const which = Object.hasOwn(PAGES, page) ? page : "talk";
  mark(which);
  if (which !== "talk" || shown !== "talk") {
    leave();
    leave = PAGES[which](place("view"), name);
  }
  shown = which;
  if (which === "talk") await showSession(page === "s" ? name : "");
}

/** @param {string} name */
async function showSession(name) {
  if (!name) return leaveSession();
  if (state.session?.name === name) return;
  try {
    await openSession(name);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error;
    if (kept("last") === name) keep("last", "");
    location.replace("#/new");
    complain(error);
  }
}

/** @param {string} which */
function mark(which) {
  for (const link of document.querySelectorAll("[data-page]")) {
    const here = /** @type {HTMLElement} */ (link).dataset.page === which;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.shown = which;
}

/** @param {Record<string, any>} about */
function known(about) {
  update({ about });
  for (const link of document.querySelectorAll("[data-page=rate]")) link.toggleAttribute("hidden", !about.rating);
}

function start() {
  sessionMenu(place("session-place"));
  topTools(place("tools-place"));
  takePictures();
  listen();
  const again = () => route().catch(complain);
  addEventListener("hashchange", again);
  whenBack(() => refresh().catch(complain));
  addEventListener("focus", () => state.pending || refresh().catch(() => {})); // another window may have gone on
  get("/api/about").then((about) => known(about), complain);
  again();
}

start();
