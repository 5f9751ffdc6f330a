// The way to a value in a record, as text: `kubernetes.pod_name`, `items[0].name`, and for keys that hold
// dots `kubernetes.labels["app.kubernetes.io/name"]`.
//
//   path = (key | '[' quoted ']') ( '.' key | '[' quoted ']' | '[' index ']' | '[*]' )*
import { TextError, formatCount, quote } from '../error.ts';
import type { Span } from '../error.ts';
import type { FieldPath, FieldStep } from './model.ts';
import { captureOf, isEveryItem } from './path.ts';

// The scan recurses along paths, and WebAssembly Micro Runtime gives it 8 KiB of stack: 13 steps fit.
export const FIELD_DEPTH_MAX = 10;
// A longer key is data in the place of a name.
export const FIELD_KEY_SIZE_MAX = 256;
// A log record's arrays hold a handful of items; up to here an index fits in 16 bits.
export const FIELD_INDEX_MAX = 65_535;

// What a key without quotes is made of: every character without a meaning in a path, here or in other tools.
const PLAIN_KEY = /[^.[\]'"\s{}*]+/y;
const QUOTES = `'"`;
const ESCAPES: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '/': '/', '\\': '\\' };

/** Throws a TextError whose span is in `text`. */
export function parseFieldPath(text: string): FieldPath {
  if (text === '') throw new TextError('empty field path', { start: 0, end: 0 }, 'name a field, such as log');
  if (text.startsWith('$')) throw reference(text);
  const path: FieldStep[] = [];
  let at = 0;
  while (at < text.length) {
    const start = at;
    const dotted = text[at] !== '[';
    if (dotted && at > 0) at = afterDot(text, at);
    const step = dotted ? plainKey(text, at) : bracket(text, at);
    if (typeof step.value !== 'string' && path.length === 0) throw indexFirst({ start, end: step.end });
    checkKey(step.value, { start: at, end: step.end });
    path.push(step.value);
    at = step.end;
  }
  if (path.length > FIELD_DEPTH_MAX) throw tooDeep(path.length, text);
  checkDots(text);
  return path;
}

/** `kubernetes.labels.app.kubernetes.io/name`: a domain in the place of keys. Labels hold no objects. */
function checkDots(text: string): void {
  const domain = /\b(?:labels|annotations|nodeSelector)\.((?:[\w-]+\.)+[\w-]+\/[\w.-]+)$/.exec(text)?.[1];
  if (domain === undefined || text.includes('[')) return;
  const start = text.length - domain.length;
  const hint = `write ${text.slice(0, start - 1)}["${domain}"]`;
  throw new TextError(`${quote(domain)} is one key`, { start, end: text.length }, hint);
}

/** The shortest text that `parseFieldPath` reads as this path, as far as it is one of the record itself. */
export function formatFieldPath(path: FieldPath): string {
  return captureOf(path)?.capture ?? path.map(formatStep).join('');
}

function formatStep(step: FieldStep, index: number): string {
  if (isEveryItem(step)) return '[*]';
  if (typeof step === 'object') return 'parse' in step ? '' : 'anyField';
  if (typeof step === 'number') return `[${step}]`;
  PLAIN_KEY.lastIndex = 0;
  const plain = PLAIN_KEY.exec(step)?.[0] === step && !(index === 0 && step.startsWith('$'));
  if (!plain) return `[${JSON.stringify(step)}]`;
  return index === 0 ? step : `.${step}`;
}

/** `$` begins a reference of a template, a path of jq or JSONPath, or one of Fluent Bit. */
function reference(text: string): TextError {
  const name = /^\$(\w*)/.exec(text)![1]!;
  const span = { start: 0, end: name.length + 1 };
  const capture = /^\$captures\.(\w+)$/.exec(text)?.[1];
  if (capture !== undefined) {
    return new TextError(
      'a field path starts at the record, and a capture is not in it',
      { start: 0, end: text.length },
      `write {capture: ${capture}, …} in place of "field"`,
    );
  }
  if (Object.hasOwn(NOT_IN_RECORD, name)) {
    return new TextError(
      `a field path starts at the record, "$${name}" is for templates`,
      span,
      NOT_IN_RECORD[name],
    );
  }
  const rest = (name === 'record' ? text.slice(span.end) : text.slice(1)).replace(/^\.+/, '');
  const why =
    name === 'record' ? '$record is for templates' : `a key that begins with $ is written ["$${name}"]`;
  const hint = `write ${rest || 'log'}${name === '' ? '' : `; ${why}`}`;
  return new TextError('a field path starts at the record', span, hint);
}

const NOT_IN_RECORD: Record<string, string> = {
  captures: 'a test of a capture is written {capture: ms, gt: 500}',
  labels: 'name the field that the label is made from',
  value: 'for the number of matches use "threshold"',
  alert: 'a rule sees one record, not alerts',
};

function indexFirst(span: Span): TextError {
  return new TextError('a record is an object: the path starts with a key', span);
}

function tooDeep(depth: number, text: string): TextError {
  const span = { start: 0, end: text.length };
  return new TextError(`field path has ${depth} steps, ${FIELD_DEPTH_MAX} allowed`, span);
}

