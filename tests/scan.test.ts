// The scanner against JSON.parse: what it finds of a record, what it calls malformed, and that it never reads
// past a record's end, nor traps, whatever the record is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as layout from '../assembly/layout.ts';
import { ALERT, MALFORMED, NO_ALERT, TOO_LARGE, openDoors } from '../host/matcher.ts';
import type { LoadedMatcher } from '../host/matcher.ts';
import type { FieldPath } from '../host/compiler/model.ts';
import { candidatesOf } from '../host/compiler/candidates.ts';
import type { CompiledRule, CompiledStep, TestCondition } from '../host/compiler/compiled.ts';
import { encodeRuleset } from '../host/compiler/ruleset.ts';
import type { InsideDoors } from './core.ts';
import {
  RUNS,
  alertsOf,
  bakeInto,
  compile,
  load,
  loadRules,
  namesOf,
  openCore,
  shippedCore,
} from './core.ts';

// ── Random documents ──

/** A value, and how it is written. Objects are lists, so that a key can come twice. */
type Tree =
  | { kind: 'object'; entries: Array<{ key: string; value: Tree }> }
  | { kind: 'array'; items: Tree[] }
  | { kind: 'string'; value: string }
  | { kind: 'other'; text: string };

const keyArbitrary = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.constantFrom('a', 'b', 'c', 'ab', 'kubernetes', 'kubernetes ', 'kubernet', '0', ''),
  },
  {
    weight: 2,
    arbitrary: fc.string({
      unit: fc.constantFrom('a', '"', '\\', '/', '\n', '\0', 'é', '😀', '\ud800', '.'),
      maxLength: 12,
    }),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
);

const numberArbitrary = fc.oneof(
  fc.constantFrom(
    '0',
    '-0',
    '-0.0',
    '1e5',
    '1E+5',
    '1.5e-7',
    '123456789012345678901234567890',
    '404',
    '404.0',
  ),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map(String)
    .map(text => text.replace('Infinity', '1')),
  fc.bigInt().map(String),
);

const { object: objectArbitrary } = fc.letrec<{ tree: Tree; object: Tree & { kind: 'object' }; array: Tree }>(
  tie => ({
    tree: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      { weight: 3, arbitrary: keyArbitrary.map((value): Tree => ({ kind: 'string', value })) },
      { weight: 2, arbitrary: numberArbitrary.map((text): Tree => ({ kind: 'other', text })) },
      {
        weight: 1,
        arbitrary: fc.constantFrom('true', 'false', 'null').map((text): Tree => ({ kind: 'other', text })),
      },
      { weight: 3, arbitrary: tie('object') },
      { weight: 2, arbitrary: tie('array') },
    ),
    object: fc
      .array(fc.record({ key: keyArbitrary, value: tie('tree') }), { maxLength: 6 })
      .map(entries => ({ kind: 'object' as const, entries })),
    array: fc.array(tie('tree'), { maxLength: 4 }).map(items => ({ kind: 'array' as const, items })),
  }),
);

/** Half a surrogate pair becomes U+FFFD, as in UTF-8. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString();
}

/** Small random numbers, always the same ones. */
function dice(seed: number): (sides: number) => number {
  let state = (seed >>> 0) + 1;
  return sides => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % sides;
  };
}

/** Writes a tree with odd spaces and escapes, and remembers how each value was written. */
function write(tree: Tree, roll: (sides: number) => number, written: Map<Tree, string>): string {
  const space = () => (roll(4) === 0 ? [' ', '\n', '\t', '\r', '  ', ' \n\t '][roll(6)]! : '');
  const text = (): string => {
    switch (tree.kind) {
      case 'object':
        return `{${space()}${tree.entries
          .map(
            ({ key, value }) =>
              `${space()}${writeString(key, roll)}${space()}:${space()}${write(value, roll, written)}${space()}`,
          )
          .join(',')}}`;
      case 'array':
        return `[${space()}${tree.items.map(item => `${space()}${write(item, roll, written)}${space()}`).join(',')}]`;
      case 'string':
        return writeString(tree.value, roll);
      case 'other':
        return tree.text;
    }
  };
  const result = text();
  written.set(tree, result);
  return result;
}

