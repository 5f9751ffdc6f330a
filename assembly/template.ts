// Templates: the texts of labels and annotations, rendered from a record, its captures, the labels and the counts. A text
// is a u64, as a reference in memory is: its address, and its size in the upper half. An empty text is left out of labels
// and annotations, as in Prometheus: an empty label is no label.
import * as layout from './layout';
import { applyFunction, boundary, cut } from './function';
import { addressOf, copyBytes, findByte, sizeOf, textOf } from './bytes';
import { makeReady } from './derive';
import { HUMAN_SIZE_MAX } from './humanize';
import { RULESET, allocate, isExhausted, resize } from './memory';
import { fieldText, fieldTextSize } from './record';
import { AT_LEAST, IS_SHARE } from './state';

// The subject of templates is a block that begins with these: a hit, or the alert that it makes.
export const SUBJECT_LABELS = 0; // references, one per label template
export const SUBJECT_CAPTURES = 4; // u32 pairs: start and end in the text, 0: not set
export const SUBJECT_STAGE = 8; // one of STAGE_…
export const SUBJECT_FIRST = 16; // a text: the first label sets among the others
export const SUBJECT_VALUE = 24; // u64, like the next ones
export const SUBJECT_SUPPRESSED = 32;
export const SUBJECT_OTHERS = 40;
export const SUBJECT_SAMPLES = 48; // a text
export const SUBJECT_SIZE = 56;

export const STAGE_RECORD: u32 = 0; // the record is at hand
export const STAGE_HIT: u32 = 1; // the record is at hand, the counts are not: only what needs the record is rendered
export const STAGE_COUNT: u32 = 2; // the counts are at hand, the record is not: what needs the record is left out

/** No text. */
export const NOTHING: u64 = <u64>RULESET;

/** Takes the place of `$value` in an annotation's text: it occurs in no UTF-8 text. */
export const VALUE_MARK: u32 = 0xff;

export function templatesOf(rule: usize, ofLabels: bool): usize {
  return (
    RULESET +
    (ofLabels ? load<u32>(rule, layout.RULE_LABELS_OFFSET) : load<u32>(rule, layout.RULE_ANNOTATIONS_OFFSET))
  );
}

export function templateCountOf(rule: usize, ofLabels: bool): u32 {
  return ofLabels ? load<u32>(rule, layout.RULE_LABEL_COUNT) : load<u32>(rule, layout.RULE_ANNOTATION_COUNT);
}

/** How a rule counts its hits: a COUNTING_… record. */
export function countingOf(rule: usize): usize {
  return RULESET + load<u32>(rule, layout.RULE_COUNTING_OFFSET);
}

/** The name of a template, after the comma and the quote of its key. */
export function nameOf(template: usize): usize {
  return RULESET + load<u32>(template, layout.TEMPLATE_KEY_OFFSET) + 2;
}

function partsOf(template: usize): usize {
  return RULESET + load<u32>(template, layout.TEMPLATE_PARTS_OFFSET);
}

/** A block for the texts of a rule's labels or annotations, or 0 when there is no memory. */
export function allocateReferences(rule: usize, ofLabels: bool): usize {
  return allocate(((<usize>templateCountOf(rule, ofLabels)) << 3) + 8);
}

/** Renders those labels of a rule that are the same for every record; 0 when there is no memory. */
export function constantLabels(rule: usize): usize {
  const subject = allocate(SUBJECT_SIZE);
  if (subject == 0) return 0;
  memory.fill(subject, 0, SUBJECT_SIZE);
  store<u32>(subject, STAGE_COUNT, SUBJECT_STAGE);
  return renderLabels(rule, subject) ? load<usize>(subject, SUBJECT_LABELS) : 0;
}

/** Renders the labels of a rule, and stores them in the subject. False when there is no memory. */
export function renderLabels(rule: usize, subject: usize): bool {
  const references = allocateReferences(rule, true);
  if (references == 0) return false;
  store<usize>(subject, references, SUBJECT_LABELS);
  render(rule, true, references, subject, layout.LABEL_VALUE_SIZE_MAX);
  return !isExhausted();
}

const SPACE: u32 = 0x20;

