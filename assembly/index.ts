// The doors of the module. A host puts a record into a block from `malloc` and calls `match`; the answer
// says whether there is a body to fetch. No door traps, whatever the record. The one trap is at the start,
// on a ruleset that is damaged or of another version: nothing must run on that.
import {
  ALERT,
  FLAG_RECORD_TIME,
  FLAG_WARM,
  FLAG_WHOLE,
  HEADER_RULES_OFFSET,
  HEADER_RULE_COUNT,
  HEADER_SIZE_TOTAL,
  HEADER_STEPS_OFFSET,
  HEADER_TIMESTAMP_FIELD,
  MALFORMED,
  NONE,
  NO_ALERT,
  RECORD_SIZE_MAX,
  RULE_SIZE,
  STEP_RULE,
  STEP_SIZE,
  TOO_LARGE,
} from './layout';
import {
  FIRING,
  NO_END,
  addAlert,
  alertsExhausted,
  beginAlerts,
  extractCaptures,
  fingerprint,
  hasAlerts,
  placeAlerts,
  renderLabels,
  writeBody,
} from './alert';
import { beginCandidates, dropCandidates, findNeedles, nextCandidate, placeCandidates } from './candidate';
import { beginConditions, conditionsExhausted, holdsAtom, meets, placeConditions } from './condition';
import { RULESET, finish, free, malloc, startArena } from './memory';
import { outputSize, outputStart } from './output';
import { beginRecord, fieldEnd, fieldStart, fieldType, outOfMemory, placeRecord } from './record';
import { RULESET_ABSENT, RULESET_OK, checkRuleset } from './ruleset';
import { SCAN_MALFORMED, SCAN_REJECTED, placeScan, scan } from './scan';
import { NO_TIME, parseTime, toMs } from './time';

export { malloc, free };

const EPOCH_MAX: u32 = 0x3fffffff;

let matches: usize = 0; // u32 for each rule: how often it matched
let scratch: usize = 0;
let scratchEnd: usize = 0;
let epoch: u32 = 0;

const loaded = start();

/** Where `bake` writes the ruleset. */
export function rulesetAddress(): usize {
  return RULESET;
}

/** 1 when a ruleset is loaded, 0 for the bare core. */
export function isLoaded(): bool {
  return loaded;
}

function start(): bool {
  const status = checkRuleset(RULESET, (<usize>memory.size() << 16) - RULESET);
  if (status == RULESET_ABSENT) return false;
  if (status != RULESET_OK) unreachable();
  scratch = (RULESET + load<u32>(RULESET, HEADER_SIZE_TOTAL) + 15) & ~15;
  let at = scratch;
  matches = at;
  at += ((<usize>load<u32>(RULESET, HEADER_RULE_COUNT) + 1) & ~1) << 2;
  at = placeRecord(RULESET, at);
  at = placeCandidates(RULESET, at);
  at = placeScan(RULESET, at);
  at = placeConditions(RULESET, at);
  at = placeAlerts(RULESET, at);
  scratchEnd = at;
  if (!startArena(at)) unreachable();
  return true;
}

/** Matches of each rule since the start, u32 each, in the order of the rules file. */
export function matchCounts(): usize {
  return matches;
}

/** The body that the last ALERT speaks of; it lives until the next call of a door or of `malloc`. */
export function alertStart(): usize {
  return outputStart();
}

export function alertSize(): usize {
  return outputSize();
}

/**
 * Matches the record of `size` bytes at `record`, which must lie in a block from `malloc`. `sec` and `nsec`
 * are its event time. Answers NO_ALERT, ALERT, MALFORMED or TOO_LARGE.
 */
export function match(record: usize, size: usize, sec: u32, nsec: u32, flags: u32): i32 {
  if (!loaded || record == 0) return TOO_LARGE;
  if (size > RECORD_SIZE_MAX) return TOO_LARGE;
  const answer = matchRecord(record, record + size, sec, nsec, flags);
  finish();
  return answer;
}

function matchRecord(record: usize, end: usize, sec: u32, nsec: u32, flags: u32): i32 {
  begin();
  const scanned = scan(record, end, epoch, (flags & FLAG_WHOLE) != 0);
  if (scanned == SCAN_REJECTED) return NO_ALERT;
  if (scanned == SCAN_MALFORMED) {
    dropCandidates();
    return MALFORMED;
  }
  findNeedles();
  let step = nextCandidate();
  if (step < 0) return NO_ALERT;
  const time = eventTime(sec, nsec, flags);
  for (; step >= 0; step = nextCandidate()) {
    if (meets(step)) onMatch(RULESET + load<u32>(RULESET, HEADER_STEPS_OFFSET) + <usize>step * STEP_SIZE, time, flags);
  }
  if (outOfMemory() || conditionsExhausted() || alertsExhausted()) return TOO_LARGE;
  if (!hasAlerts()) return NO_ALERT;
  return writeBody() ? ALERT : TOO_LARGE;
}

/** Readies everything for a new record. An epoch marks what belongs to it, so that nothing need be cleared. */
function begin(): void {
  if (epoch == EPOCH_MAX) {
    memory.fill(scratch, 0, scratchEnd - scratch);
    epoch = 0;
  }
  epoch++;
  beginRecord();
  beginCandidates(epoch);
  beginConditions(epoch);
  beginAlerts();
}

function eventTime(sec: u32, nsec: u32, flags: u32): i64 {
  const field = load<u32>(RULESET, HEADER_TIMESTAMP_FIELD);
  if (flags & FLAG_RECORD_TIME && field != NONE) {
    const time = parseTime(fieldType(field), fieldStart(field), fieldEnd(field));
    if (time != NO_TIME) return time;
  }
  return toMs(sec, nsec);
}

function onMatch(step: usize, time: i64, flags: u32): void {
  const ruleIndex = <usize>load<u32>(step, STEP_RULE);
  const rule = RULESET + load<u32>(RULESET, HEADER_RULES_OFFSET) + ruleIndex * RULE_SIZE;
  const count = matches + (ruleIndex << 2);
  store<u32>(count, load<u32>(count) + 1);
  extractCaptures(step);
  const references = renderLabels(rule);
  if (references == 0) return;
  addAlert(rule, references, fingerprint(rule, references, u64.MAX_VALUE), FIRING, time, NO_END, 1, 0, 0);
}

// ── For `earshot explain`: the same atoms, asked one by one ─────────────────────────────────────────

/** Scans a record for `testAtom` and `fieldSpan`; 0 when it is a JSON object, else MALFORMED or TOO_LARGE. */
export function examine(record: usize, size: usize): i32 {
  if (!loaded || record == 0 || size > RECORD_SIZE_MAX) return TOO_LARGE;
  begin();
  const scanned = scan(record, record + size, epoch, true);
  dropCandidates();
  return scanned == SCAN_MALFORMED ? MALFORMED : 0;
}

export function testAtom(atom: u32): bool {
  return holdsAtom(atom);
}
