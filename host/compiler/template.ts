// The value of a label or annotation: text with references in `{{ }}`, such as
// `{{ $captures.method }} failed in {{ $labels.pod }}`. This file knows the form only; whether a capture or
// label of that name exists is for rules.ts to say.
//
//   reference = operand ( '|' call )*  |  call operand* ( '|' call )*
//   operand   = '$record' path | '$captures.' name | '$labels.' name | '$value' | '$alert' | '"' text '"'
//   call      = function, `truncate` a number, `default` a text, `or` operands
import { TextError, nearest, quote } from '../error.ts';
import type { Span, TextProblem } from '../error.ts';
import { parseFieldPath } from './field.ts';
import { CONDITIONS, functionHint, isFunction } from './functions.ts';
import type { FieldPath, Rule, TemplatePart } from './model.ts';

/** A part and its position in the template's text: an operand or a function, without braces and spaces. */
export interface PlacedPart {
  part: TemplatePart;
  span: Span;
}

type TextReport = (problem: TextProblem) => void;

const OPEN = '{{';
const CLOSE = '}}';
const REFERENCES = ['$record', '$captures', '$labels', '$value', '$samples', '$alert'];
export const REFERENCE_FORMS =
  'a template can hold {{ $record.path }}, {{ $captures.name }}, {{ $labels.name }}, {{ $value }}, {{ $samples }} and {{ $alert }}';

// With more mistakes than this, the text was not meant to be a template.
const MISTAKES_MAX = 100;

/** Every mistake is reported, and the reference left out. */
export function parseTemplate(text: string, reportMistake: TextReport): PlacedPart[] {
  const parts: PlacedPart[] = [];
  let mistakeCount = 0;
  const report: TextReport = problem => {
    if (++mistakeCount <= MISTAKES_MAX) reportMistake(problem);
  };
  const bare = /^\s*(\$(?:record|captures|labels)[.[].*?|\$(?:value|samples|alert))\s*$/s.exec(text)?.[1];
  if (bare !== undefined && !bare.includes(OPEN)) {
    const span = spanOf(text.indexOf(bare), bare);
    report({ message: `${quote(bare)} has no braces`, hint: `write '{{ ${bare} }}'`, span });
  }
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf(OPEN, at);
    const textEnd = open < 0 ? text.length : open;
    if (textEnd > at) parts.push(textPart(text, { start: at, end: textEnd }));
    if (open < 0) break;
    const close = closingBraces(text, open + OPEN.length);
    if (close === undefined) {
      report({ message: `${quote(OPEN)} is not closed`, hint: 'close it with }}', span: spanOf(open, OPEN) });
      at = open + OPEN.length;
      continue;
    }
    parts.push(...reference(text, open + OPEN.length, close, report));
    at = close + CLOSE.length;
  }
  return parts;
}

function spanOf(start: number, text: string): Span {
  return { start, end: start + text.length };
}

function textPart(text: string, span: Span): PlacedPart {
  return { part: { kind: 'text', text: text.slice(span.start, span.end) }, span };
}

/** The `}}` that belongs to a reference: not one within a quoted key, and not one after another `{{`. */
function closingBraces(text: string, start: number): number | undefined {
  let mark = '';
  for (let at = start; at < text.length; at++) {
    if (mark !== '' && text[at] === '\\') at++;
    else if (text[at] === mark) mark = '';
    else if (mark === '' && (text[at] === '"' || text[at] === "'")) mark = text[at]!;
    else if (mark === '' && text.startsWith(CLOSE, at)) return at;
    else if (mark === '' && text.startsWith(OPEN, at)) return undefined;
  }
  // A quote was not closed: the error of the path says so better than "not closed" would.
  const plain = text.indexOf(CLOSE, start);
  return mark !== '' && plain >= 0 ? plain : undefined;
}

function reference(text: string, start: number, end: number, report: TextReport): PlacedPart[] {
  const inner = text.slice(start, end);
  const trimmed = inner.trim();
  const at = start + inner.length - inner.trimStart().length;
  const span = spanOf(trimmed === '' ? start - OPEN.length : at, trimmed || OPEN + inner + CLOSE);
  try {
    return parsePipe(trimmed, span);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    report(error);
    return [];
  }
}

function parsePipe(text: string, span: Span): PlacedPart[] {
  if (/^-\s|\s-$/.test(text))
    throw new TextError('a template cannot trim with "-"', span, 'leave out the "-"');
  if (text === '') throw new TextError('empty reference', span, REFERENCE_FORMS);
  const [first, ...calls] = splitPipe(text, span.start);
  const parts = [...parseFirst(first!), ...calls.flatMap(parseCall)];
  for (const { part, span } of parts) {
    if (part.kind === 'value' && part.chained)
      throw new TextError('$value cannot be a second choice', span, 'it is never empty: write it first');
  }
  return parts;
}

