// Classifies a picture that is dropped, pasted, chosen or taken with the camera.

import { openCamera } from "./camera.js";
import { byId, describeError, readError, send } from "./page.js";

const page = byId("try");
const reasons = JSON.parse(page.dataset.reasons);
const routes = JSON.parse(page.dataset.routes);
const maxBytes = Number(page.dataset.maxBytes);
const percent = (share) => `${(share * 100).toFixed(1)}\u202f%`;

let current = null; // { file, address, answer, overlay }
let question = null; // the request that is under way

function showPart(name) {
  for (const part of ["empty", "busy", "error", "body"]) byId(`answer-${part}`).hidden = part !== name;
}

function showPicture(file) {
  if (current) {
    URL.revokeObjectURL(current.address);
    if (current.overlay) URL.revokeObjectURL(current.overlay);
  }
  current = { file, address: URL.createObjectURL(file), answer: null, overlay: null };
  const preview = byId("preview");
  preview.src = current.address;
  preview.alt = `The picture ${file.name}`;
  preview.hidden = false;
  byId("overlay").hidden = true;
  byId("drop-hint").hidden = true;
  byId("drop").classList.add("has-picture");
  byId("file-name").textContent = file.name;
  byId("file-name").title = file.name;
}

function showError(error) {
  byId("error-title").textContent = error.error;
  for (const name of ["got", "accepted", "fix"]) {
    const text = error[name] ?? "";
    const value = byId(`error-${name}`);
    value.textContent = text;
    value.hidden = !text;
    document.querySelector(`[data-for="${name}"]`).hidden = !text;
  }
  byId("announcement").textContent = error.error;
  showPart("error");
}

function makeBar({ label, probability }) {
  const item = document.createElement("li");
  const name = document.createElement("bdi");
  name.textContent = label;
  const number = document.createElement("span");
  number.className = "number";
  number.textContent = percent(probability);
  const track = document.createElement("span");
  track.className = "track";
  track.setAttribute("aria-hidden", "true");
  const fill = document.createElement("span");
  fill.className = "fill";
  fill.style.display = "block";
  fill.style.width = `${Math.max(probability * 100, 0.5)}%`;
  track.append(fill);
  item.append(name, number, track);
  return item;
}

function makeBadge(text, tone) {
  const badge = document.createElement("span");
  badge.className = `badge ${tone}`;
  badge.textContent = text;
  return badge;
}

function showAnswer(answer, milliseconds) {
  byId("answer-label").textContent = answer.label;
  byId("answer-probability").textContent = percent(answer.probability);
  byId("answer-bars").replaceChildren(...answer.top_k.map(makeBar));
  const badges = [];
  if (answer.needs_review) {
    badges.push(makeBadge("goes to review", "warning"));
    for (const reason of answer.review_reasons) badges.push(makeBadge(reasons[reason] ?? reason, ""));
  }
  byId("answer-badges").replaceChildren(...badges);
  byId("answer-version").textContent = answer.model_version || "fallback";
  byId("answer-route").textContent = routes[answer.route] ?? answer.route;
  byId("answer-time").textContent = `${Math.round(milliseconds)}\u202fms from this browser`;
  byId("answer-request").textContent = answer.request_id;
  byId("answer-json").textContent = JSON.stringify(answer, null, 2);
  byId("announcement").textContent = `${answer.label}, ${percent(answer.probability)}`;
  resetExplain();
  resetJudge();
  showPart("body");
}

async function ask(file) {
  question?.abort();
  question = new AbortController();
  const mine = question;
  showPicture(file);
  if (file.size > maxBytes) {
    showError({ error: "The picture is too large.", got: `${file.size} bytes`, accepted: `at most ${maxBytes} bytes`, fix: "Make it smaller." });
    return;
  }
  showPart("busy");
  const begin = performance.now();
  try {
    const response = await send("/console/try/predict", file, file.type.startsWith("image/") ? file.type : "application/octet-stream");
    const body = response.ok ? await response.json() : await readError(response);
    if (mine.signal.aborted) return;
    if (!response.ok) {
      showError(body);
      return;
    }
    current.answer = body;
    showAnswer(body, performance.now() - begin);
  } catch (error) {
    if (!mine.signal.aborted) showError({ error: "The server cannot be reached.", got: error.message, fix: "Try again." });
  }
}

