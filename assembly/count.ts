// Counting: hits → alerts. It is everything that needs memory: thresholds, cool-downs, sequences, absences, the rate cap.
// What it remembers is in `state`.
//
// An alert changes what is remembered (a cool-down begins, suppressed matches are reported, a key is missing) when it has
// been told, and not before: `markTold`. So there is no cool-down for an alert that nobody received.
import * as layout from './layout';
import {
  ALERT_EFFECT,
  ALERT_HAS_SAMPLES,
  ALERT_ENDS,
  ALERT_KEY,
  ALERT_NEXT,
  ALERT_RULE,
  ALERT_SAMPLES_KEY,
  ALERT_STARTS,
  ALERT_STATUS,
  ALERT_TENANT,
  ALERT_TIME,
  EFFECT_COOL_DOWN,
  EFFECT_MISSING,
  EFFECT_OVERDUE,
  EFFECT_RESOLVED,
  NO_END,
  RESOLVED,
  addAlert,
  alertBlocksSizeMax,
  alertSizeMax,
  alerts,
  bodySizeMax,
  bodySizeWith,
  fingerprint,
  hasAlerts,
  lastAlert,
  newAlert,
  packLabels,
  takeRoom,
  unpackLabels,
} from './alert';
import { writeBody } from './body';
import { addressOf, sizeOf, textOf } from './bytes';
import { cut } from './function';
import {
  HIT_ANNOTATIONS,
  HIT_DISTINCT,
  HIT_HAS_DISTINCT,
  HIT_IS_TOLD,
  HIT_NEXT,
  HIT_ORDINAL,
  HIT_RULE,
  HIT_SAMPLE,
  HIT_SIZE,
  HIT_TIME,
  MARK_COUNT,
  MARK_KEY,
  MARK_KIND,
  MARK_TENANT,
  MARK_TIME,
  MARK_TOLD,
  writeMark,
} from './hit';
import { BLOCK_EXTRA, RULESET, allocate, isExhausted, markExhausted, reserve } from './memory';
import { beginOutput, writeByte } from './output';
import {
  AT_LEAST,
  CAPPED_SETS,
  IS_SHARE,
  NEVER,
  SAMPLE_BLOCK_SIZE,
  SLOT_DATA_SIZE,
  absenceHash,
  absenceOf,
  addCapped,
  addSample,
  addSuppressed,
  addToSet,
  advanceSequence,
  barSequence,
  beginDue,
  beginWaiting,
  cappedCount,
  cappedSince,
  cappedTenant,
  claimedSeen,
  clearCapped,
  clearSamples,
  clearSuppressed,
  clockTime,
  coolDownHash,
  coolDownOf,
  countDistinct,
  countEvicted,
  countInWindow,
  countKept,
  countShare,
  endClock,
  endCooling,
  endMissing,
  endWaiting,
  hasRate,
  isAwaited,
  isCooling,
  isKeyOfClock,
  isNew,
  isWaiting,
  isWatch,
  keepCapped,
  keepTime,
  knownCoolDown,
  lastSeen,
  lookAgainAt,
  markMissing,
  mayBeDue,
  missingSince,
  missingTold,
  moveClock,
  newestOfTimes,
  nextAbsence,
  nextCapped,
  nextUnsaid,
  oldestTime,
  readCapped,
  readFirst,
  readLabels,
  readLast,
  readSample,
  readWaiting,
  reportEvicted,
  restoreWatch,
  sampleCount,
  sampleText,
  seeAgain,
  seeKey,
  setClock,
  setSuppressed,
  setTrouble,
  settleSeen,
  slotAt,
  slotRule,
  startCooling,
  suppressedOfEvicted,
  suppressedSince,
  takeBack,
  takeRate,
  waitingHash,
  waitingOf,
  waitingSince,
  wasSeen,
  watchRule,
  watchedSince,
  writeSample,
} from './state';
import {
  NOTHING,
  STAGE_COUNT,
  SUBJECT_CAPTURES,
  SUBJECT_FIRST,
  SUBJECT_LABELS,
  SUBJECT_OTHERS,
  SUBJECT_SAMPLES,
  SUBJECT_STAGE,
  SUBJECT_SUPPRESSED,
  SUBJECT_VALUE,
  append,
  constantLabels,
  digitsOf,
  nameOf,
  needsRecord,
  templateCountOf,
  templatesOf,
  countingOf,
} from './template';

export function ruleAt(index: u32): usize {
  return RULESET + load<u32>(RULESET, layout.HEADER_RULES_OFFSET) + <usize>index * layout.RULE_SIZE;
}

function indexOf(rule: usize): u32 {
  return <u32>((rule - ruleAt(0)) / layout.RULE_SIZE);
}

function ruleCount(): u32 {
  return load<u32>(RULESET, layout.HEADER_RULE_COUNT);
}

let capped: usize = 0; // u32 for each rule: alerts that the rate cap suppressed
let absenceSizeMax: usize = 0; // bytes that one alert that the clock tells, and its body, may need

/** Takes memory at `at`, and returns the address after it. */
export function placeCount(at: usize): usize {
  capped = at;
  for (let index: u32 = 0; index < ruleCount(); index++) {
    const rule = ruleAt(index);
    if (isToldByClock(rule) || watchMs(rule) != 0)
      absenceSizeMax = max(absenceSizeMax, keptSizeMax(rule) * alertsAtOnce(rule));
  }
  return at + (((<usize>ruleCount() + 1) & ~1) << 2);
}

/** The address of the counts of alerts that the rate cap suppressed, u32 for each rule. */
export function cappedCounters(): usize {
  return capped;
}

function windowOf(rule: usize): i64 {
  return load<i64>(rule, layout.RULE_WINDOW_MS);
}

function isAbsence(rule: usize): bool {
  return load<u32>(rule, layout.RULE_KIND) == layout.KIND_ABSENCE;
}

/** Whether the alerts of a rule come when a time is over, with what was kept for them. */
function isToldByClock(rule: usize): bool {
  return isAbsence(rule) || (load<u32>(countingOf(rule), layout.COUNTING_ORDER) & layout.ORDER_WAITS) != 0;
}

/** How long the clock waits for a key of the rule: until it is missing, or its trouble is over. 0: it waits for none. */
function watchMs(rule: usize): i64 {
  return isAbsence(rule) ? windowOf(rule) : load<i64>(countingOf(rule), layout.COUNTING_RESOLVE_MS);
}

/** Alerts that one key may have at once: it is missing, and it is back; or its trouble is over, and there is a new one. */
function alertsAtOnce(rule: usize): usize {
  return watchMs(rule) != 0 ? 2 : 1;
}

// ── Hits ────────────────────────────────────────────────────────────────────────────────────────────

/** A record says that the stream has reached `time`. */
export function countTime(time: i64): void {
  moveClock(time);
}

/** Counts a hit, and adds its alert when one is due. */
export function countHit(hit: usize): void {
  const value = dueBy(hit);
  // Of a ratio, what keeps the trouble is a match that the share is above the limit with.
  const isMatch = value != 0 || load<u32>(load<usize>(hit, HIT_RULE), layout.RULE_KIND) != layout.KIND_RATIO;
  if (isMatch && keepsTrouble(hit)) seeTrouble(hit);
  if (value != 0) fire(hit, value);
}

