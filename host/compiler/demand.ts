// Can one field meet several tests at once? Values are tried of which one meets them if any value does: the
// kinds of JSON, numbers at and beside the bounds, and for texts the strings that are named, or one that is put
// together from all that the tests require. A "no" is a proof. A pattern that cannot be looked through counts as met.
import { DFA_FIRST_ROW, DFA_MATCHED } from '../../assembly/layout.ts';
import type { TestCondition } from './compiled.ts';
import { textsIn } from './condition.ts';
import { compareDecimals, parseDecimal } from './decimal.ts';
import type { Decimal } from './decimal.ts';
import type { Dfa } from './dfa.ts';
import { toDfa } from './dfa.ts';
import type { Scalar } from './model.ts';
import { isText } from './path.ts';
import { canBeEmpty, toProgram } from './nfa.ts';
import { foldedForms, hasAssertion, some } from './pattern.ts';
import type { Assertion, Pattern } from './pattern.ts';
import { requiredPieces } from './required.ts';
import { UserError } from '../error.ts';

/** A test that must hold, or must not. */
export interface Demand {
  test: TestCondition;
  isMet: boolean;
}

/** What the tests of an operator look at; all others take every kind of value. */
export function kindOf(op: string): 'text' | 'number' | 'any' {
  switch (op) {
    case 'contains':
    case 'containsAll':
    case 'startsWith':
    case 'endsWith':
    case 'regex':
      return 'text';
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return 'number';
    default:
      return 'any';
  }
}

/** Whether some value of a field meets all demands; `isObject`: the field holds other fields, so it is no scalar. */
export function canBeMet(demands: Demand[], isObject: boolean): boolean {
  if (demands.some(({ test }) => test.op === 'active')) return canBeActive(demands);
  const meets = (value: Value) => demands.every(demand => mayMeet(demand, value));
  if (demands.some(({ test }) => isText(test.field)))
    return !isPatternRefused(demands) && (meets({ type: 'missing' }) || textsFor(demands).some(meets));
  if (meets({ type: 'object' })) return true;
  if (isObject || isPatternRefused(demands)) return false;
  return OTHER_KINDS.some(meets) || numbersFor(demands).some(meets) || textsFor(demands).some(meets);
}

/** Whether some minute of the week meets all demands; of two time zones nothing is said. */
function canBeActive(demands: Demand[]): boolean {
  const times = demands.flatMap(({ test, isMet }) => (test.op === 'active' ? [{ ...test, isMet }] : []));
  if (new Set(times.map(({ timezone }) => timezone)).size > 1) return true;
  const bounds = times.flatMap(({ spans }) => spans.flatMap(({ start, end }) => [start, end]));
  return [0, ...bounds.filter(minute => minute < WEEK_MINUTES)].some(minute =>
    times.every(
      ({ spans, isMet }) => spans.some(({ start, end }) => start <= minute && minute < end) === isMet,
    ),
  );
}

const WEEK_MINUTES = 7 * 24 * 60;

/** A pattern must be found and must not. */
function isPatternRefused(demands: Demand[]): boolean {
  const sources = (isMet: boolean) =>
    demands.flatMap(({ test, ...demand }) =>
      test.op === 'regex' && demand.isMet === isMet ? [`${test.ignoreCase ?? false} ${test.source}`] : [],
    );
  const found = new Set(sources(true));
  return sources(false).some(source => found.has(source));
}

/** How many values are tried, times the tests: a measure of the work. */
export function workOf(demands: Demand[]): number {
  const values = demands.reduce(
    (sum, { test }) =>
      sum + (test.op === 'in' ? test.values.length : 'texts' in test ? test.texts.length : 1),
    0,
  );
  return values * demands.length;
}

type Value =
  | { type: 'missing' }
  | { type: 'object' } // or an array
  | { type: 'boolean'; value: boolean }
  | { type: 'null' }
  | NumberValue
  | Text;

/** The number, or one so little below (-1) or above (1) that no other number of the rules lies between. */
interface NumberValue {
  type: 'number';
  value: Decimal;
  beside: -1 | 0 | 1;
}

interface Text {
  type: 'string';
  /** What is known of it with its letter case, and all that is known with letter case folded. */
  value: string;
  folded: string;
  /** The pieces that are known, and those of them with their letter case; null when all of the text is known. */
  pieces: string[] | null;
  exact: string[];
  /** The number that the whole text is, for tests of numbers. */
  number: NumberValue | null;
}

const OTHER_KINDS: Value[] = [
  { type: 'missing' },
  { type: 'null' },
  { type: 'boolean', value: true },
  { type: 'boolean', value: false },
];

