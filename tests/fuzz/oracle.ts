// What a rule set says about a record, worked out in the plainest way: each rule by itself, each condition as
// README states it, patterns by RE2 (re2js), numbers by exact arithmetic. No index, no automaton, no cache but
// that of compiled patterns.
import { RE2JS } from 're2js';
import type { Json } from './json.ts';
import { readText } from './json.ts';
import type { Call, Condition, Parse, Part, Path, Rule, Subject, Test, Value } from './model.ts';

export interface Expected {
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

// README: cut at a character, marked `…`.
const LABEL_SIZE_MAX = 1024;
const ANNOTATION_SIZE_MAX = 4096;

/** The alerts of a record, in the order of the rules. */
export function judge(rules: readonly Rule[], record: Json): Expected[] {
  return rules.filter(rule => holds(rule.match, rule, record)).map(rule => alertOf(rule, record));
}

/** The values at a path: at most one where it has no step to every item. If an object has a key twice, the first is used. */
export function lookUp(record: Json, path: Path, parse: Parse[]): Json[] {
  let values = [record];
  path.forEach((step, i) => {
    const format = parse.find(one => JSON.stringify(one.path) === JSON.stringify(path.slice(0, i)))?.format;
    if (format !== undefined) values = values.flatMap(value => unpack(value, format));
    values = values.flatMap(value => {
      if (step === null) return value.items;
      if (typeof step === 'number') return value.items[step] ?? [];
      return value.members.find(({ key }) => key === step)?.value ?? [];
    });
  });
  return values;
}

function unpack(value: Json, format: Parse['format']): Json[] {
  if (value.kind !== 'string') return [value];
  if (format === 'logfmt') return [readPairs(value.text)];
  const parsed = readText(value.text);
  return parsed === null || parsed.kind === 'string' ? [] : [parsed];
}

function textOf(text: string): Json {
  return { kind: 'string', text, start: 0, end: 0, members: [], items: [] };
}

/** README of the rules: pairs between blanks, a key alone has the empty text, quotes are JSON's where they can be. */
function readPairs(text: string): Json {
  const members: Json['members'] = [];
  let rest = text;
  for (;;) {
    rest = rest.replace(/^[\0- ]+/, '');
    if (rest === '') break;
    const [, key, sign] = /^([^\0- =]*)(=?)/.exec(rest)!;
    rest = rest.slice(key!.length + sign!.length);
    const quoted = rest.startsWith('"') ? /^"((?:[^"\\]|\\[^])*)"/.exec(rest) : null;
    if (rest.startsWith('"') && sign !== '' && quoted === null) break;
    const [whole, inner] = sign === '' ? ['', ''] : (quoted ?? /^([^\0- ]*)/.exec(rest)!);
    rest = rest.slice(whole!.length);
    const decoded = quoted && sign !== '' ? readText(whole!) : null;
    members.push({ key: key!, start: 0, value: textOf(decoded?.text ?? inner!) });
  }
  return { kind: 'object', text: '', start: 0, end: 0, members, items: [] };
}

/** Every string value of the record, at any depth. */
function stringsOf(value: Json): Json[] {
  if (value.kind === 'string') return [value];
  return [...value.items, ...value.members.map(member => member.value)].flatMap(stringsOf);
}

export function holds(condition: Condition, rule: Rule, record: Json): boolean {
  switch (condition.kind) {
    case 'all':
      return condition.of.every(child => holds(child, rule, record));
    case 'any':
      return condition.of.some(child => holds(child, rule, record));
    case 'not':
      return !holds(condition.of, rule, record);
    case 'test': {
      const { test, path } = condition;
      const values = valuesOf(path, rule, record);
      if (test.op === 'exists') return values.length > 0 === test.value;
      return values.some(value => passes(test, value, isText(path, rule)));
    }
  }
}

function valuesOf(subject: Subject, rule: Rule, record: Json): Json[] {
  if (subject === 'anyField') return stringsOf(record);
  if (!('capture' in subject)) return lookUp(record, subject, rule.parse);
  const text = capturesOf(rule.match, rule, record)[subject.capture];
  return text === undefined ? [] : [textOf(text)];
}

