// The queue panel: the page's title and icon, notifications, and what to do without a connection.

import { say } from "./studio.js";

const root = document.body.dataset.root;
const jobs = document.getElementById("jobs");
const connection = document.getElementById("connection");
const announcer = document.getElementById("queue-news");
const notify = document.getElementById("notify");
const favicon = document.getElementById("favicon");
const plain = { title: document.title, icon: favicon.getAttribute("href") };
const stillness = matchMedia("(prefers-reduced-motion: reduce)");

const RETRY_MS = 2_000;
const SILENCE_MS = 25_000; // the stream sends something every 10 seconds
const CHECK_MS = 5_000;

// The connection. htmx's extension for event streams waits up to a minute before it connects again,
// and does not notice a connection that is dead or held back by a proxy.

let source;
let heardAt = Date.now();

function connect() {
  source = new EventSource(`${root}studio/events`);
  source.addEventListener("open", () => {
    heard();
    document.dispatchEvent(new CustomEvent("stream-open"));
  });
  source.addEventListener("error", () => {
    connection.hidden = false;
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS); // else it retries
  });
  source.addEventListener("ping", heard);
  source.addEventListener("queue", ({ data }) => {
    heard();
    show(data);
  });
  source.addEventListener("news", ({ data }) => {
    heard();
    onNews(JSON.parse(data));
  });
}

function heard() {
  heardAt = Date.now();
  connection.hidden = true;
}

// Answers overtake each other: what was rendered earlier must not replace what was rendered later.

let number = 0; // milliseconds of the server's clock, which may be set back
const CLOCK_SET_BACK = 60_000;

function isOld(content) {
  const found = Number(/data-number="(\d+)"/.exec(content)?.[1]);
  if (found < number && number - found < CLOCK_SET_BACK) return true;
  number = found;
  return false;
}

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target === jobs && isOld(detail.serverResponse)) detail.shouldSwap = false;
});

function show(content) {
  if (isOld(content)) return;
  htmx.swap(jobs, content, { swapStyle: "morph:innerHTML" }, { contextElement: jobs });
}

async function refresh() {
  try {
    const answer = await fetch(`${root}studio/queue`);
    if (answer.ok) show(await answer.text());
    else if (answer.status === 401) location.reload(); // the session has ended: sign in again
  } catch {
    // The panel says that it is not connected, and tries again.
  }
}

setInterval(() => {
  if (Date.now() - heardAt < SILENCE_MS) return;
  connection.hidden = false;
  refresh();
  if (source.readyState !== EventSource.OPEN) return;
  source.close();
  connect();
}, CHECK_MS);

// A form of the page has queued jobs. They are shown at once also without a stream, and on a phone
// they are further down.
document.addEventListener("jobs-changed", async ({ detail }) => {
  await refresh();
  const queued = detail?.ids?.map((id) => document.getElementById(`job-${id}`)).find(Boolean);
  const behavior = stillness.matches ? "auto" : "smooth";
  queued?.scrollIntoView({ block: "nearest", behavior });
});

// What is said

const WORDS = {
  in_progress: "Started",
  paused: "Paused",
  completed: "Finished",
  failed: "Failed",
  canceled: "Canceled",
};

function onNews(news) {
  document.body.dispatchEvent(new CustomEvent("queue-changed"));
  const what = news.state === "paused" && news.draft ? "Draft ready" : WORDS[news.state];
  if (!what) return;
  const text = `${what}: ${news.prompt.slice(0, 120)}`;
  if (news.state === "completed") say(text);
  else if (news.state === "failed") say(text, "error");
  else announcer.textContent = text;
  if (news.state === "completed") document.dispatchEvent(new CustomEvent("job-finished", { detail: news }));
  if (news.long && document.hidden && permission() === "granted" && news.state !== "canceled") {
    const note = new Notification(what, { body: news.prompt.slice(0, 120), tag: news.job, icon: plain.icon });
    note.addEventListener("click", () => {
      window.focus();
      note.close();
    });
  }
}

// Notifications: offered once a job takes long, asked for on a click only

function permission() {
  return "Notification" in window ? Notification.permission : "denied";
}

notify.addEventListener("click", async () => {
  await Notification.requestPermission();
  notify.hidden = true;
  document.getElementById("queue-title").focus();
});

// The content after each change

let quarter = 0;
const started = new WeakSet(); // the drafts that were played once by themselves

function onChange() {
  const { percent, prompt, long } = document.getElementById("queue-now").dataset;
  const running = percent !== undefined;
  document.title = running ? `${percent} % · ${prompt}` : plain.title;
  favicon.href = running ? ring(Number(percent)) : plain.icon;
  notify.hidden = long === undefined || permission() !== "default";
  const reached = running ? Math.floor(percent / 25) : 0;
  if (long !== undefined && reached > quarter) announcer.textContent = `${reached * 25} %: ${prompt}`;
  quarter = reached;
  if (!stillness.matches) {
    for (const video of jobs.querySelectorAll("video")) {
      if (started.has(video)) continue;
      started.add(video);
      video.play().catch(() => {}); // its controls can start it
    }
  }
}

// Drafts play once when they are there, and again under the pointer. All of them all the time would
// take the processor from the one that is rendered, if it is this machine's.
jobs.addEventListener("pointerover", ({ target }) => {
  if (!(target instanceof HTMLVideoElement) || stillness.matches) return;
  target.loop = true;
  target.play().catch(() => {});
});
jobs.addEventListener("pointerout", ({ target }) => {
  if (target instanceof HTMLVideoElement) target.loop = false;
});

/** An icon whose ring is closed at 100 per cent. */
function ring(percent) {
  const round = 2 * Math.PI * 12;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke-width="6">
    <circle cx="16" cy="16" r="12" stroke="#9aa5a1"/>
    <circle cx="16" cy="16" r="12" stroke="#0c9385" stroke-linecap="round" transform="rotate(-90 16 16)"
      stroke-dasharray="${(round * percent) / 100} ${round}"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

// Focus stays in the card of the button that was pressed, or in the panel if the card is gone.

let focused = null;

jobs.addEventListener("focusin", ({ target }) => (focused = target.closest("li[id]")?.id ?? null));
jobs.addEventListener("focusout", () => {
  if (document.activeElement !== document.body) focused = null;
});

function keepFocus() {
  if (focused === null || document.activeElement !== document.body) return;
  (document.getElementById(focused) ?? document.getElementById("queue-title")).focus({ preventScroll: true });
}

jobs.addEventListener("htmx:afterSettle", () => {
  keepFocus();
  onChange();
});
onChange();
connect();
