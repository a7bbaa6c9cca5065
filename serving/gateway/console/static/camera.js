// Takes a picture with the camera.

import { byId } from "./page.js";

const dialog = byId("camera");
const video = byId("camera-video");
const shoot = byId("camera-shoot");
const problem = byId("camera-problem");
let stream = null;
let deliver = null;

function stop() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.srcObject = null;
}

/** Open the camera; what is taken is given to `give` as a file. */
export async function openCamera(give) {
  deliver = give;
  shoot.disabled = true;
  problem.textContent = "";
  dialog.showModal();
  if (!navigator.mediaDevices) {
    problem.textContent = "This browser gives the camera to HTTPS pages only.";
    return;
  }
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
    stream = opened;
    if (!dialog.open) {
      stop();
      return;
    }
    video.srcObject = opened;
    await video.play();
    shoot.disabled = false;
    shoot.focus();
  } catch (error) {
    problem.textContent = `The camera cannot be used: ${error.message}`;
  }
}

shoot.addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    dialog.close();
    if (blob) deliver(new File([blob], "camera.jpg", { type: "image/jpeg" }));
  }, "image/jpeg", 0.92);
});
dialog.addEventListener("close", stop);