function takeFirst(files) {
  const file = [...files].find((one) => one.type.startsWith("image/")) ?? files[0];
  if (file) ask(file);
}

// Heat map.
const explain = byId("explain");
function resetExplain() {
  explain.setAttribute("aria-pressed", "false");
  explain.textContent = "Show heat map";
  explain.disabled = false;
  explain.hidden = false;
  byId("explain-problem").textContent = "";
}

async function toggleExplain() {
  const overlay = byId("overlay");
  const mine = current;
  if (!mine.overlay) {
    explain.disabled = true;
    const response = await send("/console/try/explain", mine.file, mine.file.type || "application/octet-stream");
    explain.disabled = false;
    if (mine !== current) return;
    if (!response.ok) {
      explain.hidden = response.status === 404;
      byId("explain-problem").textContent = explain.hidden
        ? "This model has no heat maps."
        : describeError(await readError(response));
      return;
    }
    mine.overlay = URL.createObjectURL(await response.blob());
    overlay.src = mine.overlay;
  }
  const isShown = overlay.hidden;
  overlay.hidden = !isShown;
  byId("preview").hidden = isShown;
  explain.setAttribute("aria-pressed", String(isShown));
  explain.textContent = isShown ? "Hide heat map" : "Show heat map";
}
explain.addEventListener("click", toggleExplain);

// Feedback.
const judge = byId("judge");
function resetJudge() {
  if (!judge) return;
  for (const id of ["judge-right", "judge-wrong", "judge-question"]) byId(id).hidden = false;
  byId("judge-wrong").setAttribute("aria-expanded", "false");
  byId("judge-more").hidden = true;
  byId("judge-done").textContent = "";
  byId("true-label").value = "";
}

async function toBase64(file) {
  const reader = new FileReader();
  const address = await new Promise((resolve, reject) => {
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
  return address.slice(address.indexOf(",") + 1);
}

async function sendJudgement(label) {
  const { answer, file } = current;
  const feedback = { request_id: answer.request_id, label };
  // Whoever reviews a complaint must see the picture, and the gateway keeps none without need.
  if (label !== answer.label) feedback.image = await toBase64(file);
  const response = await send("/console/try/feedback", JSON.stringify(feedback), "application/json");
  const body = response.ok ? await response.json() : await readError(response);
  const done = byId("judge-done");
  done.classList.toggle("is-bad", !response.ok);
  if (!response.ok) {
    done.textContent = describeError(body);
    return;
  }
  for (const id of ["judge-right", "judge-wrong", "judge-question", "judge-more"]) byId(id).hidden = true;
  done.textContent = body.was_right ? "Thank you: confirmed." : "Thank you: a human will look at it.";
}
if (judge) {
  byId("judge-right").addEventListener("click", () => sendJudgement(current.answer.label));
  byId("judge-wrong").addEventListener("click", () => {
    byId("judge-more").hidden = false;
    byId("judge-wrong").setAttribute("aria-expanded", "true");
    byId("true-label").focus();
  });
  judge.addEventListener("submit", (event) => {
    event.preventDefault();
    const label = byId("true-label").value.trim();
    if (label) sendJudgement(label);
  });
}

// Where pictures come from.
const drop = byId("drop");
byId("file").addEventListener("change", (event) => {
  takeFirst(event.target.files);
  event.target.value = ""; // the same file can be chosen once more
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) {
    event.preventDefault();
    takeFirst(event.clipboardData.files);
  }
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("is-over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("is-over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("is-over");
  if (event.dataTransfer?.files.length) takeFirst(event.dataTransfer.files);
});
byId("open-camera").addEventListener("click", () => openCamera(ask));
byId("copy-request").addEventListener("click", async () => {
  await navigator.clipboard.writeText(byId("answer-request").textContent);
  byId("announcement").textContent = "Copied.";
});