/** Where every value is a text, a number is what a text is. */
function isText(subject: Subject, { parse }: Rule): boolean {
  if (subject === 'anyField' || 'capture' in subject) return true;
  const last = parse
    .filter(({ path }) => JSON.stringify(subject.slice(0, path.length)) === JSON.stringify(path))
    .filter(({ path }) => path.length < subject.length)
    .sort((a, b) => b.path.length - a.path.length)[0];
  return last?.format === 'logfmt';
}

function passes(test: Test, value: Json, isAlwaysText: boolean): boolean {
  const isText = value.kind === 'string';
  const isNumber = value.kind === 'number' || (isText && JSON_NUMBER.test(value.text));
  const same = (other: Value, ignoreCase: boolean) =>
    isAlwaysText && other.kind === 'number'
      ? isNumber && compareNumbers(value.text, other.text) === 0
      : isSame(value, other, ignoreCase);
  switch (test.op) {
    case 'exists':
      return true;
    case 'eq':
      return same(test.value, test.ignoreCase);
    case 'in':
      return test.values.some(other => same(other, test.ignoreCase));
    case 'contains':
      return isText && test.texts.some(text => isFound(text, '', value.text, '', test.ignoreCase));
    case 'containsAll':
      return isText && test.texts.every(text => isFound(text, '', value.text, '', test.ignoreCase));
    case 'startsWith':
      return isText && test.texts.some(text => isFound(text, '\\A', value.text, '', test.ignoreCase));
    case 'endsWith':
      return isText && test.texts.some(text => isFound(text, '', value.text, '\\z', test.ignoreCase));
    case 'regex':
      return isText && compiled(patternOf(test)).matcher(value.text).find();
    case 'gt':
      return isNumber && compareNumbers(value.text, test.number) > 0;
    case 'gte':
      return isNumber && compareNumbers(value.text, test.number) >= 0;
    case 'lt':
      return isNumber && compareNumbers(value.text, test.number) < 0;
    case 'lte':
      return isNumber && compareNumbers(value.text, test.number) <= 0;
  }
}

const JSON_NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?(?![^])/;

/** By RE2, which says what letters are the same. */
function isFound(text: string, start: string, value: string, end: string, ignoreCase: boolean): boolean {
  const escaped = Array.from(text, character => `\\x{${character.codePointAt(0)!.toString(16)}}`);
  return compiled(`${ignoreCase ? '(?i)' : ''}${start}${escaped.join('')}${end}`)
    .matcher(value)
    .find();
}

function patternOf({ source, ignoreCase }: Test & { op: 'regex' }): string {
  return ignoreCase ? `(?i)${source}` : source;
}

/** Type and value. */
function isSame(value: Json, other: Value, ignoreCase: boolean): boolean {
  switch (other.kind) {
    case 'string':
      return value.kind === 'string' && isFound(other.text, '\\A', value.text, '\\z', ignoreCase);
    case 'number':
      return value.kind === 'number' && compareNumbers(value.text, other.text) === 0;
    case 'word':
      return value.kind === other.text;
  }
}

// ── Numbers ──

/** -1, 0 or 1. A number is 0.d₁d₂… × 10^exponent: that is compared without ever writing its zeros out. */
export function compareNumbers(left: string, right: string): number {
  const [a, b] = [decimalOf(left), decimalOf(right)];
  if (a.sign !== b.sign) return a.sign < b.sign ? -1 : 1;
  if (a.exponent !== b.exponent) return a.exponent < b.exponent ? -a.sign : a.sign;
  const size = Math.max(a.digits.length, b.digits.length);
  const [m, n] = [a.digits.padEnd(size, '0'), b.digits.padEnd(size, '0')];
  return m === n ? 0 : m < n ? -a.sign : a.sign;
}

