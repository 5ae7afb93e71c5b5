// One message in the page: the server's markup, filled in. Model text enters as text; HTML only where the server made it.

import { isLive } from "./protocol.js";
import { cloneTemplate } from "./markup.js";
import { showSources } from "./sources.js";
import { say } from "./strings.js";
import { showTime } from "./times.js";

const CODE = /^\s*(```|~~~)/;
const LEADING_LINES = /^[\r\n]+/;

/** An empty message; `persona` {name, emoji, colour} is who replies. */
export function createMessage(role, persona) {
  const element = cloneTemplate(role);
  const avatar = element.querySelector("[data-avatar]");
  if (avatar) {
    avatar.textContent = persona.emoji;
    avatar.className = `avatar tint-${persona.colour}`;
  }
  return element;
}

/** Show `item` in `element`. `context` {isLast, isStopping, isOnline} is what else its looks depend on. */
export function showMessage(element, item, context) {
  const flags = `${item.entry?.refused ?? ""}|${context.isLast}|${context.isStopping}|${context.isOnline}`;
  if (element.shown === item.message && element.flags === flags) return;
  const { message, entry } = item;
  element.shown = message;
  element.flags = flags;
  element.dataset.message = message.id;
  element.dataset.status = message.status;
  element.classList.toggle("is-pending", Boolean(entry));
  element.classList.toggle("is-refused", Boolean(entry?.refused));
  showBody(element, message);
  if (message.role === "assistant") showSources(element, message);
  showState(element, item, context);
  showBranches(element, message);
  showFeedback(element, message);
  const time = element.querySelector("[data-time]");
  if (message.created_at && time.dateTime !== message.created_at) showTime(time, message.created_at);
}

// --- the text -----------------------------------------------------------------------------------------------------------

function showBody(element, message) {
  const body = element.querySelector("[data-body]");
  const version = `${message.status} ${message.epoch ?? 0} ${message.seq ?? message.text.length}`;
  if (element.dataset.version === version && !isLive(message)) return;
  element.dataset.version = version;
  if (message.role === "user") {
    body.textContent = message.text;
  } else if (isLive(message)) {
    showStream(element, body, message);
  } else {
    delete element.stream;
    body.innerHTML = message.html;
    finish(body);
  }
}

/** The finished blocks as the server's HTML, each added once, and the open rest as text. */
function showStream(element, body, message) {
  const isPreview = message.preview.length > message.text.length;
  const blocks = isPreview ? [] : message.blocks;
  const tail = isPreview ? message.preview : message.tail;
  let stream = element.stream;
  if (!stream || stream.blocks.some((block, index) => block !== blocks[index])) {
    const text = document.createTextNode("");
    const open = document.createElement("div");
    open.className = "tail";
    open.append(text);
    body.replaceChildren(open);
    stream = element.stream = { blocks: [], open, text };
  }
  for (const block of blocks.slice(stream.blocks.length)) {
    const part = document.createElement("div");
    part.className = "block";
    part.innerHTML = block.html;
    finish(part);
    stream.open.before(part);
  }
  stream.blocks = blocks;
  stream.open.classList.toggle("is-code", CODE.test(tail));
  showText(stream.text, tail.replace(LEADING_LINES, ""));
}

/** Append to the text where it only grew: what is selected in it stays so. */
function showText(node, tail) {
  const shown = node.data;
  if (tail.length > shown.length && tail.startsWith(shown)) node.appendData(tail.slice(shown.length));
  else if (tail !== shown) node.data = tail;
}

/** Give code its copy button. */
export function finish(root) {
  for (const block of root.querySelectorAll(".code-block:not(:has(.code-copy))")) block.append(cloneTemplate("code-copy"));
}

// --- what stands around it ------------------------------------------------------------------------------------------------

function showState(element, item, context) {
  const { text, isWorking } = stateOf(item, context);
  const line = element.querySelector("[data-state]");
  line.hidden = !text;
  line.querySelector("[data-state-text]").textContent = text;
  line.querySelector("[data-dots]").hidden = !isWorking;
  const { message, entry } = item;
  const show = (action, isShown) => {
    const button = line.querySelector(`[data-action="${action}"]`);
    if (button) button.hidden = !isShown;
  };
  const isCut = ["interrupted", "stopped"].includes(message.status) || message.finish_reason === "length";
  const isOver = message.role === "assistant" && !isLive(message) && context.isLast;
  show("continue", isOver && isCut && Boolean(message.text) && message.code !== "content_blocked");
  show("retry", isOver && (message.status === "failed" || (isCut && !message.text)));
  show("resend", Boolean(entry?.refused || entry?.again));
  show("discard", Boolean(entry?.refused || entry?.again));
}

function stateOf({ message, entry }, { isStopping, isOnline }) {
  if (entry?.refused) return { text: entry.refused, isWorking: false };
  if (entry?.again) return { text: say("postponed", { detail: entry.busy }), isWorking: false };
  if (entry && !isOnline) return { text: say("unsent"), isWorking: false };
  if (isStopping) return { text: say("stopping"), isWorking: true };
  switch (message.status) {
    case "sending":
      return { text: say("sending"), isWorking: true };
    case "queued":
      return { text: queuedText(message), isWorking: true };
    case "streaming":
      return { text: message.text || message.preview ? "" : say("thinking"), isWorking: true };
    case "stopped":
    case "interrupted":
      return { text: say(`cut-${message.code}`) || say(message.status), isWorking: false };
    case "failed":
      return { text: say(`failed-${message.code}`) || message.detail || say("failed"), isWorking: false };
    default:
      return { text: message.finish_reason === "length" ? say("length") : "", isWorking: false };
  }
}

/** Where a reply stands in line, with the estimate where there is one. */
export function queuedText({ position, wait }) {
  if (!position) return say("thinking");
  const place = position === 1 ? "queued-next" : "queued-at";
  if (!wait) return say(place, { position });
  const time = wait < 90 ? say("seconds", { count: wait }) : say("minutes", { count: Math.ceil(wait / 60) });
  return say(`${place}-about`, { position, time });
}

function showBranches(element, message) {
  const { siblings } = message;
  const at = siblings.indexOf(message.id);
  element.querySelector("[data-branches]").hidden = siblings.length < 2;
  element.querySelector("[data-branch-label]").textContent = `${at + 1}/${siblings.length}`;
  element.querySelector('[data-action="previous"]').disabled = at <= 0;
  element.querySelector('[data-action="next"]').disabled = at === siblings.length - 1;
}

function showFeedback(element, message) {
  element.querySelector('[data-action="good"]')?.setAttribute("aria-pressed", String(message.feedback === 1));
  element.querySelector('[data-action="bad"]')?.setAttribute("aria-pressed", String(message.feedback === -1));
}
