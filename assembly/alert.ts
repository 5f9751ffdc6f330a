// From a matched rule to the alert: labels and annotations are rendered from the record, and at the end
// the body is written as Go's JSON of Alertmanager's `template.Data` (prometheus/alertmanager,
// template/template.go), maps sorted by key. A label or annotation that comes out empty is left out, as
// Prometheus does: an empty label is no label.
import * as layout from './layout';
import { clearWords, copyBytes, findByte, sameBytes } from './bytes';
import { capturesOf } from './condition';
import { VALUE_MARK, templateCountOf, templatesOf } from './hit';
import { BLOCK_EXTRA, allocate, isExhausted, resize } from './memory';
import { AT_LEAST } from './state';
import {
  JSON_BYTE_SIZE_MAX,
  beginOutput,
  outputMark,
  repeat,
  retreat,
  write,
  writeByte,
  writeConstant,
  writeHash,
  writeMember,
  writeMoment,
} from './output';
import { fieldText, fieldTextSize, fieldType } from './record';

export const FIRING: u32 = 0;
export const RESOLVED: u32 = 1;
export const NO_END: i64 = i64.MIN_VALUE;

// An alert that waits for its body. References are pairs of u32: address of a text, and its size.
export const ALERT_NEXT = 0;
export const ALERT_RULE = 4;
const ALERT_STATUS = 8;
export const ALERT_LABELS = 12; // references, one a label template
const ALERT_ANNOTATIONS = 16;
export const ALERT_STARTS = 24; // i64, ms
const ALERT_ENDS = 32; // i64, ms, or NO_END
const ALERT_FINGERPRINT = 40; // u64
export const ALERT_EFFECT = 48; // one of EFFECT_…
export const ALERT_KEY = 56; // u64, and what the effect is of:
export const ALERT_TENANT = 64; // u64
export const ALERT_TIME = 72; // i64
const ALERT_SIZE: usize = 80;

// What is remembered when an alert was told.
export const EFFECT_NONE: u32 = 0;
export const EFFECT_ALERT: u32 = 1; // the cool-down of the label set KEY begins
export const EFFECT_MISSING: u32 = 2; // the absence of KEY was told
export const EFFECT_CAPPED: u32 = 3; // as EFFECT_ALERT

/** In place of a hit's annotations: there is neither a record nor a hit, so what needs one is left out. */
export const WITHOUT_RECORD: usize = 1;

const FNV_OFFSET: u64 = 14695981039346656037;
const FNV_PRIME: u64 = 1099511628211;
const SEPARATOR: u64 = 0xff;

let ruleset: usize = 0;
let slots: usize = 0; // of the captures, u32 pairs: start and end in the text, 0: not set
let firstAlert: usize = 0;
let lastAlert: usize = 0;
let jsonSize: usize = 0; // bytes that the alerts may take in the body, and the first of them
let firstJsonSize: usize = 0;
let alertCount: u32 = 0;
let cutCount: u32 = 0; // alerts that the body has no room for

// What one rendering works on.
let labels: usize = 0; // references of the labels rendered so far
let value: u64 = 0;
let suppressed: u64 = 0;
let others: u64 = 0;
let isHit: bool = false; // the rendering is for a hit: numbers are not known yet
let hasRecord: bool = true; // what needs the record can be rendered
let text: usize = 0; // what `readPart` gave
let textSize: usize = 0;

export function placeAlerts(base: usize, at: usize): usize {
  ruleset = base;
  return at;
}

export function beginAlerts(): void {
  firstAlert = 0;
  lastAlert = 0;
  jsonSize = 0;
  firstJsonSize = 0;
  alertCount = 0;
  cutCount = 0;
}

/** The first alert of the body; the others follow by ALERT_NEXT. */
export function alerts(): usize {
  return firstAlert;
}