/** Renders the text that a rule keeps of a match, as one line; nothing when there is no memory. */
export function renderSample(rule: usize, subject: usize): u64 {
  const template = RULESET + load<u32>(countingOf(rule), layout.COUNTING_SAMPLE_OFFSET);
  const text = renderOne(template, subject, layout.SAMPLE_SIZE_MAX);
  const copy = allocate(sizeOf(text));
  if (copy == 0) return NOTHING;
  let size: usize = 0;
  let end: usize = 0; // of the text without the spaces at its end
  for (let i: usize = 0; i < sizeOf(text); i++) {
    const byte = max<u32>(load<u8>(addressOf(text) + i), SPACE);
    if (byte == SPACE && size == 0) continue;
    store<u8>(copy + size++, byte);
    if (byte != SPACE) end = size;
  }
  return textOf(copy, end);
}

/** Renders the annotations of a rule to `references`, for the stage of the subject. */
export function renderAnnotations(rule: usize, references: usize, subject: usize): void {
  const isHit = load<u32>(subject, SUBJECT_STAGE) == STAGE_HIT;
  render(rule, false, references, subject, isHit ? HIT_ANNOTATION_SIZE_MAX : layout.ANNOTATION_SIZE_MAX);
}

// The bytes of an annotation that a hit carries: enough to see that it is cut, with room for a code point.
const HIT_ANNOTATION_SIZE_MAX: usize = layout.ANNOTATION_SIZE_MAX + 4;

function render(rule: usize, ofLabels: bool, references: usize, subject: usize, sizeMax: usize): void {
  let template = templatesOf(rule, ofLabels);
  for (let left = templateCountOf(rule, ofLabels); left != 0; left--) {
    store<u64>(references, isWanted(template, subject) ? renderOne(template, subject, sizeMax) : NOTHING);
    references += 8;
    template += layout.TEMPLATE_SIZE;
  }
}

function isWanted(template: usize, subject: usize): bool {
  const stage = load<u32>(subject, SUBJECT_STAGE);
  if (stage == STAGE_HIT) return needsRecord(template);
  if (stage == STAGE_COUNT && needsRecord(template)) return false;
  const requires = <u32>load<u16>(template, layout.TEMPLATE_REQUIRES);
  return requires == layout.NO_LABEL || sizeOf(labelOf(subject, requires)) != 0;
}

function labelOf(subject: usize, index: u32): u64 {
  return load<u64>(load<usize>(subject, SUBJECT_LABELS) + ((<usize>index) << 3));
}

function kindOf(part: usize): u32 {
  return load<u32>(part, layout.PART_KIND) & ~layout.PART_CHAINED;
}

/** Whether only counting knows it. */
function isOfCounting(part: usize): bool {
  const kind = kindOf(part);
  return kind > layout.PART_LABEL && kind < layout.PART_UPPER;
}

function isChained(part: usize): bool {
  return (load<u32>(part, layout.PART_KIND) & layout.PART_CHAINED) != 0;
}

export function needsRecord(template: usize): bool {
  let part = partsOf(template);
  for (let left = load<u32>(template, layout.TEMPLATE_PART_COUNT); left != 0; left--) {
    const kind = kindOf(part);
    if (kind == layout.PART_RECORD || kind == layout.PART_CAPTURE) return true;
    part += layout.PART_SIZE;
  }
  return false;
}

/** The text of a template; empty when there is no memory. */
function renderOne(template: usize, subject: usize, sizeMax: usize): u64 {
  let part = partsOf(template);
  const end = part + <usize>load<u32>(template, layout.TEMPLATE_PART_COUNT) * layout.PART_SIZE;
  if (part + layout.PART_SIZE == end) {
    const text = readPart(part, subject);
    const size = sizeOf(text);
    if (size == 0 || (size <= sizeMax && addressOf(text) + size != digitsEnd)) return text; // it stays where it is
  }
  // Reading a field's text for the first time may allocate: now, so that the copy is the last block.
  for (let i = part; i < end; i += layout.PART_SIZE) {
    if (kindOf(i) == layout.PART_RECORD) textOfField(load<u32>(i, layout.PART_A));
  }
  const room = sizeMax + 1; // one byte more shows that something was cut
  const copy = allocate(room + 3); // and SLACK after it, for copyBytes
  if (copy == 0) return NOTHING;
  let size: usize = 0;
  while (part < end && size < room) {
    const next = chainEnd(part, end);
    size = append(copy, size, room, readChain(part, next, subject));
    part = next;
  }
  if (size > sizeMax)
    size = load<u32>(subject, SUBJECT_STAGE) == STAGE_HIT ? boundary(copy, sizeMax) : cut(copy, sizeMax);
  resize(copy, size);
  return textOf(copy, size);
}