/** A word of a reference: an operand, the name of a function, or a number. */
interface Word {
  text: string;
  span: Span;
}

/** The words between the bars. Quotes hold bars and spaces together. */
function splitPipe(text: string, start: number): Word[][] {
  const segments: Word[][] = [[]];
  const pattern = /(\|)|(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|["'`]|[^|\s"'`])+/g;
  for (const match of text.matchAll(pattern)) {
    const span = spanOf(start + match.index, match[0]);
    if (match[1] === undefined) segments.at(-1)!.push({ text: match[0], span });
    else {
      if (segments.at(-1)!.length === 0) throw emptyCall(span);
      segments.push([]);
    }
  }
  if (segments.at(-1)!.length === 0) throw emptyCall(spanOf(start + text.length - 1, '|'));
  return segments;
}

function emptyCall(span: Span): TextError {
  const hint = 'write a function on both sides of "|", or leave it out: {{ $record.a | toUpper }}';
  return new TextError('nothing to pipe', span, hint);
}

/** `$record.a`, or as Go has it with the function first: `toUpper $record.a`, `or $record.a "x"`. */
function parseFirst(words: Word[]): PlacedPart[] {
  const [head, ...rest] = words as [Word, ...Word[]];
  if (!/^[\p{L}_]/u.test(head.text)) {
    if (rest.length === 0) return [parseOperand(head)];
    throw twoValues(head, rest);
  }
  if (head.text === 'or' && rest.length > 0) {
    const [first, ...others] = rest.map(parseOperand);
    return [first!, ...others.map(chained)];
  }
  const operand = rest.pop();
  const call = () => parseCall([head, ...rest]);
  if (operand && isOperand(operand)) return [parseOperand(operand), ...call()];
  parseCall(operand ? [...words] : words); // says so if there is no such function
  throw new TextError(
    `"${head.text}" is given nothing`,
    head.span,
    `write {{ $record.log | ${words.map(word => word.text).join(' ')} }}`,
  );
}

function twoValues(head: Word, rest: Word[]): TextError {
  const span = { start: head.span.start, end: rest.at(-1)!.span.end };
  if (rest[0]!.text === ':=') return new TextError('a template has no variables', span, CONDITIONS);
  if (head.text.startsWith('('))
    return new TextError('a template has no parentheses', span, 'write a pipe from the left to the right');
  const hint = `choose with "or", or pipe it: {{ ${head.text} | toUpper }}`;
  return new TextError('a reference has one value', span, hint);
}

function isOperand({ text }: Word): boolean {
  return /^[$"'`.]/.test(text);
}

function chained({ part, span }: PlacedPart): PlacedPart {
  return { part: { ...part, chained: true }, span };
}

/** A function that is applied to what is before the bar. */
function parseCall([head, ...given]: Word[]): PlacedPart[] {
  const { text: name, span } = head!;
  if (name === 'default') return [chained(parseText(name, given, span))];
  if (name === 'or') {
    if (given.length === 0)
      throw new TextError('"or" is given nothing', span, 'write or $record.b, or default "?"');
    return given.map(word => chained(parseOperand(word)));
  }
  if (isOperand(head!)) throw new TextError(`${quote(name)} is not a function`, span, `write or ${name}`);
  if (!isFunction(name)) throw new TextError(`unknown function ${quote(name)}`, span, functionHint(name));
  if (name === 'truncate') {
    const count = parseLimit(given, span);
    return [{ part: { kind: 'function', name, count, chained: true }, span }];
  }
  if (given.length > 0)
    throw new TextError(
      `"${name}" takes nothing but a value`,
      given[0]!.span,
      `write {{ $record.log | ${name} }}`,
    );
  return [{ part: { kind: 'function', name, chained: true }, span }];
}

function parseText(name: string, given: Word[], span: Span): PlacedPart {
  const [word] = given;
  if (word && given.length === 1 && /^["'`]/.test(word.text)) return parseOperand(word);
  if (word && given.length === 1 && word.text.startsWith('$'))
    throw new TextError(`"default" takes a text`, word.span, `for a reference write or ${word.text}`);
  const written = word?.text.replace(/^["'`]|["'`]$/g, '') || '?';
  throw new TextError(`"${name}" takes a text in quotes`, word?.span ?? span, `write default "${written}"`);
}

// A text of more characters is cut in any case.
const TRUNCATE_MAX = 4_096;

function parseLimit(given: Word[], span: Span): number {
  const [word] = given;
  const count = given.length === 1 && /^\d+$/.test(word!.text) ? Number(word!.text) : 0;
  if (count >= 1 && count <= TRUNCATE_MAX) return count;
  const hint = 'write {{ $record.log | truncate 80 }}';
  throw new TextError(`"truncate" takes a number of characters, from 1 to 4,096`, word?.span ?? span, hint);
}

function parseOperand({ text, span }: Word): PlacedPart {
  return { part: /^["'`]/.test(text) ? textOperand(text, span) : parseReference(text, span), span };
}

function textOperand(text: string, span: Span): TemplatePart {
  const mark = text[0]!;
  if (text.length < 2 || text.at(-1) !== mark || (mark !== '`' && /[^\\](?:\\\\)*\\.$/.test(text)))
    throw new TextError('quote is not closed', span, `close it with ${mark}`);
  const inner = text.slice(1, -1);
  if (mark === '`') return { kind: 'text', text: inner };
  const read = inner.replace(/\\(u[\da-fA-F]{4}|.)/g, (whole, escape: string) => {
    if (escape.length > 1) return String.fromCharCode(parseInt(escape.slice(1), 16));
    const value = escape === mark ? mark : ESCAPES[escape];
    if (value === undefined)
      throw new TextError(`unknown escape "${whole}"`, span, 'a backslash itself is written \\\\');
    return value;
  });
  if (/\p{Surrogate}/u.test(read)) throw new TextError('the text holds half a surrogate pair', span);
  return { kind: 'text', text: read };
}

const ESCAPES: Record<string, string> = { '\\': '\\', n: '\n', t: '\t', r: '\r', '/': '/' };

function parseReference(text: string, span: Span): TemplatePart {
  const head = /^\$?\w*/.exec(text)![0];
  const rest = text.slice(head.length);
  if (!REFERENCES.includes(head)) throw unknownReference(text, head, span);
  switch (head) {
    case '$record':
      return { kind: 'record', field: recordField(rest, span.start + head.length, span) };
    case '$captures':
      return { kind: 'capture', name: nameAfter(head, rest, span) };
    case '$labels':
      return { kind: 'label', name: nameAfter(head, rest, span) };
    default:
      if (rest !== '') throw new TextError(`${head} has no parts`, span, `write {{ ${head} }}`);
      return { kind: head === '$value' ? 'value' : head === '$samples' ? 'samples' : 'alert' };
  }
}

function unknownReference(text: string, head: string, span: Span): TextError {
  if (text.startsWith('.')) return goReference(text, span);
  if (!text.startsWith('$')) return notReference(text, span);
  const near = nearest(head, REFERENCES);
  const message = `unknown reference ${quote(head)}`;
  const headSpan = spanOf(span.start, head);
  if (near !== undefined) return new TextError(`${message}; did you mean "${near}"?`, headSpan);
  return new TextError(message, headSpan, REFERENCE_FORMS);
}

/** `{{ .Labels.pod }}`: Go's own way, as in Alertmanager's templates. */
function goReference(text: string, span: Span): TextError {
  const [, kind, name] = /^\.(\w+)\.(\w+)$/.exec(text) ?? [];
  const known = new Map([
    ['Labels', '$labels'],
    ['Captures', '$captures'],
  ]).get(kind ?? '');
  const meant = known === undefined ? `$record${text}` : `${known}.${name}`;
  const hint = text === '.' ? REFERENCE_FORMS : `write {{ ${meant} }}`;
  return new TextError(`unknown reference ${quote(text)}`, span, hint);
}

function notReference(text: string, span: Span): TextError {
  return new TextError(`${quote(text)} is not a reference`, span, REFERENCE_FORMS);
}

/** The path after `$record`; the spans of its mistakes are positions in the template. */
function recordField(rest: string, start: number, span: Span): FieldPath {
  if (rest === '' || rest === '.') {
    throw new TextError('$record names no field', span, 'write {{ $record.log }}');
  }
  const dot = rest.startsWith('.') ? 1 : 0;
  if (dot === 0 && !rest.startsWith('[')) throw notReference(`$record${rest}`, span);
  try {
    return parseFieldPath(rest.slice(dot));
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    const offset = start + dot;
    const moved = { start: error.span.start + offset, end: error.span.end + offset };
    throw new TextError(error.message, moved, error.hint);
  }
}

function nameAfter(head: string, rest: string, span: Span): string {
  const name = /^\.([\p{L}\p{N}_]+)$/u.exec(rest)?.[1];
  if (name !== undefined) return name;
  const example = head === '$captures' ? 'path' : 'pod';
  const message = rest === '' ? `${head} names nothing` : `${quote(head + rest)} is not a reference`;
  throw new TextError(message, span, `write {{ ${head}.${example} }}`);
}

/** The parts of all templates of a rule. */
export function allPartsOf({ labels, annotations, samples }: Rule): TemplatePart[] {
  return [...labels, ...annotations, ...(samples ? [samples] : [])].flatMap(template => template.parts);
}
