// One record through the module: scan, candidates, conditions, alerts. `index` has the doors to it.
import * as layout from './layout';
import {
  AT_LEAST,
  FIRING,
  NO_END,
  RESOLVED,
  addAlert,
  alertsExhausted,
  beginAlerts,
  extractCaptures,
  fingerprint,
  hasAlerts,
  packLabels,
  placeAlerts,
  renderLabels,
  unpackLabels,
  writeBody,
} from './alert';
import { hashText } from './bytes';
import { beginCandidates, dropCandidates, findNeedles, nextCandidate, placeCandidates } from './candidate';
import { beginConditions, conditionsExhausted, meets, placeConditions } from './condition';
import { RULESET, allocate, startArena } from './memory';
import { beginRecord, fieldText, fieldTextSize, fieldType, outOfMemory, placeRecord } from './record';
import { RULESET_ABSENT, RULESET_OK, checkRuleset } from './ruleset';
import { SCAN_MALFORMED, SCAN_REJECTED, placeScan, scan, scanLate } from './scan';
import {
  NEVER,
  absenceOf,
  absenceRule,
  absenceSeen,
  addSuppressed,
  advanceSequence,
  beginDue,
  clearState,
  clockTime,
  coolDownOf,
  countDistinct,
  countEvicted,
  countInWindow,
  isCooling,
  markMissing,
  mayBeDue,
  missingSince,
  moveClock,
  nextAbsence,
  placeState,
  postpone,
  readLabels,
  seeKey,
  setClock,
  startCooling,
  takeElsewhere,
  takeRate,
  takeSuppressed,
  tellElsewhere,
  untoldElsewhere,
} from './state';
import { NO_TIME, parseTime, toMs } from './time';

const EPOCH_MAX: u32 = 0x3fffffff;

let matches: usize = 0; // u32 for each rule: how often it matched
let scratch: usize = 0;
let scratchEnd: usize = 0;
let epoch: u32 = 0;

/** True when a ruleset is loaded, false for the bare core. Traps on a ruleset that can't be trusted. */
export const loaded = start();

function start(): bool {
  const status = checkRuleset(RULESET, ((<usize>memory.size()) << 16) - RULESET);
  if (status == RULESET_ABSENT) return false;
  if (status != RULESET_OK) unreachable();
  matches = (RULESET + load<u32>(RULESET, layout.HEADER_SIZE_TOTAL) + 15) & ~15;
  scratch = matches + (((<usize>load<u32>(RULESET, layout.HEADER_RULE_COUNT) + 1) & ~1) << 2);
  let at = scratch;
  at = placeRecord(RULESET, at);
  at = placeCandidates(RULESET, at);
  at = placeScan(RULESET, at);
  at = placeConditions(RULESET, at);
  at = placeAlerts(RULESET, at);
  scratchEnd = at;
  at = placeState(RULESET, at);
  if (!startArena(at)) unreachable();
  clearState(RULESET);
  return true;
}

/** The address of the rules' match counts. */
export function matchCounters(): usize {
  return matches;
}

/** Judges the record at `record` … `end`: NO_ALERT, ALERT (the body is the output), MALFORMED or TOO_LARGE. */
export function matchRecord(record: usize, end: usize, sec: u32, nsec: u32, flags: u32): i32 {
  begin();
  const scanned = scan(record, end, epoch, (flags & layout.FLAG_WHOLE) != 0);
  if (scanned == SCAN_REJECTED) return outOfMemory() ? layout.TOO_LARGE : layout.NO_ALERT; // never with an absence: its clock needs every record's time
  if (scanned == SCAN_MALFORMED) {
    dropCandidates();
    return layout.MALFORMED;
  }
  findNeedles();
  let step = nextCandidate();
  const hasAbsence = load<u32>(RULESET, layout.HEADER_HAS_ABSENCE) != 0;
  if (step < 0 && !hasAbsence) return outOfMemory() ? layout.TOO_LARGE : layout.NO_ALERT;
  let time = NO_TIME;
  if (hasAbsence) {
    time = readLate(record, end, sec, nsec, flags);
    moveClock(time);
  }
  for (; step >= 0; step = nextCandidate()) {
    if (!meets(step)) continue;
    if (time == NO_TIME) time = readLate(record, end, sec, nsec, flags);
    onMatch(stepAt(step), time, flags);
  }
  if (hasAbsence && mayBeDue()) tellDue(flags);
  if (outOfMemory() || conditionsExhausted() || alertsExhausted()) return layout.TOO_LARGE;
  if (!hasAlerts()) return layout.NO_ALERT;
  return writeBody() ? layout.ALERT : layout.TOO_LARGE;
}