/** What is to be remembered when the alert that was added last is told. */
export function setEffect(effect: u32, key: u64, tenant: u64, time: i64): void {
  if (isExhausted()) return; // then it may not have been added
  store<u32>(lastAlert, effect, ALERT_EFFECT);
  store<u64>(lastAlert, key, ALERT_KEY);
  store<u64>(lastAlert, tenant, ALERT_TENANT);
  store<i64>(lastAlert, time, ALERT_TIME);
}

export function hasAlerts(): bool {
  return firstAlert != 0;
}

/** Finds the captures that the templates of a met step use, for `useCaptures`; 0 when there is no memory. */
export function extractCaptures(step: usize): usize {
  const size = (<usize>load<u32>(ruleset, layout.HEADER_SLOT_COUNT)) << 2;
  const found = allocate(size);
  if (found == 0) return 0;
  clearWords(found, size);
  let extract = ruleset + load<u32>(step, layout.STEP_EXTRACTS_OFFSET);
  for (let left = load<u32>(step, layout.STEP_EXTRACT_COUNT); left != 0; left--) {
    const pattern = ruleset + load<u32>(extract, layout.EXTRACT_PATTERN);
    const field = load<u32>(extract, layout.EXTRACT_FIELD);
    // Under `any` the pattern may not match, and what is no string matches no pattern: the slots then stay empty.
    if (fieldType(field) == layout.TYPE_STRING) {
      const at = fieldText(field);
      const captures = capturesOf(pattern, at, at + fieldTextSize(field));
      const target = found + ((<usize>load<u32>(extract, layout.EXTRACT_SLOT)) << 2);
      if (captures != 0)
        memory.copy(target, captures, (<usize>load<u32>(pattern, layout.PATTERN_SLOT_COUNT)) << 2);
    }
    extract += layout.EXTRACT_SIZE;
  }
  return found;
}

/** Makes these the captures that templates are rendered with. */
export function useCaptures(found: usize): void {
  slots = found;
}

/** Renders the labels of a rule and returns their references, or 0 when there is no memory. */
export function renderLabels(rule: usize): usize {
  const count = load<u32>(rule, layout.RULE_LABEL_COUNT);
  labels = allocate(((<usize>count) << 3) + 8);
  if (labels == 0) return 0;
  render(ruleset + load<u32>(rule, layout.RULE_LABELS_OFFSET), count, labels, layout.LABEL_VALUE_SIZE_MAX);
  return isExhausted() ? 0 : labels;
}

// ── How large an alert may become ───────────────────────────────────────────────────────────────────
// Memory for alerts is reserved before the state changes, so that no cool-down stands for an alert that then found no
// room. These are bounds: texts are taken as long as JSON can make them.

const ALERT_TEXTS_SIZE_MAX: usize = 256; // TEXT_ALERT_… to TEXT_ALERT_END, two times and a fingerprint
const BODY_TEXTS_SIZE_MAX: usize = 512; // all other texts of a body, those of the edge's record included
const NUMBER_SIZE_MAX: usize = 24;

/** Bytes that an alert may take in the body. `references` are its labels, 0: those that an absence keeps. */
export function alertSizeMax(rule: usize, references: usize): usize {
  let size = ALERT_TEXTS_SIZE_MAX;
  let template = ruleset + load<u32>(rule, layout.RULE_LABELS_OFFSET);
  let textsSize = references == 0 ? <usize>layout.ABSENCE_LABELS_SIZE_MAX : 0;
  const labelCount = load<u32>(rule, layout.RULE_LABEL_COUNT);
  for (let i: u32 = 0; i < labelCount; i++) {
    size += memberSizeMax(template, 0);
    if (references != 0) textsSize += load<u32>(references + ((<usize>i) << 3), 4);
    template += layout.TEMPLATE_SIZE;
  }
  size += textsSize * JSON_BYTE_SIZE_MAX;
  labels = references;
  template = ruleset + load<u32>(rule, layout.RULE_ANNOTATIONS_OFFSET);
  for (let left = load<u32>(rule, layout.RULE_ANNOTATION_COUNT); left != 0; left--) {
    size += memberSizeMax(template, annotationSizeMax(template));
    template += layout.TEMPLATE_SIZE;
  }
  return size;
}

