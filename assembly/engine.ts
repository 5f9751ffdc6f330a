// Matching: one record → its hits. It remembers nothing of a record. `count` takes the hits, here at once or elsewhere
// from their JSON; `index` has the doors to both.
import * as layout from './layout';
import { beginActive } from './active';
import { noteHit, wasCounted, wasTold } from './again';
import { beginAlerts, fingerprint } from './alert';
import { beginBudget, takeSteps } from './budget';
import { hashText } from './bytes';
import { beginCandidates, dropCandidates, findNeedles, nextCandidate, placeCandidates } from './candidate';
import { beginConditions, extractCaptures, meets, placeConditions } from './condition';
import {
  answerAlerts,
  beginReserve,
  countHit,
  countMark,
  countTime,
  countTold,
  expect,
  expectAll,
  hasSample,
  keyOf,
  measureHit,
  passEnd,
  passTime,
  placeCount,
  reserveAlerts,
  ruleAt,
  tellAgain,
  tellDue,
} from './count';
import { beginDerivations, placeDerivations, typeOf } from './derive';
import {
  HIT_ANNOTATIONS,
  HIT_BY,
  HIT_DISTINCT,
  HIT_HAS_DISTINCT,
  HIT_IS_TOLD,
  HIT_NEXT,
  HIT_ORDINAL,
  HIT_RULE,
  HIT_SAMPLE,
  HIT_SIZE,
  HIT_TIME,
  isMark,
  readHit,
  readMark,
  writeHit,
} from './hit';
import { RULESET, allocate, clearExhausted, isExhausted, startArena } from './memory';
import { beginOutput, writeByte } from './output';
import { beginRecord, fieldText, fieldTextSize, fieldType, placeRecord } from './record';
import { RULESET_ABSENT, RULESET_OK, checkRuleset } from './ruleset';
import { SCAN_MALFORMED, SCAN_REJECTED, placeScan, scan, scanLate } from './scan';
import { NEVER, clearState, clockTime, placeState, setClock } from './state';
import {
  NOTHING,
  STAGE_COUNT,
  STAGE_HIT,
  STAGE_RECORD,
  SUBJECT_CAPTURES,
  SUBJECT_LABELS,
  SUBJECT_SAMPLES,
  SUBJECT_STAGE,
  allocateReferences,
  renderAnnotations,
  renderLabels,
  renderSample,
  templateCountOf,
} from './template';
import { NO_TIME, parseTimeAs, toMs } from './time';

const EPOCH_MAX: u32 = 0x3fffffff;

let matches: usize = 0; // u32 for each rule: how often it matched
let scratch: usize = 0;
let scratchEnd: usize = 0;
let epoch: u32 = 0;
let firstHit: usize = 0;
let lastHit: usize = 0;

/** True when a ruleset is loaded, false for the bare core. Traps on a ruleset that can't be trusted. */
export const loaded = start();