/** False only where the value cannot meet the demand. */
function mayMeet({ test, isMet }: Demand, value: Value): boolean {
  switch (test.op) {
    case 'exists':
      return ((value.type !== 'missing') === test.value) === isMet;
    case 'eq':
    case 'in':
      return mayBeAmong(test, value, isMet);
    case 'active':
      return true; // has a check of its own
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      const number = value.type === 'string' ? value.number : value.type === 'number' ? value : null;
      return (number !== null && isOrdered(test.op, number, toDecimal(test.value))) === isMet;
    }
    default:
      return value.type === 'string' ? mayMeetText({ test, isMet }, value) : !isMet;
  }
}

function mayBeAmong(test: TestCondition & { op: 'eq' | 'in' }, value: Value, isMet: boolean): boolean {
  const scalars = test.op === 'eq' ? [test.value] : test.values;
  if (isNumberInText(test)) return value.type === 'string' || !isMet;
  // Then the text was put together from one of them.
  if (isMet && test.ignoreCase && value.type === 'string' && value.pieces !== null)
    return scalars.some(({ type }) => type === 'string');
  return scalars.some(scalar => isSame(scalar, value, test.ignoreCase)) === isMet;
}

/** A number that is compared with what is always a text: which texts are that number is not looked at. */
function isNumberInText(test: TestCondition): boolean {
  return isText(test.field) && (test.op === 'eq' || test.op === 'in') && numbersOf(test).length > 0;
}

function isSame(scalar: Scalar, value: Value, ignoreCase: true | undefined): boolean {
  switch (scalar.type) {
    case 'null':
      return value.type === 'null';
    case 'boolean':
      return value.type === 'boolean' && value.value === scalar.value;
    case 'string':
      if (value.type !== 'string') return false;
      return ignoreCase ? value.folded === fold(scalar.value) : value.value === scalar.value;
    case 'number':
      return (
        value.type === 'number' &&
        value.beside === 0 &&
        compareDecimals(value.value, toDecimal(scalar.value)) === 0
      );
  }
}

function isOrdered(
  op: 'gt' | 'gte' | 'lt' | 'lte',
  value: Value & { type: 'number' },
  bound: Decimal,
): boolean {
  const order = compareDecimals(value.value, bound) || value.beside;
  switch (op) {
    case 'gt':
      return order > 0;
    case 'gte':
      return order >= 0;
    case 'lt':
      return order < 0;
    case 'lte':
      return order <= 0;
  }
}

function toDecimal(text: string): Decimal {
  return parseDecimal(text)!; // a number of the model is one
}

// -------------------------------------------------------------------------------------------------- numbers

function numbersFor(demands: Demand[]): NumberValue[] {
  const named = demands.flatMap(({ test }) => numbersOf(test)).map(toDecimal);
  if (named.length === 0) named.push(toDecimal('0'));
  return named.flatMap(value =>
    ([0, -1, 1] as const).map(beside => ({ type: 'number' as const, value, beside })),
  );
}

function numbersOf(test: TestCondition): string[] {
  switch (test.op) {
    case 'eq':
      return test.value.type === 'number' ? [test.value.value] : [];
    case 'in':
      return test.values.flatMap(value => (value.type === 'number' ? [value.value] : []));
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      return [test.value];
    default:
      return [];
  }
}

// ---------------------------------------------------------------------------------------------------- texts

/** One way of a text to meet a test. What it does not say is free. */
interface Way {
  whole?: string;
  start?: string;
  end?: string;
  inside?: string;
  /** Letter case does not count. */
  isFolded?: true | undefined;
}

// Ways of several tests are combined; with more combinations than this the last tests are left free.
const WAYS_MAX = 64;

function textsFor(demands: Demand[]): Text[] {
  let combined: Way[][] = [[]];
  for (const { test, isMet } of demands) {
    const ways = isMet ? waysOf(test) : [{}];
    if (ways.some(({ whole }) => whole !== undefined)) return ways.map(({ whole }) => known(whole!));
    if (combined.length * ways.length > WAYS_MAX) continue;
    combined = combined.flatMap(some => ways.map(way => [...some, way]));
  }
  const filler = unusedIn(demands);
  const texts = combined.flatMap(ways => composed(ways, filler));
  if (!demands.some(({ test, isMet }) => isMet && kindOf(test.op) === 'number')) return texts;
  const numeric = texts.filter(({ pieces }) => pieces!.every(piece => IN_NUMBER.test(piece)));
  return numeric.flatMap(text => numbersFor(demands).map(number => ({ ...text, number })));
}

const IN_NUMBER = /^[-+.eE\d]*$/;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/;