/** Bytes that the blocks of an alert may take, for a `jsonSize` from `alertSizeMax`. */
export function alertBlocksSizeMax(rule: usize, jsonSize: usize): usize {
  const count = <usize>load<u32>(rule, layout.RULE_ANNOTATION_COUNT);
  return ALERT_SIZE + BLOCK_EXTRA + count * (8 + BLOCK_EXTRA) + jsonSize;
}

/** Bytes that a body of alerts that take `jsonSize` together may need, in all forms that doors give it. */
export function bodySizeMax(jsonSize: usize, firstSize: usize): usize {
  // The edge writes it once more, as a string; and there is a copy of an annotation while it is rendered.
  return bodyRoom(jsonSize, firstSize) * 3 + layout.ANNOTATION_SIZE_MAX + 4 * BLOCK_EXTRA;
}

/** As `bodySizeMax`, of the alerts so far and one more. */
export function bodySizeWith(size: usize): usize {
  return bodySizeMax(jsonSize + size, max(firstJsonSize, size));
}

/** Takes room for an alert of this `alertSizeMax`. False when the body has none for it. */
export function takeRoom(size: usize): bool {
  if (alertCount == layout.ALERT_COUNT_MAX || jsonSize + size > layout.BODY_SIZE_MAX) {
    cutCount++;
    return false;
  }
  if (alertCount == 0) firstJsonSize = size;
  alertCount++;
  jsonSize += size;
  return true;
}

/** What all alerts have in common stands in the first, and is written after them once more: labels even twice. */
function bodyRoom(jsonSize: usize, firstSize: usize): usize {
  return BODY_TEXTS_SIZE_MAX + jsonSize + 2 * firstSize;
}

function memberSizeMax(template: usize, textSize: usize): usize {
  return <usize>load<u32>(template, layout.TEMPLATE_NAME_SIZE) + 6 + textSize * JSON_BYTE_SIZE_MAX;
}

function annotationSizeMax(template: usize): usize {
  let size: usize = 0;
  let part = ruleset + load<u32>(template, layout.TEMPLATE_PARTS_OFFSET);
  for (let left = load<u32>(template, layout.TEMPLATE_PART_COUNT); left != 0; left--) {
    size += partSizeMax(part);
    part += layout.PART_SIZE;
  }
  return min(size, layout.ANNOTATION_SIZE_MAX);
}

function partSizeMax(part: usize): usize {
  const kind = load<u32>(part, layout.PART_KIND);
  if (kind > layout.PART_LABEL) return NUMBER_SIZE_MAX;
  if (kind == layout.PART_LABEL && labels == 0) return layout.ABSENCE_LABELS_SIZE_MAX;
  readPart(part);
  return min(textSize, layout.ANNOTATION_SIZE_MAX); // or a sum of several would wrap
}

/** Alertmanager's fingerprint of the labels whose bit is set in `mask` (prometheus/common, model.LabelSet). */
export function fingerprint(rule: usize, references: usize, mask: u64): u64 {
  let template = ruleset + load<u32>(rule, layout.RULE_LABELS_OFFSET);
  let hash = FNV_OFFSET;
  for (let left = load<u32>(rule, layout.RULE_LABEL_COUNT); left != 0; left--) {
    const size = load<u32>(references, 4);
    if (mask & 1 && size != 0) {
      hash = addBytes(hash, nameOf(template), load<u32>(template, layout.TEMPLATE_NAME_SIZE));
      hash = addBytes((hash ^ SEPARATOR) * FNV_PRIME, load<usize>(references), size);
      hash = (hash ^ SEPARATOR) * FNV_PRIME;
    }
    mask >>= 1;
    references += 8;
    template += layout.TEMPLATE_SIZE;
  }
  return hash;
}

