// Finds the elements of a JSON array without decoding them: a record or an alert stays byte for byte what it was.
// Only strings and brackets are understood; whether an element is well-formed is for its reader to say.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Whether the text is an array rather than an object. */
export function isArray(text: Uint8Array): boolean {
  return text[skipSpace(text, 0)] === OPEN_BRACKET;
}

/**
 * The elements of the array that starts at or after `start`, as views, and where it ends; undefined if it has no end
 * or more than `countMax` elements.
 */
export function arrayElements(
  text: Uint8Array,
  start = 0,
  countMax = Infinity,
): { elements: Uint8Array[]; end: number } | undefined {
  const elements: Uint8Array[] = [];
  let elementStart = skipSpace(text, start) + 1;
  for (let at = elementStart, depth = 1; at < text.length; at++) {
    const byte = text[at];
    if (byte === QUOTE) at = stringEnd(text, at);
    else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) depth++;
    else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) depth--;
    const ends = depth === 0;
    if (!ends && !(depth === 1 && byte === COMMA)) continue;
    const element = text.subarray(skipSpace(text, elementStart), at);
    if (element.length > 0 || !ends || elements.length > 0) elements.push(element);
    if (elements.length > countMax) return undefined;
    if (ends) return { elements, end: at + 1 };
    elementStart = at + 1;
  }
  return undefined;
}

/** Where the string that opens at `at` has its closing quote. */
function stringEnd(text: Uint8Array, at: number): number {
  for (at++; at < text.length && text[at] !== QUOTE; at++) if (text[at] === BACKSLASH) at++;
  return at;
}

function skipSpace(text: Uint8Array, at: number): number {
  while (text[at] === 0x20 || text[at] === 0x0a || text[at] === 0x0d || text[at] === 0x09) at++;
  return at;
}