/** Counts a hit whose alert was told, even if a part of its window is no longer remembered. */
export function countTold(hit: usize): void {
  const rule = load<usize>(hit, HIT_RULE);
  if (isToldByClock(rule)) {
    const link = isAbsence(rule) ? 0 : waitingOf(indexOf(rule), keyOf(hit));
    const labels = link == 0 ? <usize>0 : waitingLabels(link);
    // It was the alert of a sequence that had waited too long when the hit came.
    if (labels != 0) coolOverdue(rule, labels, waitingSince(link));
    if (link != 0) endWaiting(link);
    dueBy(hit);
    return;
  }
  dueBy(hit);
  clearSamples(indexOf(rule), keyOf(hit));
  const labels = load<usize>(hit, SUBJECT_LABELS);
  const hash = fingerprint(rule, labels, u64.MAX_VALUE);
  const time = load<i64>(hit, HIT_TIME);
  const link = keepsTrouble(hit) ? seeTrouble(hit) : 0;
  if (link != 0) endTrouble(rule, hash, troubleEnd(link));
  startCoolDown(rule, hash, tenantOf(rule, labels), time);
  startTrouble(rule, labels, hash, time, time);
}

/** Counts a hit and returns `$value` of the alert that it makes due, or 0. An absence adds its alerts itself. */
function dueBy(hit: usize): u64 {
  const rule = load<usize>(hit, HIT_RULE);
  const kind = load<u32>(rule, layout.RULE_KIND);
  const index = indexOf(rule);
  if (hasSample(rule, load<u32>(hit, HIT_ORDINAL))) keepSample(hit, rule, index);
  if (kind == layout.KIND_EACH) return 1;
  const by = keyOf(hit);
  if (kind == layout.KIND_ABSENCE) {
    see(hit, index, by);
    return 0;
  }
  const time = load<i64>(hit, HIT_TIME);
  const windowMs = windowOf(rule);
  const wanted = load<u32>(rule, layout.RULE_COUNT);
  if (kind == layout.KIND_FIRST_SEEN)
    return <u64>isNew(index, by, time, windowMs, load<i64>(countingOf(rule), layout.COUNTING_LEARN_MS));
  if (kind == layout.KIND_RATIO) {
    const isPart = load<u32>(hit, HIT_ORDINAL) == layout.RATIO_PART;
    const counts = countShare(index, by, isPart, time, windowMs);
    return isPart ? shareAbove(rule, counts >> 32, counts & 0xffffffff) : 0;
  }
  if (kind == layout.KIND_SEQUENCE) return <u64>isSequenceMet(hit, rule, index, by);
  if (load<u32>(hit, HIT_HAS_DISTINCT) != 0) {
    const count = countDistinct(index, by, load<u64>(hit, HIT_DISTINCT), time, windowMs);
    if (count < <u64>wanted) return 0;
    return count < layout.DISTINCT_COUNT_MAX ? count : count | AT_LEAST;
  }
  const count = countInWindow(index, by, time, windowMs, wanted);
  return (count & ~AT_LEAST) < <u64>wanted ? 0 : count;
}

/** The hash of the labels that are the same in all hits that are counted together. */
export function keyOf(hit: usize): u64 {
  return countingKey(load<usize>(hit, HIT_RULE), load<usize>(hit, SUBJECT_LABELS));
}

function countingKey(rule: usize, labels: usize): u64 {
  const isEach = load<u32>(rule, layout.RULE_KIND) == layout.KIND_EACH;
  return fingerprint(rule, labels, isEach ? u64.MAX_VALUE : load<u64>(rule, layout.RULE_BY_MASK));
}

/** `$value` of a ratio whose share is above its limit, or 0. */
function shareAbove(rule: usize, whole: u64, part: u64): u64 {
  const above = <u64>load<u32>(countingOf(rule), layout.COUNTING_ABOVE);
  if (whole < <u64>load<u32>(rule, layout.RULE_COUNT) || part * layout.SHARE_UNIT <= above * whole) return 0;
  return IS_SHARE | ((part * layout.SHARE_UNIT) / whole);
}

/** Adds an alert that is due, unless its label set is cooling down, or its rule and tenant have had too many. */
function fire(hit: usize, value: u64): void {
  const rule = load<usize>(hit, HIT_RULE);
  const index = indexOf(rule);
  const labels = load<usize>(hit, SUBJECT_LABELS);
  const time = load<i64>(hit, HIT_TIME);
  const hash = fingerprint(rule, labels, u64.MAX_VALUE);
  const tenant = tenantOf(rule, labels);
  const realertMs = load<i64>(rule, layout.RULE_REALERT_MS);
  // `realert: 0s` asks for every match: there is no cool-down.
  const coolDown = realertMs == 0 ? <usize>0 : knownCoolDown(index, hash);
  const over = overBefore(hit, hash);
  if (coolDown != 0 && over == 0 && isCooling(coolDown, time, realertMs)) {
    addSuppressed(coolDown);
    return;
  }
  // The room of a body is limited, also with `realert: 0s`.
  if ((realertMs != 0 && !hasRate(index, tenant, time)) || !takeRoom(alertSizeMax(rule, hit))) {
    cap(rule, tenant, labels, hash, time);
    return;
  }
  if (over != 0) {
    tellResolved(over);
    endMissing(over);
  }
  const alert = newAlert(rule, labels, hash);
  if (alert == 0) return;
  store<usize>(alert, load<usize>(hit, SUBJECT_CAPTURES), SUBJECT_CAPTURES);
  store<u32>(alert, load<u32>(hit, SUBJECT_STAGE), SUBJECT_STAGE);
  store<u64>(alert, value, SUBJECT_VALUE);
  if (coolDown != 0 && over == 0) store<u64>(alert, suppressedSince(coolDown), SUBJECT_SUPPRESSED);
  const others = cappedCount(index, tenant);
  if (others != 0) store<u64>(alert, firstCapped(rule, tenant), SUBJECT_FIRST);
  store<u64>(alert, others + takeEvicted(), SUBJECT_OTHERS);
  store<i64>(alert, time, ALERT_STARTS);
  setCoolDown(alert, hash, tenant, time);
  showSamples(alert, hit, rule);
  store<u32>(hit, 1, HIT_IS_TOLD);
  addAlert(alert, load<usize>(hit, HIT_ANNOTATIONS));
}

/** Adds the alert of a hit that was counted before: nobody has received it. The count is at least what was wanted. */
export function tellAgain(hit: usize): void {
  const rule = load<usize>(hit, HIT_RULE);
  const labels = load<usize>(hit, SUBJECT_LABELS);
  store<u32>(hit, 1, HIT_IS_TOLD);
  if (!takeRoom(alertSizeMax(rule, hit))) return;
  const alert = newAlert(rule, labels, fingerprint(rule, labels, u64.MAX_VALUE));
  if (alert == 0) return;
  store<usize>(alert, load<usize>(hit, SUBJECT_CAPTURES), SUBJECT_CAPTURES);
  store<u32>(alert, load<u32>(hit, SUBJECT_STAGE), SUBJECT_STAGE);
  store<u64>(alert, valueWanted(rule), SUBJECT_VALUE);
  store<i64>(alert, load<i64>(hit, HIT_TIME), ALERT_STARTS);
  store<u64>(alert, load<u64>(hit, HIT_SAMPLE), SUBJECT_SAMPLES);
  addAlert(alert, load<usize>(hit, HIT_ANNOTATIONS));
}

// ── Resolved alerts ─────────────────────────────────────────────────────────────────────────────────
// A label set is in trouble from an alert on, until nothing matches for `resolveAfter`. The trouble is over at that time, not
// at the match that comes after it: a match that finds it over begins another, and its alert is told with the resolved one.

