// Finds the elements of a JSON array without decoding them: a record or an alert stays byte for byte what it was.
// Only strings and brackets are understood; whether an element is well-formed is for its reader to say.

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
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

/**
 * The JSON values of a text, as views: those of its arrays one by one, and those that follow each other, with or without
 * new lines between them. Returns what is left where no value begins or the last one has no end; undefined: nothing.
 */
export function* valuesOf(text: Uint8Array): Generator<Uint8Array, Uint8Array | undefined> {
  let isInArray = false;
  for (let at = skipSpace(text, 0); at < text.length; at = skipSpace(text, at)) {
    const byte = text[at];
    if (byte === OPEN_BRACKET && !isInArray) {
      isInArray = true;
      at++;
    } else if (isInArray && (byte === CLOSE_BRACKET || byte === COMMA)) {
      isInArray = byte === COMMA;
      at++;
    } else {
      const end = valueEnd(text, at);
      if (end === at) return text.subarray(at);
      yield text.subarray(at, end);
      at = end;
    }
  }
  return isInArray ? text.subarray(text.length) : undefined;
}

/** The members of an object, with their values as views. It ends where the text is no longer an object. */
export function* membersOf(text: Uint8Array): Generator<[key: string, value: Uint8Array]> {
  let at = skipSpace(text, 0);
  if (text[at] !== OPEN_BRACE) return;
  for (;;) {
    const keyStart = skipSpace(text, at + 1);
    if (text[keyStart] !== QUOTE) return;
    const keyEnd = stringEnd(text, keyStart) + 1;
    const colon = skipSpace(text, keyEnd);
    if (text[colon] !== COLON) return;
    const start = skipSpace(text, colon + 1);
    const end = valueEnd(text, start);
    if (end === start) return;
    yield [String(parseJson(text.subarray(keyStart, keyEnd))), text.subarray(start, end)];
    at = skipSpace(text, end);
    if (text[at] !== COMMA) return;
  }
}

/** Undefined: this is not JSON. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());
  } catch {
    return undefined;
  }
}

/** Where the value that begins at `start` ends; `start` itself when it has no end. */
function valueEnd(text: Uint8Array, start: number): number {
  const first = text[start];
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return bracketEnd(text, start);
  if (first === QUOTE) {
    const end = stringEnd(text, start);
    return end < text.length ? end + 1 : start;
  }
  for (let at = start; at < text.length; at++) if (ENDS_SCALAR[text[at]!] === 1) return at;
  return text.length;
}

/** What comes after a number or a word: space, a comma, or a bracket. */
const ENDS_SCALAR = new Uint8Array(256);
for (const byte of [
  0x20,
  0x0a,
  0x0d,
  0x09,
  COMMA,
  CLOSE_BRACKET,
  CLOSE_BRACE,
  QUOTE,
  OPEN_BRACE,
  OPEN_BRACKET,
])
  ENDS_SCALAR[byte] = 1;

const LOWER = 0x20;
/** Where the bracket that opens at `start` is closed. Both kinds count alike: `[` and `{` differ in one bit, and so do `]` and `}`. */
function bracketEnd(text: Uint8Array, start: number): number {
  for (let at = start, depth = 0; at < text.length; at++) {
    const byte = text[at]!;
    if (byte === QUOTE) at = stringEnd(text, at);
    else if ((byte | LOWER) === OPEN_BRACE) depth++;
    else if ((byte | LOWER) === CLOSE_BRACE && --depth === 0) return at + 1;
  }
  return start;
}

/** Bytes of a string that are looked at one by one: most keys are shorter, and a search costs as much as some of them. */
const NEAR = 24;

/** Where the string that opens at `start` has its closing quote. */
function stringEnd(text: Uint8Array, start: number): number {
  let at = start + 1;
  for (const near = Math.min(at + NEAR, text.length); at < near; at++) {
    const byte = text[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
  for (;;) {
    const quote = text.indexOf(QUOTE, at);
    if (quote < 0) return text.length;
    // It is part of the string if an odd number of backslashes comes before it.
    let before = quote - 1;
    while (before >= at && text[before] === BACKSLASH) before--;
    if ((quote - before) % 2 === 1) return quote;
    at = quote + 1;
  }
}

function skipSpace(text: Uint8Array, at: number): number {
  while (text[at] === 0x20 || text[at] === 0x0a || text[at] === 0x0d || text[at] === 0x09) at++;
  return at;
}
