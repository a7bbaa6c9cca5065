// What every script needs: the form token, requests, and moments in the viewer's own time.

const token = document.querySelector('meta[name="form-token"]')?.content ?? "";

/** Send something to the console's own server; answers of any status come back. */
export async function send(path, body, contentType) {
  const headers = { "x-form-token": token, accept: "application/json, image/png" };
  if (contentType) headers["content-type"] = contentType;
  return fetch(path, { method: "POST", body, headers, redirect: "error" });
}

/** Read the error of an answer, whatever it is. */
export async function readError(response) {
  try {
    return await response.json();
  } catch {
    return { error: `The server answered with status ${response.status}.`, fix: "Try again." };
  }
}

/** Say in one line what was wrong and what to do. */
export function describeError({ error, fix }) {
  const problem = `${error.slice(0, 1).toUpperCase()}${error.slice(1).replace(/\.$/, "")}.`;
  return fix ? `${problem} ${fix}` : problem;
}

/** Show moments in the viewer's own time; the server writes UTC. */
export function localizeTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    if ("short" in element.dataset) {
      element.textContent = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    } else {
      element.title = element.dateTime;
      element.textContent = moment.toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
    }
  }
}

export const byId = (id) => document.getElementById(id);
