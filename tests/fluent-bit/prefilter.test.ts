// The fork's regexes over-approximate the rules: no record that a rule matches is left out. Once in JavaScript, whose
// regular expressions have what the derived ones are made of, and once in Fluent Bit's own Onigmo.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawn } from 'node:child_process';
import fc from 'fast-check';
import { derivePrefilter } from '../../host/fluent-bit/prefilter.ts';
import type { Prefilter, PrefilterLine } from '../../host/fluent-bit/prefilter.ts';
import type { Rule } from '../../host/compiler/model.ts';
import { PatternError, parsePattern } from '../../host/compiler/pattern.ts';
import { oracle, patternArbitrary, textArbitrary } from '../compiler/random-pattern.ts';
import { parse } from './module.ts';
import { skip } from './process.ts';

const derive = (rules: string): Prefilter => derivePrefilter(parse(rules).rules);
const linesOf = (rules: string) => derive(rules).lines.map(({ accessor, regex }) => `${accessor} ${regex}`);
const ofPattern = (source: string) => {
  const span = { start: 0, end: 0 };
  const test = { kind: 'test', field: ['log'], span, op: 'regex', source, ...parsePattern(source) } as const;
  const rule: Rule = {
    alert: 'a',
    group: 'g',
    span,
    steps: [test],
    labels: [],
    annotations: [],
    realertMs: 0,
  };
  return derivePrefilter([rule]).lines;
};

/** Onigmo's syntax, as far as it is used, in JavaScript's. */
function toJavaScript(regex: string): RegExp {
  const source = regex
    .replaceAll('\\A', '^')
    .replaceAll('\\z', '$')
    .replaceAll('\\x{', '\\u{')
    .replaceAll(
      /\(\?i:((?:\\.|[^)\\])*)\)/g,
      (_, text: string) =>
        `(?:${text.replaceAll(/\[(?:\\.|[^\]\\])*\]|\\x\{?\w+\}?|\\u\{\w+\}|\\.|[a-z]/giu, eitherCase)})`,
    );
  return new RegExp(source, 'us');
}

/** As Onigmo folds letters inside `(?i:)`: that it does is asked of Fluent Bit itself, below. */
function eitherCase(piece: string): string {
  if (piece.length > 1) return piece;
  const more = /k/i.test(piece) ? '\u212a' : /s/i.test(piece) ? '\u017f' : '';
  return `[${piece.toLowerCase()}${piece.toUpperCase()}${more}]`;
}

test('literals have a line each, values and beginnings share one, what is longer is left out', () => {
  const rules = `
- {alert: a, match: {field: log, contains: 'disk full'}}
- {alert: b, match: {field: log, contains: 'the disk full of "x" #1 {y} \${z}'}}
- {alert: c, match: {field: log, regex: '(?i)out of memory'}}
- {alert: d, match: {field: log, regex: '^(panic|fatal): '}}
- {alert: e, match: {all: [{field: kubernetes.namespace_name, in: [shop, it's]}, {not: {field: log, contains: x}}]}}
- {alert: f, match: {field: 'kubernetes.labels["app.kubernetes.io/name"]', eq: a b}}
- {alert: g, match: {field: log, regex: '" [45]\\d\\d \\d+ "'}}
`;
  assert.deepEqual(linesOf(rules), [
    '$log \\A(?:fatal:\\x20|panic:\\x20)',
    '$log disk\\x20full',
    '$log (?i:out\\x20of\\x20memory)',
    '$log \\x22\\x20[45][0-9][0-9]\\x20',
    "$kubernetes['namespace_name'] \\A(?:it's|shop)\\z",
    "$kubernetes['labels']['app.kubernetes.io/name'] \\A(?:a\\x20b)\\z",
  ]);
});

test('lists and letter case', () => {
  const rules = `
- {alert: a, match: {field: log, contains: [disk full, Quota], ignoreCase: true}}
- {alert: b, match: {field: log, containsAll: [x1, the longest one]}}
- {alert: c, match: {field: image, endsWith: ['\\cmd.exe', '\\run.exe'], ignoreCase: true}}
- {alert: d, match: {field: kubernetes.namespace_name, in: [Shop, QA], ignoreCase: true}}
- {alert: e, match: {field: level, startsWith: [Error, fatal]}}
- {alert: f, match: {field: log, regex: 'time.?out', ignoreCase: true}}
`;
  assert.deepEqual(linesOf(rules), [
    '$log (?i:disk\\x20full)',
    '$log (?i:quota)',
    '$log the\\x20longest\\x20one',
    '$log (?i:out)',
    '$image (?i:\\\\cmd\\.exe)',
    '$image (?i:\\\\run\\.exe)',
    "$kubernetes['namespace_name'] \\A(?:(?i:qa)|(?i:shop))",
    '$level \\A(?:Error|fatal)',
  ]);
});

