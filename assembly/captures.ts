// The captures of a pattern in a text. Those of the last search stay: a test of a capture and then an alert need the same
// ones, and search once.
import * as layout from './layout';
import { search } from './nfa';

let ruleset: usize = 0;
let capturedPattern: usize = 0;
let capturedText: usize = 0;
let capturedMatch: bool = false;
const capturedSlots: usize = memory.data(layout.CAPTURE_COUNT_MAX * 8);

/** Begins a new record of the ruleset at `base`. */
export function beginCaptures(base: usize): void {
  ruleset = base;
  capturedPattern = 0;
}

/** Finds a pattern's captures in a text and returns their slots (addresses, 0: not set), or 0 when it does not match. */
export function capturesOf(pattern: usize, at: usize, end: usize): usize {
  if (capturedPattern != pattern || capturedText != at) searchCaptures(pattern, at, end);
  return capturedMatch ? capturedSlots : 0;
}

/** Does the pattern match? Its captures stay for `capturesOf`. */
export function searchCaptures(pattern: usize, at: usize, end: usize): bool {
  capturedPattern = pattern;
  capturedText = at;
  capturedMatch = search(ruleset, pattern, at, end, capturedSlots);
  return capturedMatch;
}
