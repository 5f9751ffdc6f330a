// The value of a label or annotation: text with references in `{{ }}`, such as
// `{{ $captures.method }} failed in {{ $labels.pod }}`. This file knows the form only; whether a capture or
// label of that name exists is for rules.ts to say.
import { TextError, nearest, quote } from '../error.ts';
import type { Span, TextProblem } from '../error.ts';
import { parseFieldPath } from './field.ts';
import type { FieldPath, TemplatePart } from './model.ts';

/** A part and its position in the template's text: a reference without its braces and spaces. */
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
    const part = reference(text, open + OPEN.length, close, report);
    if (part) parts.push(part);
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

function reference(text: string, start: number, end: number, report: TextReport): PlacedPart | undefined {
  const inner = text.slice(start, end);
  const trimmed = inner.trim();
  const at = start + inner.length - inner.trimStart().length;
  const span = spanOf(trimmed === '' ? start - OPEN.length : at, trimmed || OPEN + inner + CLOSE);
  try {
    return { part: parseReference(trimmed, span), span };
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    report(error);
    return undefined;
  }
}

function parseReference(text: string, span: Span): TemplatePart {
  if (/^-\s|\s-$/.test(text))
    throw new TextError('a template cannot trim with "-"', span, 'leave out the "-"');
  const head = /^\$?\w*/.exec(text)![0];
  const rest = text.slice(head.length);
  if (!REFERENCES.includes(head)) throw unknownReference(text, head, span);
  const unquoted = text.replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '');
  if (unquoted.includes('|')) throw noFunctions(text, span);
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
  if (text === '') return new TextError('empty reference', span, REFERENCE_FORMS);
  if (text.startsWith('.')) return goReference(text, span);
  if (!text.startsWith('$')) return noFunctions(text, span);
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

function noFunctions(text: string, span: Span): TextError {
  return new TextError(
    `${quote(text)} is not a reference`,
    span,
    `${REFERENCE_FORMS}; no functions, no pipes`,
  );
}

/** The path after `$record`; the spans of its mistakes are positions in the template. */
function recordField(rest: string, start: number, span: Span): FieldPath {
  if (rest === '' || rest === '.') {
    throw new TextError('$record names no field', span, 'write {{ $record.log }}');
  }
  const dot = rest.startsWith('.') ? 1 : 0;
  if (dot === 0 && !rest.startsWith('[')) throw noFunctions(`$record${rest}`, span);
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