/** Whether a match puts off the end of its label set's trouble: that of an `unless` does not. */
function keepsTrouble(hit: usize): bool {
  const rule = load<usize>(hit, HIT_RULE);
  if (!resolvesAfter(rule)) return false;
  return (
    load<u32>(rule, layout.RULE_KIND) != layout.KIND_SEQUENCE || isMet(rule, load<u32>(hit, HIT_ORDINAL))
  );
}

function resolvesAfter(rule: usize): bool {
  return !isAbsence(rule) && load<i64>(countingOf(rule), layout.COUNTING_RESOLVE_MS) != 0;
}

/** The trouble of a label set, as a link, or 0 when it has none. */
function troubleOf(rule: usize, hash: u64): u32 {
  const link = absenceOf(indexOf(rule), hash);
  return link == 0 || missingSince(link) == NEVER ? 0 : link;
}

function troubleEnd(link: u32): i64 {
  return lastSeen(link) + watchMs(ruleAt(slotRule(link)));
}

/** A match puts off the end of its label set's trouble. Returns the trouble, as a link, if it is over already; else 0. */
function seeTrouble(hit: usize): u32 {
  const rule = load<usize>(hit, HIT_RULE);
  const time = load<i64>(hit, HIT_TIME);
  const link = troubleOf(rule, fingerprint(rule, load<usize>(hit, SUBJECT_LABELS), u64.MAX_VALUE));
  if (link == 0) return 0;
  settle(link);
  const seen = min(time, clockTime());
  if (seen >= troubleEnd(link)) return link;
  seeAgain(link, time, max(lastSeen(link), seen));
  return 0;
}

/** The trouble that was over before a match, as a link, or 0. */
function overBefore(hit: usize, hash: u64): u32 {
  const rule = load<usize>(hit, HIT_RULE);
  const link = resolvesAfter(rule) ? troubleOf(rule, hash) : 0;
  return link != 0 && min(load<i64>(hit, HIT_TIME), clockTime()) >= troubleEnd(link) ? link : 0;
}

/** Adds the alert that the trouble of a label set is over. */
function tellResolved(link: u32): void {
  const rule = ruleAt(slotRule(link));
  const end = troubleEnd(link);
  const since = missingSince(link);
  const alert = tellAbsence(link, since, max(since, end), 0); // a wrong clock may have begun it in the future
  if (alert == 0) return;
  store<u32>(alert, EFFECT_RESOLVED, ALERT_EFFECT);
  store<u64>(alert, absenceHash(link), ALERT_KEY);
  store<i64>(alert, end, ALERT_TIME);
}

/** An alert said that the trouble of a label set was over at `end`: the next match is told at once. */
function endTrouble(rule: usize, hash: u64, end: i64): void {
  const link = troubleOf(rule, hash);
  if (link != 0) endMissing(link);
  const coolDown = knownCoolDown(indexOf(rule), hash);
  if (coolDown == 0) return;
  endCooling(coolDown, end, load<i64>(rule, layout.RULE_REALERT_MS));
  clearSuppressed(coolDown);
}

/** An alert of a label set was told: it is in trouble since `since`, unless it is already. It was last seen at `time`. */
function startTrouble(rule: usize, labels: usize, hash: u64, since: i64, time: i64): void {
  if (!resolvesAfter(rule) || troubleOf(rule, hash) != 0) return;
  if (!wait(rule, hash, time, labels))
    countEvicted(); // its end can't be waited for
  else setTrouble(absenceOf(indexOf(rule), hash), since);
}

/** The least `$value` that an alert of a rule has. */
function valueWanted(rule: usize): u64 {
  if (load<u32>(rule, layout.RULE_KIND) == layout.KIND_RATIO)
    return IS_SHARE | (<u64>load<u32>(countingOf(rule), layout.COUNTING_ABOVE));
  return max(<u64>load<u32>(rule, layout.RULE_COUNT), 1);
}

/** When the alert is told, the cool-down of the label set `hash` begins at `time`. */
function setCoolDown(alert: usize, hash: u64, tenant: u64, time: i64): void {
  store<u32>(alert, EFFECT_COOL_DOWN, ALERT_EFFECT);
  store<u64>(alert, hash, ALERT_KEY);
  store<u64>(alert, tenant, ALERT_TENANT);
  store<i64>(alert, time, ALERT_TIME);
}

function startCoolDown(rule: usize, hash: u64, tenant: u64, time: i64): void {
  const index = indexOf(rule);
  const realertMs = load<i64>(rule, layout.RULE_REALERT_MS);
  clearCapped(index, tenant);
  if (realertMs == 0) return;
  takeRate(index, tenant, time);
  const coolDown = coolDownOf(index, hash);
  if (coolDown == 0) return;
  startCooling(coolDown, time, realertMs);
  clearSuppressed(coolDown);
}

/** The suppressed matches of evicted label sets, for the first alert of a body to report; 0 for the others. */
function takeEvicted(): u64 {
  if (hasAlerts()) return 0;
  reportedEvicted = suppressedOfEvicted();
  return reportedEvicted;
}

let reportedEvicted: u64 = 0;

// ── Samples ─────────────────────────────────────────────────────────────────────────────────────────

function sliceOf(rule: usize, time: i64): u32 {
  return <u32>(time / load<i64>(countingOf(rule), layout.COUNTING_SAMPLE_SLICE_MS));
}

/** Whether a rule keeps a text of the matches of a step: not of an `unless`, nor of the rest of a ratio. */
export function hasSample(rule: usize, step: u32): bool {
  if (load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_OFFSET) == 0) return false;
  const kind = load<u32>(rule, layout.RULE_KIND);
  if (kind == layout.KIND_RATIO) return step == layout.RATIO_PART;
  return kind != layout.KIND_SEQUENCE || isMet(rule, step);
}

/** Keeps the text of a match; of a sequence, the last text of each step. */
function keepSample(hit: usize, rule: usize, index: u32): void {
  const block = allocate(SAMPLE_BLOCK_SIZE);
  if (block == 0) return;
  const key = keyOf(hit);
  const slice = sliceOf(rule, load<i64>(hit, HIT_TIME));
  const text = addressOf(load<u64>(hit, HIT_SAMPLE));
  const size = sizeOf(load<u64>(hit, HIT_SAMPLE));
  if (load<u32>(rule, layout.RULE_KIND) == layout.KIND_SEQUENCE) {
    writeSample(index, key, load<u32>(hit, HIT_ORDINAL), slice, text, size, block);
    return;
  }
  const first = load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_FIRST);
  const last = load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_LAST);
  addSample(index, key, slice, first, last, text, size, block);
}

/** Gives an alert the texts that it stands for. They are told with it. */
function showSamples(alert: usize, hit: usize, rule: usize): void {
  if (load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_OFFSET) == 0) return;
  const given = load<u64>(hit, SUBJECT_SAMPLES);
  const key = keyOf(hit);
  const texts = sizeOf(given) != 0 ? given : samplesOf(rule, key, load<i64>(hit, HIT_TIME));
  store<u64>(alert, texts, SUBJECT_SAMPLES);
  store<u64>(alert, key, ALERT_SAMPLES_KEY);
  store<u32>(alert, 1, ALERT_HAS_SAMPLES);
}

const SAMPLES_SIZE_MAX: usize = layout.ANNOTATION_SIZE_MAX;
const SAMPLES_BLOCKS_SIZE_MAX: usize = SAMPLES_SIZE_MAX + 2 * SAMPLE_BLOCK_SIZE + 4 * BLOCK_EXTRA;

