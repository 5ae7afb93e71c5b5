// The sentences of the scripts. The templates hold them, translated, in <template data-strings>.

let table;

function load() {
  table = new Map();
  for (const sheet of document.querySelectorAll("template[data-strings]")) {
    for (const line of sheet.content.querySelectorAll("[data-string]")) table.set(line.dataset.string, line.textContent);
  }
}

/** The sentence called `key` with its {names} filled in; "" where there is none. */
export function say(key, values = {}) {
  if (!table) load();
  return (table.get(key) ?? "").replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}
