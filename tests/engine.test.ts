// The engine against RE2: random patterns and texts, through the automaton and each way to run a program, by
// itself and behind the needles; and the promise that time grows linearly with the text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import * as layout from '../assembly/layout.ts';
import type { BarePattern } from './bare.ts';
import { bareRuleset, barePattern } from './bare.ts';
import type { LoadedMatcher } from '../host/matcher.ts';
import { ALERT, NO_ALERT, TOO_LARGE } from '../host/matcher.ts';
import type { Edit } from './core.ts';
import { ALWAYS_LOCKSTEP, Probe, RUNS, alertsOf, fuel, load, loadRules, openCore } from './core.ts';
import { matchesEverything } from '../host/compiler/nfa.ts';
import { parsePattern } from '../host/compiler/pattern.ts';
import { patternArbitrary, textArbitrary, utf8Offset } from './compiler/random-pattern.ts';

/** Offsets in bytes of the match and of each capture. */
interface Spans {
  match: [number, number];
  captures: Record<string, [number, number] | null>;
}

class Engine {
  private readonly probe: Probe;
  private constructor(probe: Probe) {
    this.probe = probe;
  }

  static async open(...edits: Edit[]): Promise<Engine> {
    return new Engine(await Probe.open(...edits));
  }

  /** What the automaton says; undefined when there is none. */
  matches(source: string, texts: string[]): Array<boolean | undefined> {
    return this.run(barePattern(source), texts, true, (ruleset, pattern, at, end) => {
      const dfa = this.probe.view().getUint32(pattern + layout.PATTERN_DFA_OFFSET, true);
      return dfa === 0 ? undefined : Boolean(this.probe.doors.runDfa(ruleset, ruleset + dfa, at, end));
    });
  }

  /** What the program says when it is only asked for yes or no. */
  accepts(source: string, texts: string[]): boolean[] {
    return this.run(barePattern(source), texts, false, (ruleset, pattern, at, end) =>
      Boolean(this.probe.doors.search(ruleset, pattern, at, end, 0)),
    );
  }

  find(source: string, texts: string[]): Array<Spans | null> {
    const bare = barePattern(source);
    const names = bare.program.captures;
    return this.run(bare, texts, false, (ruleset, pattern, at, end, slots) => {
      if (!this.probe.doors.search(ruleset, pattern, at, end, slots)) return null;
      const view = this.probe.view();
      const slot = (i: number) => view.getUint32(slots + i * 4, true);
      return {
        match: [this.probe.doors.matchedFrom() - at, this.probe.doors.matchedTo() - at],
        captures: Object.fromEntries(
          names.map((name, i) => [name, slot(i * 2) === 0 ? null : [slot(i * 2) - at, slot(i * 2 + 1) - at]]),
        ),
      };
    });
  }

  private run<T>(
    pattern: BarePattern,
    texts: string[],
    automata: boolean,
    ask: (ruleset: number, pattern: number, at: number, end: number, slots: number) => T,
  ): T[] {
    const bytes = texts.map(text => Buffer.from(text));
    const [ruleset, slots, ...addresses] = this.probe.put(
      bareRuleset([pattern], { automata }),
      new Uint8Array(512),
      ...bytes,
    );
    const address = ruleset! + this.probe.view().getUint32(ruleset! + layout.HEADER_PATTERNS_OFFSET, true);
    return addresses.map((at, i) => {
      this.probe.doors.beginBudget();
      const answer = ask(ruleset!, address, at, at + bytes[i]!.length, slots!);
      assert.equal(this.probe.doors.isExhausted(), 0);
      return answer;
    });
  }
}

function oracle(compiled: RE2JS, text: string): Spans | null {
  const matcher = compiled.matcher(text);
  if (!matcher.find()) return null;
  const span = (group: number): [number, number] | null =>
    matcher.start(group) < 0
      ? null
      : [utf8Offset(text, matcher.start(group)), utf8Offset(text, matcher.end(group))];
  const groups = Object.entries(compiled.namedGroups()).map(([name, group]) => [name, span(group)]);
  return { match: span(0)!, captures: Object.fromEntries(groups) };
}