/** Copies as much of a text to `copy` as there is room for, after `size` bytes; returns the size then. */
export function append(copy: usize, size: usize, room: usize, text: u64): usize {
  const taken = min(sizeOf(text), room - size);
  copyBytes(copy + size, addressOf(text), taken);
  return size + taken;
}

/** The first part after `part` that begins a reference of its own. */
function chainEnd(part: usize, end: usize): usize {
  do part += layout.PART_SIZE;
  while (part < end && isChained(part));
  return part;
}

/** The text of a reference, all its functions applied; it may be overwritten by the next one. */
function readChain(part: usize, end: usize, subject: usize): u64 {
  let text = readPart(part, subject);
  // Counting applies the functions of a count, when it knows the number.
  if (isOfCounting(part) && load<u32>(subject, SUBJECT_STAGE) == STAGE_HIT) return text;
  for (part += layout.PART_SIZE; part < end; part += layout.PART_SIZE) {
    if (kindOf(part) >= layout.PART_UPPER) text = applyFunction(part, text);
    else if (sizeOf(text) == 0) text = readPart(part, subject);
  }
  return text;
}

function readPart(part: usize, subject: usize): u64 {
  const kind = kindOf(part);
  const a = load<u32>(part, layout.PART_A);
  if (kind == layout.PART_TEXT) return textOf(RULESET + a, load<u32>(part, layout.PART_B));
  if (kind == layout.PART_RECORD) return textOfField(a);
  if (kind == layout.PART_CAPTURE) return captureOf(load<usize>(subject, SUBJECT_CAPTURES), a);
  if (kind == layout.PART_LABEL) return labelOf(subject, a);
  if (load<u32>(subject, SUBJECT_STAGE) == STAGE_HIT) return textOf(valueMark, 1);
  if (kind == layout.PART_FIRST) return load<u64>(subject, SUBJECT_FIRST);
  if (kind == layout.PART_SAMPLES) return load<u64>(subject, SUBJECT_SAMPLES);
  if (kind == layout.PART_VALUE) return valueOf(subject);
  const number =
    kind == layout.PART_OTHERS ? load<u64>(subject, SUBJECT_OTHERS) : load<u64>(subject, SUBJECT_SUPPRESSED);
  return number == 0 ? NOTHING : digitsOf(number);
}

function textOfField(field: u32): u64 {
  makeReady(field);
  return textOf(fieldText(field), fieldTextSize(field));
}

function captureOf(captures: usize, slot: u32): u64 {
  const start = load<usize>(captures + ((<usize>slot) << 2));
  return start == 0 ? NOTHING : textOf(start, load<usize>(captures + ((<usize>slot) << 2), 4) - start);
}

const valueMark: usize = memory.data<u8>([0xff, 0, 0, 0, 0, 0, 0, 0]); // VALUE_MARK

// ── Annotations that came with a hit ────────────────────────────────────────────────────────────────

/** Puts the annotations that came with a hit in their places, and the count in theirs. */
export function takeGiven(rule: usize, given: usize, references: usize, subject: usize): void {
  let template = templatesOf(rule, false);
  for (let left = templateCountOf(rule, false); left != 0; left--) {
    if (needsRecord(template)) store<u64>(references, insertCounts(template, load<u64>(given), subject));
    template += layout.TEMPLATE_SIZE;
    given += 8;
    references += 8;
  }
}