/** The texts of the matches of a key up to `time`, one a line; nothing when there is no memory. */
function samplesOf(rule: usize, key: u64, time: i64): u64 {
  const copy = allocate(SAMPLES_SIZE_MAX + 4);
  const block = allocate(SAMPLE_BLOCK_SIZE);
  if (copy == 0 || block == 0) return NOTHING;
  const isSequence = load<u32>(rule, layout.RULE_KIND) == layout.KIND_SEQUENCE;
  const size = isSequence
    ? addSteps(copy, rule, key, block)
    : addSamples(copy, rule, key, sliceOf(rule, time), block);
  return textOf(copy, size);
}

function addSteps(copy: usize, rule: usize, key: u64, block: usize): usize {
  let size: usize = 0;
  for (let step: u32 = 0; step < load<u32>(countingOf(rule), layout.COUNTING_STEP_COUNT); step++) {
    if (isMet(rule, step)) size = addLine(copy, size, block, readSample(indexOf(rule), key, step, block));
  }
  return size;
}

/** Whether a step of a sequence must be met. */
function isMet(rule: usize, step: u32): bool {
  return load<u16>(stepOf(rule, step), layout.SEQUENCE_KIND) == layout.PLACES_MET;
}

/** The first texts, how many more there are, and the last ones. */
function addSamples(copy: usize, rule: usize, key: u64, slice: u32, block: usize): usize {
  const index = indexOf(rule);
  const last = load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_LAST);
  const before = sampleCount(index, key, slice - 1);
  const count = before + sampleCount(index, key, slice);
  const first = min(count, load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_FIRST));
  let size: usize = 0;
  for (let i: u32 = 0; i < first; i++) {
    const own =
      i < before
        ? readFirst(index, key, slice - 1, i, block)
        : readFirst(index, key, slice, i - before, block);
    size = addLine(copy, size, block, own);
  }
  const shown = min(count - first, last);
  if (count > first + shown) size = addMore(copy, size, count - first - shown);
  for (let back = shown; back-- != 0;)
    size = addLine(copy, size, block, readLast(index, key, slice, back, last, block));
  return size;
}

function addLine(copy: usize, size: usize, block: usize, textSize: usize): usize {
  if (textSize == 0) return size;
  if (size != 0) size = append(copy, size, SAMPLES_SIZE_MAX, textOf(moreTexts, 1));
  return append(copy, size, SAMPLES_SIZE_MAX, textOf(sampleText(block), textSize));
}

function addMore(copy: usize, size: usize, count: u32): usize {
  if (size != 0) size = append(copy, size, SAMPLES_SIZE_MAX, textOf(moreTexts, 1));
  size = append(copy, size, SAMPLES_SIZE_MAX, textOf(moreTexts + 1, 5));
  size = append(copy, size, SAMPLES_SIZE_MAX, digitsOf(count));
  return append(copy, size, SAMPLES_SIZE_MAX, textOf(moreTexts + 6, 6));
}

// a newline, `… (`, ` more)`
const moreTexts: usize = memory.data<u8>([
  0x0a, 0xe2, 0x80, 0xa6, 0x20, 0x28, 0x20, 0x6d, 0x6f, 0x72, 0x65, 0x29, 0, 0, 0, 0,
]);

// ── The rate cap ────────────────────────────────────────────────────────────────────────────────────

/** The tenant of an alert is its namespace. */
function tenantOf(rule: usize, labels: usize): u64 {
  const label = <u32>load<u16>(rule, layout.RULE_NAMESPACE_LABEL);
  return label == layout.NO_LABEL ? 0 : fingerprint(rule, labels, (<u64>1) << (<u64>label));
}

/** Counts an alert above the rate cap, and keeps the first label sets. */
function cap(rule: usize, tenant: u64, labels: usize, hash: u64, time: i64): void {
  const index = indexOf(rule);
  const counter = capped + ((<usize>index) << 2);
  store<u32>(counter, load<u32>(counter) + 1);
  const place = addCapped(index, tenant, time, hash);
  if (place < 0) return;
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX);
  if (packed == 0) return;
  const end = packLabels(rule, labels, packed, layout.ABSENCE_LABELS_SIZE_MAX);
  if (end != 0) keepCapped(index, tenant, place, packed, end - packed);
}

/** The labels of a capped alert of a rule and tenant, or 0. */
function cappedLabels(rule: usize, tenant: u64, place: i32): usize {
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX + SLOT_DATA_SIZE);
  if (packed == 0 || readCapped(indexOf(rule), tenant, place, packed) == 0) return 0;
  return unpackLabels(rule, packed);
}

/** The first label sets that the rate cap suppressed, as `{pod="web-1"}; {pod="web-2"}`: without labels that never differ. */
function firstCapped(rule: usize, tenant: u64): u64 {
  const copy = allocate(layout.FIRST_SIZE_MAX + 1);
  if (copy == 0) return NOTHING;
  let size: usize = 0;
  for (let place = 0; place < CAPPED_SETS; place++) {
    const labels = cappedLabels(rule, tenant, place);
    if (labels == 0) continue;
    if (size != 0) size = add(copy, size, textOf(separators, 2));
    size = addLabelSet(copy, size, rule, labels);
  }
  if (size > <usize>layout.FIRST_SIZE_MAX) size = cut(copy, layout.FIRST_SIZE_MAX);
  return textOf(copy, size);
}

function addLabelSet(copy: usize, size: usize, rule: usize, labels: usize): usize {
  let template = templatesOf(rule, true);
  let isFirst = true;
  for (let left = templateCountOf(rule, true); left != 0; left--) {
    const value = load<u64>(labels);
    if (value >>> 32 != 0 && needsRecord(template)) {
      size = add(copy, size, isFirst ? textOf(separators + 2, 1) : textOf(separators + 3, 2));
      size = add(copy, size, textOf(nameOf(template), <u32>load<u16>(template, layout.TEMPLATE_NAME_SIZE)));
      size = add(copy, size, textOf(separators + 5, 2));
      size = add(copy, size, value);
      size = add(copy, size, textOf(separators + 7, 1));
      isFirst = false;
    }
    template += layout.TEMPLATE_SIZE;
    labels += 8;
  }
  return add(copy, size, isFirst ? textOf(separators + 8, 2) : textOf(separators + 9, 1));
}

/** One byte above the limit shows that something was cut. */
function add(copy: usize, size: usize, text: u64): usize {
  return append(copy, size, layout.FIRST_SIZE_MAX + 1, text);
}

// `; `, `{`, `, `, `="`, `"`, `{}`
const separators: usize = memory.data<u8>([
  0x3b, 0x20, 0x7b, 0x2c, 0x20, 0x3d, 0x22, 0x22, 0x7b, 0x7d, 0, 0, 0, 0, 0, 0,
]);

/** Adds an alert with the labels of the first capped one, when no other alert reports what the rate cap suppressed. */
function tellCapped(time: i64): void {
  let count: u32 = 0;
  for (
    let link = nextCapped(1, time);
    link != 0 && count < layout.DUE_COUNT_MAX;
    link = nextCapped(link + 1, time)
  ) {
    const rule = ruleAt(slotRule(link));
    if (!reserve(keptSizeMax(rule))) return;
    const tenant = cappedTenant(link);
    const labels = cappedLabels(rule, tenant, 0);
    if (labels == 0) continue;
    if (!takeRoom(alertSizeMax(rule, 0))) return;
    const hash = fingerprint(rule, labels, u64.MAX_VALUE);
    const alert = newAlert(rule, labels, hash);
    if (alert == 0) return;
    const number = cappedCount(slotRule(link), tenant);
    const coolDown = knownCoolDown(slotRule(link), hash);
    if (coolDown != 0) store<u64>(alert, suppressedSince(coolDown), SUBJECT_SUPPRESSED);
    store<u64>(alert, number, SUBJECT_VALUE);
    store<u64>(alert, number - 1, SUBJECT_OTHERS);
    if (number > 1) store<u64>(alert, firstCapped(rule, tenant), SUBJECT_FIRST);
    store<i64>(alert, cappedSince(link), ALERT_STARTS);
    setCoolDown(alert, hash, tenant, cappedSince(link));
    addAlert(alert, 0);
    count++;
  }
}