const textsArbitrary = fc.array(textArbitrary, { minLength: 1, maxLength: 6 });
/** Patterns that do not match every text. */
const selectivePatternArbitrary = patternArbitrary.filter(
  source => !matchesEverything(parsePattern(source).pattern),
);
/** Memory for two states of a small pattern. */
const forgetful: Edit = ['layout.ts', /LAZY_SIZE_MAX: u32 = \w+/, 'LAZY_SIZE_MAX: u32 = 1'];
const engine = await Engine.open();
const machines: Array<[name: string, machine: Engine]> = [
  ['backtracker', engine],
  ['backtracker that marks', await Engine.open(fuel(1))],
  ['automaton that forgets its states', await Engine.open(fuel(1), forgetful)],
  ['backtracker that begins again', await Engine.open(fuel(6))],
  ['lockstep machine', await Engine.open(...ALWAYS_LOCKSTEP)],
];

test('the automaton matches where RE2 matches', () => {
  const property = fc.property(selectivePatternArbitrary, textsArbitrary, (source, texts) => {
    const compiled = RE2JS.compile(source);
    engine.matches(source, texts).forEach((answer, i) => {
      if (answer !== undefined) assert.equal(answer, compiled.matcher(texts[i]!).find());
    });
  });
  fc.assert(property, { numRuns: 300 * RUNS });
});

for (const [name, machine] of machines) {
  test(`the ${name} finds what RE2 finds, with the same captures`, () => {
    const property = fc.property(patternArbitrary, textsArbitrary, (source, texts) => {
      const compiled = RE2JS.compile(source);
      const expected = texts.map(text => oracle(compiled, text));
      assert.deepEqual(machine.find(source, texts), expected);
      assert.deepEqual(
        machine.accepts(source, texts),
        expected.map(spans => spans !== null),
      );
    });
    fc.assert(property, { numRuns: 3000 * RUNS });
  });
}

test('captures reach the alert', async () => {
  const property = fc.asyncProperty(capturingPatternArbitrary, textsArbitrary, async (source, texts) => {
    const compiled = RE2JS.compile(source);
    const matcher = await load(bareRuleset([barePattern(source)], { automata: false }));
    for (const text of texts) {
      const [alert] = alertsOf(matcher, JSON.stringify({ text }));
      assert.deepEqual(alert?.annotations, annotationsOf(compiled, text));
    }
  });
  await fc.assert(property, { numRuns: 100 * RUNS });
});