function waysOf(test: TestCondition): Way[] {
  const isFolded = test.ignoreCase;
  switch (test.op) {
    case 'eq':
    case 'in': {
      const texts = textsIn(test);
      if (texts.length === 0 || isNumberInText(test)) return [{}];
      const written = isFolded ? writtenForms(texts) : texts;
      return written?.map(whole => ({ whole })) ?? texts.map(text => ({ start: text, end: text, isFolded }));
    }
    case 'contains':
      return test.texts.map(inside => ({ inside, isFolded }));
    case 'containsAll':
      return [{}]; // of a list, whose tests are tried one by one
    case 'startsWith':
      return test.texts.map(start => ({ start, isFolded }));
    case 'endsWith':
      return test.texts.map(end => ({ end, isFolded }));
    case 'regex':
      return waysOfPattern(test.pattern); // its sets hold the letters of both cases
    default:
      return [{}];
  }
}

/** The texts in all letter cases; null when they are too many. */
function writtenForms(texts: string[]): string[] | null {
  const forms: string[] = [];
  for (const text of texts) {
    let written = [''];
    for (const letter of text) {
      const letters = foldedForms(letter);
      if (written.length * letters.length > WAYS_MAX) return null;
      written = written.flatMap(start => letters.map(letter => start + letter));
    }
    forms.push(...written);
  }
  return forms.length <= WAYS_MAX ? forms : null;
}

function known(value: string): Text {
  const number: NumberValue = { type: 'number', value: parseDecimal(value)!, beside: 0 };
  return {
    type: 'string',
    value,
    folded: fold(value),
    pieces: null,
    exact: [value],
    number: NUMBER.test(value) ? number : null,
  };
}

/** All that is required, with a character between that no test names: so nothing else is in it by chance. */
function composed(ways: Way[], filler: string): Text[] {
  const exact = ways.filter(way => !way.isFolded);
  const pieces = piecesOf(exact);
  const folded = piecesOf(ways.map(foldWay));
  if (pieces === null || folded === null) return [];
  return [
    {
      type: 'string',
      value: pieces.join(filler),
      folded: folded.join(filler),
      pieces: [...pieces, ...folded],
      exact: pieces,
      number: null,
    },
  ];
}

/** The start, what is inside, the end; null when two tests ask for different starts or ends. */
function piecesOf(ways: Way[]): string[] | null {
  const start = longest(ways.map(way => way.start ?? ''));
  const end = longest(ways.map(way => way.end ?? ''));
  const isPossible = ways.every(way => start.startsWith(way.start ?? '') && end.endsWith(way.end ?? ''));
  return isPossible ? [start, ...ways.map(way => way.inside ?? ''), end] : null;
}

function foldWay({ start = '', end = '', inside = '' }: Way): Way {
  return { start: fold(start), end: fold(end), inside: fold(inside) };
}

function longest(texts: string[]): string {
  return texts.reduce((best, text) => (text.length > best.length ? text : best), '');
}

/** A private character that is in no text of the tests. */
function unusedIn(demands: Demand[]): string {
  const texts = demands.flatMap(({ test }) => textsIn(test)).join('');
  let code = 0xf0000;
  while (texts.includes(String.fromCodePoint(code))) code++;
  return String.fromCodePoint(code);
}

function mayMeetText({ test, isMet }: Demand, text: Text): boolean {
  if (isMet && text.pieces !== null) return test.op !== 'regex' || !matchesNothing(test.pattern);
  const value = test.ignoreCase ? text.folded : text.value;
  const sought = 'texts' in test ? test.texts.map(one => (test.ignoreCase ? fold(one) : one)) : [];
  switch (test.op) {
    case 'contains':
      return sought.some(one => value.includes(one)) === isMet;
    case 'containsAll':
      return sought.every(one => value.includes(one)) === isMet;
    case 'startsWith':
      return sought.some(one => value.startsWith(one)) === isMet;
    case 'endsWith':
      return sought.some(one => value.endsWith(one)) === isMet;
    case 'regex': {
      const { pattern } = test;
      if (text.pieces === null) return (isFoundIn(pattern, text.value) ?? isMet) === isMet;
      // Around a piece there can be anything, which matters to `^`, `$` and `\b`.
      return hasAssertion(pattern) || !text.exact.some(piece => isFoundIn(pattern, piece) === true);
    }
    default:
      return true;
  }
}

const foldedLetters = new Map<string, string>();

/** One form of each letter, as `ignoreCase` compares. */
function fold(text: string): string {
  return Array.from(text, letter => {
    const known = foldedLetters.get(letter) ?? foldedForms(letter)[0]!;
    foldedLetters.set(letter, known);
    return known;
  }).join('');
}

// ------------------------------------------------------------------------------------------------- patterns

