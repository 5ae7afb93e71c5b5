// Where a reply came from: its label, the approved answers it cites, and what is offered where it does not know.

import { cloneTemplate } from "./markup.js";
import { isLive } from "./protocol.js";
import { say } from "./strings.js";
import { showTime } from "./times.js";

const WEB = /^https?:\/\/\S+$/;
const MAIL = /^[^\s@<>?&]+@[^\s@<>?&]+$/;

/** Show below the reply in `element` what its `message` says of its sources. */
export function showSources(element, message) {
  const isOver = !isLive(message);
  const label = element.querySelector("[data-source]");
  label.textContent = isOver ? sourceLabel(message) : "";
  label.hidden = !label.textContent;
  showCached(element.querySelector("[data-cached]"), isOver ? message.cached_at : null);
  showCitations(element.querySelector("[data-citations]"), isOver ? (message.citations ?? []) : []);
  showOffers(element.querySelector("[data-offers]"), isOver ? (message.offers ?? []) : []);
}

/** What a screen reader is told of them. */
export function saySources(message) {
  const titles = (message.citations ?? []).map((citation) => citation.question).join("; ");
  return [sourceLabel(message), titles && say("sources", { titles })].filter(Boolean).join(". ");
}

function sourceLabel(message) {
  return message.source ? say(`source-${message.source}`) : "";
}

function showCached(line, at) {
  line.hidden = !at;
  if (at) showTime(line.querySelector("time"), at);
}

function showCitations(box, citations) {
  box.hidden = citations.length === 0;
  box.querySelector("ol").replaceChildren(...citations.map(citationLine));
}

function citationLine({ number, faq, question }) {
  const line = cloneTemplate("citation");
  const link = line.querySelector("a");
  line.value = number;
  link.textContent = question;
  if (faq) link.href = `/help/faq/${faq}/`;
  else link.replaceWith(question);
  return line;
}

function showOffers(box, offers) {
  const find = (kind) => offers.find((offer) => offer.kind === kind);
  const [contact, handover] = [find("contact"), find("handover")];
  box.hidden = offers.length === 0;
  box.querySelector('[data-action="rephrase"]').hidden = !find("rephrase");
  box.querySelector('[data-action="handover"]').hidden = !handover || handover.done;
  box.querySelector("[data-handed]").hidden = !handover?.done;
  const line = box.querySelector("[data-contact]");
  line.hidden = !contact;
  if (contact) line.lastElementChild.replaceWith(contactOf(contact.text));
}

/** A link where the contact is a web or mail address, else its text. */
function contactOf(text) {
  const href = WEB.test(text) ? text : MAIL.test(text) ? `mailto:${text}` : "";
  const element = href ? cloneTemplate("contact") : document.createElement("span");
  if (href) element.href = href;
  element.textContent = text;
  return element;
}