function writeString(value: string, roll: (sides: number) => number): string {
  let text = '"';
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i);
    const isSurrogate = unit >= 0xd800 && unit <= 0xdfff;
    const isPair = isSurrogate && value.codePointAt(i)! > 0xffff;
    const mustEscape = unit < 0x20 || unit === 0x22 || unit === 0x5c || (isSurrogate && !isPair);
    if (isPair && roll(2) === 0) {
      text += String.fromCodePoint(value.codePointAt(i)!);
      i++;
    } else if (mustEscape || isSurrogate || roll(6) === 0) {
      const short = JSON.stringify(value[i]);
      const hex = unit.toString(16).padStart(4, '0');
      text +=
        short.length === 4 && roll(2) === 0
          ? short.slice(1, 3)
          : `\\u${roll(2) === 0 ? hex : hex.toUpperCase()}`;
      if (isPair) text += `\\u${value.charCodeAt(++i).toString(16)}`;
    } else text += value[i];
  }
  return `${text}"`;
}

// ── Fields ──

function pathsOf(tree: Tree, path: FieldPath = []): FieldPath[] {
  const own = path.length > 0 ? [path] : [];
  if (path.length === 8) return own;
  if (tree.kind === 'object')
    return [...own, ...tree.entries.flatMap(({ key, value }) => pathsOf(value, [...path, key]))];
  if (tree.kind === 'array') return [...own, ...tree.items.flatMap((item, i) => pathsOf(item, [...path, i]))];
  return own;
}

/** The value at a path: of duplicate keys the first. */
function lookUp(tree: Tree, path: FieldPath): Tree | undefined {
  let at: Tree | undefined = tree;
  for (const step of path) {
    if (typeof step === 'number') at = at?.kind === 'array' ? at.items[step] : undefined;
    else
      at = at?.kind === 'object' ? at.entries.find(({ key }) => wellFormed(key) === step)?.value : undefined;
  }
  return at;
}

function typeOf(tree: Tree | undefined): number {
  switch (tree?.kind) {
    case undefined:
      return layout.TYPE_ABSENT;
    case 'object':
      return layout.TYPE_OBJECT;
    case 'array':
      return layout.TYPE_ARRAY;
    case 'string':
      return layout.TYPE_STRING;
    case 'other':
      return (
        new Map([
          ['true', layout.TYPE_TRUE],
          ['false', layout.TYPE_FALSE],
          ['null', layout.TYPE_NULL],
        ]).get(tree.text) ?? layout.TYPE_NUMBER
      );
  }
}

function textOf(tree: Tree | undefined, written: Map<Tree, string>): string {
  if (tree === undefined) return '';
  return tree.kind === 'string' ? wellFormed(tree.value) : written.get(tree)!;
}

/** A rule for each path: is it there? */
function rulesetOf(paths: FieldPath[]): Uint8Array {
  const steps = paths.map((field, i): CompiledStep => {
    const test: TestCondition = {
      kind: 'test',
      field,
      op: 'exists',
      value: true,
      span: { start: 0, end: 0 },
    };
    const exits = { onTrue: layout.CODE_MATCH, onFalse: layout.CODE_FAIL };
    return {
      rule: i,
      ordinal: 0,
      code: [{ atom: i, ...exits, test, isInverted: false, isNegated: false }],
      extracts: [],
      gates: [],
      needles: null,
    };
  });
  const rules = paths.map((_, i): CompiledRule => ({
    alert: String(i),
    labels: [{ name: 'alertname', parts: [{ kind: layout.PART_TEXT, text: String(i) }], requires: null }],
    annotations: [],
    kind: layout.KIND_EACH,
    count: 1,
    realertMs: 0,
    windowMs: 0,
    resolveMs: 0,
    learnMs: 0,
    above: 0,
    byMask: 0n,
    distinctField: null,
    fingerprint: 1n,
  }));
  const compiled = {
    fields: [['@timestamp'], ...paths],
    times: [{ field: 0, path: ['@timestamp'], format: 'any' }],
    words: [],
    patterns: [],
    derivations: [],
    atoms: paths.map((_, i) => ({ op: 'exists' as const, field: i + 1 })),
    steps,
    candidates: candidatesOf(steps, rules),
    rules,
    lookBackMs: 0,
    keyCount: 0,
    rateCount: 0,
  };
  return encodeRuleset(compiled, 1n).bytes;
}