// ── Memory ──────────────────────────────────────────────────────────────────────────────────────────
// The memory that alerts may need is reserved before anything is counted, so a record is counted in full or not at all.

let blocksSize: usize = 0; // what the alerts of the hits may need: blocks,
let jsonSize: usize = 0; // their JSON,
let jsonSizeMax: usize = 0; // and the JSON of the longest

export function beginReserve(): void {
  reportedEvicted = 0;
  firstMark = 0;
  blocksSize = 0;
  jsonSize = 0;
  jsonSizeMax = 0;
}

/** Adds up what the alert of a hit may need. */
export function measureHit(hit: usize): void {
  const rule = load<usize>(hit, HIT_RULE);
  measureAlert(rule, alertSizeMax(rule, isToldByClock(rule) ? 0 : hit));
  if (alertsAtOnce(rule) == 2) measureAlert(rule, alertSizeMax(rule, 0));
}

function measureAlert(rule: usize, size: usize): void {
  blocksSize += alertBlocksSizeMax(rule, 0) + keptBlocksSizeMax(rule);
  jsonSize = min(jsonSize + size, layout.BODY_SIZE_MAX);
  jsonSizeMax = max(jsonSizeMax, size);
}

/** Makes sure that there is memory to count the hits and to tell one absence. False when there is not. */
export function reserveAlerts(): bool {
  blocksSize += absenceSizeMax;
  if (jsonSize != 0) blocksSize += jsonSize + bodySizeMax(jsonSize, jsonSizeMax);
  if (!isExhausted() && !reserve(blocksSize)) markExhausted();
  return !isExhausted();
}

/** Bytes that kept labels may take while they are packed and unpacked: those of an absence, or the first capped ones. */
function keptBlocksSizeMax(rule: usize): usize {
  const references = (<usize>templateCountOf(rule, true) + 1) << 3;
  const set: usize = references + 2 * layout.ABSENCE_LABELS_SIZE_MAX + SLOT_DATA_SIZE + 3 * BLOCK_EXTRA;
  // Texts are put together, and of a sequence that waits also kept and read.
  const samples =
    load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_OFFSET) == 0 ? <usize>0 : 3 * SAMPLES_BLOCKS_SIZE_MAX;
  return <usize>(CAPPED_SETS + 1) * set + layout.FIRST_SIZE_MAX + 1 + BLOCK_EXTRA + samples;
}

/** Bytes that one more alert with kept labels, and the body with it, may need. */
function keptSizeMax(rule: usize): usize {
  const size = alertSizeMax(rule, 0);
  return keptBlocksSizeMax(rule) + alertBlocksSizeMax(rule, size) + bodySizeWith(size);
}

// ── Sequences ───────────────────────────────────────────────────────────────────────────────────────

/** A step of a sequence. */
function stepOf(rule: usize, ordinal: u32): usize {
  return (
    RULESET +
    load<u32>(countingOf(rule), layout.COUNTING_STEPS_OFFSET) +
    <usize>ordinal * layout.SEQUENCE_SIZE
  );
}

/** Counts a hit of a sequence's step; true when an alert is due with it. */
function isSequenceMet(hit: usize, rule: usize, index: u32, by: u64): bool {
  const time = load<i64>(hit, HIT_TIME);
  const windowMs = windowOf(rule);
  const order = load<u32>(countingOf(rule), layout.COUNTING_ORDER);
  const end = load<u32>(rule, layout.RULE_COUNT);
  const step = stepOf(rule, load<u32>(hit, HIT_ORDINAL));
  const kind = <u32>load<u16>(step, layout.SEQUENCE_KIND);
  if (order & layout.ORDER_WAITS) tellIfOverdue(waitingOf(index, by), time);
  if (kind == layout.PLACES_TAKEN_BACK) {
    const from = <u32>load<u16>(step, layout.SEQUENCE_PLACE);
    takeBack(index, by, from, from + load<u16>(step, layout.SEQUENCE_COUNT), time, windowMs);
  } else if (kind == layout.PLACES_BARRED) barSequence(index, by, end, time, windowMs);
  else if (kind == layout.PLACES_ENDED) {
    const link = waitingOf(index, by);
    if (link != 0 && isAwaited(link, time, windowMs)) endWaiting(link);
  } else if (order & layout.ORDER_ANY) return addToSet(index, by, step, end, time, windowMs);
  else {
    const lead: u32 = (order & layout.ORDER_HAS_LEAD) != 0 ? 1 : 0;
    const began = advanceSequence(index, by, step, end, lead, time, windowMs);
    if (began == NEVER) return false;
    if ((order & layout.ORDER_WAITS) == 0) return true;
    waitForEnd(hit, rule, by, began);
  }
  return false;
}

/** All steps were met, and the end that must not come may still come: the labels are kept for the alert. */
function waitForEnd(hit: usize, rule: usize, by: u64, began: i64): void {
  const time = load<i64>(hit, HIT_TIME);
  const samples =
    load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_OFFSET) == 0 ? NOTHING : samplesOf(rule, by, time);
  const kept = allocate(2 + sizeOf(samples) + layout.ABSENCE_LABELS_SIZE_MAX);
  if (kept == 0) return;
  // The samples' size, the samples, the labels.
  const packed = kept + 2 + sizeOf(samples);
  store<u16>(kept, <u16>sizeOf(samples));
  memory.copy(kept + 2, addressOf(samples), sizeOf(samples));
  const end = packLabels(rule, load<usize>(hit, SUBJECT_LABELS), packed, layout.ABSENCE_LABELS_SIZE_MAX);
  if (end == 0)
    countEvicted(); // the end can't be waited for
  else beginWaiting(indexOf(rule), by, began, time, windowOf(rule), kept, end - kept);
}

/** What is kept of a sequence that waits: returns its labels, and sets `waitingSamples`; 0 when it is lost. */
function waitingLabels(link: u32): usize {
  waitingSamples = NOTHING;
  const kept = allocate(2 + SAMPLES_SIZE_MAX + layout.ABSENCE_LABELS_SIZE_MAX + SLOT_DATA_SIZE);
  if (kept == 0 || readWaiting(link, kept) == 0) return 0;
  waitingSamples = textOf(kept + 2, <usize>load<u16>(kept));
  return unpackLabels(ruleAt(slotRule(link)), kept + 2 + sizeOf(waitingSamples));
}

let waitingSamples: u64 = 0;

/**
 * A hit comes when the time to wait is over, and nothing has told so yet. Its own time says so: hits that come long after
 * their events are in order. But one that is ahead of the clock ends no wait in the future.
 */
function tellIfOverdue(link: u32, time: i64): void {
  if (link == 0 || waitingSince(link) + windowOf(ruleAt(slotRule(link))) > min(time, clockTime())) return;
  const labels = waitingLabels(link);
  if (labels != 0) fireOverdue(ruleAt(slotRule(link)), labels, waitingSamples, waitingSince(link));
  endWaiting(link);
}

