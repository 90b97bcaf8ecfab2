// Runs before the first paint, so that a page that was made dark does not flash light.
"use strict";
(() => {
  try {
    const chosen = localStorage.getItem("limner.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be off; the system's own choice holds then.
  }
})();