/** The name of a template, after the comma and the quote of its key. */
function nameOf(template: usize): usize {
  return ruleset + load<u32>(template, layout.TEMPLATE_KEY_OFFSET) + 2;
}

function addBytes(hash: u64, at: usize, size: usize): u64 {
  for (const end = at + size; at < end; at++) hash = (hash ^ (<u64>load<u8>(at))) * FNV_PRIME;
  return hash;
}

/** Writes the labels' values one after the other, each with its size (u16) before it; returns their end. */
export function packLabels(rule: usize, references: usize, target: usize, sizeMax: usize): usize {
  const end = target + sizeMax;
  for (let left = load<u32>(rule, layout.RULE_LABEL_COUNT); left != 0; left--) {
    const size = load<usize>(references, 4);
    if (target + 2 + size > end) return 0;
    store<u16>(target, <u16>size);
    memory.copy(target + 2, load<usize>(references), size);
    target += 2 + size;
    references += 8;
  }
  return target;
}

/** The references to labels that `packLabels` wrote, or 0 when there is no memory. */
export function unpackLabels(rule: usize, packed: usize): usize {
  const count = load<u32>(rule, layout.RULE_LABEL_COUNT);
  const references = allocate(((<usize>count) << 3) + 8);
  if (references == 0) return 0;
  for (let i: u32 = 0; i < count; i++) {
    const size = <usize>load<u16>(packed);
    store<usize>(references + ((<usize>i) << 3), packed + 2);
    store<usize>(references + ((<usize>i) << 3), size, 4);
    packed += 2 + size;
  }
  return references;
}

/** Renders the annotations that need the record, for a hit; returns their references, or 0 when there is no memory. */
export function renderAnnotations(rule: usize, labelReferences: usize): usize {
  const count = load<u32>(rule, layout.RULE_ANNOTATION_COUNT);
  const references = allocate(((<usize>count) << 3) + 8);
  if (references == 0) return 0;
  labels = labelReferences;
  isHit = true;
  render(
    ruleset + load<u32>(rule, layout.RULE_ANNOTATIONS_OFFSET),
    count,
    references,
    HIT_ANNOTATION_SIZE_MAX,
  );
  isHit = false;
  return isExhausted() ? 0 : references;
}

/**
 * Adds an alert to the body. `references` are its labels, `given` the annotations of a hit or 0; counts are what `$value`
 * and the annotations say.
 */
export function addAlert(
  rule: usize,
  references: usize,
  given: usize,
  hash: u64,
  status: u32,
  startsAt: i64,
  endsAt: i64,
  valueCount: u64,
  suppressedCount: u64,
  othersCount: u64,
): void {
  const count = load<u32>(rule, layout.RULE_ANNOTATION_COUNT);
  const alert = allocate(ALERT_SIZE + ((<usize>count) << 3));
  if (alert == 0) return;
  labels = references;
  value = valueCount;
  suppressed = suppressedCount;
  others = othersCount;
  hasRecord = given == 0;
  store<usize>(alert, 0, ALERT_NEXT);
  store<usize>(alert, rule, ALERT_RULE);
  store<u32>(alert, status, ALERT_STATUS);
  store<usize>(alert, references, ALERT_LABELS);
  store<usize>(alert, alert + ALERT_SIZE, ALERT_ANNOTATIONS);
  store<i64>(alert, startsAt, ALERT_STARTS);
  store<i64>(alert, endsAt, ALERT_ENDS);
  store<u64>(alert, hash, ALERT_FINGERPRINT);
  store<u32>(alert, EFFECT_NONE, ALERT_EFFECT);
  render(
    ruleset + load<u32>(rule, layout.RULE_ANNOTATIONS_OFFSET),
    count,
    alert + ALERT_SIZE,
    layout.ANNOTATION_SIZE_MAX,
  );
  hasRecord = true;
  if (given > WITHOUT_RECORD) takeGiven(rule, given, alert + ALERT_SIZE);
  if (lastAlert) store<usize>(lastAlert, alert, ALERT_NEXT);
  else firstAlert = alert;
  lastAlert = alert;
}