/** Adds the alert of a sequence that began at `began` and whose end did not come. False when it is suppressed. */
function fireOverdue(rule: usize, labels: usize, samples: u64, began: i64): bool {
  const hit = allocate(HIT_SIZE);
  if (hit == 0) return false;
  memory.fill(hit, 0, HIT_SIZE);
  store<usize>(hit, rule, HIT_RULE);
  store<usize>(hit, labels, SUBJECT_LABELS);
  store<u32>(hit, STAGE_COUNT, SUBJECT_STAGE);
  store<u64>(hit, samples, SUBJECT_SAMPLES);
  store<i64>(hit, began + windowOf(rule), HIT_TIME);
  fire(hit, 1);
  return load<u32>(hit, HIT_IS_TOLD) != 0;
}

/** An alert said that the end of a sequence did not come. */
function coolOverdue(rule: usize, labels: usize, began: i64): void {
  const hash = fingerprint(rule, labels, u64.MAX_VALUE);
  startCoolDown(rule, hash, tenantOf(rule, labels), began + windowOf(rule));
}

/** Tells that the end of a sequence did not come, or makes a mark when that is suppressed. */
function tellOverdue(link: u32): void {
  const rule = ruleAt(slotRule(link));
  const began = waitingSince(link);
  const key = waitingHash(link);
  const labels = waitingLabels(link);
  endWaiting(link);
  if (labels == 0) return;
  if (fireOverdue(rule, labels, waitingSamples, began)) {
    // Its mark is that of the key, from which the label set follows.
    store<u32>(lastAlert(), EFFECT_OVERDUE, ALERT_EFFECT);
    store<u64>(lastAlert(), key, ALERT_KEY);
    store<i64>(lastAlert(), began, ALERT_TIME);
  } else addKept(rule, layout.MARK_OVERDUE, key, began, NEVER, labels); // suppressed
}

// ── Absence ─────────────────────────────────────────────────────────────────────────────────────────

/**
 * Notes that a key of an absence was seen. If it was missing, and has enough matches again, that has ended. It has enough
 * for as long as the oldest of the last matches that are wanted is in the window; before it ever had so many, from its first
 * match on for a window.
 */
function see(hit: usize, index: u32, by: u64): void {
  const rule = load<usize>(hit, HIT_RULE);
  const windowMs = windowOf(rule);
  const wanted = load<u32>(rule, layout.RULE_COUNT);
  const link = absenceOf(index, by);
  if (link != 0) settle(link);
  let time = load<i64>(hit, HIT_TIME);
  // A time that is not believed must not end the absence in the future.
  let newest = min(time, clockTime());
  let seen = newest;
  if (wanted > 1) {
    keepTime(index, by, newest, wanted);
    seen = oldestTime(index, by, wanted);
    newest = newestOfTimes();
  }
  if (link != 0) {
    const since = missingSince(link);
    const before = lastSeen(link);
    if (since != NEVER) {
      if (seen + windowMs <= clockTime()) return; // too few, or late: the key has been missing again since, and still is
      tellAbsence(link, since, max(since, newest), matchesWhenBack(link, newest));
      endMissing(link);
    } else if (newest - before >= windowMs) {
      if (seen + windowMs <= newest) return; // too few: it falls due as before
      tellGap(link, newest);
    }
    if (wanted == 1 || seen == NEVER) seen = max(seen, before);
  } else if (seen == NEVER) seen = newest;
  if (wanted > 1) time = seen;
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX);
  if (packed == 0) return;
  const end = packLabels(rule, load<usize>(hit, SUBJECT_LABELS), packed, layout.ABSENCE_LABELS_SIZE_MAX);
  // When the labels are too long to keep, the labels from before stay.
  const size = end != 0 ? end - packed : link != 0 ? readLabels(link, packed) : 0;
  if (size != 0) seeKey(index, by, time, seen, windowMs, packed, size);
  else countEvicted(); // the key can't be waited for
}

/** Counts what records ahead of the clock claimed of a key, once the clock has reached it; tells a gap before it. */
function settle(link: u32): void {
  const claimed = claimedSeen(link);
  const windowMs = windowOf(ruleAt(slotRule(link)));
  if (
    claimed != NEVER &&
    wasSeen(link) &&
    missingSince(link) == NEVER &&
    claimed - lastSeen(link) >= windowMs
  )
    tellGap(link, claimed);
  settleSeen(link);
}

/** Adds both alerts of a silence that ended before anything reported it. */
function tellGap(link: u32, end: i64): void {
  const since = lastSeen(link) + windowOf(ruleAt(slotRule(link)));
  tellAbsence(link, since, NO_END, matchesUntil(link, since));
  tellAbsence(link, since, end, matchesWhenBack(link, end));
}

/** Adds the alert of a key that is missing or back, or of a trouble that is over, with the labels that it had when it was seen. */
function tellAbsence(link: u32, since: i64, endsAt: i64, matches: u64): usize {
  const rule = ruleAt(slotRule(link));
  const labels = absenceLabels(link);
  if (labels == 0) return 0;
  if (!takeRoom(alertSizeMax(rule, 0))) return 0; // if it still lasts, the next call tells it
  const hash = fingerprint(rule, labels, u64.MAX_VALUE);
  const alert = newAlert(rule, labels, hash);
  if (alert == 0) return 0;
  const coolDown = knownCoolDown(slotRule(link), hash);
  if (coolDown != 0) store<u64>(alert, suppressedSince(coolDown), SUBJECT_SUPPRESSED);
  if (endsAt != NO_END) store<u32>(alert, RESOLVED, ALERT_STATUS);
  store<u64>(alert, matches, SUBJECT_VALUE);
  if (load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_OFFSET) != 0)
    store<u64>(alert, samplesOf(rule, countingKey(rule, labels), clockTime()), SUBJECT_SAMPLES);
  store<u64>(alert, takeEvicted(), SUBJECT_OTHERS);
  store<i64>(alert, since, ALERT_STARTS);
  store<i64>(alert, endsAt, ALERT_ENDS);
  addAlert(alert, 0);
  return alert;
}

/** How many matches of a key are in the window that ends at `end`. Where one is enough, none is when the key is missing. */
function matchesUntil(link: u32, end: i64): u64 {
  const rule = ruleAt(slotRule(link));
  const wanted = load<u32>(rule, layout.RULE_COUNT);
  if (wanted == 1) return 0;
  return <u64>countKept(slotRule(link), absenceHash(link), wanted, end - windowOf(rule), end);
}

/** Like `matchesUntil`, for a key that is back at `end`. */
function matchesWhenBack(link: u32, end: i64): u64 {
  return max(matchesUntil(link, end), 1);
}

/** The labels that the key of an absence had when it was seen, or 0. */
function absenceLabels(link: u32): usize {
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX + SLOT_DATA_SIZE);
  if (packed == 0 || readLabels(link, packed) == 0) return 0;
  return unpackLabels(ruleAt(slotRule(link)), packed);
}

