// Counting: hits → alerts. Everything that needs memory: thresholds, cool-downs, sequences, absences, the rate cap. What
// it remembers is in `state`.
//
// An alert changes what is remembered of it (a cool-down begins, suppressed matches are reported, a key is missing) when
// it is told, and not before: `markTold`. So no cool-down stands for an alert that nobody got.
import * as layout from './layout';
import {
  ALERT_EFFECT,
  ALERT_KEY,
  ALERT_LABELS,
  ALERT_NEXT,
  ALERT_RULE,
  ALERT_STARTS,
  ALERT_TENANT,
  ALERT_TIME,
  EFFECT_ALERT,
  EFFECT_CAPPED,
  EFFECT_MISSING,
  EFFECT_NONE,
  FIRING,
  NO_END,
  RESOLVED,
  WITHOUT_RECORD,
  addAlert,
  alertBlocksSizeMax,
  alertSizeMax,
  alerts,
  bodySizeMax,
  bodySizeWith,
  fingerprint,
  hasAlerts,
  packLabels,
  setEffect,
  takeRoom,
  unpackLabels,
  useCaptures,
  writeBody,
} from './alert';
import {
  HIT_ANNOTATIONS,
  HIT_CAPTURES,
  HIT_DISTINCT,
  HIT_HAS_DISTINCT,
  HIT_LABELS,
  HIT_ORDINAL,
  HIT_RULE,
  HIT_TIME,
  MARK_KEY,
  MARK_SEEN,
  MARK_TOLD,
  writeMark,
} from './hit';
import { BLOCK_EXTRA, RULESET, allocate, isExhausted, markExhausted, reserve } from './memory';
import { beginOutput, writeByte } from './output';
import {
  AT_LEAST,
  NEVER,
  SLOT_DATA_SIZE,
  absenceHash,
  absenceOf,
  addCapped,
  addSuppressed,
  advanceSequence,
  beginDue,
  cappedCount,
  cappedSince,
  cappedTenant,
  claimedSeen,
  clearCapped,
  reportElsewhere,
  clearSuppressed,
  clockTime,
  coolDownOf,
  countDistinct,
  countEvicted,
  countInWindow,
  endClock,
  hasRate,
  isCooling,
  knownCoolDown,
  keepCapped,
  lastSeen,
  lookAgainAt,
  markMissing,
  mayBeDue,
  missingSince,
  missingTold,
  moveClock,
  nextAbsence,
  nextCapped,
  readCapped,
  readLabels,
  seeKey,
  setClock,
  settleSeen,
  slotRule,
  startCooling,
  suppressedElsewhere,
  suppressedSince,
  takeRate,
} from './state';

export function ruleAt(index: u32): usize {
  return RULESET + load<u32>(RULESET, layout.HEADER_RULES_OFFSET) + <usize>index * layout.RULE_SIZE;
}

function indexOf(rule: usize): u32 {
  return <u32>((rule - ruleAt(0)) / layout.RULE_SIZE);
}

/** A record says that the stream has come to `time`. */
export function countTime(time: i64): void {
  moveClock(time);
}

/** What a hit comes to: it is counted, and its alert is added when one is due. */
export function countHit(hit: usize, flags: u32): void {
  const rule = load<usize>(hit, HIT_RULE);
  const index = indexOf(rule);
  const kind = load<u32>(rule, layout.RULE_KIND);
  if (kind == layout.KIND_EACH) {
    fire(hit, 1, flags);
    return;
  }
  const time = load<i64>(hit, HIT_TIME);
  const by = fingerprint(rule, load<usize>(hit, HIT_LABELS), load<u64>(rule, layout.RULE_BY_MASK));
  const windowMs = load<i64>(rule, layout.RULE_WINDOW_MS);
  const wanted = load<u32>(rule, layout.RULE_COUNT);
  const wasTold = (flags & layout.FLAG_TOLD) != 0; // whatever of its window lies before the look-back
  if (kind == layout.KIND_THRESHOLD) {
    const value = countMatch(hit, index, by, time, windowMs, wanted);
    if ((value & ~AT_LEAST) >= <u64>wanted || wasTold) fire(hit, value, flags);
  } else if (kind == layout.KIND_SEQUENCE) {
    const isComplete = advanceSequence(index, by, load<u32>(hit, HIT_ORDINAL), wanted, time, windowMs);
    if (isComplete || wasTold) fire(hit, 1, flags);
  } else see(hit, index, by, windowMs, flags);
}