function stepAt(index: u32): usize {
  return RULESET + load<u32>(RULESET, layout.HEADER_STEPS_OFFSET) + <usize>index * layout.STEP_SIZE;
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

/** Reads what only a match needs, and gives the event time. */
function readLate(record: usize, end: usize, sec: u32, nsec: u32, flags: u32): i64 {
  scanLate(record, end);
  const field = load<u32>(RULESET, layout.HEADER_TIMESTAMP_FIELD);
  if (flags & layout.FLAG_RECORD_TIME && field != layout.NONE) {
    const text = fieldText(field);
    const time = parseTime(fieldType(field), text, text + fieldTextSize(field));
    if (time != NO_TIME) return time;
  }
  return toMs(sec, nsec);
}

function onMatch(step: usize, time: i64, flags: u32): void {
  const index = load<u32>(step, layout.STEP_RULE);
  const rule = ruleAt(index);
  const count = matches + ((<usize>index) << 2);
  store<u32>(count, load<u32>(count) + 1);
  extractCaptures(step);
  const labels = renderLabels(rule);
  if (labels == 0) return;
  const kind = load<u32>(rule, layout.RULE_KIND);
  if (kind == layout.KIND_EACH) {
    send(rule, index, labels, time, 1, flags);
    return;
  }
  const by = fingerprint(rule, labels, load<u64>(rule, layout.RULE_BY_MASK));
  const windowMs = load<i64>(rule, layout.RULE_WINDOW_MS);
  let value: u64 = 1;
  switch (kind) {
    case layout.KIND_THRESHOLD:
      value = countMatch(rule, index, by, time, windowMs);
      if ((value & ~AT_LEAST) < <u64>load<u32>(rule, layout.RULE_COUNT)) return;
      break;
    case layout.KIND_SEQUENCE: {
      const ordinal = load<u32>(step, layout.STEP_ORDINAL);
      if (!advanceSequence(index, by, ordinal, load<u32>(rule, layout.RULE_COUNT), time, windowMs)) return;
      break;
    }
    case layout.KIND_ABSENCE:
      onSeen(rule, index, by, labels, time, windowMs, flags);
      return;
  }
  send(rule, index, labels, time, value, flags);
}

function ruleAt(index: u32): usize {
  return RULESET + load<u32>(RULESET, layout.HEADER_RULES_OFFSET) + <usize>index * layout.RULE_SIZE;
}

/** The count of a threshold's window, this match included. */
function countMatch(rule: usize, index: u32, by: u64, time: i64, windowMs: i64): u64 {
  const field = load<u32>(rule, layout.RULE_DISTINCT_FIELD);
  if (field == layout.NONE) return countInWindow(index, by, time, windowMs);
  if (fieldType(field) == layout.TYPE_ABSENT) return 0;
  const text = fieldText(field);
  const count = countDistinct(index, by, hashText(text, fieldTextSize(field)), time, windowMs);
  return count < layout.DISTINCT_COUNT_MAX ? count : count | AT_LEAST;
}

/** An alert is due: it is sent, unless one of its label set was just before, or too many were this second. */
function send(rule: usize, index: u32, labels: usize, time: i64, value: u64, flags: u32): void {
  const hash = fingerprint(rule, labels, u64.MAX_VALUE);
  const realertMs = load<i64>(rule, layout.RULE_REALERT_MS);
  const coolDown = realertMs == 0 ? <usize>0 : coolDownOf(index, hash);
  if (coolDown != 0 && isCooling(coolDown, time, realertMs)) {
    addSuppressed(coolDown);
    return;
  }
  // Who asks for every match (`realert: 0s`) gets every match.
  if (realertMs != 0 && !takeRate(time)) {
    tellElsewhere(1);
    return;
  }
  let suppressed: u64 = 0;
  if (coolDown != 0) {
    startCooling(coolDown, time, realertMs);
    suppressed = takeSuppressed(coolDown);
  }
  const others = takeElsewhere();
  // While warming, the alert went out when the record was first read, and told what it had to tell.
  if ((flags & layout.FLAG_WARM) == 0)
    addAlert(rule, labels, hash, FIRING, time, NO_END, value, suppressed, others);
}

// ── Absence ─────────────────────────────────────────────────────────────────────────────────────────

/** A key that an absence waits for was seen. If it was missing, that has ended. */
function onSeen(rule: usize, index: u32, by: u64, labels: usize, time: i64, windowMs: i64, flags: u32): void {
  const link = absenceOf(index, by);
  const since = link == 0 ? NEVER : missingSince(link);
  if (since != NEVER) {
    if (time + windowMs <= clockTime()) return; // late: it was missing again, and is
    // A time that is not believed must not end it in the future.
    tellAbsence(link, since, max(since, min(time, clockTime())), flags);
  }
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX);
  if (packed == 0) return;
  const end = packLabels(rule, labels, packed, layout.ABSENCE_LABELS_SIZE_MAX);
  // Labels too long to be kept: those that it had before stay.
  const size = end != 0 ? end - packed : link != 0 ? readLabels(link, packed) : 0;
  if (size != 0) seeKey(index, by, time, windowMs, packed, size);
  else countEvicted(); // the key can't be waited for
}