/** Puts the annotations that came with a hit in their places, and the count in theirs. */
function takeGiven(rule: usize, given: usize, references: usize): void {
  let template = ruleset + load<u32>(rule, layout.RULE_ANNOTATIONS_OFFSET);
  for (let left = load<u32>(rule, layout.RULE_ANNOTATION_COUNT); left != 0; left--) {
    if (needsRecord(template)) {
      text = load<usize>(given);
      textSize = load<usize>(given, 4);
      insertValue();
      store<usize>(references, text);
      store<usize>(references, textSize, 4);
    }
    template += layout.TEMPLATE_SIZE;
    given += 8;
    references += 8;
  }
}

function needsRecord(template: usize): bool {
  let part = ruleset + load<u32>(template, layout.TEMPLATE_PARTS_OFFSET);
  for (let left = load<u32>(template, layout.TEMPLATE_PART_COUNT); left != 0; left--) {
    const kind = load<u32>(part, layout.PART_KIND);
    if (kind == layout.PART_RECORD || kind == layout.PART_CAPTURE) return true;
    part += layout.PART_SIZE;
  }
  return false;
}

/** Writes the count of matches in place of the marks of `text`, and cuts what then is too long. */
function insertValue(): void {
  const source = text;
  const end = text + textSize;
  let mark = findByte(source, end, VALUE_MARK);
  if (mark == end && textSize <= <usize>layout.ANNOTATION_SIZE_MAX) return;
  const room: usize = layout.ANNOTATION_SIZE_MAX + 1;
  const copy = allocate(room + 3);
  if (copy == 0) {
    textSize = 0;
    return;
  }
  readNumber(value & ~AT_LEAST, true, (value & AT_LEAST) != 0);
  let size: usize = 0;
  for (let at = source; size < room; at = mark + 1) {
    mark = findByte(at, end, VALUE_MARK);
    size = append(copy, size, room, at, mark - at);
    if (mark == end) break;
    size = append(copy, size, room, text, textSize);
  }
  if (size > <usize>layout.ANNOTATION_SIZE_MAX) size = cut(copy, layout.ANNOTATION_SIZE_MAX);
  resize(copy, size);
  text = copy;
  textSize = size;
}

function append(copy: usize, size: usize, room: usize, source: usize, sourceSize: usize): usize {
  const taken = min(sourceSize, room - size);
  copyBytes(copy + size, source, taken);
  return size + taken;
}

// ── Rendering ───────────────────────────────────────────────────────────────────────────────────────

function render(template: usize, count: u32, references: usize, sizeMax: usize): void {
  for (; count != 0; count--) {
    const requires = load<u32>(template, layout.TEMPLATE_REQUIRES);
    text = ruleset;
    textSize = 0;
    const isShown = requires == layout.NONE || load<u32>(labels + ((<usize>requires) << 3), 4) != 0;
    if (isHit ? needsRecord(template) : isShown && (hasRecord || !needsRecord(template)))
      renderOne(template, sizeMax);
    store<usize>(references, text);
    store<usize>(references, textSize, 4);
    references += 8;
    template += layout.TEMPLATE_SIZE;
  }
}

