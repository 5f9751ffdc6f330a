// Can one field meet several tests at once? Values are tried of which one meets them if any value does: the
// kinds of JSON, numbers at and beside the bounds, and for texts the strings that are named, or one that is put
// together from all that the tests require. A "no" is a proof. A pattern that cannot be looked through counts as met.
import { DFA_FIRST_ROW, DFA_MATCHED } from '../../assembly/layout.ts';
import type { TestCondition } from './compiled.ts';
import { compareDecimals, parseDecimal } from './decimal.ts';
import type { Decimal } from './decimal.ts';
import type { Dfa } from './dfa.ts';
import { toDfa } from './dfa.ts';
import type { Scalar } from './model.ts';
import { toProgram } from './nfa.ts';
import type { Assertion, Pattern } from './pattern.ts';
import { foldedForms } from './pattern.ts';
import { requiredPieces } from './required.ts';
import { UserError } from '../error.ts';

/** A test that must hold, or must not. */
export interface Demand {
  test: TestCondition;
  isMet: boolean;
}

/** Whether some value of a field meets all demands; `isObject`: the field holds other fields, so it is no scalar. */
export function canBeMet(demands: Demand[], isObject: boolean): boolean {
  const meets = (value: Value) => demands.every(demand => mayMeet(demand, value));
  if (meets({ type: 'object' })) return true;
  if (isObject || isPatternRefused(demands) || !isOrderPossible(demands)) return false;
  return OTHER_KINDS.some(meets) || numbersFor(demands).some(meets) || textsFor(demands).some(meets);
}

/** What must be ordered is a number, or a string that is one: some number must do. */
function isOrderPossible(demands: Demand[]): boolean {
  const orders = demands.filter(({ test }) => isOrder(test.op));
  if (!orders.some(({ isMet }) => isMet)) return true;
  return numbersFor(orders).some(number => orders.every(order => mayMeet(order, number)));
}

function isOrder(op: TestCondition['op']): boolean {
  return op === 'gt' || op === 'gte' || op === 'lt' || op === 'lte';
}

/** A pattern must be found and must not. */
function isPatternRefused(demands: Demand[]): boolean {
  const sources = (isMet: boolean) =>
    demands.flatMap(demand =>
      demand.test.op === 'regex' && demand.isMet === isMet
        ? [`${demand.test.ignoreCase ? 'i' : ' '}${demand.test.source}`]
        : [],
    );
  const found = new Set(sources(true));
  return sources(false).some(source => found.has(source));
}

/** How many values are tried, times the tests: a measure of the work. */
export function workOf(demands: Demand[]): number {
  const values = demands.reduce((sum, { test }) => sum + countOf(test), 0);
  return values * demands.length;
}

function countOf(test: TestCondition): number {
  return test.op === 'in' ? test.values.length : 'texts' in test ? test.texts.length : 1;
}

type Value =
  | { type: 'missing' }
  | { type: 'object' } // or an array
  | { type: 'boolean'; value: boolean }
  | { type: 'null' }
  /** The number, or one so little below (-1) or above (1) that no other number of the rules lies between. */
  | { type: 'number'; value: Decimal; beside: -1 | 0 | 1 }
  | Text;

/** `pieces`: what is known of the text; null when it is all known. */
interface Text {
  type: 'string';
  value: string;
  pieces: string[] | null;
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
    case 'in': {
      if (test.ignoreCase && value.type === 'string' && value.pieces !== null) return true;
      const values = test.op === 'eq' ? [test.value] : test.values;
      return values.some(scalar => isSame(scalar, value, test.ignoreCase)) === isMet;
    }
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte':
      if (value.type === 'string' && value.pieces !== null)
        return !isMet || value.pieces.every(piece => NUMBER_PART.test(piece));
      return isOrderedValue(test.op, value, toDecimal(test.value)) === isMet;
    default:
      return value.type === 'string' ? mayMeetText({ test, isMet }, value) : !isMet;
  }
}

const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/;
const NUMBER_PART = /^[-+.\deE]*$/;

/** A string that is wholly a number is that number. */
function isOrderedValue(op: 'gt' | 'gte' | 'lt' | 'lte', value: Value, bound: Decimal): boolean {
  if (value.type === 'number') return isOrdered(op, value, bound);
  if (value.type !== 'string' || !JSON_NUMBER.test(value.value)) return false;
  return isOrdered(op, { type: 'number', value: toDecimal(value.value), beside: 0 }, bound);
}

/** In one of its forms, which are all the same where letter case does not count. */
function formOf(text: string, ignoreCase: true | undefined): string {
  return ignoreCase ? Array.from(text, character => foldedForms(character)[0]!).join('') : text;
}

