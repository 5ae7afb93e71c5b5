// What a screen reader is told beside what it finds: one polite live region.

const LONGEST = 1500;

/** Say `text` once, when the reader has a pause. */
export function announce(text) {
  const region = document.querySelector("[data-announcer]");
  if (!region) return;
  const line = document.createElement("p");
  line.textContent = text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
  region.replaceChildren(line);
}
