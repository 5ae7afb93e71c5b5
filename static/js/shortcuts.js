// The keys that work anywhere on the page. The help dialog lists them.

import { copyText } from "./copy.js";

/** `actions` {stop, focusComposer, newChat, search, copyCode, copyReply, help}. */
export function mountShortcuts(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented) return;
    const action = event.key === "Escape" ? onEscape(event, actions) : onCommand(event, actions);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function onEscape(event, actions) {
  if (document.querySelector(":popover-open, dialog[open], .rename")) return null; // it closes that
  return event.shiftKey ? actions.focusComposer : actions.stop;
}

function onCommand(event, actions) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (event.shiftKey) {
    return { o: actions.newChat, c: actions.copyReply, ";": actions.copyCode, ":": actions.copyCode }[key] ?? null;
  }
  return { k: actions.search, "/": actions.help }[key] ?? null;
}

/** Copy the last code block of the page, if there is one. */
export function copyLastCode() {
  const code = [...document.querySelectorAll("[data-messages] .code-block pre")].at(-1);
  if (code) copyText(code.textContent, code.parentElement.querySelector("[data-copy-code]"));
}