test('of conditions that all must hold, the one that chooses best is taken', () => {
  const rules = (extra: string) => `
- alert: a
  match:
    all:
      - {field: kubernetes.namespace_name, eq: shop}
      - {field: log, regex: '${extra}'}`;
  assert.deepEqual(linesOf(rules('HTTP/[0-9.]+" 404 ')), ['$log \\x22\\x20404\\x20']);
  assert.deepEqual(linesOf(rules('[0-9]+ms')), ["$kubernetes['namespace_name'] \\A(?:shop)\\z"]);
});

test('texts that differ in which letters are folded each have their line', () => {
  const rules = `
- {alert: a, match: {field: log, regex: '[Ee]rror timeout'}}
- {alert: b, match: {field: log, regex: 'error [Tt]imeout'}}
- {alert: c, match: {field: log, contains: 'error '}}`;
  assert.deepEqual(linesOf(rules).sort(), ['$log (?i:error\\x20timeout)', '$log error\\x20']);
  const more = Array.from(
    { length: 25 },
    (_, i) => `\n- {alert: r${i}, match: {field: log, contains: 'zebra ${i * 7919}!'}}`,
  );
  const regexes = derive(rules + more.join('')).lines.map(({ regex }) => toJavaScript(regex));
  for (const text of ['Error timeout', 'error Timeout', 'error x', 'zebra 7919!'])
    assert.ok(
      regexes.some(regex => regex.test(text)),
      text,
    );
});

test('rules that no regex can prefilter are named', () => {
  const { lines, unselective, unseen } = derive(`
- {alert: numbers, match: {field: status, gte: 500}}
- {alert: there, match: {field: error, exists: true}}
- {alert: absent, match: {not: {field: log, contains: ok}}}
- {alert: digits, match: {field: log, regex: '[0-9]+'}}
- {alert: odd key, match: {field: '["a b"]', contains: hello}}
- {alert: either, match: {any: [{field: log, contains: hello}, {field: code, eq: 3}]}}
`);
  assert.deepEqual(unseen, ['numbers', 'there', 'absent', 'odd key', 'either']);
  assert.deepEqual(unselective, [{ alert: 'digits', fields: [['log']] }]);
  assert.deepEqual(lines, [{ accessor: '$log', regex: '\\A' }]);
});

test('what is derived, has several values or is a time says nothing, and what stands beside it does', () => {
  const words = [
    '{anyField: true, contains: boom}',
    "{field: 'a[*]', eq: shop}",
    '{field: text.level, eq: error}',
    '{capture: ms, eq: "500"}',
    '{active: {days: [mon]}}',
  ];
  const rule = (match: string) =>
    `- {alert: a, parse: {text: json}, match: {all: [{any: [{field: log, regex: '(?P<ms>\\d+)'}, {field: n, eq: 1}]}, ${match}]}}`;
  for (const word of words) {
    assert.deepEqual(derive(rule(word)).unseen, ['a'], word);
    assert.deepEqual(linesOf(rule(`${word}, {field: log, contains: timeout}`)), ['$log timeout'], word);
  }
});

test('characters that Fluent Bit’s JSON makes of broken bytes are no part of a literal', () => {
  assert.deepEqual(ofPattern('before\ue0e9after!!'), [{ accessor: '$log', regex: 'after!!' }]);
  assert.deepEqual(ofPattern('caf\ufffd'), [{ accessor: '$log', regex: 'caf' }]);
});

test('a thousand rules stay within the length of a line that old versions read', () => {
  const rules = Array.from(
    { length: 1000 },
    (_, i) => `- {alert: a${i}, match: {field: log, contains: 'failure number ${i * 7919}!'}}`,
  );
  const { lines } = derive(rules.join('\n'));
  assert.ok(lines.length < 20, `${lines.length} lines`);
  assert.ok(lines.every(({ regex }) => regex.length < 4000));
  const regexes = lines.map(({ regex }) => toJavaScript(regex));
  for (let i = 0; i < 1000; i++)
    assert.ok(regexes.some(regex => regex.test(`a failure number ${i * 7919}!`)));
});

