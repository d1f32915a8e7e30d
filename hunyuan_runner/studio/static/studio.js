// What the whole page shares: short messages, the theme, and what to do when a request fails.
// The panels have modules of their own.

const messages = document.getElementById("messages");

/** Show a short message for some seconds. `kind` is "note" or "error". */
export function say(text, kind = "note") {
  if (messages.lastElementChild?.textContent === text) return;
  const message = document.createElement("div");
  message.className = `message ${kind}`;
  message.textContent = text;
  messages.append(message);
  setTimeout(() => message.remove(), kind === "error" ? 12000 : 6000);
}

document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  if (xhr.status === 401) return location.reload(); // the session has ended: sign in again
  let text = `The service answered ${xhr.status}.`;
  try {
    text = JSON.parse(xhr.responseText).error.message;
  } catch {
    // from a proxy
  }
  say(text, "error");
});

document.addEventListener("htmx:sendError", () => {
  say("The service cannot be reached. This page tries again when it can.", "error");
});

// A fragment can say something with the header HX-Trigger: {"say": "…"}, or {"refused": "…"}.
document.addEventListener("say", ({ detail }) => say(detail.value));
document.addEventListener("refused", ({ detail }) => say(detail.value, "error"));

document.getElementById("theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("theme", next);
});