function checkKey(step: FieldStep, span: Span): void {
  if (typeof step !== 'string') return;
  const size = Buffer.byteLength(step);
  if (size > FIELD_KEY_SIZE_MAX) {
    throw new TextError(`key of ${formatCount(size)} bytes, ${FIELD_KEY_SIZE_MAX} allowed`, span);
  }
  if (/\p{Surrogate}/u.test(step)) throw new TextError('key holds half a surrogate pair', span);
}

function afterDot(text: string, at: number): number {
  if (text[at] === '.') return at + 1;
  PLAIN_KEY.lastIndex = at;
  const key = PLAIN_KEY.exec(text)?.[0];
  if (key === undefined) throw unexpected(text, at);
  throw new TextError(
    `${quote(key)} has no dot before it`,
    { start: at, end: at + key.length },
    `write .${key}`,
  );
}

function plainKey(text: string, at: number): { value: string; end: number } {
  PLAIN_KEY.lastIndex = at;
  const value = PLAIN_KEY.exec(text)?.[0];
  if (value !== undefined) return { value, end: at + value.length };
  if (at < text.length && text[at] !== '.' && text[at] !== '[') throw unexpected(text, at);
  // The dot before or after the empty key.
  const start = Math.max(0, at < text.length ? at : at - 1);
  throw new TextError('empty key in a field path', { start, end: start + 1 }, 'leave out the extra dot');
}

function unexpected(text: string, at: number): TextError {
  const character = String.fromCodePoint(text.codePointAt(at)!);
  const name = /\s/.test(character) ? 'a space' : quote(character);
  const message = `a field path cannot hold ${name} like this`;
  const hint = text.startsWith('{{')
    ? 'leave out the braces and "$record."'
    : character === '*'
      ? STAR_HINT
      : 'put a key that holds it in brackets and quotes: labels["a b"]';
  return new TextError(message, { start: at, end: at + character.length }, hint);
}

const STAR_HINT =
  'any field at any depth is {anyField: true, contains: …}, each item of an array is [*], such as user.groups[*]';

function bracket(text: string, at: number): { value: FieldStep; end: number } {
  const inner = at + 1;
  if (QUOTES.includes(text[inner] ?? 'x')) return closed(text, at, quotedKey(text, inner));
  const close = text.indexOf(']', inner);
  if (close < 0) throw unclosed(text, at);
  if (text.slice(inner, close) === '*') return { value: { every: 'item' }, end: close + 1 };
  return { value: index(text.slice(inner, close), { start: inner, end: close }), end: close + 1 };
}

function closed(text: string, at: number, key: { value: string; end: number }) {
  if (text[key.end] !== ']') throw unclosed(text, at);
  return { value: key.value, end: key.end + 1 };
}

function unclosed(text: string, at: number): TextError {
  return new TextError('bracket is not closed', { start: at, end: text.length }, 'close it with ]');
}

function index(text: string, span: Span): number {
  if (/^-\d+$/.test(text)) {
    throw new TextError(`negative index ${text}`, span, 'an index counts from 0, from the front');
  }
  if (!/^\d+$/.test(text)) {
    const hint = text === '' ? 'write [0], [*] or ["key"]' : `put a key in quotes: [${JSON.stringify(text)}]`;
    throw new TextError(`${quote(text)} is not an index`, span, hint);
  }
  if (/^0\d/.test(text)) {
    throw new TextError(`index ${text} has a leading zero`, span, `write [${text.replace(/^0+(?=\d)/, '')}]`);
  }
  const value = Number(text);
  if (value <= FIELD_INDEX_MAX) return value;
  throw new TextError(`index ${text} is too large, ${formatCount(FIELD_INDEX_MAX)} allowed`, span);
}

/** `at` is on the opening quote; `end` is after the closing one. Escapes are JSON's. */
function quotedKey(text: string, at: number): { value: string; end: number } {
  const mark = text[at]!;
  let value = '';
  let next = at + 1;
  while (next < text.length && text[next] !== mark) {
    const character = text[next] === '\\' ? escape(text, next, mark) : { value: text[next]!, end: next + 1 };
    value += character.value;
    next = character.end;
  }
  if (next >= text.length) {
    throw new TextError('quote is not closed', { start: at, end: text.length }, `close it with ${mark}`);
  }
  if (value === '') throw new TextError('empty key in a field path', { start: at, end: next + 1 });
  return { value, end: next + 1 };
}

function escape(text: string, at: number, mark: string): { value: string; end: number } {
  const letter = text[at + 1] ?? '';
  const hex = /^u([0-9a-fA-F]{4})/.exec(text.slice(at + 1, at + 6))?.[1];
  if (hex !== undefined) return { value: String.fromCharCode(parseInt(hex, 16)), end: at + 6 };
  const value = letter === mark ? mark : ESCAPES[letter];
  if (value !== undefined) return { value, end: at + 2 };
  const span = { start: at, end: Math.min(text.length, at + 2) };
  throw new TextError(`unknown escape "\\${letter}"`, span, 'a backslash itself is written \\\\');
}