function start(): bool {
  const status = checkRuleset(RULESET, ((<usize>memory.size()) << 16) - RULESET);
  if (status == RULESET_ABSENT) return false;
  if (status != RULESET_OK) unreachable();
  matches = (RULESET + load<u32>(RULESET, layout.HEADER_SIZE_TOTAL) + 15) & ~15;
  scratch = placeCount(matches + (((<usize>load<u32>(RULESET, layout.HEADER_RULE_COUNT) + 1) & ~1) << 2));
  let at = scratch;
  at = placeRecord(RULESET, at);
  at = placeCandidates(RULESET, at);
  at = placeScan(RULESET, at);
  at = placeConditions(RULESET, at);
  at = placeDerivations(RULESET, at);
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

/** Matches of all rules. */
export function allMatches(): u32 {
  return matched;
}

/** Records that matched and that are counted at the time of the host. */
export function untimedMatches(): u32 {
  return untimed;
}

/** Matches the record at `record` … `end`; returns NO_ALERT, ALERT (the body is the output), HIT, MALFORMED or TOO_LARGE. */
export function matchRecord(record: usize, end: usize, sec: u32, nsec: u32, flags: u32): i32 {
  const answer = findHits(record, end, sec, nsec, flags);
  return answer == layout.HIT && (flags & layout.FLAG_HITS) == 0 ? countHits(flags) : answer;
}

let recordTime: i64 = 0; // of the record that `findHits` read
let hasOwnTime: bool = false; // and whether the record itself says it
let untimed: u32 = 0; // records that matched and do not say their time
let matched: u32 = 0; // matches of all rules
let hasClock: bool = false; // its time counts, for absences

/**
 * Finds the hits of a record. Returns HIT when there is something to count: hits, or for absences the record's time.
 * Otherwise NO_ALERT, MALFORMED or TOO_LARGE.
 */
export function findHits(record: usize, end: usize, sec: u32, nsec: u32, flags: u32): i32 {
  begin();
  const scanned = scan(record, end, epoch, (flags & layout.FLAG_WHOLE) != 0);
  if (scanned == SCAN_REJECTED) return isExhausted() ? layout.TOO_LARGE : layout.NO_ALERT; // never with an absence: its clock needs every record's time
  if (scanned == SCAN_MALFORMED) return giveUp(layout.MALFORMED);
  findNeedles();
  let step = nextCandidate();
  hasClock = load<u32>(RULESET, layout.HEADER_HAS_ABSENCE) != 0 && (flags & layout.FLAG_HITS) == 0;
  if (step < 0 && !hasClock) return isExhausted() ? layout.TOO_LARGE : layout.NO_ALERT;
  recordTime = NO_TIME;
  if (hasClock || load<u32>(RULESET, layout.HEADER_HAS_ACTIVE) != 0) {
    if (!scanLate(record, end)) return giveUp(layout.MALFORMED);
    recordTime = timeOf(sec, nsec, flags);
    beginActive(RULESET, recordTime);
  }
  for (; step >= 0 && !isExhausted(); step = nextCandidate()) {
    if (!meets(step)) continue;
    if (recordTime == NO_TIME) {
      if (!scanLate(record, end)) return giveUp(layout.MALFORMED);
      recordTime = timeOf(sec, nsec, flags);
    }
    keepHit(stepAt(step), recordTime, flags);
  }
  dropCandidates();
  if (isExhausted()) return layout.TOO_LARGE;
  if (firstHit != 0 && !hasOwnTime) untimed++;
  return firstHit == 0 && !hasClock ? layout.NO_ALERT : layout.HIT;
}

/** Counts what `findHits` found; returns NO_ALERT, ALERT or TOO_LARGE. */
export function countHits(flags: u32): i32 {
  return countRecordHits(flags, 0);
}

/** Like `countHits`, for a record of this id, which may have been counted before: then its hits are not counted again. */
export function countHitsOnce(id: u64): i32 {
  const answer = countRecordHits(0, id);
  if (answer == layout.TOO_LARGE) return answer;
  for (let hit = firstHit; hit != 0; hit = load<usize>(hit, HIT_NEXT))
    noteHit(hitId(id, hit), load<u32>(hit, HIT_IS_TOLD) != 0);
  return answer;
}

function hitId(id: u64, hit: usize): u64 {
  const rule = load<u64>(load<usize>(hit, HIT_RULE), layout.RULE_FINGERPRINT);
  return id ^ rotl<u64>(rule, <u64>load<u32>(hit, HIT_ORDINAL));
}

/** `id` is 0 for a record that comes only once. */
function countRecordHits(flags: u32, id: u64): i32 {
  if (!reserveAlerts()) return layout.TOO_LARGE;
  if (hasClock) {
    const isFirst = clockTime() == NEVER;
    countTime(recordTime);
    if (isFirst && (flags & layout.FLAG_EXPECT) != 0) expectAll(recordTime);
  }
  for (let hit = firstHit; hit != 0; hit = load<usize>(hit, HIT_NEXT)) {
    if (id == 0) countHit(hit);
    else countOnce(hit, hitId(id, hit));
  }
  if (hasClock) tellDue();
  return answerAlerts(true);
}

function countOnce(hit: usize, id: u64): void {
  store<u32>(hit, 0, HIT_IS_TOLD);
  if (wasTold(id)) tellAgain(hit);
  else if (!wasCounted(id)) countHit(hit);
}

function giveUp(answer: i32): i32 {
  dropCandidates();
  return answer;
}

function stepAt(index: u32): usize {
  return RULESET + load<u32>(RULESET, layout.HEADER_STEPS_OFFSET) + <usize>index * layout.STEP_SIZE;
}

/** Prepares everything for a new record. An epoch marks what belongs to it, so nothing has to be cleared. */
function begin(): void {
  if (epoch == EPOCH_MAX) {
    memory.fill(scratch, 0, scratchEnd - scratch);
    epoch = 0;
  }
  epoch++;
  clearExhausted();
  beginBudget();
  firstHit = 0;
  lastHit = 0;
  fault = layout.TIME_FAULT_NONE;
  beginReserve();
  beginRecord();
  beginCandidates(epoch);
  beginConditions(epoch);
  beginDerivations(epoch);
  beginAlerts();
}

/** The event time of a record whose late fields have been read. */
function timeOf(sec: u32, nsec: u32, flags: u32): i64 {
  if (flags & layout.FLAG_RECORD_TIME) {
    const time = recordTimeOf();
    hasOwnTime = time != NO_TIME;
    if (hasOwnTime) return time;
  }
  hasOwnTime = false;
  return toMs(sec, nsec);
}

let fault: u32 = 0;

/** One of TIME_FAULT_…: why the last record that matched has no time of its own. */
export function timeFaultOfRecord(): u32 {
  return fault;
}

/** The time that the record says, or NO_TIME. */
function recordTimeOf(): i64 {
  fault = layout.TIME_FAULT_MISSING;
  let at = RULESET + load<u32>(RULESET, layout.HEADER_TIMES_OFFSET);
  for (let i: u32 = 0; load<u32>(at, layout.TIME_FIELD) != layout.NONE; i++) {
    const field = load<u32>(at, layout.TIME_FIELD);
    const type = fieldType(field);
    if (type != layout.TYPE_ABSENT) {
      const text = fieldText(field);
      const form = load<u32>(at, layout.TIME_FORMAT);
      const time = parseTimeAs(form, type, text, text + fieldTextSize(field), RULESET);
      if (time != NO_TIME) {
        fault = layout.TIME_FAULT_NONE;
        return time;
      }
      if (fault == layout.TIME_FAULT_MISSING) fault = layout.TIME_FAULT_FIELDS + i;
    }
    at += layout.TIME_SIZE;
  }
  return NO_TIME;
}

/** Keeps the hit of a step that the record meets, with all that it needs from the record. */
function keepHit(step: usize, time: i64, flags: u32): void {
  const index = load<u32>(step, layout.STEP_RULE);
  const rule = ruleAt(index);
  const count = matches + ((<usize>index) << 2);
  store<u32>(count, load<u32>(count) + 1);
  matched++;
  const hit = allocate(HIT_SIZE);
  if (hit == 0 || !readDistinct(rule, hit)) return;
  store<usize>(hit, extractCaptures(step), SUBJECT_CAPTURES);
  store<u32>(hit, STAGE_RECORD, SUBJECT_STAGE);
  if (isExhausted() || !renderLabels(rule, hit)) return;
  store<usize>(hit, 0, HIT_NEXT);
  store<usize>(hit, rule, HIT_RULE);
  store<u32>(hit, load<u32>(step, layout.STEP_ORDINAL), HIT_ORDINAL);
  store<i64>(hit, time, HIT_TIME);
  store<usize>(hit, 0, HIT_ANNOTATIONS);
  store<u64>(hit, NOTHING, SUBJECT_SAMPLES);
  const isSampled = hasSample(rule, load<u32>(step, layout.STEP_ORDINAL));
  store<u64>(hit, isSampled ? renderSample(rule, hit) : NOTHING, HIT_SAMPLE);
  if (flags & layout.FLAG_HITS) {
    const annotations = allocateReferences(rule, false);
    if (annotations == 0) return;
    store<u32>(hit, STAGE_HIT, SUBJECT_STAGE);
    store<usize>(hit, annotations, HIT_ANNOTATIONS);
    if (makesAlert(rule, hit)) renderAnnotations(rule, annotations, hit);
    else memory.fill(annotations, 0, (<usize>templateCountOf(rule, false)) << 3);
  } else measureHit(hit);
  if (lastHit == 0) firstHit = hit;
  else store<usize>(lastHit, hit, HIT_NEXT);
  lastHit = hit;
}

/** Whether an alert may come of a hit: not of one that is only the rest of a ratio. */
function makesAlert(rule: usize, hit: usize): bool {
  return (
    load<u32>(rule, layout.RULE_KIND) != layout.KIND_RATIO || load<u32>(hit, HIT_ORDINAL) == layout.RATIO_PART
  );
}

/** Reads the value that `distinct` looks at; false when the rule needs one and the record has none. */
function readDistinct(rule: usize, hit: usize): bool {
  const field = load<u32>(rule, layout.RULE_DISTINCT_FIELD);
  store<u32>(hit, <u32>(field != layout.NONE), HIT_HAS_DISTINCT);
  if (field == layout.NONE) return true;
  if (typeOf(field) == layout.TYPE_ABSENT) return false;
  const text = fieldText(field);
  takeSteps(fieldTextSize(field));
  store<u64>(hit, hashText(text, fieldTextSize(field)), HIT_DISTINCT);
  return true;
}

/** Writes the hits that `matchRecord` found, one per line. `source` names the record. False when there is no memory. */
export function writeHits(source: usize, sourceSize: usize): bool {
  beginOutput(1024);
  for (let hit = firstHit; hit != 0; hit = load<usize>(hit, HIT_NEXT)) {
    store<u64>(hit, keyOf(hit), HIT_BY);
    writeHit(hit, source, sourceSize);
    writeByte(0x0a);
  }
  return !isExhausted();
}

/**
 * Counts a record of the hits topic that was written at `time`; returns NO_ALERT, ALERT, MALFORMED, TOO_LARGE or
 * UNKNOWN_RULE. The clock moves at least to `time`, so absences do not depend on earlier reports of the time.
 */
export function countRecord(text: usize, end: usize, time: i64, flags: u32): i32 {
  begin();
  if (time > clockTime()) setClock(time);
  const hit = allocate(HIT_SIZE);
  if (hit == 0) return layout.TOO_LARGE;
  const isHit = !isMark(text, end);
  const answer = isHit ? readHit(text, end, hit) : readMark(text, end, hit);
  if (answer != 0 || isExhausted()) return answer != 0 ? answer : layout.TOO_LARGE;
  if (!isHit) {
    countMark(hit);
    return layout.NO_ALERT;
  }
  store<u32>(hit, STAGE_COUNT, SUBJECT_STAGE);
  if (load<u32>(RULESET, layout.HEADER_HAS_ABSENCE) != 0) countTime(load<i64>(hit, HIT_TIME));
  if (flags & layout.FLAG_TOLD) countTold(hit);
  else countHit(hit);
  if (isExhausted()) return layout.TOO_LARGE;
  // A hit that was counted before may make an alert; it changes nothing as long as it is not told.
  return flags & (layout.FLAG_SILENT | layout.FLAG_TOLD) ? layout.NO_ALERT : answerAlerts(false);
}

/** Waits for the only key of an absence from now on; returns MARKS, or NO_ALERT when it is waited for already. */
export function expectKey(rule: u32, sec: u32, nsec: u32): i32 {
  begin();
  return expect(rule, toMs(sec, nsec)) ? layout.MARKS : layout.NO_ALERT;
}

/** Reports the time; returns NO_ALERT, ALERT (then there may be more: call again) or TOO_LARGE. */
export function tellTime(sec: u32, nsec: u32, tellsAtOnce: bool): i32 {
  begin();
  if (!reserveAlerts()) return layout.TOO_LARGE;
  passTime(toMs(sec, nsec));
  return answerAlerts(tellsAtOnce);
}

/** The stream has ended: like `tellTime`, for what its last records make due. */
export function tellEnd(): i32 {
  begin();
  if (!reserveAlerts()) return layout.TOO_LARGE;
  passEnd();
  return answerAlerts(true);
}

/** Scans a whole record and decides nothing: its atoms can then be tested one by one. False when malformed. */
export function examineRecord(record: usize, end: usize): bool {
  begin();
  const scanned = scan(record, end, epoch, true);
  dropCandidates();
  if (scanned != SCAN_MALFORMED) scanLate(record, end);
  beginActive(RULESET, timeOf(0, 0, layout.FLAG_RECORD_TIME));
  return scanned != SCAN_MALFORMED;
}