function decimalOf(text: string): { sign: number; digits: string; exponent: bigint } {
  const [, sign, whole, fraction = '', written = '0'] = /^([-+]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(
    text,
  )!;
  const digits = (whole! + fraction).replace(/^0+/, '');
  if (digits === '') return { sign: 0, digits: '', exponent: 0n };
  const leadingZeros = whole!.length + fraction.length - digits.length;
  const exponent = BigInt(written) + BigInt(whole!.length - leadingZeros);
  return { sign: sign === '-' ? -1 : 1, digits, exponent };
}

// ── Patterns ──

const patterns = new Map<string, RE2JS>();

export function compiled(source: string): RE2JS {
  if (!patterns.has(source)) patterns.set(source, RE2JS.compile(source));
  return patterns.get(source)!;
}

/** The captures of all patterns that are found and do not stand under `not`: of each in the first value where it is found. */
function capturesOf(condition: Condition, rule: Rule, record: Json): Record<string, string> {
  if (condition.kind === 'not') return {};
  if (condition.kind !== 'test')
    return Object.assign({}, ...condition.of.map(child => capturesOf(child, rule, record)));
  const { path, test } = condition;
  if (test.op !== 'regex' || (typeof path === 'object' && 'capture' in path)) return {};
  const pattern = compiled(patternOf(test));
  for (const value of valuesOf(path, rule, record)) {
    if (value.kind !== 'string') continue;
    const matcher = pattern.matcher(value.text);
    if (!matcher.find()) continue;
    const named = Object.keys(pattern.namedGroups()).map(name => [name, matcher.group(name)] as const);
    return Object.fromEntries(named.filter((pair): pair is [string, string] => pair[1] !== null));
  }
  return {};
}

// ── Templates ──

function alertOf(rule: Rule, record: Json): Expected {
  const captures = capturesOf(rule.match, rule, record);
  const render = (templates: Record<string, Part[]>, labels: Record<string, string>, sizeMax: number) =>
    withoutEmpty(
      Object.entries(templates).map(([name, parts]) => {
        const texts = parts.map(part => partText(part, rule, record, captures, labels));
        return [name, cut(texts.join(''), sizeMax)];
      }),
    );
  const labels = { alertname: rule.alert, ...render(rule.labels, {}, LABEL_SIZE_MAX) };
  return {
    labels: { ...labels, ...('namespace' in labels && { rule_level: 'namespace' }) },
    annotations: render(rule.annotations, labels, ANNOTATION_SIZE_MAX),
  };
}

function partText(
  part: Part,
  rule: Rule,
  record: Json,
  captures: Record<string, string>,
  labels: Record<string, string>,
): string {
  switch (part.kind) {
    case 'text':
      return part.text;
    case 'record':
      return lookUp(record, part.path, rule.parse)[0]?.text ?? '';
    case 'capture':
      return captures[part.name] ?? '';
    case 'label':
      return labels[part.name] ?? '';
    case 'value':
      return '1';
    case 'alert':
      return rule.alert;
    case 'pipe': {
      const texts = part.of.map(one => partText(one, rule, record, captures, labels));
      const text = texts.find(text => text !== '') ?? '';
      return part.calls.reduce((text, call) => applied(call, cut(text, ANNOTATION_SIZE_MAX)), text);
    }
  }
}

function applied(call: Call, text: string): string {
  switch (call) {
    case 'toUpper':
      return text.replace(/[a-z]+/g, letters => letters.toUpperCase());
    case 'toLower':
      return text.replace(/[A-Z]+/g, letters => letters.toLowerCase());
    case 'trim':
      return text.replace(/^[\t-\r ]+/, '').replace(/[\t-\r ]+$/, '');
    case 'truncate 7': {
      const characters = Array.from(text);
      return characters.length > 7 ? `${characters.slice(0, 6).join('')}…` : text;
    }
    case 'slackEscape':
      return cut(text, ANNOTATION_SIZE_MAX, character => ESCAPES[character] ?? character);
  }
}

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

function withoutEmpty(entries: Array<[name: string, value: string]>): Record<string, string> {
  return Object.fromEntries(entries.filter(([, value]) => value !== ''));
}

/** `write`: what becomes of a character. */
function cut(text: string, sizeMax: number, write = (character: string) => character): string {
  const characters = Array.from(text, write);
  if (Buffer.byteLength(characters.join('')) <= sizeMax) return characters.join('');
  let size = 0;
  let kept = '';
  for (const character of characters) {
    size += Buffer.byteLength(character);
    if (size > sizeMax - 3) break;
    kept += character;
  }
  return `${kept}…`;
}
