// Reading YAML nodes as what a rules file holds: maps with known keys, lists, texts, numbers, durations, fields. Every mistake
// is reported with its place; what has a mistake is undefined.
import { isMap, isScalar, isSeq } from 'yaml';
import type { Scalar as YamlScalar } from 'yaml';
import { TextError, formatCount, nearest, quote } from '../error.ts';
import type { Report, Source, Span, TextProblem } from '../error.ts';
import { EXPONENT_MAX, formatDecimal, parseDecimal } from './decimal.ts';
import type { Decimal } from './decimal.ts';
import { TEMPLATE_HINT, isDamaged, resolveAlias, spanOf, spanWithin, writtenAs } from './document.ts';
import type { Document, Node } from './document.ts';
import { parseDuration } from './duration.ts';
import { formatFieldPath, parseFieldPath } from './field.ts';
import { asTestHint, foreignHint, meantKey, valueHint } from './foreign.ts';
import type { Lists } from './list-file.ts';
import type { FieldPath, ParseFormat, Scalar } from './model.ts';
import { throughTexts } from './parse.ts';
import { isList } from './path.ts';
import * as schema from './schema.ts';
import type { Keys } from './schema.ts';

export interface Context {
  document: Document;
  source: Source;
  lists: Lists;
  report: Report;
  /** Errors so far: a rule has a mistake when the count grew while it was read. */
  errorCount: number;
  /** Of the rule that is read: the fields whose text holds fields, by their path as it is written. */
  parses: Map<string, ParseFormat>;
  /** Of its group's "match": the captures that a test of the rule may name, and where their text comes from. */
  given: Map<string, FieldPath>;
}

export function makeContext(document: Document, source: Source, lists: Lists, report: Report): Context {
  const seen = new Set<string>(); // a value under two aliases is read twice, its mistakes are reported once
  const context: Context = {
    document,
    source,
    lists,
    errorCount: 0,
    parses: new Map(),
    given: new Map(),
    report: problem => {
      if (problem.severity === 'error') context.errorCount++;
      const key = `${problem.span.start}:${problem.span.end}:${problem.message}`;
      if (!seen.has(key)) report(problem);
      seen.add(key);
    },
  };
  return context;
}

/** Where the YAML is broken, its own error is the one that helps; errors about the rest do not help. */
export function quietIfDamaged(context: Context, node: Node): Context {
  return isDamaged(context.document, node) ? { ...context, report: () => {} } : context;
}

export function fail(context: Context, place: Node | Span, message: string, hint?: string): undefined {
  const span = 'start' in place ? place : spanOf(context.document, place);
  context.report({ severity: 'error', message, ...(hint !== undefined && { hint }), span });
}

// ----------------------------------------------------------------------------------- reading YAML nodes

/** A key of a map and its value; no value where an alias is broken or nothing was written: both are reported. */
export interface Entry {
  name: string;
  key: Node;
  value: Node | undefined;
}

export interface ReadMap {
  get(name: string): Entry | undefined;
  /** Whether an unknown key was taken for a misspelt `name`, so that it need not be reported as missing. */
  wasMeant(name: string): boolean;
  unknownCount: number;
  /** Where to point for what concerns the whole map: its first key. */
  place: Node;
  span: Span;
}

export function readMap(
  context: Context,
  node: Node,
  what: string,
  keys: Keys,
  hint?: () => string | undefined,
): ReadMap | undefined {
  const map = resolveAlias(context.document, node, context.report);
  if (!map) return undefined;
  if (!isMap(map)) {
    const found = describe(context, map);
    const kind = what.replaceAll('"', '');
    const form = FORMS.find(known => known === kind) ?? 'limits';
    const message = `${what} must be a map, found ${found}`;
    return fail(context, map, message, hint?.() ?? typeHint(context, map, form));
  }
  const entries = readPairs(context, map);
  const known = new Map(
    entries.filter(entry => Object.hasOwn(keys, entry.name)).map(entry => [entry.name, entry]),
  );
  const meant = new Set<string | undefined>();
  for (const entry of entries)
    if (!known.has(entry.name)) meant.add(failUnknownKey(context, entry, keys, known, entries.length));
  const place = entries[0]?.key ?? map;
  for (const [name, key] of Object.entries(keys)) {
    // A condition need not be a test: its own reader requires `field`.
    if (!key.required || known.has(name) || meant.has(name) || keys === schema.CONDITION_KEYS) continue;
    fail(context, place, `missing key "${name}" in ${what}`, `${name}: ${key.description}`);
  }
  const unknownCount = entries.length - known.size;
  const span = spanOf(context.document, map);
  return { get: name => known.get(name), wasMeant: name => meant.has(name), unknownCount, place, span };
}