/** Types and texts of the fields, read by the core. */
async function read(paths: FieldPath[], record: string): Promise<Array<{ type: number; text: string }>> {
  const module = await WebAssembly.compile((await bakeInto(openCore(), rulesetOf(paths))) as BufferSource);
  const doors = (await openDoors(module)) as InsideDoors;
  const bytes = Buffer.from(record);
  const block = doors.malloc(bytes.length);
  new Uint8Array(doors.memory.buffer).set(bytes, block);
  assert.equal(doors.examine(block, bytes.length), 0);
  return paths.map((_, i) => {
    const address = doors.fieldText(i + 1);
    const text = new Uint8Array(doors.memory.buffer, address, doors.fieldTextSize(i + 1));
    return { type: doors.fieldType(i + 1), text: Buffer.from(text).toString() };
  });
}

const documentArbitrary = fc.record({
  document: objectArbitrary,
  seed: fc.nat(),
  strange: fc.array(fc.oneof(keyArbitrary, fc.nat({ max: 3 })), { minLength: 1, maxLength: 3 }),
});

test('a field has the type and the text that JSON.parse gives it', async () => {
  const property = fc.asyncProperty(documentArbitrary, async ({ document, seed, strange }) => {
    const written = new Map<Tree, string>();
    const record = write(document, dice(seed), written);
    const own = pathsOf(document).map(path =>
      path.map(step => (typeof step === 'string' ? wellFormed(step) : step)),
    );
    const distinct = new Map([...own, ['x', ...strange]].map(path => [JSON.stringify(path), path]));
    const paths = [...distinct.values()].filter(path => path[0] !== '@timestamp');
    const expected = paths.map(path => lookUp(document, path));

    const found = await read(paths, record);
    assert.deepEqual(
      found,
      expected.map(tree => ({ type: typeOf(tree), text: textOf(tree, written) })),
    );
    // The scan that stops early finds the same.
    const matcher = await load(rulesetOf(paths));
    const there = expected.flatMap((tree, i) => (tree === undefined ? [] : [String(i)]));
    assert.deepEqual(namesOf(matcher, record), there);
    // And the oracle itself: without duplicates it is JSON.parse.
    if (!hasDuplicates(document)) checkOracle(document, JSON.parse(record));
  });
  await fc.assert(property, { numRuns: 200 * RUNS });
});

function hasDuplicates(tree: Tree): boolean {
  if (tree.kind === 'array') return tree.items.some(hasDuplicates);
  if (tree.kind !== 'object') return false;
  const keys = tree.entries.map(({ key }) => wellFormed(key));
  return (
    new Set(keys).size < keys.length ||
    keys.includes('__proto__') ||
    tree.entries.some(({ value }) => hasDuplicates(value))
  );
}

function checkOracle(tree: Tree, value: unknown): void {
  if (tree.kind === 'object')
    for (const entry of tree.entries) checkOracle(entry.value, (value as Record<string, unknown>)[entry.key]);
  else if (tree.kind === 'array') tree.items.forEach((item, i) => checkOracle(item, (value as unknown[])[i]));
  else if (tree.kind === 'string') assert.equal(value, tree.value);
  else assert.deepEqual(value, JSON.parse(tree.text));
}

