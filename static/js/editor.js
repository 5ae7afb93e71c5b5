// A question turned into a field and back.

import { cloneTemplate } from "./markup.js";

/** Let the person edit `text` in place of the message's body; `onSend(text)` where it changed. */
export function openEditor(element, text, onSend) {
  if (element.querySelector(".editor")) return;
  const form = cloneTemplate("editor");
  const field = form.querySelector("textarea");
  const body = element.querySelector("[data-body]");
  const close = () => {
    const hadFocus = form.contains(document.activeElement);
    form.remove();
    body.hidden = false;
    element.classList.remove("is-editing");
    if (hadFocus) element.querySelector('[data-action="edit"]')?.focus();
  };
  const send = () => {
    const words = field.value.trim();
    close();
    if (words && words !== text) onSend(words);
  };
  field.value = text;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  form.querySelector("[data-cancel]").addEventListener("click", close);
  form.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Enter" && !event.shiftKey && event.target === field) {
      event.preventDefault();
      send();
    }
  });
  body.hidden = true;
  body.before(form);
  element.classList.add("is-editing");
  field.focus();
  field.setSelectionRange(text.length, text.length);
}