/** The count of a threshold's window, this match included. */
function countMatch(hit: usize, index: u32, by: u64, time: i64, windowMs: i64, wanted: u32): u64 {
  if (load<u32>(hit, HIT_HAS_DISTINCT) == 0) return countInWindow(index, by, time, windowMs, wanted);
  const count = countDistinct(index, by, load<u64>(hit, HIT_DISTINCT), time, windowMs);
  return count < layout.DISTINCT_COUNT_MAX ? count : count | AT_LEAST;
}

/** An alert is due: it is added, unless its label set is cooling down, or its rule and tenant have had too many. */
function fire(hit: usize, value: u64, flags: u32): void {
  const rule = load<usize>(hit, HIT_RULE);
  const index = indexOf(rule);
  const labels = load<usize>(hit, HIT_LABELS);
  const time = load<i64>(hit, HIT_TIME);
  const hash = fingerprint(rule, labels, u64.MAX_VALUE);
  const tenant = tenantOf(rule, labels);
  const realertMs = load<i64>(rule, layout.RULE_REALERT_MS);
  // Who asks for every match (`realert: 0s`) gets every match.
  const coolDown = realertMs == 0 ? <usize>0 : knownCoolDown(index, hash);
  if (flags & layout.FLAG_TOLD) {
    beginCoolDown(index, hash, tenant, time, realertMs);
    return;
  }
  if (coolDown != 0 && isCooling(coolDown, time, realertMs)) {
    addSuppressed(coolDown);
    return;
  }
  if (realertMs != 0 && !hasRate(index, tenant, time)) {
    cap(rule, index, tenant, labels, time);
    return;
  }
  // Counted before: this is a copy of a hit whose alert was told before the look-back begins.
  if (flags & layout.FLAG_WARM) return;
  // A body has room for so many alerts, whoever asks for them.
  if (!takeRoom(alertSizeMax(rule, labels))) {
    cap(rule, index, tenant, labels, time);
    return;
  }
  const suppressed = coolDown == 0 ? 0 : suppressedSince(coolDown);
  const others = cappedCount(index, tenant) + takeElsewhere();
  useCaptures(load<usize>(hit, HIT_CAPTURES));
  addAlert(
    rule,
    labels,
    load<usize>(hit, HIT_ANNOTATIONS),
    hash,
    FIRING,
    time,
    NO_END,
    value,
    suppressed,
    others,
  );
  setEffect(EFFECT_ALERT, hash, tenant, time);
}

/** What is suppressed elsewhere is reported by the first alert of a body. */
function takeElsewhere(): u64 {
  if (hasAlerts()) return 0;
  reportedElsewhere = suppressedElsewhere();
  return reportedElsewhere;
}

let reportedElsewhere: u64 = 0;

/** The tenant of an alert is its namespace. */
function tenantOf(rule: usize, labels: usize): u64 {
  const label = <u32>load<u16>(rule, layout.RULE_NAMESPACE_LABEL);
  return label == layout.NO_LABEL ? 0 : fingerprint(rule, labels, (<u64>1) << (<u64>label));
}

/** Counts an alert above the rate cap, and keeps the labels of the first. */
function cap(rule: usize, index: u32, tenant: u64, labels: usize, time: i64): void {
  if (!addCapped(index, tenant, time)) return;
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX);
  if (packed == 0) return;
  const end = packLabels(rule, labels, packed, layout.ABSENCE_LABELS_SIZE_MAX);
  if (end != 0) keepCapped(index, tenant, packed, end - packed);
}

function beginCoolDown(index: u32, hash: u64, tenant: u64, time: i64, realertMs: i64): void {
  clearCapped(index, tenant);
  if (realertMs == 0) return;
  takeRate(index, tenant, time);
  const coolDown = coolDownOf(index, hash);
  if (coolDown == 0) return;
  startCooling(coolDown, time, realertMs);
  clearSuppressed(coolDown);
}

