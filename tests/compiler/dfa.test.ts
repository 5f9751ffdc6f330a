// The automaton as it is built: its size, its limit, and that it is the smallest. What it answers is compared
// with RE2 in engine.test.ts, in the core itself.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DFA_DEAD, DFA_FIRST_ROW, DFA_MATCHED } from '../../assembly/layout.ts';
import { isUniversal, toDfa, utf8Sequences } from '../../host/compiler/dfa.ts';
import type { Dfa } from '../../host/compiler/dfa.ts';
import { requiredLiterals } from '../../host/compiler/literals.ts';
import { toProgram } from '../../host/compiler/nfa.ts';
import { parsePattern } from '../../host/compiler/pattern.ts';
import { RUNS } from '../core.ts';
import { patternArbitrary } from './random-pattern.ts';

function dfaOf(source: string, stateCountMax = 1000): Dfa | null {
  const { pattern, captures } = parsePattern(source);
  return toDfa(toProgram(pattern, captures), stateCountMax);
}

/** The automaton's answer, in TypeScript. */
function run(dfa: Dfa, text: Uint8Array): boolean {
  if (!Buffer.from(dfa.prefix).equals(text.subarray(0, dfa.prefix.length))) return false;
  let state = dfa.start;
  for (const byte of text.subarray(dfa.prefix.length)) {
    if (state < DFA_FIRST_ROW) break;
    state = dfa.rows[state - DFA_FIRST_ROW]![dfa.classes[byte]!]!;
  }
  if (state >= DFA_FIRST_ROW) state = dfa.rows[state - DFA_FIRST_ROW]!.at(-1)!;
  return state === DFA_MATCHED;
}

const SIZES: Array<[pattern: string, stateCount: number, classCount: number]> = [
  ['a', 1, 2],
  ['abc', 3, 4],
  ['^abc', 1, 2], // after its prefix
  ['abc$', 4, 4],
  ['[a-z]', 1, 2],
  ['a.*b', 5, 8], // a dot is a whole character: three places inside sequences
  ['\\bab\\b', 4, 5],
  ['(?:a|b)*c', 1, 2], // anything may be before the c
  ['^(?:a|b)*c$', 2, 3],
  ['a{3,}', 3, 2],
  ['(a+)+b', 2, 3],
  ['[^\\x00-\\x{10FFFF}]', 1, 1], // matches nothing
];

test('automata have the states and byte classes that they need', () => {
  for (const [source, stateCount, classCount] of SIZES) {
    const dfa = dfaOf(source)!;
    assert.deepEqual([dfa.rows.length, dfa.stride - 1], [stateCount, classCount], source);
  }
});

const PREFIXES: Array<[pattern: string, prefix: string]> = [
  ['^abc', 'ab'], // the byte that decides is left to the automaton
  ['^web-[a-z]', 'web-'],
  ['^é[a-z]', 'é'],
  ['^(?:web|wsgi)-x', 'w'],
  ['^a{3}b?$', 'aaa'],
  ['(?s)^ab.*$', 'ab'],
  ['abc', ''],
  ['(?i)^abc', ''],
  ['(?m)^abc', ''],
  ['^a?bc', ''],
];

test('the bytes that every matching text begins with are split off', () => {
  for (const [source, prefix] of PREFIXES)
    assert.equal(Buffer.from(dfaOf(source)!.prefix).toString(), prefix, source);
});

test('an automaton that would have too many states is none', () => {
  assert.equal(dfaOf('[ab]*a[ab]{12}$', 2000), null);
  assert.notEqual(dfaOf('[ab]*a[ab]{3}$', 2000), null);
  assert.equal(dfaOf('abcdefghij', 5), null);
});

// Each took from two seconds to more than five minutes when only the states had a limit.
const COSTLY = [
  'x(?:.?y?){900}z',
  `(?P<a>x)${Array.from({ length: 31 }, (_, i) => `(?P<g${i}>(?:a?x?){70})`).join('')}z`,
  'x(?:\\pL?\\pN?){900}z',
  'x(?:\\pL?\\PN?\\w?){600}z',
  'x(?:\\pL?){1000}(?:\\pN?){1000}(?:\\PS?){1000}(?:[^a]?){1000}z',
  `${'\\pL?'.repeat(3000)}x`,
  // Nested as deeply as can be, a class at each level.
  `${'(?:'.repeat(240)}a{3}${Array.from({ length: 240 }, (_, i) => `[${'abc'[i % 3]}\\pL]?x|y${i}z*)`).join('')}`,
  Array.from({ length: 1200 }, (_, i) => `[^\\PL${String.fromCodePoint(0x4e00 + i)}]?`).join(''),
];

