// Short notices at the lower edge, with one action at most. They stay while they are pointed at or hold the focus.

import { cloneTemplate } from "./markup.js";
import { announce } from "./announce.js";

const SHOWN_FOR = 8000;

/** Show `text`; `action` is {label, run}. Returns a function that takes the notice away. */
export function toast(text, action) {
  const element = cloneTemplate("toast");
  const region = document.querySelector("[data-toasts]");
  element.querySelector("[data-toast-text]").textContent = text;
  let timer;
  const close = () => {
    clearTimeout(timer);
    element.remove();
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (element.matches(":hover, :focus-within") ? wait() : close()), SHOWN_FOR);
  };
  if (action) {
    const button = element.querySelector("[data-toast-action]");
    button.textContent = action.label;
    button.hidden = false;
    button.addEventListener("click", () => {
      close();
      action.run();
    });
  }
  element.querySelector("[data-toast-close]").addEventListener("click", close);
  while (region.childElementCount >= 3) region.firstElementChild.remove();
  region.append(element);
  announce(action ? `${text} ${action.label}` : text);
  wait();
  return close;
}
