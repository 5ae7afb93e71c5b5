// To the clipboard, with a word about it.

import { announce } from "./announce.js";
import { say } from "./strings.js";
import { toast } from "./toast.js";

/** Copy `text` and mark `button` as done for a moment. */
export async function copyText(text, button) {
  if (!(await write(text))) {
    toast(say("copy-failed"));
    return;
  }
  announce(say("copied"));
  if (!button) return;
  const use = button.querySelector("use");
  const before = use ? use.getAttribute("href") : button.textContent;
  const show = (done) => (use ? use.setAttribute("href", done ? "#icon-check" : before) : (button.textContent = done ? say("copied") : before));
  if (button.dataset.done) return;
  button.dataset.done = "1";
  show(true);
  setTimeout(() => {
    show(false);
    delete button.dataset.done;
  }, 1500);
}

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeBySelection(text);
  }
}

/** The old way, for pages without TLS, which have no clipboard interface. */
function writeBySelection(text) {
  const field = document.createElement("textarea");
  const focused = document.activeElement;
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return done;
}
