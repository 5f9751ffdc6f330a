// The doors of the module. A host puts a record into a block from `malloc` and calls `match`; the result
// says whether there is a body to fetch. Fluent Bit calls one of the doors `…_only`. No door traps, whatever the record.
// The only trap is at the start, on a ruleset that is damaged or of another version: nothing must run with that.
import * as layout from './layout';
import { eventTime } from './active';
import { beginBudget } from './budget';
import { atomField, holdsAtom, locateAtom, spanFrom, spanTo } from './condition';
import * as edge from './edge';
import {
  allMatches,
  countRecord,
  examineRecord,
  expectKey,
  loaded,
  matchCounters,
  matchRecord,
  tellEnd,
  tellTime,
  timeFaultOfRecord,
  untimedMatches,
  writeHits,
} from './engine';
import { cappedCounters, markTold, oneKey, ruleAt, writeMarks } from './count';
import { RULESET, allocate, finish, free, malloc } from './memory';
import { outputSize, outputStart } from './output';
import { fieldText, fieldTextSize, fieldType } from './record';
import {
  canRestore,
  clearState,
  evictedCount,
  stateAddress,
  stateUsedSize,
  suppressedOfEvicted,
  suppressedOf,
  usedKeyCount,
} from './state';
import { toMs } from './time';

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
 * are its event time, `flags` are FLAG_…. Returns NO_ALERT, ALERT, MALFORMED or TOO_LARGE.
 */
export function match(record: usize, size: usize, sec: u32, nsec: u32, flags: u32): i32 {
  const answer = judge(record, size, sec, nsec, flags);
  // Hits stay until they are written.
  if ((flags & layout.FLAG_HITS) == 0 || answer != layout.HIT) finish();
  return answer;
}

/**
 * Writes the hits of the record for which `match` returned HIT, one per line, as the output. `source` names this record
 * and no other; it is in the record's block: no `malloc` may come between. False when there is no memory.
 */
export function hits(source: usize, sourceSize: usize): bool {
  const isWritten = writeHits(source, sourceSize);
  finish();
  return isWritten;
}

/**
 * Counts a record of the hits topic, a hit or a mark, in a block from `malloc`; it was written at `sec` and `nsec`. Returns
 * NO_ALERT, ALERT, MALFORMED, TOO_LARGE or UNKNOWN_RULE. After ALERT call `told` when the alert has been told, and no
 * other door before it.
 */
export function count(record: usize, size: usize, sec: u32, nsec: u32, flags: u32): i32 {
  if (!loaded || record == 0 || size > layout.RECORD_SIZE_MAX) return layout.TOO_LARGE;
  const answer = countRecord(record, record + size, toMs(sec, nsec), flags);
  if (answer != layout.ALERT) finish();
  return answer;
}

/**
 * Like `tick`, for a caller that calls `told` when the alert has been told. Returns NO_ALERT, ALERT, MARKS or TOO_LARGE.
 * After ALERT and MARKS `marks` writes what must be kept, and `told` comes last.
 */
export function due(sec: u32, nsec: u32): i32 {
  if (!loaded) return layout.NO_ALERT;
  const answer = tellTime(sec, nsec, false);
  if (answer != layout.ALERT && answer != layout.MARKS) finish();
  return answer;
}

/** The key of an absence's hits if it has only one: `by` has no label that a record fills in. Otherwise 0. */
export function expectedKey(rule: u32): u64 {
  if (!loaded || rule >= load<u32>(RULESET, layout.HEADER_RULE_COUNT)) return 0;
  const key = oneKey(rule);
  finish();
  return key == 0 ? 0 : key ^ load<u64>(ruleAt(rule), layout.RULE_FINGERPRINT);
}

/**
 * Waits for an absence with only one key from now on, even if the key is never seen; or begins to learn what is not new. Returns
 * MARKS, like `due`, or NO_ALERT when it does already, or the rule asks for neither.
 */
export function expect(rule: u32, sec: u32, nsec: u32): i32 {
  if (!loaded || rule >= load<u32>(RULESET, layout.HEADER_RULE_COUNT)) return layout.NO_ALERT;
  const answer = expectKey(rule, sec, nsec);
  if (answer != layout.MARKS) finish();
  return answer;
}

/** Notes that the alerts of the last `count` or `due` have been told. */
export function told(): void {
  markTold();
  finish();
}

/** Writes the marks of the last `due` or `expect`, one per line, as the output; false when there is none. */
export function marks(): bool {
  return writeMarks();
}

function judge(record: usize, size: usize, sec: u32, nsec: u32, flags: u32): i32 {
  if (!loaded || record == 0 || size > layout.RECORD_SIZE_MAX) return layout.TOO_LARGE;
  return matchRecord(record, record + size, sec, nsec, flags);
}

/** The body of the last ALERT; it stays until the next call of a door or of `malloc`. */
export function alertStart(): usize {
  return outputStart();
}

export function alertSize(): usize {
  return outputSize();
}

/** One of TIME_FAULT_…: why the record of the last `match` has no time of its own. */
export function timeFault(): u32 {
  return timeFaultOfRecord();
}

/** Reports the time, for absences. Returns NO_ALERT, ALERT (call again, there may be more) or TOO_LARGE. */
export function tick(sec: u32, nsec: u32): i32 {
  if (!loaded) return layout.NO_ALERT;
  const answer = tellTime(sec, nsec, true);
  finish();
  return answer;
}

/** The stream has ended: like `tick`, for what its last records make due. */
export function end(): i32 {
  if (!loaded) return layout.NO_ALERT;
  const answer = tellEnd();
  finish();
  return answer;
}