/** Adds the alert of an absence, with the labels that its key had when it was seen. */
function tellAbsence(link: u32, since: i64, endsAt: i64, flags: u32): void {
  const rule = ruleAt(absenceRule(link));
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX + layout.SLOT_DATA_SIZE);
  if (packed == 0 || readLabels(link, packed) == 0) return;
  const labels = unpackLabels(rule, packed);
  if (labels == 0) return;
  const status = endsAt == NO_END ? FIRING : RESOLVED;
  const others = takeElsewhere();
  if ((flags & layout.FLAG_WARM) != 0) return;
  addAlert(rule, labels, fingerprint(rule, labels, u64.MAX_VALUE), status, since, endsAt, 1, 0, others);
}

/** Tells of keys that have not been seen for too long. */
function tellDue(flags: u32): void {
  const clock = clockTime();
  let count: u32 = 0;
  beginDue();
  for (let link = nextAbsence(1); link != 0; link = nextAbsence(link + 1)) {
    const due = absenceSeen(link) + load<i64>(ruleAt(absenceRule(link)), layout.RULE_WINDOW_MS);
    if (due > clock || count == layout.DUE_COUNT_MAX) {
      postpone(due);
      continue;
    }
    count++;
    tellAbsence(link, due, NO_END, flags);
    markMissing(link, due);
  }
}

/** Tells the time. NO_ALERT, ALERT (then there may be more: call again) or TOO_LARGE. */
export function tellTime(sec: u32, nsec: u32): i32 {
  begin();
  const time = toMs(sec, nsec);
  setClock(time);
  if (mayBeDue()) tellDue(0);
  if (!hasAlerts()) tellOthers(time);
  if (alertsExhausted()) return layout.TOO_LARGE;
  if (!hasAlerts()) return layout.NO_ALERT;
  return writeBody() ? layout.ALERT : layout.TOO_LARGE;
}

/** When no other alert comes to tell of what was held back, one of its own does. */
function tellOthers(time: i64): void {
  const index = load<u32>(RULESET, layout.HEADER_NOTICE_RULE);
  if (index == layout.NONE || untoldElsewhere() == 0) return;
  const rule = ruleAt(index);
  const labels = renderLabels(rule);
  if (labels == 0) return;
  const hash = fingerprint(rule, labels, u64.MAX_VALUE);
  const realertMs = load<i64>(rule, layout.RULE_REALERT_MS);
  const coolDown = coolDownOf(index, hash);
  if (coolDown == 0 || isCooling(coolDown, time, realertMs)) return;
  startCooling(coolDown, time, realertMs);
  addAlert(rule, labels, hash, FIRING, time, NO_END, 1, 0, takeElsewhere());
}

/** Scans a whole record and decides nothing: its atoms can then be asked one by one. False when malformed. */
export function examineRecord(record: usize, end: usize): bool {
  begin();
  const scanned = scan(record, end, epoch, true);
  dropCandidates();
  if (scanned != SCAN_MALFORMED) scanLate(record, end);
  return scanned != SCAN_MALFORMED;
}