function isSame(scalar: Scalar, value: Value, ignoreCase: true | undefined): boolean {
  switch (scalar.type) {
    case 'null':
      return value.type === 'null';
    case 'number':
      return (
        value.type === 'number' &&
        value.beside === 0 &&
        compareDecimals(value.value, toDecimal(scalar.value)) === 0
      );
    case 'boolean':
      return value.type === 'boolean' && value.value === scalar.value;
    case 'string':
      return value.type === 'string' && formOf(value.value, ignoreCase) === formOf(scalar.value, ignoreCase);
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

function numbersFor(demands: Demand[]): Value[] {
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
  return combined.flatMap(ways => composed(ways, filler));
}

function waysOf(test: TestCondition): Way[] {
  if (test.ignoreCase && test.op !== 'regex') return [{}]; // there are too many forms to try
  switch (test.op) {
    case 'eq':
      return test.value.type === 'string' ? [{ whole: test.value.value }] : [{}];
    case 'in': {
      const texts = test.values.flatMap(value => (value.type === 'string' ? [{ whole: value.value }] : []));
      return texts.length > 0 ? texts : [{}];
    }
    case 'contains':
      return test.texts.map(inside => ({ inside }));
    case 'startsWith':
      return test.texts.map(start => ({ start }));
    case 'endsWith':
      return test.texts.map(end => ({ end }));
    case 'regex':
      return waysOfPattern(test.pattern);
    default:
      return [{}];
  }
}

function known(value: string): Text {
  return { type: 'string', value, pieces: null };
}

/** All that is required, with a character between that no test names: so nothing else is in it by chance. */
function composed(ways: Way[], filler: string): Text[] {
  const start = longest(ways.map(way => way.start ?? ''));
  const end = longest(ways.map(way => way.end ?? ''));
  const isPossible = ways.every(way => start.startsWith(way.start ?? '') && end.endsWith(way.end ?? ''));
  if (!isPossible) return [];
  const pieces = [start, ...ways.map(way => way.inside ?? ''), end];
  return [{ type: 'string', value: `${pieces.join(filler)}`, pieces }];
}

function longest(texts: string[]): string {
  return texts.reduce((best, text) => (text.length > best.length ? text : best), '');
}

/** A private character that is in no text of the tests. */
function unusedIn(demands: Demand[]): string {
  const texts = JSON.stringify(demands.map(({ test }) => ({ ...test, pattern: undefined })));
  let code = 0xf0000;
  while (texts.includes(String.fromCodePoint(code))) code++;
  return String.fromCodePoint(code);
}

function mayMeetText({ test, isMet }: Demand, { value, pieces }: Text): boolean {
  if (isMet && pieces !== null) return test.op !== 'regex' || !matchesNothing(test.pattern);
  const form = (text: string) => formOf(text, test.ignoreCase);
  switch (test.op) {
    case 'contains':
      return test.texts.some(text => form(value).includes(form(text))) === isMet;
    case 'startsWith':
      return test.texts.some(text => form(value).startsWith(form(text))) === isMet;
    case 'endsWith':
      return test.texts.some(text => form(value).endsWith(form(text))) === isMet;
    case 'regex': {
      if (pieces === null) return (isFoundIn(test.pattern, value) ?? isMet) === isMet;
      // Around a piece there can be anything, which matters to `^`, `$` and `\b`.
      return hasAssertion(test.pattern) || !pieces.some(piece => isFoundIn(test.pattern, piece) === true);
    }
    default:
      return true;
  }
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

/** Only an assertion within a pattern or an empty set can make it so; `^` at its start and `$` at its end cannot. */
function mayMatchNothing(pattern: Pattern): boolean {
  const parts = pattern.kind === 'concat' ? pattern.of : [pattern];
  const first = isAssertion(parts[0], 'textStart') ? 1 : 0;
  const last = isAssertion(parts.at(-1), 'textEnd') ? parts.length - 1 : parts.length;
  return parts.slice(first, last).some(part => some(part, holdsNothingOrAsserts));
}

function holdsNothingOrAsserts(node: Pattern): boolean {
  return node.kind === 'assert' || (node.kind === 'set' && node.set.length === 0);
}

function hasAssertion(pattern: Pattern): boolean {
  return some(pattern, node => node.kind === 'assert');
}

function some(node: Pattern, isSought: (node: Pattern) => boolean): boolean {
  if (isSought(node)) return true;
  if (node.kind === 'concat' || node.kind === 'alternate') return node.of.some(of => some(of, isSought));
  return (node.kind === 'capture' || node.kind === 'repeat') && some(node.of, isSought);
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
