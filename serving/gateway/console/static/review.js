// One key per class; buttons do the work, so that the page is the same without this script.

import { byId, localizeTimes } from "./page.js";

let isSent = false;

for (const form of document.querySelectorAll("main form")) {
  form.addEventListener("submit", (event) => {
    // A second key must not answer for a picture that nobody has seen yet.
    if (isSent) event.preventDefault();
    isSent = true;
  });
}

document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLInputElement;
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "Enter") {
    if (event.target.closest("button, a, summary")) return;
    document.querySelector("[data-guess]")?.click();
    return;
  }
  const key = event.key.toLowerCase();
  const element = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
  if (element) {
    event.preventDefault();
    element.click();
  }
});

// A page that the browser has kept must take keys again.
addEventListener("pageshow", () => { isSent = false; });

const image = byId("review-image");
if (image) {
  const hide = () => {
    image.hidden = true;
    byId("image-gone").hidden = false;
  };
  image.addEventListener("error", hide);
  if (image.complete && image.naturalWidth === 0) hide();
  const next = document.querySelector(".review").dataset.next;
  if (next) new Image().src = next;
}
localizeTimes(document);
