// Light, dark, or as the system has it: remembered in this browser.

import { say } from "./strings.js";

const KEY = "nono:theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

function current() {
  return document.documentElement.dataset.theme ?? "system";
}

function choose(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Not remembered, then.
  }
}

/** Name the present theme on the buttons within `root`. */
export function labelThemeButtons(root = document) {
  for (const button of root.querySelectorAll("[data-theme-toggle]")) {
    button.setAttribute("aria-label", say(`theme-${current()}`));
    button.title = say(`theme-${current()}`);
  }
}

export function mountTheme() {
  labelThemeButtons();
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    choose(NEXT[current()]);
    labelThemeButtons();
  });
}
