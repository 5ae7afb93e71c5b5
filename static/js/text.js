// Lengths and cuts in Unicode code points. The protocol counts those; a JavaScript string counts UTF-16 units.

const SURROGATE = /[\ud800-\udfff]/;

/** How many code points `text` has. */
export function codePoints(text) {
  if (!SURROGATE.test(text)) return text.length;
  let count = 0;
  for (let unit = 0; unit < text.length; count += 1) unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
  return count;
}

/** `text` without its first `count` code points. */
export function dropCodePoints(text, count) {
  if (count <= 0) return text;
  if (!SURROGATE.test(text)) return text.slice(count);
  let unit = 0;
  for (let left = count; left > 0 && unit < text.length; left -= 1) {
    unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
  }
  return text.slice(unit);
}
