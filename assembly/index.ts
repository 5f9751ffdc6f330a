// The doors of the module. A host puts a record into a block from `malloc` and calls `match`; the answer
// says whether there is a body to fetch. Fluent Bit calls `alerts_only`. No door traps, whatever the record.
// The one trap is at the start, on a ruleset that is damaged or of another version: nothing must run on that.
import { ALERT, MALFORMED, RECORD_SIZE_MAX, TOO_LARGE } from './layout';
import { holdsAtom } from './condition';
import { writeEdgeRecord } from './edge';
import { examineRecord, loaded, matchCounters, matchRecord } from './engine';
import { RULESET, finish, free, malloc } from './memory';
import { outputSize, outputStart } from './output';

export { malloc, free };

let unreadable: u32 = 0;

/** Where `bake` writes the ruleset. */
export function rulesetAddress(): usize {
  return RULESET;
}

/** 1 when a ruleset is loaded, 0 for the bare core. */
export function isLoaded(): bool {
  return loaded;
}

/**
 * Matches the record of `size` bytes at `record`, which must lie in a block from `malloc`. `sec` and `nsec`
 * are its event time, `flags` are FLAG_…. Answers NO_ALERT, ALERT, MALFORMED or TOO_LARGE.
 */
export function match(record: usize, size: usize, sec: u32, nsec: u32, flags: u32): i32 {
  const answer = judge(record, size, sec, nsec, flags);
  finish();
  return answer;
}

function judge(record: usize, size: usize, sec: u32, nsec: u32, flags: u32): i32 {
  if (!loaded || record == 0 || size > RECORD_SIZE_MAX) return TOO_LARGE;
  return matchRecord(record, record + size, sec, nsec, flags);
}

/** The body that the last ALERT speaks of; it lives until the next call of a door or of `malloc`. */
export function alertStart(): usize {
  return outputStart();
}

export function alertSize(): usize {
  return outputSize();
}

/** Matches of each rule since the start, u32 each, in the order of the rules file. */
export function matchCounts(): usize {
  return matchCounters();
}

// ── The edge: Fluent Bit's filter_wasm ──────────────────────────────────────────────────────────────

const NOTHING: usize = memory.data(8); // an empty string

/**
 * filter_wasm's function (`event_format: json`): the record is replaced by what this answers, and an empty
 * string drops it. Only alerts leave it, so it belongs on a fork of the stream, never on its only copy.
 */
export function alerts_only(tag: usize, tagSize: u32, sec: u32, nsec: u32, record: usize, size: u32): usize {
  const answer = judge(record, size, sec, nsec, 0);
  if (answer != ALERT) {
    if (answer == MALFORMED || answer == TOO_LARGE) unreadable++;
    finish();
    return NOTHING;
  }
  const result = writeEdgeRecord(record, size, sec, nsec);
  finish();
  return result == 0 ? NOTHING : result;
}

/** Records that `alerts_only` could not read: not JSON, too large, or no memory for them. */
export function unreadableCount(): u32 {
  return unreadable;
}

// ── For `earshot explain`: the same atoms, asked one by one ─────────────────────────────────────────

/** Reads a record for `testAtom`; 0 when it is a JSON object, else MALFORMED or TOO_LARGE. */
export function examine(record: usize, size: usize): i32 {
  if (!loaded || record == 0 || size > RECORD_SIZE_MAX) return TOO_LARGE;
  return examineRecord(record, record + size) ? 0 : MALFORMED;
}

/** The answer of an atom of the record that `examine` read. What this allocates stays until `malloc` or a call. */
export function testAtom(atom: u32): bool {
  return holdsAtom(atom);
}
