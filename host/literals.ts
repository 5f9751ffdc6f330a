// Which literals must a text contain for a pattern to match it? The answer is a set of byte strings of
// which one at least must occur (all folded with FOLD_BYTE, so that letter case does not count), or null
// when there is none. The idea is Google Code Search's (Russ Cox, "Regular Expression Matching with a
// Trigram Index"): for each node the exact strings while they are few, and the best set that is required.
import { FOLD_BYTE, NEEDLE_SIZE_MAX } from '../assembly/layout.ts';
import type { CodePoints, Pattern } from './pattern.ts';

/** Bytes as characters 0 to 255. */
export type ByteString = string;

const EXACT_COUNT_MAX = 16; // more alternatives than this make a poor filter
const EXACT_SIZE_MAX = 64; // a longer run is cut: a needle is 8 bytes of it
const SET_EXPAND_MAX = 8; // code points of a class that are spelled out
const SIZE_MIN = 2; // shorter strings occur everywhere

interface Info {
  /** Every string that the node can match, folded; null when they are too many. */
  exact: ByteString[] | null;
  /** Of these one at least occurs in every match. */
  required: ByteString[] | null;
}

export function requiredLiterals(pattern: Pattern): ByteString[] | null {
  const info = infoOf(pattern);
  return better(info.required, usable(info.exact));
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

function usable(strings: ByteString[] | null): ByteString[] | null {
  if (strings === null || strings.length === 0) return null;
  return strings.every(text => text.length >= SIZE_MIN) ? strings : null;
}

function better(a: ByteString[] | null, b: ByteString[] | null): ByteString[] | null {
  if (a === null || b === null) return a ?? b;
  return selectivity(b) > selectivity(a) ? b : a;
}

function infoOf(node: Pattern): Info {
  switch (node.kind) {
    case 'empty':
    case 'assert':
      return { exact: [''], required: null };
    case 'set':
      return { exact: spellOut(node.set), required: null };
    case 'capture':
      return infoOf(node.of);
    case 'concat':
      return concatenate(node.of.map(infoOf));
    case 'alternate':
      return alternate(node.of.map(infoOf));
    case 'repeat':
      return repeat(infoOf(node.of), node.min, node.max);
  }
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

function product(left: ByteString[], right: ByteString[]): ByteString[] | null {
  if (left.length * right.length > EXACT_COUNT_MAX) return null;
  const strings = new Set<ByteString>();
  for (const a of left) {
    for (const b of right) {
      if (a.length + b.length > EXACT_SIZE_MAX) return null;
      strings.add(a + b);
    }
  }
  return [...strings];
}

function concatenate(parts: Info[]): Info {
  let run: ByteString[] = ['']; // exact strings of the parts since the last break
  let required: ByteString[] | null = null;
  let whole = true;
  for (const part of parts) {
    required = better(required, part.required);
    const longer = part.exact && product(run, part.exact);
    if (longer !== null) {
      run = longer;
      continue;
    }
    whole = false;
    required = better(required, usable(run));
    run = part.exact ?? [''];
  }
  return whole ? { exact: run, required } : { exact: null, required: better(required, usable(run)) };
}

function alternate(options: Info[]): Info {
  const exact = new Set<ByteString>();
  const required = new Set<ByteString>();
  let allExact = true;
  let allRequired = true;
  for (const option of options) {
    if (option.exact) for (const text of option.exact) exact.add(text);
    else allExact = false;
    const best = better(option.required, usable(option.exact));
    if (best) for (const text of best) required.add(text);
    else allRequired = false;
  }
  return {
    exact: allExact && exact.size <= EXACT_COUNT_MAX ? [...exact] : null,
    required:
      allRequired && options.length > 0 && required.size <= 4 * EXACT_COUNT_MAX ? [...required] : null,
  };
}

function repeat(of: Info, min: number, max: number): Info {
  if (max === 0) return { exact: [''], required: null };
  if (min === 0) {
    const exact = max === 1 && of.exact !== null ? [...new Set(['', ...of.exact])] : null;
    return { exact: exact !== null && exact.length <= EXACT_COUNT_MAX ? exact : null, required: null };
  }
  let exact: ByteString[] | null = of.exact;
  for (let i = 1; i < min && exact !== null; i++) exact = product(exact, of.exact!);
  const required = better(of.required, usable(exact ?? of.exact));
  return min === max ? { exact, required } : { exact: null, required };
}
