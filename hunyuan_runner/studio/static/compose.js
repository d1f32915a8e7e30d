// The compose panel: what htmx cannot do. The quote and the errors of fields come from the service.

const form = document.getElementById("compose-form");
const prompt = document.getElementById("prompt");
const marks = document.getElementById("prompt-marks");
const words = document.getElementById("prompt-words");
const said = document.getElementById("quote-said");
const field = (name) => form.elements.namedItem(name);

// Fields that show the preset's value as long as they are empty
const BY_PRESET = ["width", "height", "num_frames", "fps", "num_inference_steps", "guidance_scale", "flow_shift", "true_cfg_scale"];
const MULTIPLE = 16, SMALLEST = 64, LARGEST = 1280; // of a side, in pixels; see params.py

let unread = { unknown: [], foreign: [], scene: "" };
let problems = {}; // by field
let submitted = false; // without a prompt, which a quote does not need

/** Fill the form from a clip's parameters or from some of its fields. null empties a field. */
export function fill(values) {
  for (const [name, value] of Object.entries(values)) {
    if (name === "preset") {
      for (const radio of form.querySelectorAll("[name=preset]")) radio.checked = radio.value === value;
    } else if (field(name)) {
      field(name).value = value ?? "";
    }
  }
  if ("model" in values) field("model").dispatchEvent(new Event("change", { bubbles: true }));
  changed();
}

/** As if the user had changed the form: this asks for a new quote. */
function changed() {
  prompt.dispatchEvent(new Event("input", { bubbles: true }));
}

// What the service says of the form

document.addEventListener("htmx:afterSwap", ({ target }) => {
  const facts = target.id === "quote" && document.getElementById("quote-facts")?.dataset.facts;
  if (!facts) return;
  const found = JSON.parse(facts);
  const summary = target.innerText.replace(/\s+/g, " ").trim();
  if (said.textContent !== summary) said.textContent = summary; // is read out, but once only
  problems = found.problems;
  showProblems();
  unread = found.unread;
  mark();
  if (found.params) {
    for (const name of BY_PRESET) field(name).placeholder = found.params[name];
    showLength();
  }
});

function showProblems() {
  const missing = submitted && !prompt.value.trim() && { prompt: "Write what the clip should show" };
  for (const place of form.querySelectorAll(".problem")) {
    const name = place.id.replace("problem-", "");
    const problem = { ...problems, ...missing }[name] ?? "";
    if (place.textContent !== problem) place.textContent = problem;
    const input = field(name);
    if (!(input instanceof Element)) continue;
    if (problem) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    if (problem && input.closest("details")) input.closest("details").open = true;
  }
}

// The prompt: words that the model does not read are underlined while one types

function mark() {
  const bad = new Set([...unread.unknown, ...unread.foreign]);
  marks.replaceChildren();
  for (const part of prompt.value.normalize("NFKC").split(/([\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)?)/u)) {
    if (!bad.has(part)) {
      marks.append(part);
      continue;
    }
    const word = document.createElement("mark");
    word.textContent = part;
    marks.append(word);
  }
  marks.append("\n"); // a last line that is empty has its height, too
  marks.scrollTop = prompt.scrollTop;
  const text = explain();
  if (words.textContent !== text) words.textContent = text;
}

function explain() {
  const quoted = (list) => list.slice(0, 6).map((word) => `“${word}”`).join(", ") + (list.length > 6 ? " …" : "");
  const parts = [];
  if (unread.unknown.length) parts.push(`The model does not know ${quoted(unread.unknown)} and leaves ${unread.unknown.length > 1 ? "them" : "it"} out.`);
  if (unread.foreign.length) parts.push(`It cannot draw ${quoted(unread.foreign)} in a scene of the kind “${unread.scene}”.`);
  return parts.join(" ");
}

form.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target !== form || prompt.value.trim()) return;
  event.preventDefault();
  submitted = true;
  showProblems();
  prompt.focus();
});

prompt.addEventListener("input", () => {
  submitted = false;
  mark();
});
prompt.addEventListener("scroll", () => (marks.scrollTop = prompt.scrollTop));
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

function addWord(word) {
  const { selectionStart: start, selectionEnd: end, value } = prompt;
  const before = value.slice(0, start), after = value.slice(end);
  const inserted = (before && !/\s$/.test(before) ? " " : "") + word + (after && !/^\s/.test(after) ? " " : "");
  prompt.setRangeText(inserted, start, end, "end");
  changed();
}

// Buttons

document.getElementById("compose").addEventListener("click", ({ target }) => {
  const { prompt: text, word, changes, aspect } = target.closest("button")?.dataset ?? {};
  if (text) fill({ prompt: text });
  else if (word) addWord(word);
  else if (changes) fill(JSON.parse(changes));
  else if (aspect) setAspect(...aspect.split(":").map(Number));
});

document.getElementById("dice").addEventListener("click", () => {
  const [seed] = crypto.getRandomValues(new Uint32Array(1));
  fill({ seed });
});

document.getElementById("reset").addEventListener("click", () => {
  for (const input of document.querySelectorAll("#advanced :is(input, select, textarea)")) input.value = "";
  changed();
});

/** Keep about the same number of pixels, in another shape. */
function setAspect(across, down) {
  const value = (name) => Number(field(name).value || field(name).placeholder);
  const area = value("width") * value("height") || LARGEST * LARGEST;
  const side = (pixels) => Math.min(LARGEST, Math.max(SMALLEST, Math.round(pixels / MULTIPLE) * MULTIPLE));
  const width = Math.sqrt((area * across) / down);
  fill({ width: side(width), height: side((width * down) / across) });
}

// What depends on several fields

function showLength() {
  const value = (name) => Number(field(name).value || field(name).placeholder);
  const seconds = value("num_frames") / value("fps");
  document.getElementById("length").value = Number.isFinite(seconds) ? `${seconds.toFixed(1)} s long` : "";
}

function showVariations() {
  const count = Number(new FormData(form).get("variations"));
  const several = count > 1;
  document.querySelector("#submit span").textContent = several ? `Make ${count} drafts` : "Make video";
  document.getElementById("variations-hint").textContent = several
    ? `${count} drafts with different seeds. Each stops early; you choose which go on.`
    : "One clip. Choose more to draft the same prompt with several seeds and finish only the one that you like.";
}

/** How many of the folded settings do not come from the preset. */
function showChosen() {
  const inputs = [...document.querySelectorAll("#advanced :is(input, select, textarea)")];
  const count = inputs.filter((input) => input.value.trim()).length;
  const badge = document.getElementById("chosen");
  badge.hidden = count === 0;
  badge.textContent = `${count} set`;
}

form.addEventListener("input", () => {
  showLength();
  showChosen();
  showVariations();
});
showVariations();
showChosen(); // a browser may have kept them over a reload
mark();

// Now htmx listens. The model may have been chosen before, or kept over a reload.
document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("submit").disabled = false;
  const model = field("model");
  if (!model.selectedOptions[0]?.defaultSelected) model.dispatchEvent(new Event("change", { bubbles: true }));
});
