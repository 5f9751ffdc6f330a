// What must a text contain for a pattern to match it? The answer is a set of pieces of which one at least is in
// every such text, or null when there is none. The idea is Google Code Search's (Russ Cox, "Regular Expression
// Matching with a Trigram Index"): for each node of the pattern the exact pieces while they are few, and the
// best set that is required. What a piece is, is the caller's: folded bytes for the module's needles
// (`literals`), character sets for Fluent Bit's regexes (`fluent-bit/prefilter`).
import type { Assertion, CodePoints, Pattern } from './pattern.ts';

export interface Pieces<T> {
  empty: T;
  /** The pieces of one character of the set; null when they are too many, or too little to build on. */
  ofSet(set: CodePoints): T[] | null;
  ofAssertion(at: Assertion): T;
  /** One piece after the other; null when that is too long, or not one piece. */
  join(a: T, b: T): T | null;
  /** The same pieces, each once. */
  distinct(pieces: T[]): T[];
  /** The pieces as they would be searched for; null when one of them is found in most texts. */
  usable(pieces: T[]): T[] | null;
  /** How few texts have one of these by chance. */
  selectivity(pieces: T[]): number;
}

const EXACT_COUNT_MAX = 16; // more alternatives than this make a poor filter
const REQUIRED_COUNT_MAX = 64;

interface Info<T> {
  /** Every piece that the node can match; null when they are too many. */
  exact: T[] | null;
  /** Of these one at least is in every match. */
  required: T[] | null;
}

export function requiredPieces<T>(pattern: Pattern, pieces: Pieces<T>): T[] | null {
  return best(infoOf(pattern));

  function infoOf(node: Pattern): Info<T> {
    switch (node.kind) {
      case 'empty':
        return { exact: [pieces.empty], required: null };
      case 'assert':
        return { exact: [pieces.ofAssertion(node.at)], required: null };
      case 'set':
        return { exact: pieces.ofSet(node.set), required: null };
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

  function best({ exact, required }: Info<T>): T[] | null {
    return better(required, usable(exact));
  }

  function usable(exact: T[] | null): T[] | null {
    return exact === null || exact.length === 0 ? null : pieces.usable(exact);
  }

  function better(a: T[] | null, b: T[] | null): T[] | null {
    if (a === null || b === null) return a ?? b;
    return pieces.selectivity(b) > pieces.selectivity(a) ? b : a;
  }

  function product(left: T[], right: T[]): T[] | null {
    if (left.length * right.length > EXACT_COUNT_MAX) return null;
    const joined = left.flatMap(a => right.map(b => pieces.join(a, b)));
    return joined.every(piece => piece !== null) ? pieces.distinct(joined) : null;
  }

  function concatenate(parts: Info<T>[]): Info<T> {
    let run: T[] = [pieces.empty]; // of the parts since the last break
    let required: T[] | null = null;
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
      run = part.exact ?? [pieces.empty];
    }
    return whole ? { exact: run, required } : { exact: null, required: better(required, usable(run)) };
  }

  function alternate(options: Info<T>[]): Info<T> {
    const exact = options.every(option => option.exact !== null)
      ? pieces.distinct(options.flatMap(option => option.exact!))
      : null;
    const each = options.map(best);
    const required = each.every(option => option !== null) ? pieces.distinct(each.flat()) : null;
    return {
      exact: exact !== null && exact.length <= EXACT_COUNT_MAX ? exact : null,
      required: required !== null && required.length <= REQUIRED_COUNT_MAX ? required : null,
    };
  }

  function repeat(of: Info<T>, min: number, max: number): Info<T> {
    if (max === 0) return { exact: [pieces.empty], required: null };
    if (min === 0) {
      const exact = max === 1 && of.exact !== null ? pieces.distinct([pieces.empty, ...of.exact]) : null;
      return { exact: exact !== null && exact.length <= EXACT_COUNT_MAX ? exact : null, required: null };
    }
    let exact = of.exact;
    for (let i = 1; i < min && exact !== null; i++) exact = product(exact, of.exact!);
    const required = better(of.required, usable(exact ?? of.exact));
    return min === max ? { exact, required } : { exact: null, required };
  }
}
