// The library panel: its player, its selection, deleting with undo, and files that are dropped.
// htmx loads the cards and the content of the player.

import { fill } from "./compose.js";
import { NoManifest, readManifest } from "./mp4.js";
import { say } from "./studio.js";

const UNDO_MS = 8_000;
const DELETED_AT_ONCE = 50;

const root = document.body.dataset.root;
const panel = document.getElementById("library");
const clips = document.getElementById("clips");
const filter = document.getElementById("library-filter");
const player = document.getElementById("player");
const selection = document.getElementById("selection");
const messages = document.getElementById("messages");
const stillness = matchMedia("(prefers-reduced-motion: reduce)");

const cards = () => [...clips.querySelectorAll(".clip:not([hidden])")];
const cardOf = (id) => document.getElementById(`clip-${id}`);

// Posters that play

function move(card) {
  const still = card.querySelector("img[data-moving]");
  if (!still || stillness.matches || card.querySelector(".moving")) return;
  const moving = new Image();
  moving.className = "moving";
  moving.alt = "";
  moving.src = still.dataset.moving;
  still.after(moving);
}

const hold = (card) => card.querySelector(".moving")?.remove();

clips.addEventListener("pointerover", ({ target, pointerType }) => {
  const card = target.closest(".clip");
  if (card && pointerType === "mouse") move(card);
});
clips.addEventListener("pointerout", ({ target, relatedTarget }) => {
  const card = target.closest(".clip");
  if (card && !card.contains(relatedTarget)) hold(card);
});
clips.addEventListener("focusin", ({ target }) => {
  if (target.matches(":focus-visible")) move(target.closest(".clip"));
});
clips.addEventListener("focusout", ({ target }) => hold(target.closest(".clip")));

// A clip that was deleted elsewhere has no picture.
clips.addEventListener("error", ({ target }) => target.remove(), true);

// The player

const content = document.getElementById("player-content");
const shown = () => content.querySelector(".about")?.dataset.id; // the id of its job

content.addEventListener("htmx:beforeSwap", () => (refocus = document.activeElement.dataset.act));
content.addEventListener("htmx:afterSwap", () => {
  if (!player.open) player.showModal();
  player.append(messages); // what lies outside of an open dialog cannot be used
  player.scrollTop = 0;
  const video = content.querySelector("video");
  if (video && !stillness.matches) video.play().catch(() => {}); // its controls can start it
  for (const button of content.querySelectorAll("[data-act=previous], [data-act=next]")) {
    button.setAttribute("aria-disabled", !beside(button.dataset.act)); // it can keep the focus
  }
  (content.querySelector(`[data-act="${refocus}"]`) ?? content.querySelector("h2")).focus();
});
player.addEventListener("close", () => {
  document.body.append(messages);
  // The focus is back where the player was opened; meanwhile it may show another clip.
  if (clips.contains(document.activeElement)) cardOf(shown())?.querySelector(".open").focus();
  content.replaceChildren();
});
player.addEventListener("click", (event) => {
  if (event.target === player) player.close(); // on the backdrop
});
player.addEventListener("keydown", (event) => {
  const act = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
  if (act && shown() && !event.target.matches("video, pre")) go(act);
});

let refocus = null; // the button that loads the next clip, which is then a new one

/** The card before or after the clip that is shown. */
function beside(act) {
  const all = cards();
  const at = all.findIndex((card) => card.dataset.id === shown());
  return at < 0 ? null : all[at + (act === "next" ? 1 : -1)];
}

function go(act) {
  const card = beside(act);
  card?.scrollIntoView({ block: "nearest" }); // which may load more cards
  card?.querySelector(".open").click();
}

const ACTIONS = {
  previous: () => go("previous"),
  next: () => go("next"),
  use({ dataset }) {
    player.close();
    fill(JSON.parse(dataset.settings));
    document.getElementById("prompt").focus();
  },
  delete({ dataset }) {
    player.close();
    discard([dataset.id]);
  },
  async copy(button) {
    const program = document.getElementById(button.dataset.of);
    getSelection().selectAllChildren(program);
    // Only pages with https, or from this machine, have a clipboard.
    const copied = navigator.clipboard
      ? await navigator.clipboard.writeText(program.textContent).then(() => true, () => false)
      : document.execCommand("copy");
    button.querySelector("span").firstChild.data = copied ? "Copied" : "Press Ctrl+C to copy";
  },
};

content.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-act]");
  if (button) ACTIONS[button.dataset.act](button);
});

