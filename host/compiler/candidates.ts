// Which steps can a record still meet? Two things answer that before any test runs: gates, values of
// which a record must have one, and needles, literals of which a text must contain one. This file takes
// both from the conditions and lays out the hash tables that find needles in a text.
import * as layout from '../../assembly/layout.ts';
import { UserError } from '../error.ts';
import type {
  Candidates,
  CompiledRule,
  CompiledStep,
  Gate,
  GateValue,
  Gram,
  Needle,
  NeedleIndex,
} from './compiled.ts';
import { needsClock } from './compiled.ts';
import type { ByteString } from './literals.ts';
import { bestWindow, fold, requiredLiterals, selectivity, utf8, windowsOf } from './literals.ts';
import type { Condition, FieldPath, Scalar } from './model.ts';
import { isPlain } from './path.ts';
import { literal } from './pattern.ts';
import type { Table } from './table.ts';
import { indexOfEqual } from './table.ts';

/** The most values that one step may have as its gate, and pairs of a value and a needle: with more, it has no gate. */
const GATE_COUNT_MAX = 256;
const PAIR_COUNT_MAX = 1_024;
/** Heads of buckets refer to their first entry in 16 bits, 0 for none. */
const HEAD_COUNT_MAX = 0xffff;
/** A group has an entry of its own. */
const GROUPED_COUNT_MAX = Math.floor(HEAD_COUNT_MAX / (1 + 1 / layout.GROUP_COUNT_MIN));
/** 2^bits buckets: fewer are not worth a table, more are not worth their bytes. */
const INDEX_BITS_MIN = 6;
const INDEX_BITS_MAX = 15;
/** Four buckets a gram settle most texts at the first look; above this, two save tens of kilobytes. */
const SPARSE_GRAM_COUNT_MAX = 4_096;

// ── From conditions ──

/** Literals of which one must be in the field's text. */
export interface Literals {
  field: number;
  literals: ByteString[];
}

/** What a step waits for, before the part of each literal that is its needle is chosen. */
export interface Waits {
  gates: GateValue[];
  literals: Literals | null;
}

export function waitsOf(condition: Condition, fields: Table<FieldPath>): Waits {
  const gates = gatesOf(condition, fields) ?? [];
  const literals = literalsOf(condition, fields);
  const tooMany = gates.length * (literals?.literals.length ?? 1) > PAIR_COUNT_MAX;
  return { gates: tooMany ? [] : gates, literals };
}

/** Values of which a record must have one, or null. */
function gatesOf(condition: Condition, fields: Table<FieldPath>): GateValue[] | null {
  switch (condition.kind) {
    case 'not':
      return null;
    case 'all': {
      const gates = condition.of.map(child => gatesOf(child, fields)).filter(gate => gate !== null);
      return gates.sort((a, b) => a.length - b.length)[0] ?? null;
    }
    case 'any': {
      const gates = condition.of.map(child => gatesOf(child, fields));
      if (!gates.every(gate => gate !== null)) return null;
      const distinct = new Map(gates.flat().map(gate => [JSON.stringify(gate), gate]));
      return distinct.size <= GATE_COUNT_MAX ? [...distinct.values()] : null;
    }
    case 'test': {
      if (!isPlain(condition.field)) return null;
      const values = condition.ignoreCase ? [] : valuesOf(condition);
      if (values.length === 0 || values.length > GATE_COUNT_MAX) return null;
      const field = indexOfEqual(fields, condition.field);
      const gates = values.flatMap(value => (value.type === 'string' ? [{ field, value: value.value }] : []));
      return gates.length === values.length ? gates : null;
    }
  }
}

type Test = Condition & { kind: 'test' };

/** The values of which the field must have one; none when the test is another. */
function valuesOf(test: Test): Scalar[] {
  return test.op === 'eq' ? [test.value] : test.op === 'in' ? test.values : [];
}

function literalsOf(condition: Condition, fields: Table<FieldPath>): Literals | null {
  switch (condition.kind) {
    case 'not':
      return null;
    case 'all':
      return mostSelective(condition.of.map(child => literalsOf(child, fields)));
    case 'any': {
      const options = condition.of.map(child => literalsOf(child, fields));
      const field = options[0]?.field;
      if (field === undefined || !options.every(option => option !== null && option.field === field))
        return null;
      return { field, literals: [...new Set(options.flatMap(option => option!.literals))] };
    }
    case 'test': {
      const literals = isPlain(condition.field) ? literalsOfTest(condition) : [];
      return literals.length === 0 ? null : { field: indexOfEqual(fields, condition.field), literals };
    }
  }
}