test('as many values as fifteen rules may have', () => {
  const values = (rule: number) => Array.from({ length: 10_000 }, (_, i) => `v${rule}-${i}`);
  const rules = Array.from({ length: 15 }, (_, i) =>
    JSON.stringify({ alert: `a${i}`, match: { any: [{ field: 'ns', in: values(i) }] } }),
  );
  // One rule with all of them, too: what a rule needs is one list.
  const any = Array.from({ length: 15 }, (_, i) => ({ field: `f${i}`, in: values(i) }));
  const { lines } = derive(
    [...rules, JSON.stringify({ alert: 'all', match: { any } })].map(rule => `- ${rule}\n`).join(''),
  );
  assert.ok(lines.some(({ accessor, regex }) => accessor === '$ns' && regex.includes('v14-9999|')));
  assert.ok(lines.some(({ accessor }) => accessor === '$f14'));
});

const patterns = fc
  .oneof(
    patternArbitrary,
    fc
      .tuple(patternArbitrary, fc.constantFrom('ab', 'kS1', '(?i)sk', ' a-b', 'σ😀'), patternArbitrary)
      .map(([a, b, c]) => `(?:${a})${b}(?:${c})`),
  )
  .filter(pattern => !/[\ue000-\ue0ff]/.test(pattern));
const texts = fc.oneof(
  textArbitrary,
  fc
    .tuple(textArbitrary, fc.constantFrom('ab', 'kS1', 'KS', '\u212a\u017f', ' a-b', 'σ😀'), textArbitrary)
    .map(parts => parts.join('')),
);

test('no text that a random pattern matches is left out, says JavaScript', () => {
  let matches = 0;
  let selective = 0;
  fc.assert(
    fc.property(patterns, fc.array(texts, { minLength: 8, maxLength: 8 }), (pattern, some) => {
      let regexes: RegExp[];
      try {
        regexes = ofPattern(pattern).map(({ regex }) => toJavaScript(regex));
      } catch (error) {
        if (!(error instanceof PatternError)) throw error;
        return; // the parts do not make a pattern: two groups of one name
      }
      for (const text of some) {
        if (oracle(pattern, text) === null) continue;
        matches++;
        if (regexes.every(regex => regex.source !== '^')) selective++;
        assert.ok(
          regexes.some(regex => regex.test(text)),
          `${pattern} matches ${JSON.stringify(text)}, ${regexes.join(' ')} do not`,
        );
      }
    }),
    { numRuns: 1500 },
  );
  assert.ok(matches > 1500 && selective > 150, `${matches} matches, ${selective} with a selective regex`);
});

test(
  'no record that a random rule matches is left out by Fluent Bit',
  { skip, timeout: 60_000 },
  async context => {
    const rules = fc
      .sample(patterns, 400)
      .flatMap(pattern => {
        try {
          const lines = ofPattern(pattern);
          return lines.some(({ regex }) => regex === '\\A') ? [] : [{ pattern, lines }];
        } catch {
          return [];
        }
      })
      .slice(0, 60);
    const texts600 = fc.sample(texts, 600);
    const forked = await forkedBy(
      context,
      rules.map(({ lines }) => lines),
      texts600,
    );
    let matches = 0;
    rules.forEach(({ pattern, lines }, i) => {
      for (const [j, text] of texts600.entries()) {
        if (oracle(pattern, text) === null) continue;
        matches++;
        assert.ok(
          forked[i]!.has(j),
          `${pattern} matches ${JSON.stringify(text)}, ${lines.map(({ regex }) => regex).join(' ')} do not`,
        );
      }
    });
    assert.ok(rules.length === 60 && matches > 200, `${rules.length} rules, ${matches} matches`);
  },
);