// A job that was deleted elsewhere
clips.addEventListener("htmx:responseError", ({ target, detail: { xhr } }) => {
  if (xhr.status === 404) target.closest(".clip")?.remove();
});

// The selection

let last = null; // the box that was changed last

const boxes = () => [...clips.querySelectorAll(".clip:not([hidden]) .pick input")];
const picked = () => boxes().filter((box) => box.checked).map((box) => box.value);

function showSelection() {
  const count = picked().length;
  selection.hidden = count === 0;
  clips.classList.toggle("selecting", count > 0);
  selection.querySelector("output").value = `${count} selected`;
}

function pick(checked) {
  for (const box of boxes()) box.checked = checked;
  showSelection();
}

clips.addEventListener("click", ({ target, shiftKey }) => {
  if (!target.matches(".pick input")) return;
  const all = boxes();
  const [from, to] = [all.indexOf(last), all.indexOf(target)].sort((a, b) => a - b);
  if (shiftKey && from >= 0) {
    for (const box of all.slice(from, to + 1)) box.checked = target.checked;
  }
  last = target;
  showSelection();
});

selection.addEventListener("click", ({ target }) => {
  const act = target.closest("[data-act]")?.dataset.act;
  if (act === "delete") discard(picked());
  else if (act) pick(act === "all");
});

panel.addEventListener("keydown", (event) => {
  const card = event.target.closest(".clip");
  if (event.key === "Delete" && card) discard(picked().length ? picked() : [card.dataset.id]);
  else if (event.key === "Escape" && !selection.hidden && !player.open) pick(false);
});

// Deleting. The cards go at once; the service is asked after some seconds, in which the page offers
// to undo it. If one leaves the page before, the clips stay.

const discarded = new Set(); // the ids of cards that are hidden
const undos = []; // one function for each message that can still be undone

function discard(ids) {
  if (ids.length === 0) return;
  const next = neighbourOf(ids);
  pick(false);
  for (const id of ids) discarded.add(id);
  hideDiscarded(document);
  const what = ids.length === 1 ? "1 clip" : `${ids.length} clips`;
  offerUndo(`Deleted ${what}.`, {
    undo: () => restore(ids),
    settle: () => deleteForGood(ids),
  });
  (next?.querySelector(".open") ?? document.getElementById("library-title")).focus();
}

/** The first card after these, or the last before them, that stays. */
function neighbourOf(ids) {
  const all = cards();
  const goes = (card) => ids.includes(card.dataset.id);
  const end = all.findLastIndex(goes);
  return all.slice(end + 1)[0] ?? all.slice(0, Math.max(end, 0)).reverse().find((card) => !goes(card));
}

function hideDiscarded(within) {
  for (const card of within.querySelectorAll(".clip")) card.hidden = discarded.has(card.dataset.id);
}

function restore(ids) {
  for (const id of ids) discarded.delete(id);
  hideDiscarded(document);
  cardOf(ids[0])?.querySelector(".open").focus();
}

async function deleteForGood(ids) {
  for (let at = 0; at < ids.length; at += DELETED_AT_ONCE) {
    const some = ids.slice(at, at + DELETED_AT_ONCE);
    const kept = await askToDelete(some);
    for (const id of some) {
      discarded.delete(id);
      if (!(id in kept)) cardOf(id)?.remove();
    }
    const reasons = new Set(Object.values(kept));
    if (reasons.size > 0) say([...reasons].join(" "), "error");
  }
  hideDiscarded(document);
  if (!clips.querySelector(".clip, .more")) reload();
}

/** By id: why a job could not be deleted. */
async function askToDelete(ids) {
  try {
    const answer = await fetch(`${root}studio/library/delete`, {
      method: "POST",
      body: new URLSearchParams({ ids: ids.join(" ") }),
    });
    if (answer.status === 401) location.reload(); // the session has ended: sign in again
    const { kept, error } = await answer.json();
    return kept ?? Object.fromEntries(ids.map((id) => [id, error.message]));
  } catch {
    const reason = "The service cannot be reached, so nothing was deleted.";
    return Object.fromEntries(ids.map((id) => [id, reason]));
  }
}

/** A message with a button to undo something. Without it, `settle` is called after UNDO_MS. The
 *  time stands still while somebody points at the message or has moved the focus to it. */
