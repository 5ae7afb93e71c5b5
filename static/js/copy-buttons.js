// Buttons that copy what a field of the page holds: `data-copy` is its id. Without scripts they are not there.

import { copyText } from "./copy.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", () => copyText(field.value, button));
  button.hidden = false;
  if (document.activeElement === field) field.select();
}
