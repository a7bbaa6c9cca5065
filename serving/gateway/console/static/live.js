// Loads the charts again every few seconds, while somebody looks.

import { prepareCharts } from "./charts.js";
import { byId } from "./page.js";

const PERIOD_MS = 5000;
const state = byId("live-state");
const pause = byId("pause");
let isPaused = false;

/** Whether somebody reads a number right now, which must not move away. */
function isBusy() {
  const now = byId("now");
  return now.matches(":hover") && now.querySelector(".tip:not([hidden])") !== null;
}

async function load() {
  const response = await fetch(`/console/live/now${location.search}`, { headers: { accept: "text/html" }, redirect: "manual" });
  if (response.type === "opaqueredirect") {
    location.reload();
    return;
  }
  if (!response.ok) throw new Error(`status ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = document.importNode(page.getElementById("now"), true);
  const stale = byId("now");
  for (const details of stale.querySelectorAll("figure details[open]")) {
    fresh.querySelector(`#${details.closest("figure").id} details`)?.setAttribute("open", "");
  }
  const focused = stale.contains(document.activeElement) ? document.activeElement.closest("figure")?.id : null;
  stale.replaceWith(fresh);
  if (focused) fresh.querySelector(`#${focused} summary`)?.focus({ preventScroll: true });
  prepareCharts(fresh);
}

async function tick() {
  if (!isPaused && !document.hidden && !isBusy()) {
    try {
      await load();
      state.textContent = `Updated ${new Date().toLocaleTimeString()}, every ${PERIOD_MS / 1000} seconds.`;
    } catch (error) {
      state.textContent = `No news since then: ${error.message}. Trying again.`;
    }
  }
  setTimeout(tick, PERIOD_MS);
}

pause.hidden = false;
pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", String(isPaused));
  if (isPaused) state.textContent = "Paused.";
});
state.textContent = `Updates every ${PERIOD_MS / 1000} seconds.`;
setTimeout(tick, PERIOD_MS);