const DFA_STATE_COUNT_MAX = 500;
const DFA_WORK_MAX = 1_000_000;
const automata = new WeakMap<Pattern, Dfa | null>();

/** Null when it is too large to be looked at here. */
function automatonOf(pattern: Pattern): Dfa | null {
  let dfa = automata.get(pattern);
  if (dfa === undefined) automata.set(pattern, (dfa = makeAutomaton(pattern)));
  return dfa;
}

function makeAutomaton(pattern: Pattern): Dfa | null {
  try {
    return toDfa(toProgram(pattern, []), DFA_STATE_COUNT_MAX, DFA_WORK_MAX);
  } catch (error) {
    if (error instanceof UserError) return null; // too large: the compiler reports it
    throw error;
  }
}

function isFoundIn(pattern: Pattern, text: string): boolean | undefined {
  const dfa = automatonOf(pattern);
  if (dfa === null) return undefined;
  const bytes = Buffer.from(text);
  if (!Buffer.from(dfa.prefix).equals(bytes.subarray(0, dfa.prefix.length))) return false;
  let state = dfa.start;
  for (const byte of bytes.subarray(dfa.prefix.length)) {
    if (state < DFA_FIRST_ROW) break;
    state = dfa.rows[state - DFA_FIRST_ROW]![dfa.classes[byte]!]!;
  }
  if (state >= DFA_FIRST_ROW) state = dfa.rows[state - DFA_FIRST_ROW]!.at(-1)!;
  return state === DFA_MATCHED;
}

/** True when no text matches, as with `a^`. */
export function matchesNothing(pattern: Pattern): boolean {
  if (!mayMatchNothing(pattern)) return false;
  const dfa = automatonOf(pattern);
  return dfa !== null && dfa.start !== DFA_MATCHED && !dfa.rows.some(row => row.includes(DFA_MATCHED));
}

/**
 * Only an assertion within a pattern or an empty set can make it so. One at its start or its end cannot when there is a
 * character between them: the text before and after is free.
 */
function mayMatchNothing(pattern: Pattern): boolean {
  const parts = pattern.kind === 'concat' ? pattern.of : [pattern];
  const inner = parts.slice(
    parts[0]?.kind === 'assert' ? 1 : 0,
    parts.at(-1)?.kind === 'assert' ? -1 : undefined,
  );
  const tested = inner.every(part => canBeEmpty(part)) ? parts : inner;
  return tested.some(part => some(part, holdsNothingOrAsserts));
}

function holdsNothingOrAsserts(node: Pattern): boolean {
  return node.kind === 'assert' || (node.kind === 'set' && node.set.length === 0);
}

function isAssertion(node: Pattern | undefined, at: Assertion): boolean {
  return node?.kind === 'assert' && node.at === at;
}

/** What a text must hold for the pattern to be found in it. */
function waysOfPattern(pattern: Pattern): Way[] {
  const parts = pattern.kind === 'concat' ? pattern.of : [pattern];
  const isAnchored = isAssertion(parts[0], 'textStart');
  const isEnded = isAssertion(parts.at(-1), 'textEnd');
  const inner = parts.slice(isAnchored ? 1 : 0, isEnded ? -1 : undefined);
  const start = isAnchored ? literalRun(inner) : '';
  const end = isEnded ? [...literalRun([...inner].reverse())].reverse().join('') : '';
  if (isAnchored && isEnded && [...start].length === inner.length) return [{ whole: start }];
  const texts = requiredPieces(pattern, TEXTS) ?? [''];
  return texts.map(inside => ({ start, end, inside }));
}

/** The text of the first parts, as far as each is one character. */
function literalRun(parts: Pattern[]): string {
  let text = '';
  for (const part of parts) {
    if (part.kind !== 'set' || part.set.length !== 2 || part.set[0] !== part.set[1]) break;
    text += String.fromCodePoint(part.set[0]!);
  }
  return text;
}

const SET_EXPAND_MAX = 4;

const TEXTS = {
  empty: '',
  ofSet(set: number[]): string[] | null {
    const texts: string[] = [];
    for (let index = 0; index < set.length; index += 2) {
      if (set[index + 1]! - set[index]! + texts.length >= SET_EXPAND_MAX) return null;
      for (let code = set[index]!; code <= set[index + 1]!; code++) texts.push(String.fromCodePoint(code));
    }
    return texts;
  },
  ofAssertion: () => '',
  join: (left: string, right: string) => left + right,
  distinct: (texts: string[]) => [...new Set(texts)],
  usable: (texts: string[]) => (texts.includes('') ? null : texts),
  selectivity: (texts: string[]) => Math.min(...texts.map(text => text.length)) - texts.length,
};