test('a second is enough for a pattern, whatever it is', () => {
  for (const source of COSTLY) {
    const { pattern, captures } = parsePattern(source);
    const before = process.cpuUsage();
    toDfa(toProgram(pattern, captures), 2000);
    requiredLiterals(pattern);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 1e6, `${(user + system) / 1e3} ms for ${source.slice(0, 60)}`);
  }
});

test('the same program gives the same automaton', () => {
  const source = '(?i)straße|[α-ω]+\\b(?:x|yé){2,3}$';
  assert.deepEqual(dfaOf(source), dfaOf(source));
});

test('an automaton that says yes to every text is known', () => {
  for (const source of ['\\b|\\B', '^', '$', 'a*', '(?m)$'])
    assert.equal(isUniversal(dfaOf(source)!), true, source);
  for (const source of ['a', '.', '^$', '\\b', '\\B', '(?s).', '(?s)^ab.*$'])
    assert.equal(isUniversal(dfaOf(source)!), false, source);
});

test('no two states of an automaton answer alike, and each can be reached', () => {
  const property = fc.property(patternArbitrary, source => {
    const dfa = dfaOf(source, 60);
    if (dfa === null || dfa.rows.length === 0) return;
    assert.equal(distinct(dfa), dfa.rows.length);
    assert.equal(reachable(dfa), dfa.rows.length);
    const columns = new Set(
      Array.from({ length: dfa.stride - 1 }, (_, column) => dfa.rows.map(row => row[column]).join()),
    );
    assert.equal(columns.size, dfa.stride - 1, 'byte classes that all states treat alike');
  });
  fc.assert(property, { numRuns: 100 * RUNS });
});

/** How many states some text tells apart: pairs are marked until none is added. */
function distinct({ rows }: Dfa): number {
  const apart = rows.map(() => rows.map(() => false));
  const differ = (a: number, b: number) =>
    a !== b && (a < DFA_FIRST_ROW || b < DFA_FIRST_ROW || apart[a - DFA_FIRST_ROW]![b - DFA_FIRST_ROW]!);
  for (let changed = true; changed;) {
    changed = false;
    rows.forEach((row, i) =>
      rows.forEach((other, j) => {
        if (apart[i]![j] || !row.some((target, column) => differ(target, other[column]!))) return;
        apart[i]![j] = changed = true;
      }),
    );
  }
  return new Set(apart.map(marks => marks.join())).size;
}

function reachable({ rows, start }: Dfa): number {
  const seen = new Set([start]);
  for (const state of seen) {
    for (const next of rows[state - DFA_FIRST_ROW]!)
      if (next !== DFA_DEAD && next !== DFA_MATCHED) seen.add(next);
  }
  return seen.size;
}

const codeArbitrary = fc.oneof(
  fc.integer({ min: 0x80, max: 0x10ffff }),
  fc.constantFrom(
    0x80,
    0xbf,
    0xc0,
    0x7ff,
    0x800,
    0xfff,
    0x1000,
    0xffff,
    0x10000,
    0x3ffff,
    0x40000,
    0xfffff,
    0x10ffff,
  ),
);

test('ranges of code points become exactly their UTF-8', () => {
  const property = fc.property(codeArbitrary, codeArbitrary, fc.array(codeArbitrary), (a, b, others) => {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    const sequences = utf8Sequences(low, high);
    for (const code of [low - 1, low, low + 1, high - 1, high, high + 1, ...others]) {
      if (code < 0x80 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) continue;
      const bytes = Buffer.from(String.fromCodePoint(code));
      const hits = sequences.filter(
        sequence =>
          sequence.length === bytes.length &&
          sequence.every(([from, to], i) => bytes[i]! >= from && bytes[i]! <= to),
      );
      assert.equal(hits.length, code >= low && code <= high ? 1 : 0, code.toString(16));
    }
  });
  fc.assert(property, { numRuns: 2000 * RUNS });
});

test('a class of one range matches its code points', () => {
  const property = fc.property(codeArbitrary, codeArbitrary, codeArbitrary, (a, b, code) => {
    if (code >= 0xd800 && code <= 0xdfff) return;
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    const dfa = dfaOf(`^[\\x{${low.toString(16)}}-\\x{${high.toString(16)}}]$`)!;
    assert.equal(run(dfa, Buffer.from(String.fromCodePoint(code))), code >= low && code <= high);
  });
  fc.assert(property, { numRuns: 300 * RUNS });
});