/** Leaves what the template says in `text` and `textSize`. */
function renderOne(template: usize, sizeMax: usize): void {
  let part = ruleset + load<u32>(template, layout.TEMPLATE_PARTS_OFFSET);
  const end = part + <usize>load<u32>(template, layout.TEMPLATE_PART_COUNT) * layout.PART_SIZE;
  if (part + layout.PART_SIZE == end) {
    readPart(part);
    if (textSize == 0 || (textSize <= sizeMax && text + textSize != digitsEnd)) return; // the text stays where it is
  }
  // Reading a field's text for the first time may allocate: now, so that the copy is the last block.
  for (let i = part; i < end; i += layout.PART_SIZE) {
    if (load<u32>(i, layout.PART_KIND) == layout.PART_RECORD) fieldText(load<u32>(i, layout.PART_A));
  }
  const room = sizeMax + 1; // one byte more tells that something was cut
  const copy = allocate(room + 3); // and SLACK after it, for copyBytes
  if (copy == 0) {
    textSize = 0;
    return;
  }
  let size: usize = 0;
  for (; part < end && size < room; part += layout.PART_SIZE) {
    readPart(part);
    size = append(copy, size, room, text, textSize);
  }
  if (size > sizeMax) size = isHit ? boundary(copy, sizeMax) : cut(copy, sizeMax);
  resize(copy, size);
  text = copy;
  textSize = size;
}

/** Shortens a text to at most `sizeMax` bytes, between two code points, with an ellipsis at its end. */
function cut(copy: usize, sizeMax: usize): usize {
  const size = boundary(copy, sizeMax - 3);
  store<u8>(copy + size, 0xe2);
  store<u8>(copy + size, 0x80, 1);
  store<u8>(copy + size, 0xa6, 2);
  return size + 3;
}

/** The end of the last code point that ends at or before `size`. */
function boundary(copy: usize, size: usize): usize {
  while (size > 0 && (load<u8>(copy + size) & 0xc0) == 0x80) size--;
  return size;
}

/** Leaves a part's text in `text` and `textSize`. */
function readPart(part: usize): void {
  const kind = load<u32>(part, layout.PART_KIND);
  const a = load<u32>(part, layout.PART_A);
  if (kind == layout.PART_TEXT) {
    text = ruleset + a;
    textSize = load<u32>(part, layout.PART_B);
  } else if (kind == layout.PART_RECORD) {
    text = fieldText(a);
    textSize = fieldTextSize(a);
  } else if (kind == layout.PART_CAPTURE) {
    text = load<usize>(slots + ((<usize>a) << 2));
    textSize = text == 0 ? 0 : load<usize>(slots + ((<usize>a) << 2), 4) - text;
  } else if (kind == layout.PART_LABEL) {
    text = load<usize>(labels + ((<usize>a) << 3));
    textSize = load<usize>(labels + ((<usize>a) << 3), 4);
  } else if (isHit) {
    text = valueMark;
    textSize = 1;
  } else {
    const number = kind == layout.PART_SUPPRESSED ? suppressed : kind == layout.PART_OTHERS ? others : value;
    readNumber(number & ~AT_LEAST, kind == layout.PART_VALUE, (number & AT_LEAST) != 0);
  }
}

const valueMark: usize = memory.data<u8>([0xff, 0, 0, 0, 0, 0, 0, 0]); // VALUE_MARK
// What a hit carries of an annotation: enough to see that it is cut, with room for a code point.
const HIT_ANNOTATION_SIZE_MAX: usize = layout.ANNOTATION_SIZE_MAX + 4;

const DIGITS_SIZE = 24; // the largest u64 has 20, and a plus
const digitsEnd: usize = memory.data(DIGITS_SIZE) + DIGITS_SIZE;

/** Leaves a number's digits in `text`, until the next number is read. */
function readNumber(number: u64, showZero: bool, showPlus: bool): void {
  text = digitsEnd;
  if (number != 0 || showZero) {
    if (showPlus) store<u8>(--text, 0x2b);
    do {
      store<u8>(--text, 0x30 + <u8>(number % 10));
      number /= 10;
    } while (number != 0);
  }
  textSize = digitsEnd - text;
}

// ── The body ────────────────────────────────────────────────────────────────────────────────────────

// Where the body's array of alerts stands in the output, brackets included.
let arrayMark: usize = 0;
let arrayEnd: usize = 0;