/** Adds alerts for keys that have not been seen for too long. */
export function tellDue(): void {
  if (!mayBeDue()) return;
  const clock = clockTime();
  let count: u32 = 0;
  beginDue();
  for (let link = nextAbsence(1); link != 0; link = nextAbsence(link + 1)) {
    const rule = ruleAt(slotRule(link));
    if (isWaiting(link)) {
      const due = waitingSince(link) + windowOf(rule);
      // One at a time: what one alert changes decides about the next.
      if (due > clock || hasAlerts() || !reserve(keptSizeMax(rule))) lookAgainAt(due);
      else {
        tellOverdue(link);
        count++;
      }
      continue;
    }
    const resolves = !isAbsence(rule);
    if (resolves && missingSince(link) == NEVER) continue; // it is over
    settle(link);
    const since = missingSince(link);
    const isSeen = resolves || since == NEVER;
    const due = isSeen ? lastSeen(link) + watchMs(rule) : missingTold(link) + repeatMs(rule);
    // Memory for one alert is reserved. Without memory for more, the next call adds the rest.
    if (due > clock || count == layout.DUE_COUNT_MAX || (count != 0 && !reserve(keptSizeMax(rule)))) {
      lookAgainAt(due);
      continue;
    }
    count++;
    if (resolves) {
      tellResolved(link);
      lookAgainAt(clock); // until it is told
      continue;
    }
    if (since != NEVER && load<i64>(rule, layout.RULE_REALERT_MS) == 0) {
      remindOf(link, since);
      continue;
    }
    const alert = tellAbsence(link, since == NEVER ? due : since, NO_END, matchesUntil(link, clock));
    if (alert != 0) {
      store<u32>(alert, EFFECT_MISSING, ALERT_EFFECT);
      store<u64>(alert, absenceHash(link), ALERT_KEY);
      store<i64>(alert, clock, ALERT_TIME);
    }
    lookAgainAt(clock); // until it is told
  }
}

/** The host says that the time is `time`. */
export function passTime(time: i64): void {
  setClock(time);
  tellDue();
  if (!hasAlerts()) tellCapped(time);
  // What an alert changes is not known to be true before it is told: the next call adds the marks.
  if (!hasAlerts()) remindOfUnsaid();
}

/** The stream has ended: the time in its last records is believed. */
export function passEnd(): void {
  endClock();
  tellDue();
  if (!hasAlerts()) tellCapped(TIME_MAX);
}

/** Later than any time that can be written. */
const TIME_MAX: i64 = 300000000000000;

/** Whether a rule is an absence whose key needs no record: it has only one key. */
function hasOneKey(rule: usize): bool {
  if (!isAbsence(rule)) return false;
  let mask = load<u64>(rule, layout.RULE_BY_MASK);
  let template = templatesOf(rule, true);
  for (; mask != 0; mask >>= 1) {
    if (mask & 1 && needsRecord(template)) return false;
    template += layout.TEMPLATE_SIZE;
  }
  return true;
}

/** The labels' hash of the only key of an absence; 0 when the rule is no absence, or its keys need a record. */
export function oneKey(index: u32): u64 {
  const rule = ruleAt(index);
  if (!hasOneKey(rule)) return 0;
  const labels = constantLabels(rule);
  return labels == 0 ? 0 : fingerprint(rule, labels, load<u64>(rule, layout.RULE_BY_MASK));
}

/**
 * Waits for the only key of an absence from now on, even if nobody ever sees it; or begins to learn what is first seen. True
 * when it did not before: then there is a mark of it.
 */
export function expect(index: u32, time: i64): bool {
  const rule = ruleAt(index);
  if (load<u32>(rule, layout.RULE_KIND) == layout.KIND_FIRST_SEEN) return learn(rule, time);
  const key = oneKey(index);
  if (key == 0 || absenceOf(index, key) != 0) return false;
  // Labels that need a record are empty.
  const labels = constantLabels(rule);
  if (labels == 0 || !wait(rule, key, time, labels)) return false;
  const mark = addMark(rule, layout.MARK_EXPECTED, key);
  if (mark == 0) return false;
  store<i64>(mark, time, MARK_TIME);
  store<usize>(mark, labels, SUBJECT_LABELS);
  return true;
}

function learn(rule: usize, time: i64): bool {
  if (watchedSince(indexOf(rule)) != NEVER) return false;
  if (clockTime() < time) moveClock(time);
  const since = watchRule(indexOf(rule));
  if (since == NEVER) return false;
  const mark = addMark(rule, layout.MARK_WATCHED, 0);
  if (mark == 0) return false;
  store<i64>(mark, since, MARK_TIME);
  return true;
}

/** Like `expect`, for all rules: for a caller that sees the whole stream. */
export function expectAll(time: i64): void {
  for (let index: u32 = 0; index < ruleCount(); index++) expect(index, time);
}

/** Waits for a key that was seen, or expected, at `seen`. False when its labels are too long to be kept. */
function wait(rule: usize, key: u64, seen: i64, labels: usize): bool {
  const packed = allocate(layout.ABSENCE_LABELS_SIZE_MAX);
  if (packed == 0) return false;
  const end = packLabels(rule, labels, packed, layout.ABSENCE_LABELS_SIZE_MAX);
  if (end == 0) return false;
  if (clockTime() < seen) moveClock(seen);
  seeKey(indexOf(rule), key, seen, min(seen, clockTime()), watchMs(rule), packed, end - packed);
  return true;
}

// ── Telling ─────────────────────────────────────────────────────────────────────────────────────────

/** Writes the body of the alerts. `tellsAtOnce`: they are told with this call; otherwise `markTold` follows. */
export function answerAlerts(tellsAtOnce: bool): i32 {
  if (isExhausted()) return layout.TOO_LARGE;
  if (!hasAlerts()) return firstMark == 0 || tellsAtOnce ? layout.NO_ALERT : layout.MARKS;
  if (!writeBody()) return layout.TOO_LARGE;
  if (tellsAtOnce) markTold();
  return layout.ALERT;
}

/** Notes that the alerts of the last body have been told. */
export function markTold(): void {
  reportEvicted(reportedEvicted);
  reportedEvicted = 0;
  for (let alert = alerts(); alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    const rule = load<usize>(alert, ALERT_RULE);
    const effect = load<u32>(alert, ALERT_EFFECT);
    const key = load<u64>(alert, ALERT_KEY);
    const time = load<i64>(alert, ALERT_TIME);
    if (load<u32>(alert, ALERT_HAS_SAMPLES) != 0)
      clearSamples(indexOf(rule), load<u64>(alert, ALERT_SAMPLES_KEY));
    if (effect == EFFECT_COOL_DOWN) {
      startCoolDown(rule, key, load<u64>(alert, ALERT_TENANT), time);
      startTrouble(rule, load<usize>(alert, SUBJECT_LABELS), key, load<i64>(alert, ALERT_STARTS), time);
    } else if (effect == EFFECT_OVERDUE) {
      coolOverdue(rule, load<usize>(alert, SUBJECT_LABELS), time);
    } else if (effect == EFFECT_RESOLVED) {
      endTrouble(rule, key, time);
    } else if (effect == EFFECT_MISSING) {
      const link = absenceOf(indexOf(rule), key);
      if (link != 0) markMissing(link, load<i64>(alert, ALERT_STARTS), time);
    }
  }
}

// ── Marks ───────────────────────────────────────────────────────────────────────────────────────────
// What no hit says must be found again after a restart, which reads only the last look-back. So it is written again before
// it is too old: an absence with each alert that repeats it, or as a mark alone where no alert does; a trouble, as long as it
// lasts; suppressed matches that are not reported, as long as their label set is quiet.

let firstMark: usize = 0; // marks without an alert

/** How long after its last alert an absence is repeated: by an alert, or with `realert: 0s` by a mark. */
function repeatMs(rule: usize): i64 {
  const realertMs = load<i64>(rule, layout.RULE_REALERT_MS);
  return realertMs != 0 ? realertMs : max(windowOf(rule) >> 1, 1000);
}

