// Which literals a pattern requires. The property is what everything rests on: a record without one of them
// is never looked at again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { NEEDLE_SIZE_MAX } from '../../assembly/layout.ts';
import { bestWindow, bitsOf, fold, requiredLiterals, utf8 } from '../../host/compiler/literals.ts';
import { sum } from '../../host/compiler/numbers.ts';
import { parsePattern } from '../../host/compiler/pattern.ts';
import { RUNS } from '../core.ts';
import { patternArbitrary, textArbitrary } from './random-pattern.ts';

/** Folded, as needles are: a bit is set in every byte, so `A` is `a`, and a digit itself. */
const REQUIRED: Array<[pattern: string, literals: string[] | null]> = [
  ['error', ['error']],
  ['(?i)error', ['error']],
  ['a', null], // one byte is everywhere
  ['ab|c', null],
  ['ab|cd', ['ab', 'cd']],
  ['(?:ab|cd)(?:ef|gh)', ['abef', 'abgh', 'cdef', 'cdgh']],
  ['foo.*quux', ['quux']],
  ['foo\\d+quux', ['quux']],
  ['x?timeout', ['timeout', 'xtimeout']],
  ['x*timeout', ['timeout']],
  ['(?:timeout)+', ['timeout']],
  ['(?:timeout)*', null],
  ['(?:timeout){0,1}', null],
  ['(?:ab){3}', ['ababab']],
  ['(?:ab){2,}', ['abab']],
  ['\\bpanic\\b: ', ['panic: ']],
  ['^$', null],
  ['.*', null],
  ['\\d{3}', null],
  ['[ab]cd', ['acd', 'bcd']],
  ['é', [fold(utf8('é'))]],
  ['(?P<method>[A-Z]+) (?P<path>/\\S*) HTTP/', [' http/']],
  [' HTTP/[0-9.]+" 404 ', ['" 404 ']], // every line of an access log has the other
  ['(?:one|two) .* (?:three|four)', [' three', ' four']],
];

test('patterns require these literals', () => {
  for (const [source, literals] of REQUIRED) {
    const found = requiredLiterals(parsePattern(source).pattern);
    assert.deepEqual(found && [...found].sort(), literals && [...literals].sort(), source);
  }
});

const wordArbitrary = fc.constantFrom(
  'error',
  'ab',
  'abab',
  'née',
  '404',
  'x',
  '😀',
  'Out',
  '(?:on|off)',
  '[aA]b',
  '(?i:k)s',
);
const wordyArbitrary = fc
  .array(
    fc.oneof(
      { weight: 2, arbitrary: wordArbitrary },
      { weight: 1, arbitrary: patternArbitrary.map(source => `(?:${source.replace(/\(\?P?<\w+>/g, '(')})`) },
    ),
    {
      minLength: 1,
      maxLength: 4,
    },
  )
  .chain(parts =>
    fc.constantFrom(parts.join(''), parts.join('|'), `(?:${parts.join('')})+`, `(?i)${parts.join('.*')}`),
  );
const wordyTextArbitrary = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'error',
        'ERROR',
        'ab',
        'AB',
        'née',
        '404',
        'x',
        '😀',
        'Out',
        'on',
        'off',
        'ks',
        'Kſ',
        'ſ',
      ),
      textArbitrary,
    ),
    { maxLength: 6 },
  )
  .map(words => words.join(''));

test('every text that RE2 matches has one of the required literals', () => {
  let matched = 0;
  const property = fc.property(
    fc.oneof(patternArbitrary, wordyArbitrary),
    fc.array(wordyTextArbitrary, { minLength: 1, maxLength: 8 }),
    (source, texts) => {
      const literals = requiredLiterals(parsePattern(source).pattern);
      if (literals === null) return;
      const compiled = RE2JS.compile(source);
      for (const text of texts) {
        if (!compiled.matcher(text).find()) continue;
        matched++;
        const folded = fold(utf8(text));
        assert.ok(
          literals.some(literal => folded.includes(literal)),
          `${JSON.stringify(literals)} in ${JSON.stringify(text)}`,
        );
      }
    },
  );
  fc.assert(property, { numRuns: 2000 * RUNS });
  assert.ok(matched > 100, `only ${matched} texts matched`);
});

test('a window is a part of its literal, and the rarest of those nobody else has', () => {
  const property = fc.property(
    fc.string({ minLength: 1, maxLength: 30 }).map(text => fold(utf8(text))),
    text => {
      const window = bestWindow(text, () => 0);
      assert.ok(text.includes(window));
      assert.equal(window.length, Math.min(text.length, NEEDLE_SIZE_MAX));
      const bits = bitsOf(text);
      const rarity = (at: number) => sum(bits.slice(at, at + window.length));
      const rarest = Math.max(
        ...Array.from({ length: text.length - window.length + 1 }, (_, at) => rarity(at)),
      );
      assert.equal(rarity(text.indexOf(window)), rarest);
    },
  );
  fc.assert(property, { numRuns: 1000 * RUNS });
  const taken = bestWindow('the error xq!', () => 0);
  assert.notEqual(
    bestWindow('the error xq!', window => (window === taken ? 1000 : 0)),
    taken,
  );
});