// Onigmo folds these as one: ß, ﬅ, ﬆ, ﬀ, ﬁ, ﬂ, ﬃ, ﬄ, and letters before a combining mark.
const FOLDED_AS_ONE = [
  ...['ss', 'st', 'ff', 'fi', 'fl', 'ffi', 'ffl'],
  ...['h\u0331', 't\u0308', 'w\u030a', 'y\u030a', 'a\u02be', 'j\u030c', 'i\u0307', '\u02bcn'],
];
const AROUND = ['', 'e', 'k', ' ', ' 1', ' k', '-s'];

test(
  'every form of a letter is found by Fluent Bit, also where Onigmo folds letters as one',
  { skip, timeout: 120_000 },
  async context => {
    const words = ['k', 's', 'sk', 'kss', 'ssk', 'sst', 'assess', ...FOLDED_AS_ONE];
    const sources = words.flatMap(word => AROUND.flatMap(around => [word + around, around + word]));
    const cases = [...new Set(sources)]
      .map(source => `${source} kilo`)
      .map(source => ({
        lines: ofPattern(`(?i)${source}`),
        texts: formsOf(source, 24),
      }));
    const all = [...new Set(cases.flatMap(({ texts }) => texts))];
    const forked = await forkedBy(
      context,
      cases.map(({ lines }) => lines),
      all,
    );
    cases.forEach(({ lines, texts }, i) => {
      for (const text of texts)
        assert.ok(
          forked[i]!.has(all.indexOf(text)),
          `${JSON.stringify(text)} is not found by ${lines.map(({ regex }) => regex).join(' ')}`,
        );
    });
    assert.ok(cases.every(({ lines }) => lines.every(({ regex }) => regex !== '\\A')));
  },
);

/** The text with the forms of its letters, of each letter: all lower, all upper, all rare, and mixtures. */
function formsOf(text: string, count: number): string[] {
  const rare: Record<string, string> = { s: 'ſ', k: '\u212a' };
  const form = (letter: string, which: number) =>
    [letter, letter.toUpperCase(), rare[letter] ?? letter][which]!;
  return Array.from({ length: count }, (_, i) =>
    [...text].map((letter, at) => form(letter, i < 3 ? i : (i * 7 + at * (i + 3) + (i >> 2)) % 3)).join(''),
  );
}

/** Of each list of lines the texts (by index) that Fluent Bit forks. */
async function forkedBy(
  context: TestContext,
  rules: PrefilterLine[][],
  logs: string[],
): Promise<Array<Set<number>>> {
  const folder = mkdtempSync(join(tmpdir(), 'earshot-prefilter-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const records = logs.map((log, id) => ({ id, log }));
  writeFileSync(
    join(folder, 'records.ndjson'),
    records.map(record => `${JSON.stringify(record)}\n`).join(''),
  );
  const filters = rules.map((lines, i) => ({
    name: 'rewrite_tag',
    match: 'all',
    rule: lines.map(({ accessor, regex }) => `${accessor} ${regex} hit.${i} true`),
    emitter_name: `hit_${i}`,
  }));
  const configuration = {
    service: { flush: 0.2, parsers_file: 'parsers.conf', log_level: 'warn' },
    pipeline: {
      inputs: [
        {
          name: 'tail',
          tag: 'all',
          path: join(folder, 'records.ndjson'),
          read_from_head: 'true',
          parser: 'json',
        },
      ],
      filters,
      outputs: [
        { name: 'file', match: 'hit.*', path: folder, format: 'plain' },
        { name: 'file', match: 'all', path: folder, file: 'done' },
      ],
    },
  };
  writeFileSync(join(folder, 'parsers.conf'), '[PARSER]\n    name json\n    format json\n');
  writeFileSync(join(folder, 'fluent-bit.yaml'), JSON.stringify(configuration)); // JSON is YAML
  const child = spawn('fluent-bit', ['-q', '-c', join(folder, 'fluent-bit.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  context.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stdout.on('data', data => (log += data));
  child.stderr.on('data', data => (log += data));
  const read = (name: string) => {
    try {
      return readFileSync(join(folder, name), 'utf8').trim().split('\n');
    } catch {
      return [];
    }
  };
  while (read('done').length < records.length) {
    assert.equal(child.exitCode, null, log);
    await sleep(100);
  }
  await sleep(1000);
  assert.doesNotMatch(log, /error/i);
  return rules.map(
    (_, i) =>
      new Set(
        read(`hit.${i}`)
          .filter(line => line !== '')
          .map(line => JSON.parse(line).id as number),
      ),
  );
}