const capturingPatternArbitrary = patternArbitrary.filter(source => /\(\?P?</.test(source));

/** An empty annotation is left out, so a capture that is empty and one that took no part look the same. */
function annotationsOf(compiled: RE2JS, text: string): Record<string, string> | undefined {
  const matcher = compiled.matcher(text);
  if (!matcher.find()) return undefined;
  const captures = Object.keys(compiled.namedGroups()).map(name => [name, matcher.group(name)]);
  return Object.fromEntries(captures.filter(([, value]) => value));
}

// ── Many rules at once ──

/** Words give patterns the literals that needles are made of; short and shared ones among them. */
const wordArbitrary = fc.constantFrom(
  'error',
  'Error',
  'warn',
  'warning',
  'timeout',
  'ab',
  'abab',
  'née',
  '404',
  'x',
  '😀😀',
  'time',
  'out of memory',
);
const wordyPatternArbitrary = fc
  .tuple(
    fc.oneof(wordArbitrary, patternArbitrary),
    fc.oneof(wordArbitrary, fc.constant('')),
    fc.boolean(),
    fc.boolean(),
  )
  .map(([first, word, folded, swapped]) => {
    const parts = [`(?:${first.replace(/\(\?P?<\w+>/g, '(')})`, word];
    return (folded ? '(?i)' : '') + (swapped ? parts.reverse() : parts).join('');
  });
const wordyTextArbitrary = fc
  .array(fc.oneof(wordArbitrary, textArbitrary, fc.constantFrom('ERROR', 'TimeOut', 'ı', 'ſ')), {
    maxLength: 5,
  })
  .map(words => words.join(''));

test('of many rules those match that RE2 matches one by one, with needles and without', async () => {
  const patternsArbitrary = fc.array(wordyPatternArbitrary, { minLength: 50, maxLength: 200, size: 'max' });
  const property = fc.asyncProperty(
    patternsArbitrary,
    fc.array(wordyTextArbitrary, { minLength: 30, maxLength: 30 }),
    async (sources, texts) => {
      const patterns = sources.map(barePattern);
      const compiled = sources.map(source => RE2JS.compile(source));
      const filtered = await load(bareRuleset(patterns, { automata: false }));
      const asked = await load(bareRuleset(patterns, { automata: false, needles: false }));
      for (const text of texts) {
        const expected = compiled.flatMap((one, i) => (one.matcher(text).find() ? [String(i)] : []));
        const record = JSON.stringify({ text });
        assert.deepEqual(
          alertsOf(filtered, record).map(alert => alert.labels.alertname),
          expected,
        );
        assert.deepEqual(
          alertsOf(asked, record).map(alert => alert.labels.alertname),
          expected,
        );
      }
    },
  );
  await fc.assert(property, { numRuns: 5 * RUNS, endOnFailure: true });
});

test('a capture is empty where its pattern does not match, or its field is no string', async () => {
  // The last has no automaton.
  const patterns = [
    '^(?P<x>[a-z]+)$',
    '(?P<x>.+)',
    '"?(?P<x>[a-z0-9]+)',
    '(?P<x>t|f|n)',
    '[a-q][^u-z]{13}x|(?P<x>a)',
  ];
  const rules = patterns.map((regex, i) => ({
    alert: String(i),
    realert: '0s',
    match: {
      any: [
        { field: 'log', exists: true },
        { field: 'user', regex },
      ],
    },
    labels: { user: '{{ $captures.x }}' },
    annotations: { message: 'login of {{ $captures.x }} failed' },
  }));
  const matcher = await loadRules(JSON.stringify({ groups: [{ name: 'g', rules }] }));
  for (const user of [
    undefined,
    null,
    true,
    false,
    12,
    -1.5,
    { a: 'anna' },
    ['anna'],
    [],
    {},
    'anna',
    '!',
    '',
  ]) {
    const alerts = alertsOf(matcher, JSON.stringify({ log: 'x', user }));
    const expected = patterns.map(source => {
      const match = RE2JS.compile(source).matcher(typeof user === 'string' ? user : '');
      return match.find() ? (match.group('x') ?? undefined) : undefined;
    });
    assert.deepEqual(
      alerts.map(({ labels }) => labels.user),
      expected,
      JSON.stringify(user),
    );
    assert.deepEqual(
      alerts.map(({ annotations }) => annotations.message),
      expected.map(name => `login of ${name ?? ''} failed`),
    );
  }
});

/** Rules as people write them: a namespace, a pod, texts. What a record matches is worked out by hand below. */
interface SmallRule {
  namespaces: string[];
  field: 'log' | 'pod';
  text: string;
  folded: boolean;
  negated: string | null;
}

const smallRuleArbitrary: fc.Arbitrary<SmallRule> = fc.record({
  namespaces: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 }),
  field: fc.constantFrom('log', 'pod'),
  text: fc.oneof(wordArbitrary, fc.constantFrom('e', 'err', 'rror', 'tim', 'of m')),
  folded: fc.boolean(),
  negated: fc.option(wordArbitrary),
});

test('gates, needles and conditions together find what a rule says', async () => {
  const recordArbitrary = fc.record({
    namespace: fc.constantFrom('a', 'b', 'c', 'd'),
    log: wordyTextArbitrary,
    pod: fc.oneof(wordArbitrary, wordyTextArbitrary),
  });
  const property = fc.asyncProperty(
    fc.array(smallRuleArbitrary, { minLength: 1, maxLength: 60, size: 'max' }),
    fc.array(recordArbitrary, { minLength: 20, maxLength: 20 }),
    fc.boolean(),
    async (rules, records, allGated) => {
      const used = allGated ? rules.filter(rule => rule.namespaces.length > 0) : rules;
      if (used.length === 0) return;
      const matcher = await loadRules(yamlOf(used));
      for (const record of records) {
        const expected = used.flatMap((rule, i) => (ruleMatches(rule, record) ? [`r${i}`] : []));
        assert.deepEqual(
          alertsOf(matcher, JSON.stringify(record)).map(alert => alert.labels.alertname),
          expected,
        );
      }
    },
  );
  await fc.assert(property, { numRuns: 30 * RUNS, endOnFailure: true });
});