function mostSelective(options: Array<Literals | null>): Literals | null {
  return (
    options
      .filter(option => option !== null)
      .map(option => ({ option, score: selectivity(option.literals) }))
      .sort((a, b) => b.score - a.score)[0]?.option ?? null
  );
}

/** Literals of which the field's text must have one; empty when there are none, or texts that have none. */
function literalsOfTest(test: Test): ByteString[] {
  if (test.op === 'regex') return requiredLiterals(test.pattern) ?? [];
  const texts = textsOf(test);
  const literals = texts.flatMap(
    text => (test.ignoreCase ? requiredLiterals(literal(text, true)) : [fold(utf8(text))]) ?? [''],
  );
  return literals.every(text => text.length >= layout.GRAM_SIZE_SHORT) ? [...new Set(literals)] : [];
}

/** Texts of which the field's text has one; of values only where letter case does not count: others are gates. */
function textsOf(test: Test): string[] {
  if ('texts' in test) return test.texts;
  const values = test.ignoreCase ? valuesOf(test) : [];
  const texts = values.flatMap(value => (value.type === 'string' ? [value.value] : []));
  return texts.length === values.length ? texts : [];
}

/** Chooses the part of each literal that the fewest steps have: one needle should lead to one rule. */
export function chooseNeedles<S extends { literals: Literals | null }>(
  steps: S[],
): Array<Omit<S, 'literals'> & Pick<CompiledStep, 'needles'>> {
  const taken = countWindows(steps.map(step => step.literals).filter(literals => literals !== null));
  return steps.map(({ literals: own, ...step }) => {
    if (own === null) return { ...step, needles: null };
    const { field } = own;
    const windows = own.literals.map(text =>
      bestWindow(text, window => taken.get(`${field} ${window}`) ?? 0),
    );
    return { ...step, needles: { field, windows: [...new Set(windows)] } };
  });
}

/** How many steps could have each window as their needle, by field and window. */
function countWindows(all: Literals[]): Map<string, number> {
  const taken = new Map<string, number>();
  for (const { field, literals } of all) {
    const own = new Set(literals.flatMap(text => windowsOf(text).map(({ window }) => `${field} ${window}`)));
    for (const key of own) taken.set(key, (taken.get(key) ?? 0) + 1);
  }
  return taken;
}

// ── Gates and indexes ──

export function candidatesOf(steps: CompiledStep[], rules: CompiledRule[]): Candidates {
  const gates = new Map<string, Gate>();
  const indexes = new Map<string, { field: number; gramSize: number; bit: number; needles: Needles }>();
  const always: number[] = [];
  let alwaysMask = 0;
  for (const value of steps.flatMap(step => step.gates)) {
    const key = `${value.field} ${value.value}`;
    if (gates.has(key)) continue;
    gates.set(key, { ...value, number: gates.size + 1, indexMask: 0, steps: [] });
  }

  steps.forEach((step, id) => {
    const own = step.gates.map(({ field, value }) => gates.get(`${field} ${value}`)!);
    if (step.needles === null) {
      if (own.length === 0) always.push(id);
      for (const gate of own) gate.steps.push(id);
      return;
    }
    for (const window of step.needles.windows) {
      const { needles, bit } = indexFor(step.needles.field, window);
      const waiting = needles.get(window) ?? [];
      needles.set(window, waiting);
      if (own.length === 0) {
        waiting.push({ gate: 0, step: id });
        alwaysMask = (alwaysMask | bit) >>> 0;
      }
      for (const gate of own) {
        waiting.push({ gate: gate.number, step: id });
        gate.indexMask = (gate.indexMask | bit) >>> 0;
      }
    }
  });

  function indexFor(field: number, window: ByteString) {
    const gramSize = window.length >= layout.GRAM_SIZE_LONG ? layout.GRAM_SIZE_LONG : layout.GRAM_SIZE_SHORT;
    const key = `${field} ${gramSize}`;
    const known = indexes.get(key);
    if (known !== undefined) return known;
    const bit = 2 ** Math.min(indexes.size, layout.INDEX_MASK_BITS - 1);
    const index = { field, gramSize, bit, needles: new Map() };
    indexes.set(key, index);
    return index;
  }

  // The clock needs every record's time, so no record may be rejected early.
  const timedCount = rules.filter(needsClock).length;
  return {
    gates: [...gates.values()],
    always,
    alwaysMask,
    unrejectableCount: steps.filter(step => step.gates.length === 0).length + timedCount,
    indexes: [...indexes.values()].map(({ field, gramSize, needles }) =>
      layOut(field, gramSize, sortedNeedles(needles)),
    ),
  };
}