/** Where the array of alerts begins in the body, and after it: all that Alertmanager takes. */
export function alertsFrom(): usize {
  return arrayMark;
}

export function alertsTo(): usize {
  return arrayEnd;
}

// Where the last alert's labels and annotations stand in the output.
let labelsMark: usize = 0;
let labelsEnd: usize = 0;
let annotationsMark: usize = 0;
let annotationsEnd: usize = 0;

/** Writes the body of all alerts added since `beginAlerts`; false when there is no memory. */
export function writeBody(): bool {
  beginOutput(bodyRoom(jsonSize, firstJsonSize));
  writeConstant(ruleset, isAnyFiring() ? layout.TEXT_BODY_FIRING : layout.TEXT_BODY_RESOLVED);
  arrayMark = outputMark() - 1;
  for (let alert = firstAlert; alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    if (alert != firstAlert) writeByte(0x2c);
    writeAlert(alert);
  }
  arrayEnd = outputMark() + 1;
  writeConstant(ruleset, layout.TEXT_GROUP_LABELS);
  writeGroup();
  writeConstant(ruleset, layout.TEXT_COMMON_LABELS);
  writeCommon(true);
  writeConstant(ruleset, layout.TEXT_COMMON_ANNOTATIONS);
  writeCommon(false);
  writeConstant(ruleset, layout.TEXT_CLOSING);
  if (cutCount != 0) writeCutCount();
  return !isExhausted();
}

// prettier-ignore
const cutCountKey: usize = memory.data<u8>([
  0x2c, 0x22, 0x74, 0x72, 0x75, 0x6e, 0x63, 0x61, 0x74, 0x65, 0x64, // ,"truncated
  0x41, 0x6c, 0x65, 0x72, 0x74, 0x73, 0x22, 0x3a, // Alerts":
]);
const CUT_COUNT_KEY_SIZE: usize = 19;

/** Writes how many alerts the body had no room for, under the name that Alertmanager's webhooks have for it. */
function writeCutCount(): void {
  retreat(1); // the closing brace
  write(cutCountKey, CUT_COUNT_KEY_SIZE);
  readNumber(cutCount, true, false);
  write(text, textSize);
  writeByte(0x7d);
}

/** A body is resolved when each of its alerts is, as in Alertmanager. */
function isAnyFiring(): bool {
  for (let alert = firstAlert; alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    if (load<u32>(alert, ALERT_STATUS) == FIRING) return true;
  }
  return false;
}

function writeAlert(alert: usize): void {
  const rule = load<usize>(alert, ALERT_RULE);
  writeConstant(
    ruleset,
    load<u32>(alert, ALERT_STATUS) == FIRING ? layout.TEXT_ALERT_FIRING : layout.TEXT_ALERT_RESOLVED,
  );
  labelsMark = outputMark();
  writePairs(templatesOf(ruleset, rule, true), templateCountOf(rule, true), referencesOf(alert, true));
  labelsEnd = outputMark();
  writeConstant(ruleset, layout.TEXT_ANNOTATIONS);
  annotationsMark = outputMark();
  writePairs(templatesOf(ruleset, rule, false), templateCountOf(rule, false), referencesOf(alert, false));
  annotationsEnd = outputMark();
  writeConstant(ruleset, layout.TEXT_STARTS_AT);
  writeMoment(load<i64>(alert, ALERT_STARTS));
  const endsAt = load<i64>(alert, ALERT_ENDS);
  if (endsAt == NO_END) writeConstant(ruleset, layout.TEXT_NO_END);
  else {
    writeConstant(ruleset, layout.TEXT_ENDS_AT);
    writeMoment(endsAt);
    writeConstant(ruleset, layout.TEXT_FINGERPRINT);
  }
  writeHash(load<u64>(alert, ALERT_FINGERPRINT));
  writeConstant(ruleset, layout.TEXT_ALERT_END);
}