function yamlOf(rules: SmallRule[]): string {
  const items = rules.map(({ namespaces, field, text, folded, negated }, i) => {
    const conditions: object[] = [];
    if (namespaces.length === 1) conditions.push({ field: 'namespace', eq: namespaces[0] });
    if (namespaces.length === 2) conditions.push({ any: namespaces.map(eq => ({ field: 'namespace', eq })) });
    conditions.push(folded ? { field, regex: `(?i)${text}` } : { field, contains: text });
    if (negated !== null) conditions.push({ not: { field, contains: negated } });
    return { alert: `r${i}`, realert: '0s', match: { all: conditions } };
  });
  return JSON.stringify({ groups: [{ name: 'g', rules: items }] });
}

function ruleMatches(
  { namespaces, field, text, folded, negated }: SmallRule,
  record: Record<string, string>,
): boolean {
  const value = record[field]!;
  const found = folded ? RE2JS.compile(`(?i)${text}`).matcher(value).find() : value.includes(text);
  const held = namespaces.length === 0 || namespaces.includes(record.namespace!);
  return held && found && (negated === null || !value.includes(negated));
}

// ── Linear time ──

const HARD: Array<[pattern: string, piece: string]> = [
  ['(a+)+$', 'a'],
  ['(a|a)*b', 'a'],
  ['(x*)*y', 'x'],
  ['.*.*=.*', 'ab'],
  ['(?:a?){20}a{20}b', 'a'],
  ['(\\w+\\s?)*:$', 'ab '],
  ['[a-q][^u-z]{13}x', 'abcdefgh'], // its automaton is too large
  ['é*é*é*ñ', 'é'],
];

// The machine that runs depends on the size, so that each way is measured within its own sizes.
const WAYS = [
  { name: 'automata', automata: true, edits: [], sizes: [128 * 1024, 1024 * 1024] },
  { name: 'the backtracker', automata: false, edits: [], sizes: [2 * 1024, 16 * 1024] },
  { name: 'the backtracker that marks', automata: false, edits: [fuel(1)], sizes: [2 * 1024, 16 * 1024] },
  { name: 'the lockstep machine', automata: false, edits: ALWAYS_LOCKSTEP, sizes: [16 * 1024, 128 * 1024] },
] as const;

for (const { name, automata, edits, sizes } of WAYS) {
  test(`time grows linearly with the text, in ${name}`, async () => {
    for (const [source, piece] of HARD) {
      const matcher = await load(bareRuleset([barePattern(source)], { automata }), openCore(...edits));
      const [short, long] = sizes.map(size =>
        Buffer.from(JSON.stringify({ text: `${piece.repeat(size / piece.length)}é!` })),
      );
      const ratio = bestTime(matcher, long!) / bestTime(matcher, short!);
      const growth = long!.length / short!.length;
      // Quadratic growth would be growth².
      assert.ok(
        ratio < growth * 3,
        `${source}: ${growth.toFixed()} times the text took ${ratio.toFixed(1)} times as long`,
      );
    }
  });
}

/** The best of several, each of several milliseconds. */
function bestTime(matcher: LoadedMatcher, record: Uint8Array): number {
  let best = Infinity;
  for (let i = 0; i < 4; i++) {
    const start = performance.now();
    let count = 0;
    while (count === 0 || performance.now() - start < 3) {
      matcher.match(record, 0, 0);
      count++;
    }
    best = Math.min(best, (performance.now() - start) / count);
  }
  return best;
}

// ── Bounded work ──

