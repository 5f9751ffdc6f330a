// Classes of characters, one by one and code point by code point, against RE2: random patterns seldom ask for the
// one character in which a class could be wrong.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RE2JS } from 're2js';
import { parsePattern } from '../../host/compiler/pattern.ts';

/** ASCII, Latin, Greek and Cyrillic, and letters that fold from afar. */
const CODE_POINTS = [
  ...Array.from({ length: 0x530 }, (_, codePoint) => codePoint),
  ...[0x1e9e, 0x2028, 0x2126, 0x212a, 0x212b, 0xfffd, 0x10400, 0x10428, 0x1f600, 0x10ffff],
];

/** What the class holds, according to the parser. */
function holds(source: string): (codePoint: number) => boolean {
  const { pattern } = parsePattern(source);
  assert.ok(pattern.kind === 'set', `${source} is one class`);
  const { set } = pattern;
  return codePoint => set.some((low, i) => i % 2 === 0 && low <= codePoint && codePoint <= set[i + 1]!);
}

function compare(source: string): void {
  const holdsIt = holds(source);
  const compiled = RE2JS.compile(`^(?:${source})$`);
  const wrong = CODE_POINTS.filter(
    codePoint => holdsIt(codePoint) !== compiled.matcher(String.fromCodePoint(codePoint)).find(),
  );
  assert.deepEqual(
    wrong.map(codePoint => codePoint.toString(16)),
    [],
    source,
  );
}

test('each named class holds what RE2 says, and its negation the rest', () => {
  for (const name of 'alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit'.split(
    ' ',
  )) {
    compare(`[[:${name}:]]`);
    compare(`[[:^${name}:]]`);
    compare(`[^[:${name}:]]`);
    compare(`(?i:[[:${name}:]])`);
  }
});

test('each escaped class holds what RE2 says, in brackets too', () => {
  for (const letter of 'dDsSwW') {
    for (const source of [
      `\\${letter}`,
      `[\\${letter}]`,
      `[^\\${letter}]`,
      `[\\${letter}é]`,
      `(?i:\\${letter})`,
    ])
      compare(source);
  }
});

test('ranges fold as in RE2, also where one end is ASCII and the other is not', () => {
  const ends = [
    'A',
    'K',
    'Z',
    '[',
    'a',
    'k',
    'z',
    '~',
    '\u00b5',
    'À',
    'ß',
    'é',
    'ÿ',
    'ſ',
    'Σ',
    'ς',
    'я',
    '\u212a',
  ];
  ends.forEach((low, i) => {
    for (const high of ends.slice(i)) {
      if (low > high) continue;
      for (const source of [`[${escape(low)}-${escape(high)}]`, `[^${escape(low)}-${escape(high)}]`])
        compare(`(?i:${source})`);
    }
  });
});

test('single characters fold as in RE2', () => {
  for (const character of 'aAkKsSzZµßéÉſΣσςяЯ\u212a\u2126\u1e9e') compare(`(?i:[${character}])`);
});

function escape(character: string): string {
  return character === '[' ? '\\[' : character;
}
