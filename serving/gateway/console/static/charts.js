// Charts are drawn by the server; this shows the values under the pointer.

import { localizeTimes } from "./page.js";

/** The step of a chart that is being looked at, and the tip that tells its values. */
class Reader {
  constructor(figure) {
    this.rows = [...figure.querySelectorAll(".numbers tbody tr")];
    this.names = [...figure.querySelectorAll(".numbers thead th")].slice(1).map((cell) => cell.textContent);
    this.isStack = figure.dataset.chart === "stack";
    this.canvas = figure.querySelector(".canvas");
    this.cursor = figure.querySelector(".cursor");
    this.tip = figure.querySelector(".tip");
  }

  hide() {
    this.cursor.hidden = true;
    this.tip.hidden = true;
  }

  show(event) {
    const box = this.canvas.getBoundingClientRect();
    const place = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const steps = this.rows.length;
    const step = this.isStack ? Math.min(Math.floor(place * steps), steps - 1) : Math.round(place * (steps - 1));
    const x = this.isStack ? (step + 0.5) / steps : step / Math.max(steps - 1, 1);
    const cells = [...this.rows[step].children].map((cell) => cell.textContent);
    const title = document.createElement("strong");
    title.textContent = cells[0];
    this.tip.replaceChildren(title);
    this.names.forEach((name, index) => {
      const line = document.createElement("div");
      line.textContent = `${name}  ${cells[index + 1]}`;
      this.tip.append(line);
    });
    this.cursor.hidden = false;
    this.tip.hidden = false;
    this.cursor.style.left = `${(x * box.width).toFixed(1)}px`;
    const isRight = x > 0.5;
    this.tip.style.left = isRight ? "auto" : `${(x * box.width + 10).toFixed(1)}px`;
    this.tip.style.right = isRight ? `${((1 - x) * box.width + 10).toFixed(1)}px` : "auto";
  }
}

/** Let the charts of a part of the page tell their values. */
export function prepareCharts(root) {
  localizeTimes(root);
  for (const figure of root.querySelectorAll("figure[data-chart]")) {
    if (!figure.querySelector(".canvas")) continue;
    const reader = new Reader(figure);
    reader.canvas.addEventListener("pointermove", (event) => reader.show(event));
    reader.canvas.addEventListener("pointerleave", () => reader.hide());
  }
}

prepareCharts(document);