/** Without an automaton, or with captures: what RE2 or a naive engine finds hard. */
const COSTLY = [
  `(?:${[...'bcdefghij'].map(letter => `a.{980}${letter}`).join('|')})`,
  'a{1000}b',
  '[a-z]{1000}[0-9]',
  '(?:a?){450}a{450}q',
  '(?i)(?:[a-z]+x){200}y',
  '(?:\\pL{100}){5}\\d',
  '(?:a|b)*a(?:a|b){900}q',
  '(?:[^x]{450}|[^y]{450}|[^z]{450})q',
  '(?P<a>(?:(?:a|b)*a(?:a|b){400}))!',
  '(?P<a>a*)(?P<b>a*)(?P<c>a*)(?P<d>a*)q',
  '(?P<a>a.{900}[b-z])|(?P<b>a)\\z',
];
const TEXT_SIZE = 1_000_000;
const COSTLY_TEXTS = ['a', 'ab', 'é', 'ab!', 'a é漢z'].map(piece =>
  piece.repeat(TEXT_SIZE / Buffer.byteLength(piece)),
);
COSTLY_TEXTS.push(
  Array.from({ length: TEXT_SIZE }, (_, i) => 'ab'[Math.imul(i ^ (i >> 3), 0x9e3779b1) >>> 31]).join(''),
);
const CPU_MS_MAX = 1000; // 20 times what was seen: the machine may be slow, or busy

function cpuMsOf(run: () => void): number {
  const before = process.cpuUsage();
  run();
  return process.cpuUsage(before).user / 1000;
}

test('no pattern is slow on any text: it is answered, or its record is too large', async () => {
  for (const source of COSTLY) {
    const matcher = await load(bareRuleset([barePattern(source)], { automata: false, needles: false }));
    for (const text of COSTLY_TEXTS) {
      const record = Buffer.from(JSON.stringify({ text }));
      let answer = -1;
      const ms = cpuMsOf(() => (answer = matcher.match(record, 0, 0)));
      assert.ok(ms < CPU_MS_MAX, `${source} on ${text.slice(0, 10)}… took ${ms.toFixed()} ms`);
      const expected = RE2JS.compile(source).matcher(text.slice(0, 3000)).find();
      if (expected) assert.notEqual(answer, NO_ALERT, source);
      else assert.notEqual(answer, ALERT, source);
    }
    assert.notEqual(matcher.match(Buffer.from('{"text":"a"}'), 0, 0), TOO_LARGE);
  }
});

test('the sample that took 23 s is answered', async () => {
  const matcher = await load(bareRuleset([barePattern(COSTLY[0]!)], { automata: false }));
  for (const text of ['a'.repeat(TEXT_SIZE), 'ab'.repeat(450)]) {
    assert.equal(matcher.match(Buffer.from(JSON.stringify({ text })), 0, 0), NO_ALERT);
    const match = Buffer.from(JSON.stringify({ text: `${text}a${'-'.repeat(980)}j` }));
    assert.equal(matcher.match(match, 0, 0), ALERT);
  }
});

test('many patterns share the work of a record', async () => {
  const sources = Array.from({ length: 500 }, (_, i) => `[a-q][^u-z]{13}x${i}`);
  for (const automata of [false, true]) {
    const plain = sources.map((source, i) => barePattern(automata ? `[0-9]x${i}$` : source));
    const matcher = await load(bareRuleset(plain, { automata, needles: false }));
    const record = Buffer.from(JSON.stringify({ text: 'ab'.repeat(TEXT_SIZE / 2) }));
    let answer = -1;
    const ms = cpuMsOf(() => (answer = matcher.match(record, 0, 0)));
    assert.equal(answer, TOO_LARGE);
    assert.ok(ms < 5 * CPU_MS_MAX, `${ms.toFixed()} ms`);
    assert.equal(matcher.match(Buffer.from('{"text":"0x7"}'), 0, 0), automata ? ALERT : NO_ALERT);
  }
});

test('a text too long to backtrack over gives the same match', async () => {
  const matcher = await load(
    bareRuleset([barePattern('(?P<a>x+?)(?P<b>y*)(?P<c>z|$)')], { automata: false }),
  );
  for (const size of [10, 500_000]) {
    const [alert] = alertsOf(matcher, JSON.stringify({ text: `${'-'.repeat(size)}xxyyzz` }));
    assert.deepEqual(alert?.annotations, { a: 'xx', b: 'yy', c: 'z' });
  }
});