// ── Malformed records ──

const whole = await loadRules(
  'groups: [{name: g, rules: [{alert: a, realert: 0s, match: {field: a.b, eq: x}}]}]',
);

const FRAGMENTS = '{}[]:,"\\/ \n\t0123456789.eE+-truefalsnu\0\u001f\u007f\ufeffé'
  .split('')
  .concat('\\u', '\\u00', '\\ud800', '""', '{"a":', '[[', ']]', 'null', '1e5', '//', '\u2028');
const mutationArbitrary = fc.record({
  place: fc.nat(),
  removed: fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.constant(1) },
    fc.nat({ max: 20 }),
  ),
  inserted: fc.oneof(
    fc.constant(Buffer.alloc(0)),
    fc.constantFrom(...FRAGMENTS).map(text => Buffer.from(text)),
    fc.integer({ min: 0x80, max: 0xff }).map(byte => Buffer.of(byte)),
  ),
});

test('a record is malformed exactly when JSON.parse throws, or what it gives is no object', () => {
  const property = fc.property(
    documentArbitrary,
    fc.array(mutationArbitrary, { maxLength: 3 }),
    fc.boolean(),
    ({ document, seed }, mutations, cut) => {
      let record: Uint8Array = Buffer.from(write(document, dice(seed), new Map()));
      for (const { place, removed, inserted } of mutations) {
        const at = place % (record.length + 1);
        record = Buffer.concat([record.subarray(0, at), inserted, record.subarray(at + removed)]);
      }
      if (cut) record = record.subarray(0, seed % (record.length + 1));
      const answer = whole.matchWhole(record, 0, 0);
      assert.equal(answer === MALFORMED, !isObject(record), Buffer.from(record).toString('latin1'));
      // What matches nothing may be left early: then nobody notices.
      if (answer === MALFORMED) assert.notEqual(whole.match(record, 0, 0), ALERT);
      else assert.equal(whole.match(record, 0, 0), answer);
    },
  );
  fc.assert(property, { numRuns: 10_000 * RUNS });
});

test('a record that is not whole, valid JSON never alerts, through any door', async () => {
  const yaml = `groups: [{name: g, rules: [
    {alert: each, realert: 0s, match: {field: a, eq: x}, labels: {late: '{{ $record.late }}'}},
    {alert: none, realert: 0s, match: {field: b.c, exists: true}}]}]`;
  const silent = ', {alert: silent, match: {field: a, eq: x}, absence: {for: 1m}}';
  for (const rules of [yaml, yaml.replace(/\]}\]$/, `${silent}]}]`)]) {
    const matcher = await loadRules(rules);
    const bytes = await bakeInto(shippedCore(), compile(rules).bytes);
    const doors = await openDoors(await WebAssembly.compile(bytes as BufferSource));
    const edge = doors as unknown as { alerts_only(...values: number[]): number; unreadableCount(): number };
    const answerAtEdge = (record: Buffer) => {
      const block = doors.malloc(record.length);
      new Uint8Array(doors.memory.buffer).set(record, block);
      const before = edge.unreadableCount();
      const at = edge.alerts_only(0, 0, 1, 0, block, record.length);
      const isEmpty = new Uint8Array(doors.memory.buffer)[at] === 0;
      return edge.unreadableCount() > before ? MALFORMED : isEmpty ? NO_ALERT : ALERT;
    };
    const property = fc.property(
      documentArbitrary,
      fc.array(mutationArbitrary, { maxLength: 2 }),
      fc.boolean(),
      ({ document, seed }, mutations, cut) => {
        const rest = write(document, dice(seed), new Map()).trim().slice(1);
        const start = Buffer.from('{"a":"x","b":{"c":1},"late":7' + (rest.trimStart() === '}' ? '' : ','));
        let tail: Buffer = Buffer.from(rest);
        for (const { place, removed, inserted } of mutations) {
          const at = place % (tail.length + 1);
          tail = Buffer.concat([tail.subarray(0, at), inserted, tail.subarray(at + removed)]);
        }
        if (cut) tail = tail.subarray(0, seed % (tail.length + 1));
        const record = Buffer.concat([start, tail]);
        const expected = isObject(record) ? ALERT : MALFORMED;
        const text = record.toString('latin1');
        assert.equal(matcher.match(record, 1, 0), expected, text);
        assert.equal(matcher.matchWhole(record, 1, 0), expected, text);
        // There, keys that are no strings are read, too.
        if (expected === ALERT || !HAS_ODD_KEY.test(withoutStrings(text)))
          assert.equal(answerAtEdge(record), expected, text);
      },
    );
    fc.assert(property, { numRuns: 2000 * RUNS });
  }
});