const FORMS = [...schema.COUNTINGS, 'samples', 'parse'] as const;

function failUnknownKey(
  context: Context,
  entry: Entry,
  keys: Keys,
  present: Map<string, Entry>,
  entryCount: number,
): string | undefined {
  const message = `unknown key ${quote(entry.name)}`;
  const candidates = Object.keys(keys).filter(name => !present.has(name));
  const asTest =
    keys === schema.CONDITION_KEYS ? asTestHint(entry.name, isSeq(entry.value), present.size > 0) : undefined;
  const foreign = foreignHint(entry.name, keys, entryCount === 1) ?? asTest;
  const near = foreign === undefined ? nearest(entry.name, candidates) : undefined;
  if (near !== undefined) fail(context, entry.key, `${message}; did you mean "${near}"?`);
  else fail(context, entry.key, message, foreign ?? `known keys: ${Object.keys(keys).join(', ')}`);
  return near ?? meantKey(foreign);
}

/** The entries of a map, duplicate keys and keys that are not strings left out. */
export function readPairs(context: Context, map: Node): Entry[] {
  const entries = new Map<string, Entry>();
  for (const { key, value } of isMap<Node, Node | null>(map) ? map.items : []) {
    const name = isScalar(key) && typeof key.value === 'string' ? key.value : undefined;
    if (name === undefined) fail(context, key, 'a key must be a string', keyHint(context, key));
    else if (entries.has(name)) fail(context, key, `duplicate key ${quote(name)}`);
    else entries.set(name, { name, key, value: readValue(context, name, key, value) });
  }
  return [...entries.values()];
}

function keyHint(context: Context, key: Node): string | undefined {
  if (writtenAs(context.document, key).startsWith('{')) return TEMPLATE_HINT;
  return isScalar(key) ? 'put it in quotes' : undefined;
}

/** Keys that hold other keys. */
const HOLDERS = new Set(
  [schema.FILE_KEYS, schema.GROUP_KEYS, schema.RULE_KEYS, schema.GROUPING_KEYS].flatMap(keys =>
    Object.entries(keys).flatMap(([name, { kind }]) =>
      kind === 'name' || kind === 'duration' ? [] : [name],
    ),
  ),
);
const INDENT_HINT = 'indent the lines below that belong to it';

function readValue(context: Context, name: string, key: Node, value: Node | null): Node | undefined {
  if (!isNothing(value)) return resolveAlias(context.document, value, context.report);
  const hint =
    name === 'eq' ? 'write null to compare with null' : HOLDERS.has(name) ? INDENT_HINT : undefined;
  return fail(context, key, `${quote(name)} has no value`, hint);
}

/** Nothing was written: unlike `null` and `~`, which are values. */
export function isNothing(node: Node | null): node is null {
  return node === null || (isScalar(node) && node.value === null && (node.source ?? '') === '');
}

/** The items with their aliases resolved. `emptyMessage`: the error for an empty list, if that is one. */
export function readList(
  context: Context,
  entry: Entry | undefined,
  kind: keyof typeof schema.KINDS,
  emptyMessage?: string,
): Node[] | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  if (!isSeq<Node | null>(node)) return failType(context, node, `"${entry.name}"`, kind);
  if (node.items.length === 0 && emptyMessage !== undefined) fail(context, node, emptyMessage);
  const items: Node[] = [];
  for (const item of node.items) {
    if (isNothing(item))
      fail(context, item ?? node, `empty item in "${entry.name}"`, 'leave out the dash or comma');
    else items.push(resolveAlias(context.document, item, context.report) ?? node);
  }
  return items;
}

