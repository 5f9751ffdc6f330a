// Which literals must a text contain for a pattern to match it? The answer is a set of byte strings of
// which one at least must occur (all folded with FOLD_BYTE, so that letter case does not count), or null
// when there is none. `required` finds them.
import { FOLD_BYTE, NEEDLE_SIZE_MAX } from '../../assembly/layout.ts';
import { largest, smallest, sum } from './numbers.ts';
import type { CodePoints, Pattern } from './pattern.ts';
import type { Pieces } from './required.ts';
import { requiredPieces } from './required.ts';

/** Bytes as characters 0 to 255. */
export type ByteString = string;

const EXACT_SIZE_MAX = 64; // a longer run is cut: a needle is 8 bytes of it
const SET_EXPAND_MAX = 8; // code points of a class that are spelled out
const SIZE_MIN = 2; // shorter strings occur everywhere

const LITERALS: Pieces<ByteString> = {
  empty: '',
  ofSet: spellOut,
  ofAssertion: () => '',
  join: (a, b) => (a.length + b.length > EXACT_SIZE_MAX ? null : a + b),
  distinct: strings => [...new Set(strings)],
  usable: strings => (strings.every(text => text.length >= SIZE_MIN) ? strings : null),
  selectivity,
};

export function requiredLiterals(pattern: Pattern): ByteString[] | null {
  return requiredPieces(pattern, LITERALS);
}

export function fold(text: ByteString): ByteString {
  let folded = '';
  for (let i = 0; i < text.length; i++) folded += String.fromCharCode(text.charCodeAt(i) | FOLD_BYTE);
  return folded;
}

export function utf8(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

// Common first. Digits, blanks and the letters of English make up most of any log.
const COMMON: Array<[string, number]> = [
  [' e', 3],
  ['0taoinsr1', 4],
  ['2345ldcumhp-.:/"', 5],
  ['6789gfbyw=,_', 6],
  ['vkxjqz[]()', 7],
];
const BYTE_BITS = new Float64Array(256).fill(8);
for (const [characters, bits] of COMMON) {
  for (const character of characters) BYTE_BITS[character.charCodeAt(0) | FOLD_BYTE] = bits;
}

/** Words that all lines of some common kind have: rare letters do not make them rare. */
const COMMON_WORDS =
  /https?(:\/\/|\/[12])?|\b(get|post|info|level|time|msg|message|kube|pod|name(space)?)\b|mozilla|\.com\b/gi;
const COMMON_WORD_BITS = 2;

/** Bits of information in each byte of a folded text, roughly: how rare it is in logs, in its place. */
export function bitsOf(text: ByteString): number[] {
  return discountWords(
    text,
    Array.from(text, character => BYTE_BITS[character.charCodeAt(0)]!),
  );
}

/** Lowers the bits of common words in a text; `bits` has one number for each character. */
export function discountWords(text: string, bits: number[]): number[] {
  for (const { 0: word, index } of text.matchAll(COMMON_WORDS))
    bits.fill(COMMON_WORD_BITS / word.length, index, index + word.length);
  return bits;
}

/** The part of a folded text that makes the best needle: at most 8 bytes, `taken` by as few others as possible. */
export function bestWindow(text: ByteString, taken: (window: ByteString) => number): ByteString {
  let best = '';
  let bestScore = -Infinity;
  for (const { window, bits } of windowsOf(text)) {
    const score = bits - 4 * Math.log2(1 + taken(window));
    if (score > bestScore) [best, bestScore] = [window, score];
  }
  return best;
}

/** The needles that a folded text could have, each with its bits. */
export function windowsOf(text: ByteString): Array<{ window: ByteString; bits: number }> {
  const bits = bitsOf(text);
  return Array.from({ length: Math.max(1, text.length - NEEDLE_SIZE_MAX + 1) }, (_, at) => ({
    window: text.slice(at, at + NEEDLE_SIZE_MAX),
    bits: sum(bits.slice(at, at + NEEDLE_SIZE_MAX)),
  }));
}

/** How well a set of literals filters: its most common member decides, and each further member costs. */
export function selectivity(literals: ByteString[]): number {
  const weakest = smallest(literals.map(text => largest(windowsOf(text).map(({ bits }) => bits))));
  return weakest - 2 * Math.log2(literals.length);
}

function spellOut(set: CodePoints): ByteString[] | null {
  const strings = new Set<ByteString>();
  let count = 0;
  for (let i = 0; i < set.length; i += 2) {
    count += set[i + 1]! - set[i]! + 1;
    if (count > SET_EXPAND_MAX) return null;
    for (let code = set[i]!; code <= set[i + 1]!; code++) strings.add(fold(utf8(String.fromCodePoint(code))));
  }
  return [...strings];
}