type Needles = Map<ByteString, Needle['waiting']>;

/** The core looks for a gate by bisection. */
function sortedNeedles(needles: Needles): Needle[] {
  return [...needles].map(([window, waiting]) => ({
    window,
    waiting: waiting.sort((a, b) => a.gate - b.gate || a.step - b.step),
  }));
}

function layOut(field: number, gramSize: number, needles: Needle[]): NeedleIndex {
  refuseMore(needles.length);
  // A larger step has more grams a needle; there must not be more entries than heads can refer to.
  const shortest = needles.reduce(
    (size, { window }) => Math.min(size, window.length),
    layout.NEEDLE_SIZE_MAX,
  );
  const step = Math.max(1, Math.min(shortest - gramSize + 1, Math.floor(GROUPED_COUNT_MAX / needles.length)));
  const gramCount = needles.length * step;
  const bucketCount = gramCount * (gramCount > SPARSE_GRAM_COUNT_MAX ? 2 : 4);
  const bits = Math.min(INDEX_BITS_MAX, Math.max(INDEX_BITS_MIN, Math.ceil(Math.log2(bucketCount))));
  const buckets = new Map<number, Place[]>();
  needles.forEach(({ window }, needle) => {
    for (let back = 0; back < step; back++)
      append(buckets, bucketOf(window.slice(back, back + gramSize), bits), { needle, back });
  });
  const groupSizeMin = gramCount <= GROUPED_COUNT_MAX ? layout.GROUP_COUNT_MIN : Infinity;
  const heads = new Map<number, number>();
  const grams: Gram[] = [];
  for (const [bucket, places] of [...buckets].sort(([a], [b]) => a - b)) {
    heads.set(bucket, grams.length + 1);
    for (const gram of bucketEntries(places, needles, groupSizeMin)) grams.push(gram);
  }
  return { field, gramSize, needles, step, bits, heads, grams };
}

function refuseMore(count: number): void {
  if (count <= HEAD_COUNT_MAX) return;
  throw new UserError(
    `the rules file has ${count} literals to look for in one field, ${HEAD_COUNT_MAX} are allowed; split it into several`,
  );
}

/** assembly/candidate.ts computes the same. */
function bucketOf(gram: ByteString, bits: number): number {
  const word = [...gram].reduceRight((sum, c) => sum * 256 + c.charCodeAt(0), 0); // little-endian
  return Math.imul(word, layout.GRAM_FACTOR) >>> (32 - bits);
}

/** A gram of a needle, with its distance in bytes from the needle's first. */
type Place = Omit<Gram, 'flags'>;

/** The entries of a bucket, in groups where at least `groupSizeMin` are of one kind. */
function bucketEntries(places: Place[], needles: Needle[], groupSizeMin: number): Gram[] {
  const kinds = new Map<string, Place[]>();
  for (const place of places) append(kinds, `${place.back} ${needles[place.needle]!.window.length}`, place);
  const word = ({ needle }: Place) => Buffer.from(needles[needle]!.window, 'latin1').reverse(); // little-endian
  const runs = [...kinds.values()].map((kind): Gram[] => {
    const entries = kind.map(place => ({ ...place, flags: 0 }));
    if (entries.length < groupSizeMin) return entries;
    entries.sort((a, b) => Buffer.compare(word(a), word(b)));
    return [{ needle: entries.length, back: kind[0]!.back, flags: layout.GRAM_IS_GROUP }, ...entries];
  });
  // The last entry ends the bucket; for a group, it is the one in front.
  const last = runs.at(-1)!;
  (last[0]!.flags === 0 ? last.at(-1)! : last[0]!).flags |= layout.GRAM_IS_LAST;
  return runs.flat();
}

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}