// ── Memory ──────────────────────────────────────────────────────────────────────────────────────────
// What alerts may need is reserved before anything is counted, so a record is counted in full or not at all.

let blocksSize: usize = 0; // what the alerts of the hits may need: blocks,
let jsonSize: usize = 0; // their JSON,
let jsonSizeMax: usize = 0; // and the JSON of the longest
let absenceSizeMax: usize = 0; // bytes that one alert of an absence and its body may need

/** Reads from the rules what is to be reserved. */
export function placeCount(): void {
  for (let rule: u32 = 0; rule < load<u32>(RULESET, layout.HEADER_RULE_COUNT); rule++) {
    if (load<u32>(ruleAt(rule), layout.RULE_KIND) == layout.KIND_ABSENCE)
      absenceSizeMax = max(absenceSizeMax, keptSizeMax(ruleAt(rule)));
  }
}

export function beginReserve(): void {
  reportedElsewhere = 0;
  blocksSize = 0;
  jsonSize = 0;
  jsonSizeMax = 0;
}

/** Adds up what the alert of a hit may need. */
export function measureHit(rule: usize, labels: usize): void {
  const isAbsence = load<u32>(rule, layout.RULE_KIND) == layout.KIND_ABSENCE;
  const size = alertSizeMax(rule, isAbsence ? 0 : labels);
  // An absence may have two: that the key is missing, and that it is back.
  const count: usize = isAbsence ? 2 : 1;
  blocksSize += count * (alertBlocksSizeMax(rule, 0) + absenceBlocksSizeMax(rule));
  jsonSize = min(jsonSize + count * size, layout.BODY_SIZE_MAX);
  jsonSizeMax = max(jsonSizeMax, size);
}

/** Makes sure that the hits can be counted, and one absence be told. False when there is no memory for it. */
export function reserveAlerts(): bool {
  blocksSize += absenceSizeMax;
  if (jsonSize != 0) blocksSize += jsonSize + bodySizeMax(jsonSize, jsonSizeMax);
  if (!isExhausted() && !reserve(blocksSize)) markExhausted();
  return !isExhausted();
}

/** Bytes that the labels of an absence may take while they are packed and unpacked. */
function absenceBlocksSizeMax(rule: usize): usize {
  const references = (<usize>load<u32>(rule, layout.RULE_LABEL_COUNT) + 1) << 3;
  return 2 * layout.ABSENCE_LABELS_SIZE_MAX + SLOT_DATA_SIZE + references + 3 * BLOCK_EXTRA;
}

/** Bytes that one more alert with kept labels, and the body with it, may need. */
function keptSizeMax(rule: usize): usize {
  const size = alertSizeMax(rule, 0);
  return absenceBlocksSizeMax(rule) + alertBlocksSizeMax(rule, size) + bodySizeWith(size);
}

// ── Absence ─────────────────────────────────────────────────────────────────────────────────────────

/** A key that an absence waits for was seen. If it was missing, that has ended. */
function see(hit: usize, index: u32, by: u64, windowMs: i64, flags: u32): void {
  const rule = load<usize>(hit, HIT_RULE);
  const labels = load<usize>(hit, HIT_LABELS);
  const time = load<i64>(hit, HIT_TIME);
  const link = absenceOf(index, by);
  if (link != 0) {
    settle(link, flags);
    const since = missingSince(link);
    // A time that is not believed must not end it in the future.
    const seen = min(time, clockTime());
    if (since != NEVER) {
      if (time + windowMs <= clockTime()) return; // late: it was missing again, and is
      tellAbsence(link, since, max(since, seen), flags);
    } else if (seen - lastSeen(link) >= windowMs) tellGap(link, seen, flags);
  }
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX);
  if (packed == 0) return;
  const end = packLabels(rule, labels, packed, layout.ABSENCE_LABELS_SIZE_MAX);
  // Labels too long to be kept: those that it had before stay.
  const size = end != 0 ? end - packed : link != 0 ? readLabels(link, packed) : 0;
  if (size != 0) seeKey(index, by, time, windowMs, packed, size);
  else countEvicted(); // the key can't be waited for
}