/** Adds a mark of an absence that still lasts and has no second alert. */
function remindOf(link: u32, since: i64): void {
  const rule = ruleAt(slotRule(link));
  const labels = absenceLabels(link);
  if (labels != 0)
    addKept(rule, layout.MARK_MISSING, absenceHash(link), since - windowOf(rule), clockTime(), labels);
  markMissing(link, since, clockTime());
  lookAgainAt(clockTime() + repeatMs(rule));
}

/**
 * Adds marks of troubles, and of suppressed matches that are not reported, of label sets that are quiet, some of them at a
 * time. A walk over all of them begins every quarter of a look-back. It skips label sets whose suppressed hits are still
 * found until the next walk ends.
 */
function remindOfUnsaid(): void {
  const everyMs = max(lookBackMs() >> 2, WALK_MIN_MS);
  let count: u32 = 0;
  for (let link = nextUnsaid(everyMs); link != 0; link = nextUnsaid(everyMs)) {
    const rule = ruleAt(slotRule(link));
    if (isKeyOfClock(link)) {
      if (isAbsence(rule)) continue; // it has its own marks
      const labels = absenceLabels(link);
      if (labels != 0)
        addKept(rule, layout.MARK_FIRING, absenceHash(link), lastSeen(link), missingSince(link), labels);
    } else if (isWatch(link)) {
      const mark = addMark(rule, layout.MARK_WATCHED, 0);
      if (mark != 0) store<i64>(mark, watchedSince(slotRule(link)), MARK_TIME);
    } else {
      if (isCooling(slotAt(link), clockTime(), max(3 * everyMs - windowOf(rule), 0))) continue;
      const mark = addMark(rule, layout.MARK_SUPPRESSED, coolDownHash(link));
      if (mark == 0) return;
      store<u64>(mark, suppressedSince(slotAt(link)), MARK_COUNT);
    }
    if (++count == UNSAID_COUNT_MAX) return;
  }
}

/** A host reads a minute more than the look-back: where that is short, this is often enough. */
const WALK_MIN_MS: i64 = 10000;

/** Marks of one walk that one call of `due` may add. */
const UNSAID_COUNT_MAX: u32 = 500;

function lookBackMs(): i64 {
  return load<i64>(RULESET, layout.HEADER_LOOK_BACK_MS);
}

/** Adds a mark with labels: of a key that is missing, or waits, or of a label set in trouble. */
function addKept(rule: usize, kind: u32, key: u64, time: i64, told: i64, labels: usize): void {
  const mark = addMark(rule, kind, key);
  if (mark == 0) return;
  store<i64>(mark, time, MARK_TIME);
  store<i64>(mark, told, MARK_TOLD);
  store<usize>(mark, labels, SUBJECT_LABELS);
}

function addMark(rule: usize, kind: u32, key: u64): usize {
  const mark = allocate(HIT_SIZE);
  if (mark == 0) return 0;
  store<usize>(mark, rule, HIT_RULE);
  store<u32>(mark, kind, MARK_KIND);
  store<u64>(mark, key, MARK_KEY);
  store<usize>(mark, firstMark, HIT_NEXT);
  firstMark = mark;
  return mark;
}

/** Writes the marks of the last body, and those without an alert, one per line. False when there is none, or no memory. */
export function writeMarks(): bool {
  for (let alert = alerts(); alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    const rule = load<usize>(alert, ALERT_RULE);
    const effect = load<u32>(alert, ALERT_EFFECT);
    const key = load<u64>(alert, ALERT_KEY);
    const time = load<i64>(alert, ALERT_TIME);
    const starts = load<i64>(alert, ALERT_STARTS);
    const labels = load<usize>(alert, SUBJECT_LABELS);
    if (effect == EFFECT_MISSING) {
      addKept(rule, layout.MARK_MISSING, key, starts - windowOf(rule), time, labels);
    } else if (effect == EFFECT_OVERDUE) {
      addKept(rule, layout.MARK_OVERDUE, key, time, starts, labels);
    } else if (effect == EFFECT_COOL_DOWN) {
      const mark = addMark(rule, layout.MARK_REPORTED, key);
      if (mark == 0) return false;
      store<u64>(mark, load<u64>(alert, ALERT_TENANT), MARK_TENANT);
      store<i64>(mark, time, MARK_TIME);
      const isNew = watchMs(rule) != 0 && troubleOf(rule, key) == 0;
      if (isNew) addKept(rule, layout.MARK_FIRING, key, time, starts, labels);
    } else if (effect == EFFECT_RESOLVED) {
      const mark = addMark(rule, layout.MARK_RESOLVED, key);
      if (mark == 0) return false;
      store<i64>(mark, time, MARK_TIME);
    }
  }
  if (firstMark == 0) return false;
  beginOutput(1024);
  for (let mark = firstMark; mark != 0; mark = load<usize>(mark, HIT_NEXT)) {
    writeMark(mark);
    writeByte(0x0a);
  }
  firstMark = 0;
  return !isExhausted();
}

/** Applies a mark, at the place in the stream where it was written. */
export function countMark(mark: usize): void {
  const rule = load<usize>(mark, HIT_RULE);
  const kind = load<u32>(mark, MARK_KIND);
  const key = load<u64>(mark, MARK_KEY);
  const time = load<i64>(mark, MARK_TIME);
  if (kind == layout.MARK_WATCHED) {
    const known = watchedSince(indexOf(rule));
    if (known == NEVER || known > time) restoreWatch(indexOf(rule), time);
  } else if (kind == layout.MARK_FIRING) {
    const labels = load<usize>(mark, SUBJECT_LABELS);
    startTrouble(rule, labels, key, time, time);
    const link = troubleOf(rule, key);
    if (link != 0) setTrouble(link, load<i64>(mark, MARK_TOLD));
  } else if (kind == layout.MARK_RESOLVED) {
    const link = troubleOf(rule, key);
    if (link == 0 || troubleEnd(link) <= time) endTrouble(rule, key, time); // else it has been seen since
  } else if (kind == layout.MARK_REPORTED) startCoolDown(rule, key, load<u64>(mark, MARK_TENANT), time);
  else if (kind == layout.MARK_SUPPRESSED)
    setSuppressed(coolDownOf(indexOf(rule), key), load<u64>(mark, MARK_COUNT));
  else if (kind == layout.MARK_OVERDUE) {
    const labels = load<usize>(mark, SUBJECT_LABELS);
    const link = waitingOf(indexOf(rule), key);
    if (link != 0 && waitingSince(link) <= time) endWaiting(link);
    if (load<i64>(mark, MARK_TOLD) == NEVER) fireOverdue(rule, labels, NOTHING, time);
    else coolOverdue(rule, labels, time);
  } else {
    const known = absenceOf(indexOf(rule), key);
    if (known != 0 && (kind == layout.MARK_EXPECTED || isBack(rule, known, time, load<i64>(mark, MARK_TOLD))))
      return;
    if (known == 0 && !wait(rule, key, time, load<usize>(mark, SUBJECT_LABELS))) return;
    if (kind == layout.MARK_EXPECTED) return;
    const told = load<i64>(mark, MARK_TOLD);
    markMissing(absenceOf(indexOf(rule), key), time + windowOf(rule), told);
    lookAgainAt(told + repeatMs(rule));
  }
}

/** Whether a key that an alert said at `told` to be missing, and to be seen last at `time`, has been seen since. */
function isBack(rule: usize, link: u32, time: i64, told: i64): bool {
  const wanted = load<u32>(rule, layout.RULE_COUNT);
  if (wanted == 1) return lastSeen(link) > time;
  return oldestTime(indexOf(rule), absenceHash(link), wanted) + windowOf(rule) > told;
}