function writePairs(template: usize, count: u32, references: usize): void {
  let isFirst = true;
  for (; count != 0; count--) {
    if (load<u32>(references, 4) != 0) {
      writePair(template, references, isFirst);
      isFirst = false;
    }
    template += layout.TEMPLATE_SIZE;
    references += 8;
  }
}

function writePair(template: usize, reference: usize, isFirst: bool): void {
  const comma = <usize>isFirst; // of the key, and left out
  writeMember(
    ruleset + load<u32>(template, layout.TEMPLATE_KEY_OFFSET) + comma,
    <usize>load<u32>(template, layout.TEMPLATE_NAME_SIZE) + 4 - comma,
    load<usize>(reference),
    load<u32>(reference, 4),
  );
}

/** Writes the labels that Alertmanager would group the body's alerts by: the alert's name, and its namespace. */
function writeGroup(): void {
  const rule = load<usize>(firstAlert, ALERT_RULE);
  const isFirst = !writeIfCommon(rule, load<u16>(rule, layout.RULE_ALERTNAME_LABEL), true, true);
  const namespace = <u32>load<u16>(rule, layout.RULE_NAMESPACE_LABEL);
  if (namespace != layout.NO_LABEL) writeIfCommon(rule, namespace, true, isFirst);
}

/** Writes the labels, or annotations, that all alerts of the body have in common. */
function writeCommon(ofLabels: bool): void {
  if (firstAlert == lastAlert) {
    // One alert has all of its own in common: they stand in the output already.
    if (ofLabels) repeat(labelsMark, labelsEnd);
    else repeat(annotationsMark, annotationsEnd);
    return;
  }
  const rule = load<usize>(firstAlert, ALERT_RULE);
  const count = templateCountOf(rule, ofLabels);
  let isFirst = true;
  for (let i: u32 = 0; i < count; i++) {
    if (writeIfCommon(rule, i, ofLabels, isFirst)) isFirst = false;
  }
}

/** Writes the first alert's label, or annotation, `index` when it is not empty and all other alerts have the same. */
function writeIfCommon(rule: usize, index: u32, ofLabels: bool, isFirst: bool): bool {
  const template = templatesOf(ruleset, rule, ofLabels) + <usize>index * layout.TEMPLATE_SIZE;
  const reference = referencesOf(firstAlert, ofLabels) + ((<usize>index) << 3);
  if (load<u32>(reference, 4) == 0 || !isCommon(template, reference, ofLabels)) return false;
  writePair(template, reference, isFirst);
  return true;
}

function referencesOf(alert: usize, ofLabels: bool): usize {
  return ofLabels ? load<usize>(alert, ALERT_LABELS) : load<usize>(alert, ALERT_ANNOTATIONS);
}

function haveSameName(a: usize, b: usize): bool {
  const size = load<u32>(a, layout.TEMPLATE_NAME_SIZE);
  return load<u32>(b, layout.TEMPLATE_NAME_SIZE) == size && sameBytes(nameOf(a), nameOf(b), size);
}

function isCommon(template: usize, reference: usize, ofLabels: bool): bool {
  for (let alert = load<usize>(firstAlert, ALERT_NEXT); alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    if (!hasPair(alert, template, reference, ofLabels)) return false;
  }
  return true;
}

function hasPair(alert: usize, template: usize, reference: usize, ofLabels: bool): bool {
  const rule = load<usize>(alert, ALERT_RULE);
  const size = load<u32>(reference, 4);
  let other = templatesOf(ruleset, rule, ofLabels);
  let otherReference = referencesOf(alert, ofLabels);
  for (let left = templateCountOf(rule, ofLabels); left != 0; left--) {
    if (haveSameName(other, template)) {
      return (
        load<u32>(otherReference, 4) == size &&
        sameBytes(load<usize>(otherReference), load<usize>(reference), size)
      );
    }
    other += layout.TEMPLATE_SIZE;
    otherReference += 8;
  }
  return false;
}
