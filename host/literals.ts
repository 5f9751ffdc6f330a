// Which literals must a text contain for a pattern to match it? The answer is a set of byte strings of
// which one at least must occur (all folded with FOLD_BYTE, so that letter case does not count), or null
// when there is none. `required` finds them.
import { FOLD_BYTE, NEEDLE_SIZE_MAX } from '../assembly/layout.ts';
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

/** Bits of information in a folded text, roughly: how rare it is in logs. */
export function rarity(text: ByteString): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += byteRarity(text.charCodeAt(i));
  return bits;
}

// Common first. Digits, blanks and the letters of English make up most of any log.
const COMMON: Array<[string, number]> = [
  [' e', 3],
  ['0taoinsr1', 4],
  ['2345ldcumhp-.:/"', 5],
  ['6789gfbyw=,_', 6],
  ['vkxjqz[]()', 7],
];
const BYTE_RARITY = new Float64Array(256).fill(8);
for (const [characters, bits] of COMMON) {
  for (const character of characters) BYTE_RARITY[character.charCodeAt(0) | FOLD_BYTE] = bits;
}

function byteRarity(byte: number): number {
  return BYTE_RARITY[byte]!;
}

/** The part of a folded text that makes the best needle: at most 8 bytes, `taken` by as few others as can be. */
export function bestWindow(text: ByteString, taken: (window: ByteString) => number): ByteString {
  if (text.length <= NEEDLE_SIZE_MAX) return text;
  let best = '';
  let bestScore = -Infinity;
  for (let at = 0; at + NEEDLE_SIZE_MAX <= text.length; at++) {
    const window = text.slice(at, at + NEEDLE_SIZE_MAX);
    const score = rarity(window) - 4 * Math.log2(1 + taken(window));
    if (score > bestScore) [best, bestScore] = [window, score];
  }
  return best;
}

/** How well a set of literals filters: its commonest member decides, and each more member costs. */
export function selectivity(literals: ByteString[]): number {
  const weakest = Math.min(...literals.map(text => rarity(text.slice(0, NEEDLE_SIZE_MAX))));
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
