// One record through the module: scan, candidates, conditions, alerts. `index` has the doors to it.
import {
  ALERT,
  FLAG_RECORD_TIME,
  FLAG_WHOLE,
  HEADER_RULES_OFFSET,
  HEADER_RULE_COUNT,
  HEADER_SIZE_TOTAL,
  HEADER_STEPS_OFFSET,
  HEADER_TIMESTAMP_FIELD,
  MALFORMED,
  NONE,
  NO_ALERT,
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
import { beginConditions, conditionsExhausted, meets, placeConditions } from './condition';
import { RULESET, startArena } from './memory';
import { beginRecord, fieldEnd, fieldStart, fieldType, outOfMemory, placeRecord } from './record';
import { RULESET_ABSENT, RULESET_OK, checkRuleset } from './ruleset';
import { SCAN_MALFORMED, SCAN_REJECTED, placeScan, scan } from './scan';
import { NO_TIME, parseTime, toMs } from './time';

const EPOCH_MAX: u32 = 0x3fffffff;

let matches: usize = 0; // u32 for each rule: how often it matched
let scratch: usize = 0;
let scratchEnd: usize = 0;
let epoch: u32 = 0;

/** True when a ruleset is loaded, false for the bare core. Traps on a ruleset that can't be trusted. */
export const loaded = start();

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

/** The address of the rules' match counts. */
export function matchCounters(): usize {
  return matches;
}

/** Judges the record at `record` … `end`: NO_ALERT, ALERT (the body is the output), MALFORMED or TOO_LARGE. */
export function matchRecord(record: usize, end: usize, sec: u32, nsec: u32, flags: u32): i32 {
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

/** Scans a whole record and decides nothing: its atoms can then be asked one by one. False when malformed. */
export function examineRecord(record: usize, end: usize): bool {
  begin();
  const scanned = scan(record, end, epoch, true);
  dropCandidates();
  return scanned != SCAN_MALFORMED;
}