export function readName(context: Context, entry: Entry | undefined): string | undefined {
  return entry && readText(context, entry.value, `"${entry.name}"`, schema.NAME_SIZE_MAX);
}

export function readText(
  context: Context,
  node: Node | undefined,
  subject: string,
  sizeMax = schema.TEXT_SIZE_MAX,
  kind: 'text' | 'texts' | 'captureName' | 'hours' = 'text',
): string | undefined {
  if (!node) return undefined;
  if (!isScalar(node) || typeof node.value !== 'string') return failType(context, node, subject, kind);
  if (node.value === '') return fail(context, node, `${subject} is empty`);
  const size = Buffer.byteLength(node.value);
  if (size > sizeMax) return failSize(context, node, subject, size, sizeMax);
  return isSound(context, node, node.value) ? node.value : undefined;
}

/** YAML's "\ud800" is no character: it has no bytes in UTF-8. */
export function isSound(context: Context, node: Node, text: string): boolean {
  if (!/\p{Surrogate}/u.test(text)) return true;
  fail(context, node, 'the text holds half a surrogate pair', 'write both halves, or \\U and eight digits');
  return false;
}

export function readField(context: Context, entry: Entry | undefined): FieldPath | undefined {
  if (!entry?.value) return undefined;
  if (!isScalar(entry.value) || typeof entry.value.value !== 'string') {
    return failType(context, entry.value, `"${entry.name}"`, 'field');
  }
  const text = readText(context, entry.value, `"${entry.name}"`);
  const { parses } = context;
  return text === undefined
    ? undefined
    : parseInText(context, entry.value, text, path => throughTexts(parseFieldPath(path), parses));
}

/** A field with one value. */
export function readSingleField(context: Context, entry: Entry | undefined): FieldPath | undefined {
  const path = readField(context, entry);
  if (path === undefined || !isList(path)) return path;
  const message = `${quote(formatFieldPath(path))} has several values`;
  return fail(context, entry!.value!, message, SINGLE_HINT);
}

export const SINGLE_HINT =
  'name one by its index, such as [0], or take a text from it: {field: …[*], regex: "(?P<name>…)"} and the capture';

export function readBoolean(context: Context, { name, value }: Entry): boolean | undefined {
  if (!value) return undefined;
  if (isScalar(value) && typeof value.value === 'boolean') return value.value;
  return failType(context, value, `"${name}"`, 'boolean');
}

export function readCount(
  context: Context,
  entry: Entry | undefined,
  least: number,
  most: number,
): number | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  const isNumber = isScalar(node) && (typeof node.value === 'bigint' || typeof node.value === 'number');
  const number = isNumber ? decimalOf(node) : null;
  if (number === null || number.digits.length > number.exponent)
    return failType(context, node, `"${entry.name}"`, 'count');
  const count = Number(formatDecimal(number));
  if (count >= least && count <= most) return count;
  return fail(context, node, `"${entry.name}" must be from ${formatCount(least)} to ${formatCount(most)}`);
}

export function readScalar(
  context: Context,
  node: Node | undefined,
  subject: string,
  kind: 'scalar' | 'number',
): Scalar | undefined {
  if (!node) return undefined;
  if (!isScalar(node)) return failType(context, node, subject, kind);
  const { value } = node;
  if (typeof value === 'bigint' || typeof value === 'number') return readNumber(context, node, subject);
  if (kind === 'number') return failType(context, node, subject, kind);
  if (value === null) return { type: 'null' };
  if (typeof value === 'boolean') return { type: 'boolean', value };
  const size = Buffer.byteLength(String(value));
  if (size > schema.TEXT_SIZE_MAX) return failSize(context, node, subject, size, schema.TEXT_SIZE_MAX);
  return isSound(context, node, String(value)) ? { type: 'string', value: String(value) } : undefined;
}