/** What records claimed of a key ahead of the clock counts when the clock has come there; a gap before it is told. */
function settle(link: u32, flags: u32): void {
  const claimed = claimedSeen(link);
  const windowMs = load<i64>(ruleAt(slotRule(link)), layout.RULE_WINDOW_MS);
  if (claimed != NEVER && missingSince(link) == NEVER && claimed - lastSeen(link) >= windowMs)
    tellGap(link, claimed, flags);
  settleSeen(link);
}

/** Adds both alerts of a silence that ended before anything else said that it lasted. */
function tellGap(link: u32, end: i64, flags: u32): void {
  const since = lastSeen(link) + load<i64>(ruleAt(slotRule(link)), layout.RULE_WINDOW_MS);
  tellAbsence(link, since, NO_END, flags);
  setEffect(EFFECT_NONE, 0, 0, 0); // it is not missing any more
  tellAbsence(link, since, end, flags);
}

/** Adds the alert of an absence, with the labels that its key had when it was seen. */
function tellAbsence(link: u32, since: i64, endsAt: i64, flags: u32): void {
  if (flags & layout.FLAG_WARM) return;
  const rule = ruleAt(slotRule(link));
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX + SLOT_DATA_SIZE);
  if (packed == 0 || readLabels(link, packed) == 0) return;
  const labels = unpackLabels(rule, packed);
  if (labels == 0) return;
  if (!takeRoom(alertSizeMax(rule, labels))) return; // while it lasts, the next call tells it
  const status = endsAt == NO_END ? FIRING : RESOLVED;
  const others = takeElsewhere();
  addAlert(
    rule,
    labels,
    WITHOUT_RECORD,
    fingerprint(rule, labels, u64.MAX_VALUE),
    status,
    since,
    endsAt,
    1,
    0,
    others,
  );
  setEffect(status == FIRING ? EFFECT_MISSING : EFFECT_NONE, absenceHash(link), 0, clockTime());
}

/** Adds alerts of keys that have not been seen for too long. */
export function tellDue(flags: u32): void {
  if (!mayBeDue()) return;
  const clock = clockTime();
  let count: u32 = 0;
  beginDue();
  for (let link = nextAbsence(1); link != 0; link = nextAbsence(link + 1)) {
    const rule = ruleAt(slotRule(link));
    settle(link, flags);
    const since = missingSince(link);
    const realertMs = load<i64>(rule, layout.RULE_REALERT_MS);
    const due =
      since == NEVER
        ? lastSeen(link) + load<i64>(rule, layout.RULE_WINDOW_MS)
        : missingTold(link) + realertMs;
    if (since != NEVER && realertMs == 0) continue; // told once
    // Memory for one is reserved. Without memory for more, the next call brings the rest.
    if (
      due > clock ||
      count == layout.DUE_COUNT_MAX ||
      flags & layout.FLAG_WARM ||
      (count != 0 && !reserve(keptSizeMax(rule)))
    ) {
      lookAgainAt(due);
      continue;
    }
    count++;
    tellAbsence(link, since == NEVER ? due : since, NO_END, flags);
    lookAgainAt(clock); // until it is told
  }
}

/** The host says that it is `time`. */
export function passTime(time: i64): void {
  setClock(time);
  tellDue(0);
  if (!hasAlerts()) tellCapped(time);
}

/** The stream has ended: what its last records say of the time is believed. */
export function passEnd(): void {
  endClock();
  tellDue(0);
  if (!hasAlerts()) tellCapped(TIME_MAX);
}