const HAS_ODD_KEY = /[{,]\s*[^s\s}][^,]*:/;

/** With `s` for each string. */
function withoutStrings(text: string): string {
  return text.replace(/"(?:\\.|[^"\\])*"/gs, 's');
}

/** JSON.parse, with the two liberties that json.ts takes: control characters and bad UTF-8 inside strings. */
function isObject(record: Uint8Array): boolean {
  try {
    const value = JSON.parse(spaceForControls(Buffer.from(record).toString()));
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function spaceForControls(text: string): string {
  let inside = false;
  let result = '';
  for (let i = 0; i < text.length; i++) {
    if (inside && text[i] === '\\') {
      result += text.slice(i, i + 2);
      i++;
      continue;
    }
    if (text[i] === '"') inside = !inside;
    result += inside && text[i]! < ' ' ? ' ' : text[i];
  }
  return result;
}

test('no byte string makes the core trap', () => {
  const bytesArbitrary = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc
      .array(fc.oneof(fc.constantFrom(...FRAGMENTS), fc.constantFrom('"a"', '"b"', '{"a":{"b":"x"')), {
        maxLength: 20,
      })
      .map(parts => Buffer.from(`{${parts.join('')}`)),
  );
  const property = fc.property(bytesArbitrary, bytes => {
    assert.equal(whole.matchWhole(bytes, 0, 0) === MALFORMED, !isObject(bytes));
    whole.match(bytes, 0, 0);
  });
  fc.assert(property, { numRuns: 5000 * RUNS });
});

test('no answer depends on what lies behind a record, also at the end of memory', async () => {
  const paths = [
    ['a', 'b'],
    ['a', 'c', 1],
    ['kubernetes', 'labels'],
  ];
  const module = await WebAssembly.compile((await bakeInto(shippedCore(), rulesetOf(paths))) as BufferSource);
  const record = Buffer.from(
    '{"a":{"b":"xé\\u00e9","c":[-1.5e+10,true,false,null]},"kubernetes":{"labels":{}},"k\\u0065y":"é😀"}',
  );
  const SLACK = 32;
  for (let size = 0; size <= record.length; size++) {
    const doors = await openDoors(module); // anew, because a call may want more memory, and the end moves
    const end = doors.memory.buffer.byteLength;
    const block = doors.malloc(16);
    const last = (block + 16 + SLACK + 15) & ~15;
    assert.equal(doors.malloc(end - last - SLACK), last);
    assert.equal(doors.memory.buffer.byteLength, end);
    const at = end - SLACK - size; // its last byte is the last of the last block
    const answers = [0x22, 0x5c, 0x7d, 0x30, 0x2c, 0xff, 0x00].map(behind => {
      const bytes = new Uint8Array(doors.memory.buffer);
      bytes.fill(behind, end - SLACK, end);
      bytes.set(record.subarray(0, size), at);
      return doors.match(at, size, 0, 0, layout.FLAG_WHOLE);
    });
    assert.deepEqual(
      new Set(answers),
      new Set([size === record.length ? ALERT : MALFORMED]),
      `${size} bytes`,
    );
  }
});

// ── Sizes ──

const YAML = `
groups:
  - name: g
    rules:
      - {alert: far, realert: 0s, match: {field: far, eq: x}}
      - {alert: text, realert: 0s, match: {field: log, contains: needle}}
      - {alert: pattern, realert: 0s, match: {field: log, regex: '(?P<word>n\\w+)é$'}, annotations: {word: '{{ $captures.word }}'}}
`;
const MEGABYTE = 1024 * 1024;

test('a record of 8 MB is read', async () => {
  const matcher = await loadRules(YAML);
  const texts = {
    plain: 'a'.repeat(8 * MEGABYTE),
    unicode: 'é'.repeat(4 * MEGABYTE),
    escaped: '\n"'.repeat(2 * MEGABYTE),
  };
  for (const [name, text] of Object.entries(texts)) {
    assert.deepEqual(namesOf(matcher, JSON.stringify({ log: text, far: 'x' })), ['far'], name);
    const [first, second] = alertsOf(matcher, JSON.stringify({ log: `${text} needleé` }));
    assert.deepEqual([first?.labels.alertname, second?.annotations], ['text', { word: 'needle' }], name);
  }
  const array = `[${'{"log":"needle"},'.repeat(MEGABYTE / 2)}1]`;
  assert.deepEqual(namesOf(matcher, `{"items":${array},"far":"x"}`), ['far']);
  assert.deepEqual(namesOf(matcher, '{"far":"x"}'), ['far'], 'and a small one after it');
});

test('a record that is larger than any is refused', async () => {
  const matcher = await loadRules(YAML);
  assert.equal(matcher.match(new Uint8Array(layout.RECORD_SIZE_MAX + 1), 0, 0), TOO_LARGE);
  const most = Buffer.alloc(layout.RECORD_SIZE_MAX, ' ');
  most.write('{"far":"x"}');
  assert.equal(matcher.matchWhole(most, 0, 0), ALERT);
});

for (const levels of [100, 1000, layout.NESTING_MAX]) {
  test(`a record that is ${levels} levels deep is read`, async () => {
    const matcher = await loadRules(YAML);
    const deep = [
      `${'['.repeat(levels)}${']'.repeat(levels)}`,
      `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`,
      `${'[{"far":'.repeat(levels / 2)}1${'}]'.repeat(levels / 2)}`,
    ];
    for (const value of deep) {
      for (const key of ['other', 'log'])
        assert.deepEqual(namesOf(matcher, `{"${key}":${value},"far":"x"}`), ['far']);
      assert.equal(matcher.matchWhole(Buffer.from(`{"other":${value.slice(0, -1)}}`), 0, 0), MALFORMED);
    }
  });
}

test('a record that is deeper than that is malformed', async () => {
  const matcher: LoadedMatcher = await loadRules(YAML);
  for (const levels of [layout.NESTING_MAX + 1, 100_000]) {
    const record = Buffer.from(`{"other":${'['.repeat(levels)}${']'.repeat(levels)}}`);
    assert.equal(matcher.matchWhole(record, 0, 0), MALFORMED);
    assert.equal(matcher.matchWhole(Buffer.from('{"far":"y"}'), 0, 0), NO_ALERT);
  }
});

test('escapes are read wherever they stand in a word of eight bytes', async () => {
  const matcher = await loadRules(
    'groups: [{name: g, rules: [{alert: a, realert: 0s, match: {field: log, eq: "x"}, annotations: {m: x}}]}]'.replace(
      'eq: "x"',
      'endsWith: "end"',
    ),
  );
  for (let before = 0; before < 20; before++) {
    for (const escape of ['\\"', '\\\\', '\\n', '\\u0022', '\\\\\\"', '\\"\\"', '\\\\\\\\\\\\']) {
      const record = `{"skipped":"${'x'.repeat(before)}${escape}","log":"${'y'.repeat(before)}${escape}end"}`;
      assert.deepEqual(namesOf(matcher, record), ['a'], record);
    }
  }
});
