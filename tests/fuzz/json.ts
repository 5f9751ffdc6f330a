// A naive reader of a record's JSON, for the oracle: recursive, one byte at a time, nothing clever. It takes
// the liberties that README and assembly/json.ts name: control characters and bytes that are not UTF-8 are
// allowed inside strings, and such a byte reads as U+FFFD. If an object has a key twice, the first is used.
import { NESTING_MAX } from '../../assembly/layout.ts';

export interface Json {
  kind: 'object' | 'array' | 'string' | 'number' | 'true' | 'false' | 'null';
  /** The decoded text of a string; of anything else the JSON as it is written. */
  text: string;
  /** Where it stands in the record. */
  start: number;
  end: number;
  /** Of an object, in the order of the record: a key can be there twice. */
  members: Array<{ key: string; start: number; value: Json }>;
  items: Json[];
}

/** The record, or null when it is malformed: not one JSON object. */
export function readRecord(bytes: Uint8Array): Json | null {
  const reader = { bytes, at: 0 };
  try {
    skipSpace(reader);
    if (bytes[reader.at] !== code('{')) return null;
    const record = readValue(reader, 1);
    skipSpace(reader);
    return reader.at === bytes.length ? record : null;
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}

/** What a text holds as JSON: an object or an array, or null. */
export function readText(text: string): Json | null {
  const reader = { bytes: Buffer.from(text), at: 0 };
  try {
    skipSpace(reader);
    if (!'{["'.includes(String.fromCharCode(reader.bytes[reader.at] ?? 0))) return null;
    const value = readValue(reader, 1);
    skipSpace(reader);
    return reader.at === reader.bytes.length ? value : null;
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}

class Malformed extends Error {}

interface Reader {
  bytes: Uint8Array;
  at: number;
}

const code = (character: string) => character.charCodeAt(0);

function skipSpace(reader: Reader): void {
  while (reader.at < reader.bytes.length && ' \n\r\t'.includes(String.fromCharCode(reader.bytes[reader.at]!)))
    reader.at++;
}

function take(reader: Reader, character: string): void {
  if (!tryTake(reader, character)) throw new Malformed();
}

function tryTake(reader: Reader, character: string): boolean {
  if (reader.bytes[reader.at] !== code(character)) return false;
  reader.at++;
  return true;
}

function readValue(reader: Reader, depth: number): Json {
  const start = reader.at;
  const json = (kind: Json['kind'], parts: Partial<Json> = {}): Json => {
    const text = decodeUtf8(reader.bytes.subarray(start, reader.at));
    return { kind, text, start, end: reader.at, members: [], items: [], ...parts };
  };
  switch (String.fromCharCode(reader.bytes[start] ?? 0)) {
    case '{': {
      const members = readMembers(reader, depth);
      return json('object', { members });
    }
    case '[': {
      const items = readItems(reader, depth);
      return json('array', { items });
    }
    case '"': {
      const text = readString(reader);
      return json('string', { text });
    }
    case 't':
    case 'f':
    case 'n':
      return json(readWord(reader));
    default:
      readNumber(reader);
      return json('number');
  }
}

function readMembers(reader: Reader, depth: number): Json['members'] {
  if (depth > NESTING_MAX) throw new Malformed();
  const members: Json['members'] = [];
  take(reader, '{');
  skipSpace(reader);
  if (tryTake(reader, '}')) return members;
  do {
    skipSpace(reader);
    const start = reader.at;
    const key = readString(reader);
    skipSpace(reader);
    take(reader, ':');
    skipSpace(reader);
    members.push({ key, start, value: readValue(reader, depth + 1) });
    skipSpace(reader);
  } while (tryTake(reader, ','));
  take(reader, '}');
  return members;
}

function readItems(reader: Reader, depth: number): Json[] {
  if (depth > NESTING_MAX) throw new Malformed();
  const items: Json[] = [];
  take(reader, '[');
  skipSpace(reader);
  if (tryTake(reader, ']')) return items;
  do {
    skipSpace(reader);
    items.push(readValue(reader, depth + 1));
    skipSpace(reader);
  } while (tryTake(reader, ','));
  take(reader, ']');
  return items;
}

function readWord(reader: Reader): 'true' | 'false' | 'null' {
  for (const word of ['true', 'false', 'null'] as const) {
    const end = reader.at + word.length;
    if (Buffer.from(reader.bytes.subarray(reader.at, end)).toString('latin1') !== word) continue;
    reader.at = end;
    return word;
  }
  throw new Malformed();
}

function readNumber(reader: Reader): void {
  const text = Buffer.from(reader.bytes.subarray(reader.at)).toString('latin1');
  const number = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/.exec(text)?.[0];
  if (number === undefined) throw new Malformed();
  reader.at += number.length;
}

const ESCAPES: Record<string, string> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

function readString(reader: Reader): string {
  take(reader, '"');
  let text = '';
  let plainStart = reader.at;
  for (;;) {
    if (reader.at >= reader.bytes.length) throw new Malformed();
    const character = String.fromCharCode(reader.bytes[reader.at]!);
    if (character !== '"' && character !== '\\') {
      reader.at++;
      continue;
    }
    text += decodeUtf8(reader.bytes.subarray(plainStart, reader.at));
    reader.at++;
    // Half of a surrogate pair is U+FFFD, and only two escapes side by side make a pair.
    if (character === '"') return text;
    text += readEscapes(reader);
    plainStart = reader.at;
  }
}

/** Reads the escape whose backslash was just taken, and the second half of a pair where one follows. */
function readEscapes(reader: Reader): string {
  const letter = String.fromCharCode(reader.bytes[reader.at++] ?? 0);
  if (letter !== 'u') {
    if (ESCAPES[letter] === undefined) throw new Malformed();
    return ESCAPES[letter];
  }
  const unit = readHex(reader);
  if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
  const before = reader.at;
  if (unit < 0xdc00 && tryTake(reader, '\\') && tryTake(reader, 'u')) {
    const second = readHex(reader);
    if (second >= 0xdc00 && second <= 0xdfff) return String.fromCharCode(unit, second);
  }
  reader.at = before;
  return '\ufffd';
}

function readHex(reader: Reader): number {
  const digits = Buffer.from(reader.bytes.subarray(reader.at, reader.at + 4)).toString('latin1');
  if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new Malformed();
  reader.at += 4;
  return parseInt(digits, 16);
}

/** Each byte that belongs to no sequence becomes U+FFFD, as in Go; WHATWG makes one of several. */
export function decodeUtf8(bytes: Uint8Array): string {
  const whole = Buffer.from(bytes).toString();
  if (!whole.includes('\ufffd')) return whole;
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const size = [1, 2, 3, 4].find(size => isSequence(bytes.subarray(at, at + size), size)) ?? 0;
    text += size === 0 ? '\ufffd' : Buffer.from(bytes.subarray(at, at + size)).toString();
    at += Math.max(1, size);
  }
  return text;
}

/** True when the bytes are one code point: decoded and encoded again they are the same. */
function isSequence(bytes: Uint8Array, size: number): boolean {
  const text = Buffer.from(bytes).toString();
  return bytes.length === size && [...text].length === 1 && Buffer.from(text).equals(bytes);
}