function offerUndo(text, { undo, settle }) {
  const message = document.createElement("div");
  message.className = "message undo";
  const words = document.createElement("span");
  words.textContent = `${text} If you leave this page within ${UNDO_MS / 1000}\u00a0s, nothing is deleted.`;
  const button = document.createElement("button");
  button.className = "button";
  button.type = "button";
  button.textContent = "Undo";
  button.setAttribute("aria-keyshortcuts", "Control+Z");
  message.append(words, button);

  let timer = null;
  let over = false; // removing the message moves the focus, which would start the time again
  const end = (act) => {
    over = true;
    clearTimeout(timer);
    message.remove();
    undos.splice(undos.indexOf(revert), 1);
    act();
  };
  const revert = () => end(undo);
  const start = () => {
    clearTimeout(timer);
    if (!over) timer = setTimeout(() => end(settle), UNDO_MS);
  };
  button.addEventListener("click", revert);
  for (const name of ["pointerenter", "focusin"]) message.addEventListener(name, () => clearTimeout(timer));
  for (const name of ["pointerleave", "focusout"]) message.addEventListener(name, start);
  undos.push(revert);
  messages.append(message);
  start();
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
  if (undos.length === 0 || event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  undos.at(-1)();
});

// Jobs that finish meanwhile

const filled = () => new URLSearchParams(new FormData(filter));

function reload() {
  htmx.ajax("GET", `${root}studio/library?${filled()}`, { target: clips });
}

/** Add the cards that a page of the library has and this one lacks, each at its place. */
async function add(query) {
  const answer = await fetch(`${root}studio/library?${query}`);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const more = clips.querySelector(".more");
  const oldest = more ? cardsLoaded().at(-1)?.dataset.id ?? "" : "";
  for (const card of page.querySelectorAll(".clip")) {
    const id = card.dataset.id;
    if (id < oldest) break; // it comes when one scrolls there
    if (cardOf(id)) continue;
    clips.querySelector(".nothing")?.remove();
    const after = cardsLoaded().find((other) => other.dataset.id < id) ?? clips.querySelector(".more");
    clips.insertBefore(card, after);
    htmx.process(card);
    prepare(card);
  }
}

const cardsLoaded = () => [...clips.querySelectorAll(".clip")];

document.addEventListener("job-finished", ({ detail }) => {
  const query = filled();
  query.set("after", `${detail.job}_`); // ids sort by time: the page starts with this one
  add(query);
});

// What finished since the page was made, or while the stream was cut.
document.addEventListener("stream-open", () => add(filled()));

// Files

const drop = document.getElementById("drop");
const file = document.getElementById("file");

document.getElementById("open-file").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  if (file.files[0]) open(file.files[0]);
  file.value = ""; // so that the same one can be chosen again
});

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");

addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault(); // or the browser would leave the page for the file
  drop.hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.hidden = true; // it left the window
});
addEventListener("drop", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  drop.hidden = true;
  const [first, ...others] = event.dataTransfer.files;
  if (others.length > 0) say("Drop one file at a time.", "error");
  else if (first) open(first);
});

/** Show how a file was made. */
async function open(video) {
  let manifest;
  try {
    manifest = await readManifest(video);
  } catch (error) {
    if (!(error instanceof NoManifest)) throw error;
    return say(`${video.name}: ${error.message}`, "error");
  }
  htmx.ajax("POST", `${root}studio/library/recipe`, { target: content, values: { manifest } });
}

// Times, in the reader's own zone

const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];

function showTimes(within) {
  for (const time of within.querySelectorAll("time[data-ago], time[data-local]")) {
    const moment = new Date(time.dateTime);
    const words = moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    time.title = words;
    if ("ago" in time.dataset) {
      const seconds = (moment - Date.now()) / 1000;
      const [unit, length] = UNITS.find(([, length]) => -seconds >= length) ?? ["minute", 60];
      time.textContent = -seconds < 60 ? "just now" : ago.format(Math.round(seconds / length), unit);
    } else {
      time.textContent = words;
    }
  }
}

/** Make new content of the library ready. */
function prepare(content) {
  showTimes(content);
  hideDiscarded(content);
  if (content.matches(".clip")) content.hidden = discarded.has(content.dataset.id);
}

htmx.onLoad((content) => {
  if (content === document.body || panel.contains(content)) prepare(content);
});
clips.addEventListener("htmx:afterSwap", () => {
  if (!selection.hidden) showSelection(); // another search may have replaced what was selected
});
setInterval(() => showTimes(clips), 60_000);
prepare(panel);
