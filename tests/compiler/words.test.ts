// Lists of texts, with and without regard to letter case, against RE2 (re2js): one ruleset for many lists, so that they
// share needles as the lists of a real file do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compiled } from '../fuzz/oracle.ts';
import { RUNS, loadRules, namesOf } from '../core.ts';
import { wordsOf } from '../../host/compiler/words.ts';

/** Letters with two, three and four forms, one whose forms differ in size, and some that begin alike in UTF-8. */
const LETTERS = [...'aabbABkK\u212asSſ1 -éÉèσςΣßẞǅǆǄⱥȺ日本😀', '\0', '\\'];
const textArbitrary = fc
  .array(fc.constantFrom(...LETTERS), { minLength: 1, maxLength: 5 })
  .map(letters => letters.join(''));
const listArbitrary = fc.record({
  texts: fc.oneof(
    fc.array(textArbitrary, { minLength: 1, maxLength: 6 }),
    fc.array(textArbitrary, { minLength: 30, maxLength: 60 }),
  ),
  op: fc.constantFrom('contains', 'containsAll', 'startsWith', 'endsWith', 'in'),
  ignoreCase: fc.boolean(),
});
type List = typeof listArbitrary extends fc.Arbitrary<infer T> ? T : never;

function holds({ texts, op, ignoreCase }: List, value: string): boolean {
  const start = op === 'startsWith' || op === 'in' ? '\\A' : '';
  const end = op === 'endsWith' || op === 'in' ? '\\z' : '';
  const isFound = (text: string) => {
    const escaped = Array.from(text, letter => `\\x{${letter.codePointAt(0)!.toString(16)}}`).join('');
    return compiled(`${ignoreCase ? '(?i)' : ''}${start}${escaped}${end}`)
      .matcher(value)
      .find();
  };
  return op === 'containsAll' ? texts.every(isFound) : texts.some(isFound);
}

test('lists of texts match as RE2 says', async () => {
  let matches = 0;
  const property = fc.asyncProperty(
    fc.array(listArbitrary, { minLength: 20, maxLength: 20 }),
    fc.array(
      fc.array(textArbitrary, { maxLength: 4 }).map(texts => texts.join('')),
      { minLength: 30, maxLength: 30 },
    ),
    async (lists, values) => {
      const rules = lists.map(({ texts, op, ignoreCase }, i) =>
        JSON.stringify({ alert: `r${i}`, realert: '0s', match: { field: 's', [op]: texts, ignoreCase } }),
      );
      const matcher = await loadRules(`groups: [{name: g, rules: [${rules.join(',\n  ')}]}]`);
      const own = lists.flatMap(({ texts }) => texts.slice(0, 2)).slice(0, 20);
      for (const value of [...values, ...own]) {
        const expected = lists.flatMap((list, i) => (holds(list, value) ? [`r${i}`] : []));
        matches += expected.length;
        assert.deepEqual(namesOf(matcher, JSON.stringify({ s: value })), expected, JSON.stringify(value));
      }
    },
  );
  await fc.assert(property, { numRuns: 5 * RUNS });
  assert.ok(matches > 500 * RUNS, `${matches} matches`);
});

test('lists and letter case in rules that count', async () => {
  const matcher = await loadRules(`
groups:
  - name: g
    rules:
      - alert: steps
        sequence:
          steps:
            - {field: s, contains: [LOGIN, sign in], ignoreCase: true}
            - {field: s, containsAll: [fail, user], ignoreCase: true}
          within: 1m
        realert: 0s
      - {alert: twice, match: {field: s, endsWith: ['!', '?']}, threshold: {count: 2, within: 1m}, realert: 0s}
`);
  assert.deepEqual(namesOf(matcher, '{"s":"Login!"}'), []);
  assert.deepEqual(namesOf(matcher, '{"s":"login"}'), []);
  assert.deepEqual(namesOf(matcher, '{"s":"FAILED for User?"}'), ['steps', 'twice']);
});

test('a list of 1,000 texts takes some eight bytes for each byte of its texts', () => {
  const texts = Array.from({ length: 1_000 }, (_, i) => `${i * 7919} is not known here`);
  const { nodes, sizeMax } = wordsOf({ texts, ignoreCase: true, place: 'anywhere' });
  const size = texts.reduce((sum, text) => sum + text.length, 0);
  assert.ok(nodes.length * 4 < 14 * size, `${nodes.length * 4} bytes for ${size}`);
  assert.equal(
    sizeMax,
    Math.max(
      ...texts.map(text =>
        Buffer.byteLength(text.replaceAll(/[ks]/g, letter => (letter === 'k' ? '\u212a' : 'ſ'))),
      ),
    ),
  );
});

test('texts that begin alike, as many as a list may hold, compile in a moment', () => {
  const texts = Array.from({ length: 10_000 }, (_, i) => `${'a'.repeat(i % 20)}${i}`);
  const start = performance.now();
  for (const place of ['anywhere', 'end'] as const) wordsOf({ texts, ignoreCase: false, place });
  assert.ok(performance.now() - start < 5_000);
});