/** Numbers are exact, whatever their length. */
function readNumber(context: Context, node: YamlScalar, subject: string): Scalar | undefined {
  const written = writtenAs(context.document, node);
  if (written.length > schema.TEXT_SIZE_MAX)
    return failSize(context, node, subject, written.length, schema.TEXT_SIZE_MAX);
  const number = decimalOf(node);
  if (number === null) {
    const hint = 'JSON has no such number, so that no record has it: leave the test out';
    return fail(
      context,
      node,
      `${subject} must be a number that JSON can hold, found ${quote(written)}`,
      hint,
    );
  }
  if (Math.abs(number.exponent) <= EXPONENT_MAX) return { type: 'number', value: formatDecimal(number) };
  const message = `the exponent of ${quote(written)} is too large, ${formatCount(EXPONENT_MAX)} allowed`;
  return fail(context, node, message, 'leave the test out: no record has a number of that size');
}

/** From the text, where YAML's value is a double; null for infinities and NaN. */
function decimalOf({ value, source }: YamlScalar): Decimal | null {
  return parseDecimal(typeof value === 'bigint' ? String(value) : (source ?? String(value)));
}

export function readDuration(
  context: Context,
  entry: Entry | undefined,
  leastMs: number,
): number | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  const isNumber = isScalar(node) && (typeof node.value === 'bigint' || typeof node.value === 'number');
  if (!isNumber && !(isScalar(node) && typeof node.value === 'string')) {
    return failType(context, node, `"${entry.name}"`, 'duration');
  }
  const durationMs = parseInText(
    context,
    node,
    isNumber ? writtenAs(context.document, node) : String(node.value),
    parseDuration,
  );
  if (durationMs === undefined || durationMs >= leastMs) return durationMs;
  return fail(context, node, `"${entry.name}" must be at least ${leastMs === 1 ? '1ms' : '1s'}`);
}

// ------------------------------------------------------------------------------------- what went wrong

export function failType(
  context: Context,
  node: Node,
  subject: string,
  kind: keyof typeof schema.KINDS,
): undefined {
  const { expected } = schema.KINDS[kind];
  const message = `${subject} must be ${expected}, found ${describe(context, node)}`;
  fail(context, node, message, typeHint(context, node, kind));
}

function typeHint(context: Context, node: Node, kind: keyof typeof schema.KINDS): string | undefined {
  const written = writtenAs(context.document, node);
  if (isMap(node) && written.startsWith('{{')) return TEMPLATE_HINT;
  if (isMap(node) && node.has('file'))
    return 'a list from a file takes the place of the whole list: in: {file: hosts.txt}';
  if (isMap(node) && kind === 'scalar' && valueHint(written)) return valueHint(written);
  if (isMap(node) && LISTS.has(kind)) return 'begin each item with "- "';
  if (isMap(node)) return kind === 'duration' ? 'write it as 15m, 1h30m, 500ms or 1d' : undefined;
  if (isSeq(node)) return LIST_HINTS[kind];
  return isScalar(node) ? scalarHint(node, written, kind) : undefined;
}

const LISTS = new Set<keyof typeof schema.KINDS>(['groups', 'rules', 'conditions', 'steps', 'tests']);

/** For lists where something else is expected. */
const LIST_HINTS: Partial<Record<keyof typeof schema.KINDS, string>> = {
  scalar: 'use "in" for a list of values',
  pattern: 'write one pattern, such as a|b, or put tests under "any"',
  field: 'a test looks at one field: write a test for each under "any"',
  sequence: 'write {steps: […], within: 5m}',
  samples: "write {text: '{{ $record.log }}'}",
  labels: 'write a map: {severity: warning}',
  annotations: "write a map: {message: '{{ $record.log }}'}",
};

