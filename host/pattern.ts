// A regular expression in RE2 syntax → a tree with RE2's meaning.

/** A set of code points: sorted, disjoint, inclusive pairs [low, high, low, high, …]. */
export type CodePoints = number[];

export type Assertion = 'textStart' | 'textEnd' | 'lineStart' | 'lineEnd' | 'wordBoundary' | 'notWordBoundary';

/** Flags are resolved: case folding is in the sets, `(?s)`, `(?m)` and `(?U)` in the kind of node. */
export type Pattern =
  | { kind: 'empty' }
  | { kind: 'set'; set: CodePoints } // one code point out of the set; an empty set matches nothing
  | { kind: 'assert'; at: Assertion }
  | { kind: 'capture'; name: string; of: Pattern } // named groups only: nothing else can be referred to
  | { kind: 'concat'; of: Pattern[] }
  | { kind: 'alternate'; of: Pattern[] } // the first is preferred
  | { kind: 'repeat'; of: Pattern; min: number; max: number; lazy: boolean }; // max Infinity: no bound