/** The part of the state region that is in use: copy these bytes out for a snapshot. */
export function stateStart(): usize {
  return stateAddress();
}

export function stateSize(): usize {
  return stateUsedSize();
}

/** Restores a snapshot that is in a block from `malloc`. False, and nothing is changed, when it is of other rules. */
export function restoreState(snapshot: usize, size: usize): bool {
  if (!loaded || snapshot == 0 || !canRestore(RULESET, snapshot, size)) return false;
  memory.copy(stateAddress(), snapshot, size);
  return true;
}

/** Forgets everything: the state is that of a new instance. */
export function resetState(): void {
  if (loaded) clearState(RULESET);
}

/** Matches of a rule that are suppressed and not yet reported. */
export function suppressedCount(rule: u32): f64 {
  return loaded ? <f64>suppressedOf(rule) : 0;
}

/** Suppressed matches of label sets that were evicted: the next alert of any rule reports them. */
export function othersCount(): f64 {
  return loaded ? <f64>suppressedOfEvicted() : 0;
}

/** Keys in the state: one for each use of a rule and a label set. */
export function keyCount(): u32 {
  return loaded ? usedKeyCount() : 0;
}

/** Keys that were evicted because the state was full. */
export function evictedKeyCount(): f64 {
  return loaded ? <f64>evictedCount() : 0;
}

/** Matches of each rule since the start, u32 each, in the order of the rules file. */
export function matchCounts(): usize {
  return matchCounters();
}

/** Matches of all rules since the start: whether the last record had any, without a look at each rule. */
export function matchedCount(): u32 {
  return allMatches();
}

/** Records since the start that matched and were taken at the given time, because they do not say their own. */
export function untimedCount(): u32 {
  return untimedMatches();
}

/** Alerts of each rule that the rate cap suppressed since the start, u32 each. */
export function cappedCounts(): usize {
  return cappedCounters();
}

// ── The edge: Fluent Bit's filter_wasm (edge.ts) ───────────────────────────────────────────────────

/** The record's hits, for the hits topic: the function counts them. Nothing of a record stays in the filter. */
export function hits_only(tag: usize, tagSize: u32, sec: u32, nsec: u32, record: usize, size: u32): usize {
  return filter(tag, tagSize, sec, nsec, record, size, edge.AS_HITS);
}

/** The record's alerts as Alertmanager takes them. A record that Fluent Bit sends again has the same alerts again. */
export function alert_objects_only(
  tag: usize,
  tagSize: u32,
  sec: u32,
  nsec: u32,
  record: usize,
  size: u32,
): usize {
  return filter(tag, tagSize, sec, nsec, record, size, edge.AS_ALERTS);
}

/** The record's alerts as one body, for a request of its own. */
export function alerts_only(tag: usize, tagSize: u32, sec: u32, nsec: u32, record: usize, size: u32): usize {
  return filter(tag, tagSize, sec, nsec, record, size, edge.AS_BODY);
}

/** Like `alerts_only`, but with the bare array of alerts that Alertmanager's `/api/v2/alerts` takes, not the body. */
export function alert_arrays_only(
  tag: usize,
  tagSize: u32,
  sec: u32,
  nsec: u32,
  record: usize,
  size: u32,
): usize {
  return filter(tag, tagSize, sec, nsec, record, size, edge.AS_ALERT_ARRAY);
}

function filter(tag: usize, tagSize: u32, sec: u32, nsec: u32, record: usize, size: u32, form: u32): usize {
  const answer = edge.answerFilter(tag, tagSize, sec, nsec, record, size, form);
  finish();
  return answer;
}

/** Records that the filter could not read: not JSON, too large, or in need of more memory or work than allowed. */
export function unreadableCount(): u32 {
  return edge.unreadableRecords();
}

// ── For `earshot explain`: the same atoms, tested one by one ─────────────────────────────────────────

/** Reads a record for `testAtom`; returns 0 when it is a JSON object, else MALFORMED or TOO_LARGE. */
export function examine(record: usize, size: usize): i32 {
  if (!loaded || record == 0 || size > layout.RECORD_SIZE_MAX) return layout.TOO_LARGE;
  finish(); // releases what the record before allocated; what this one allocates stays
  return examineRecord(record, record + size) ? 0 : layout.MALFORMED;
}

/** The event time of the record that `examine` read, as the record says it, in ms; 0 when it does not. */
export function examinedTime(): f64 {
  return <f64>eventTime();
}

/** The answer of an atom of the record that `examine` read. What this allocates stays until the next `malloc` or call. */
export function testAtom(atom: u32): bool {
  beginBudget();
  return holdsAtom(atom);
}

/** Finds where an atom's field matches, for the four doors below. 0 when the field has no text, or the atom no field. */
export function spanOf(atom: u32): bool {
  spanField = atomField(atom);
  if (spanField == layout.NONE) return false;
  const slots = allocate(layout.CAPTURE_COUNT_MAX * 8);
  if (slots == 0) return false;
  beginBudget();
  locateAtom(atom, slots);
  return fieldType(spanField) != layout.TYPE_ABSENT;
}

let spanField: u32 = 0;

/** The text of the field, and the address of the matching bytes in it (start = end: none). */
export function spanText(): usize {
  return fieldText(spanField);
}

export function spanTextSize(): usize {
  return fieldTextSize(spanField);
}

export function spanStart(): usize {
  return spanFrom();
}

export function spanEnd(): usize {
  return spanTo();
}