function scalarHint(node: YamlScalar, written: string, kind: keyof typeof schema.KINDS): string | undefined {
  const isCount = /^\d+$/.test(String(node.value));
  switch (kind) {
    case 'text':
    case 'texts':
      return node.value === null ? undefined : `put it in quotes: '${written}'`;
    case 'number':
      return /^['"]?-?\d/.test(written) ? 'leave out the quotes and the unit' : valueHint(String(node.value));
    case 'count':
    case 'keyCount':
    case 'rate':
      return isCount ? 'leave out the quotes' : undefined;
    case 'boolean':
      return /^(yes|on|no|off|true|false)$/i.test(String(node.value))
        ? `write ${/^(yes|on|true)$/i.test(String(node.value))}`
        : undefined;
    case 'threshold':
      return `write {count: ${isCount ? written : 20}, within: ${isDuration(String(node.value)) ? written : '5m'}}`;
    case 'perTime':
      return /^\d+(?:\.\d+)?$/.test(String(node.value))
        ? `add the unit: ${written}/s, ${written}/m or ${written}/h`
        : 'write it as 5/s, 10/m or 0.5/h';
    case 'parse':
      return `write {log: ${/logfmt/i.test(written) ? 'logfmt' : 'json'}}`;
    case 'samples':
      return `write {text: ${written.includes('{{') ? written : "'{{ $record.log }}'"}}`;
    case 'absence':
      return `write {for: ${isDuration(String(node.value)) ? written : '10m'}}`;
    case 'share':
      return shareHint(String(node.value));
    case 'ratio':
      return `write {of: {field: …, gte: 500}, above: ${schema.SHARE.test(String(node.value)) ? written : '5%'}, within: 5m, atLeast: 100}`;
    case 'firstSeen':
      return `write {for: ${isDuration(String(node.value)) ? written : '7d'}}`;
    case 'scalars':
    case 'allTexts':
      return /\.(?:txt|list|csv)$/.test(String(node.value))
        ? `write {file: ${written}}`
        : `write [${written}]`;
    case 'labelNames':
      return `write [${written}]`;
    default:
      return undefined;
  }
}

function shareHint(text: string): string {
  const number = Number(/^\d+(?:\.\d+)?(?=%?$)/.exec(text)?.[0] ?? NaN);
  const percent = text.endsWith('%') || number >= 1 ? number : number * 100;
  const isShare = percent < 100 && Math.abs(percent * 100 - Math.round(percent * 100)) < 1e-6;
  return isShare
    ? `write ${Number(percent.toFixed(2))}%`
    : 'write it as 5% or 0.25%: less than 100%, and no finer than 0.01%';
}

function isDuration(text: string): boolean {
  return schema.DURATION.test(text) && text !== '0';
}

function describe(context: Context, node: Node): string {
  if (isSeq(node)) return 'a list';
  if (!isScalar(node)) return 'a map';
  if (typeof node.value === 'string') return `the string ${quote(node.value)}`;
  const isNumber = typeof node.value === 'bigint' || typeof node.value === 'number';
  return isNumber
    ? `the number ${quote(writtenAs(context.document, node)).slice(1, -1)}`
    : String(node.value);
}

export function failSize(
  context: Context,
  node: Node,
  subject: string,
  size: number,
  sizeMax: number,
): undefined {
  fail(context, node, `${subject} has ${formatCount(size)} bytes, ${formatCount(sizeMax)} allowed`);
}

export function parseInText<T>(
  context: Context,
  node: YamlScalar,
  text: string,
  parse: (text: string) => T,
): T | undefined {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    failInText(context, node, error);
    return undefined;
  }
}

/** Points at the part of the scalar where its position is known, else at all of it with the text below. */
export function failInText(
  context: Context,
  node: YamlScalar,
  { message, hint, span: part }: TextProblem,
): void {
  const exact = spanWithin(context.document, node, part);
  if (exact) return fail(context, exact, message, hint);
  const span = spanOf(context.document, node);
  const pattern = { source: String(node.value), span: part, note: '' };
  context.report({ severity: 'error', message, ...(hint !== undefined && { hint }), span, pattern });
}