/** Writes what only counting knows in place of the marks of a text, and cuts the result when it is too long. */
function insertCounts(template: usize, text: u64, subject: usize): u64 {
  const textEnd = addressOf(text) + sizeOf(text);
  let mark = findByte(addressOf(text), textEnd, VALUE_MARK);
  if (mark == textEnd && sizeOf(text) <= <usize>layout.ANNOTATION_SIZE_MAX) return text;
  const room: usize = layout.ANNOTATION_SIZE_MAX + 1;
  const copy = allocate(room + 3);
  if (copy == 0) return NOTHING;
  const end = partsOf(template) + <usize>load<u32>(template, layout.TEMPLATE_PART_COUNT) * layout.PART_SIZE;
  let part = partsOf(template);
  let size: usize = 0;
  for (let at = addressOf(text); size < room; at = mark + 1) {
    mark = findByte(at, textEnd, VALUE_MARK);
    size = append(copy, size, room, textOf(at, mark - at));
    if (mark == textEnd) break;
    // The marks are in the order of their parts; a text that was cut has fewer.
    while (part < end && !isOfCounting(part)) part += layout.PART_SIZE;
    if (part == end) break;
    const next = chainEnd(part, end);
    size = append(copy, size, room, readChain(part, next, subject));
    part = next;
  }
  if (size > <usize>layout.ANNOTATION_SIZE_MAX) size = cut(copy, layout.ANNOTATION_SIZE_MAX);
  resize(copy, size);
  return textOf(copy, size);
}

// ── Numbers ─────────────────────────────────────────────────────────────────────────────────────────

const DIGITS_SIZE = 24; // the largest u64 has 20, and a plus
const digitsEnd: usize = memory.data(DIGITS_SIZE) + DIGITS_SIZE;

/** `$value`: a share, or a count that may be "or more". */
function valueOf(subject: usize): u64 {
  const value = load<u64>(subject, SUBJECT_VALUE);
  if (value & IS_SHARE) return fractionOf(<u32>value);
  const digits = digitsOf(value & ~AT_LEAST);
  if ((value & AT_LEAST) == 0) return digits;
  memory.copy(addressOf(digits) - 1, addressOf(digits), sizeOf(digits));
  store<u8>(digitsEnd - 1, 0x2b);
  return textOf(addressOf(digits) - 1, sizeOf(digits) + 1);
}

/** A share as Prometheus writes it: `0.0731`, or `1`. It ends where digits end, and stays as long. */
function fractionOf(share: u32): u64 {
  let unit: u32 = layout.SHARE_UNIT;
  if (share % unit == 0) return digitsOf(share / unit);
  for (; share % 10 == 0; share /= 10) unit /= 10;
  const at = addressOf(digitsOf(share + unit)); // a 1, and the digits after the point
  store<u8>(at - 1, 0x30);
  store<u8>(at, 0x2e);
  return textOf(at - 1, digitsEnd - at + 1);
}

/** A number's digits, which stay until the next number is read. */
export function digitsOf(number: u64): u64 {
  let at = digitsEnd;
  do {
    store<u8>(--at, 0x30 + <u8>(number % 10));
    number /= 10;
  } while (number != 0);
  return textOf(at, digitsEnd - at);
}

// ── How large a text may become ─────────────────────────────────────────────────────────────────────

const NUMBER_SIZE_MAX: usize = HUMAN_SIZE_MAX;
const ESCAPE_SIZE_MAX: usize = 5; // of a byte: &amp;

/** Bytes that an annotation may have, at most. `subject` is what it is rendered for, or 0: an alert with kept labels. */
export function annotationSizeMax(template: usize, subject: usize): usize {
  let size: usize = 0;
  let part = partsOf(template);
  for (let left = load<u32>(template, layout.TEMPLATE_PART_COUNT); left != 0; left--) {
    size += partSizeMax(part, subject);
    if (kindOf(part) == layout.PART_SLACK_ESCAPE) size *= ESCAPE_SIZE_MAX;
    size = min(size, layout.ANNOTATION_SIZE_MAX);
    part += layout.PART_SIZE;
  }
  return size;
}

function partSizeMax(part: usize, subject: usize): usize {
  const kind = kindOf(part);
  if (kind == layout.PART_FIRST) return layout.FIRST_SIZE_MAX;
  if (kind == layout.PART_SAMPLES) return layout.ANNOTATION_SIZE_MAX;
  if (kind > layout.PART_LABEL) return NUMBER_SIZE_MAX;
  if (kind == layout.PART_TEXT) return load<u32>(part, layout.PART_B);
  if (subject == 0) return kind == layout.PART_LABEL ? <usize>layout.ABSENCE_LABELS_SIZE_MAX : 0;
  if (kind != layout.PART_LABEL && load<u32>(subject, SUBJECT_STAGE) != STAGE_RECORD)
    return layout.ANNOTATION_SIZE_MAX;
  return min(sizeOf(readPart(part, subject)), layout.ANNOTATION_SIZE_MAX);
}