/** When no other alert reports what the rate cap held, one with the labels of the first capped alert does. */
function tellCapped(time: i64): void {
  let count: u32 = 0;
  for (
    let link = nextCapped(1, time);
    link != 0 && count < layout.DUE_COUNT_MAX;
    link = nextCapped(link + 1, time)
  ) {
    const rule = ruleAt(slotRule(link));
    if (!reserve(keptSizeMax(rule))) return;
    const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX + SLOT_DATA_SIZE);
    const size = readCapped(link, packed);
    if (size == 0) continue;
    const labels = unpackLabels(rule, packed);
    if (labels == 0) return;
    const hash = fingerprint(rule, labels, u64.MAX_VALUE);
    if (!takeRoom(alertSizeMax(rule, labels))) return;
    const held = cappedCount(slotRule(link), cappedTenant(link));
    addAlert(rule, labels, WITHOUT_RECORD, hash, FIRING, cappedSince(link), NO_END, held, 0, held - 1);
    setEffect(EFFECT_CAPPED, hash, cappedTenant(link), cappedSince(link));
    count++;
  }
}

/** After any time that can be written. */
const TIME_MAX: i64 = 300000000000000;

// ── Telling ─────────────────────────────────────────────────────────────────────────────────────────

/** Writes the body of the alerts. `tellsAtOnce`: who gets the body has been told; else `markTold` follows. */
export function answerAlerts(tellsAtOnce: bool): i32 {
  if (isExhausted()) return layout.TOO_LARGE;
  if (!hasAlerts()) return layout.NO_ALERT;
  if (!writeBody()) return layout.TOO_LARGE;
  if (tellsAtOnce) markTold();
  return layout.ALERT;
}

/** The alerts of the last body were told. */
export function markTold(): void {
  reportElsewhere(reportedElsewhere);
  reportedElsewhere = 0;
  for (let alert = alerts(); alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    const rule = load<usize>(alert, ALERT_RULE);
    const index = indexOf(rule);
    const effect = load<u32>(alert, ALERT_EFFECT);
    if (effect == EFFECT_ALERT || effect == EFFECT_CAPPED)
      beginCoolDown(
        index,
        load<u64>(alert, ALERT_KEY),
        load<u64>(alert, ALERT_TENANT),
        load<i64>(alert, ALERT_TIME),
        load<i64>(rule, layout.RULE_REALERT_MS),
      );
    else if (effect == EFFECT_MISSING) {
      const link = absenceOf(index, load<u64>(alert, ALERT_KEY));
      if (link != 0) markMissing(link, load<i64>(alert, ALERT_STARTS), load<i64>(alert, ALERT_TIME));
    }
  }
}

/** Writes a mark for each absence in the last body, one a line. False when there is none, or no memory. */
export function writeMarks(): bool {
  beginOutput(1024);
  let count: u32 = 0;
  for (let alert = alerts(); alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    if (load<u32>(alert, ALERT_EFFECT) != EFFECT_MISSING) continue;
    const rule = load<usize>(alert, ALERT_RULE);
    const since = load<i64>(alert, ALERT_STARTS);
    const seen = since - load<i64>(rule, layout.RULE_WINDOW_MS);
    writeMark(
      RULESET,
      rule,
      load<u64>(alert, ALERT_KEY),
      seen,
      load<i64>(alert, ALERT_TIME),
      load<usize>(alert, ALERT_LABELS),
    );
    writeByte(0x0a);
    count++;
  }
  return count != 0 && !isExhausted();
}

/** Takes a mark: its key is missing, and an alert said so. */
export function recordMark(mark: usize): void {
  const rule = load<usize>(mark, HIT_RULE);
  const index = indexOf(rule);
  const windowMs = load<i64>(rule, layout.RULE_WINDOW_MS);
  const key = load<u64>(mark, MARK_KEY);
  const seen = load<i64>(mark, MARK_SEEN);
  const told = load<i64>(mark, MARK_TOLD);
  let link = absenceOf(index, key);
  if (link != 0 && lastSeen(link) > seen) return; // it was seen again since
  if (link == 0) {
    const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX);
    if (packed == 0) return;
    const end = packLabels(rule, load<usize>(mark, HIT_LABELS), packed, layout.ABSENCE_LABELS_SIZE_MAX);
    if (end == 0) return;
    if (clockTime() < seen) moveClock(seen);
    seeKey(index, key, seen, windowMs, packed, end - packed);
    link = absenceOf(index, key);
    if (link == 0) return;
  }
  markMissing(link, seen + windowMs, told);
  lookAgainAt(told + load<i64>(rule, layout.RULE_REALERT_MS));
}
