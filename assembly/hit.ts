// A hit: what one step of one rule found in one record. Matching makes hits, counting takes them. Between the two they
// travel as JSON (layout.ts shows it), through a topic or inside one process. A hit has everything that an alert needs
// from its record, so the record is not needed again.
//
// Numbers that only counting knows (`$value`) are not in it. In an annotation's text the byte VALUE_MARK is in
// their place: it occurs in no UTF-8 text. In JSON such an annotation is an array of the texts around the marks. An
// annotation that needs nothing from the record is not in the hit: counting writes it from the rule.
import * as layout from './layout';
import { addressOf, findByte, sameBytes, sizeOf, textOf } from './bytes';
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COMMA,
  OPEN_BRACKET,
  QUOTE,
  decode,
  decodedSizeMax,
  skipString,
} from './json';
import { RULESET, allocate, resize } from './memory';
import { constantOf, write, writeByte, writeConstant, writeHash, writeMoment, writeString } from './output';
import {
  SUBJECT_LABELS,
  SUBJECT_SIZE,
  SUBJECT_SUPPRESSED,
  SUBJECT_VALUE,
  VALUE_MARK,
  digitsOf,
  templateCountOf,
  templatesOf,
  countingOf,
} from './template';
import { NEVER } from './state';
import { NO_TIME, parseTime } from './time';

// A hit in memory begins with the fields of a template's subject.
export const HIT_NEXT = SUBJECT_SIZE;
export const HIT_RULE = SUBJECT_SIZE + 4; // address of the rule
export const HIT_ORDINAL = SUBJECT_SIZE + 8; // of the step in its rule
export const HIT_ANNOTATIONS = SUBJECT_SIZE + 12; // references, one per annotation template; 0: the record is at hand, render from it
export const HIT_HAS_DISTINCT = SUBJECT_SIZE + 16; // 1 when HIT_DISTINCT is set
export const HIT_IS_TOLD = SUBJECT_SIZE + 20; // 1 when counting it made an alert
export const HIT_TIME = SUBJECT_SIZE + 24; // i64, ms
export const HIT_BY = SUBJECT_SIZE + 32; // u64, hash of the labels that `by` names; of all labels when there is no `by`
export const HIT_DISTINCT = SUBJECT_SIZE + 40; // u64, hash of the value that `distinct` looks at
export const HIT_SAMPLE = SUBJECT_SIZE + 48; // a text: what the rule keeps of the match
export const HIT_SIZE: usize = SUBJECT_SIZE + 56;

// A mark in memory (layout.ts shows it) has a rule and labels like a hit, and is linked like a hit.
export const MARK_KIND = HIT_ORDINAL; // one of layout's MARK_…
export const MARK_TIME = HIT_TIME; // i64, `seen` or `time`
export const MARK_KEY = HIT_BY; // u64
export const MARK_TOLD = HIT_DISTINCT; // i64
export const MARK_TENANT = SUBJECT_VALUE; // u64
export const MARK_COUNT = SUBJECT_SUPPRESSED; // u64

// ── Writing ─────────────────────────────────────────────────────────────────────────────────────────

/** Writes a hit. `source` names its record: the bytes between the quotes of a JSON string. */
export function writeHit(hit: usize, source: usize, sourceSize: usize): void {
  const rule = load<usize>(hit, HIT_RULE);
  const fingerprint = load<u64>(rule, layout.RULE_FINGERPRINT);
  writeConstant(layout.TEXT_HIT_KEY);
  writeHash(load<u64>(hit, HIT_BY) ^ fingerprint);
  writeConstant(layout.TEXT_HIT_ID);
  write(source, sourceSize);
  writeByte(0x2f);
  writeHash(fingerprint);
  writeByte(0x2f);
  writeNumber(load<u32>(hit, HIT_ORDINAL));
  writeConstant(layout.TEXT_HIT_RULE);
  writeHash(fingerprint);
  writeConstant(layout.TEXT_HIT_STEP);
  writeNumber(load<u32>(hit, HIT_ORDINAL));
  writeConstant(layout.TEXT_HIT_TIME);
  writeMoment(load<i64>(hit, HIT_TIME));
  if (load<u32>(hit, HIT_HAS_DISTINCT) != 0) {
    writeConstant(layout.TEXT_HIT_DISTINCT);
    writeHash(load<u64>(hit, HIT_DISTINCT));
  }
  writeConstant(layout.TEXT_HIT_ALERT);
  writeString(RULESET + load<u32>(rule, layout.RULE_NAME_OFFSET), load<u32>(rule, layout.RULE_NAME_SIZE));
  writeConstant(layout.TEXT_HIT_LABELS);
  writeTexts(rule, true, load<usize>(hit, SUBJECT_LABELS));
  writeConstant(layout.TEXT_HIT_ANNOTATIONS);
  writeTexts(rule, false, load<usize>(hit, HIT_ANNOTATIONS));
  const sample = load<u64>(hit, HIT_SAMPLE);
  if (sizeOf(sample) == 0) {
    writeConstant(layout.TEXT_HIT_END);
    return;
  }
  writeConstant(layout.TEXT_HIT_SAMPLE);
  writeString(addressOf(sample), sizeOf(sample));
  writeByte(CLOSE_BRACE);
}

function writeNumber(number: u64): void {
  const digits = digitsOf(number);
  write(addressOf(digits), sizeOf(digits));
}

export function writeMark(mark: usize): void {
  const kind = load<u32>(mark, MARK_KIND);
  const rule = load<usize>(mark, HIT_RULE);
  writeConstant(layout.TEXT_MARK + kind);
  writeHash(load<u64>(mark, MARK_KEY));
  writeConstant(layout.TEXT_HIT_RULE);
  writeHash(load<u64>(rule, layout.RULE_FINGERPRINT));
  if (kind == layout.MARK_SUPPRESSED) {
    writeConstant(layout.TEXT_MARK_COUNT);
    writeNumber(load<u64>(mark, MARK_COUNT));
    writeConstant(layout.TEXT_MARK_ALERT);
  } else {
    if (kind == layout.MARK_REPORTED) {
      writeConstant(layout.TEXT_MARK_TENANT);
      writeHash(load<u64>(mark, MARK_TENANT));
    }
    writeConstant(kind > layout.MARK_OVERDUE ? layout.TEXT_MARK_TIME : layout.TEXT_MARK_SEEN);
    writeMoment(load<i64>(mark, MARK_TIME));
    if (hasTold(kind) && load<i64>(mark, MARK_TOLD) != NEVER) {
      writeConstant(layout.TEXT_MARK_TOLD);
      writeMoment(load<i64>(mark, MARK_TOLD));
    }
    writeConstant(layout.TEXT_HIT_ALERT);
  }
  writeString(RULESET + load<u32>(rule, layout.RULE_NAME_OFFSET), load<u32>(rule, layout.RULE_NAME_SIZE));
  if (kind <= layout.MARK_OVERDUE) {
    writeConstant(layout.TEXT_HIT_LABELS);
    writeTexts(rule, true, load<usize>(mark, SUBJECT_LABELS));
    writeByte(CLOSE_BRACE);
  }
  writeConstant(layout.TEXT_MARK_END);
}

function hasTold(kind: u32): bool {
  return kind <= layout.MARK_OVERDUE && kind != layout.MARK_EXPECTED;
}

/** Writes the members of labels or annotations; empty ones are left out. */
function writeTexts(rule: usize, ofLabels: bool, reference: usize): void {
  let template = templatesOf(rule, ofLabels);
  let isFirst = true;
  for (let left = templateCountOf(rule, ofLabels); left != 0; left--) {
    if (load<u32>(reference, 4) != 0) {
      const comma = <usize>isFirst; // of the key: left out
      const nameSize = <usize>load<u16>(template, layout.TEMPLATE_NAME_SIZE);
      write(RULESET + load<u32>(template, layout.TEMPLATE_KEY_OFFSET) + comma, nameSize + 4 - comma);
      writePieces(load<usize>(reference), load<usize>(reference, 4));
      isFirst = false;
    }
    template += layout.TEMPLATE_SIZE;
    reference += 8;
  }
}

function writePieces(text: usize, size: usize): void {
  const end = text + size;
  let mark = findByte(text, end, VALUE_MARK);
  if (mark == end) {
    writeString(text, size);
    return;
  }
  writeByte(OPEN_BRACKET);
  for (;;) {
    writeString(text, mark - text);
    if (mark == end) break;
    writeByte(COMMA);
    text = mark + 1;
    mark = findByte(text, end, VALUE_MARK);
  }
  writeByte(CLOSE_BRACKET);
}

// ── Reading ─────────────────────────────────────────────────────────────────────────────────────────
// Only `writeHit` writes hits, so the reader expects the same constants in the same order. Strings may be escaped in
// any way: what carries a hit (Fluent Bit's outputs) may write its strings again.

let cursor: usize = 0; // 0: the text is not what was expected
let limit: usize = 0;
let stringStart: usize = 0; // what `takeString` took, between the quotes
let stringEnd: usize = 0;

/** Reads the hit at `text` … `end` into `hit`, a block of HIT_SIZE bytes. Returns 0, MALFORMED, TOO_LARGE or UNKNOWN_RULE. */
export function readHit(text: usize, end: usize, hit: usize): i32 {
  memory.fill(hit, 0, HIT_SIZE);
  cursor = text;
  limit = end;
  take(layout.TEXT_HIT_KEY);
  takeHash();
  take(layout.TEXT_HIT_ID);
  takeString();
  take(layout.TEXT_HIT_RULE);
  const rule = ruleOf(takeHash());
  if (cursor == 0) return layout.MALFORMED;
  if (rule == 0) return layout.UNKNOWN_RULE;
  store<usize>(hit, rule, HIT_RULE);
  take(layout.TEXT_HIT_STEP);
  const ordinal = takeNumber();
  if (ordinal >= <u64>load<u32>(countingOf(rule), layout.COUNTING_STEP_COUNT)) cursor = 0;
  store<u32>(hit, <u32>ordinal, HIT_ORDINAL);
  take(layout.TEXT_HIT_TIME);
  store<i64>(hit, takeMoment(), HIT_TIME);
  if (isNext(layout.TEXT_HIT_DISTINCT)) {
    take(layout.TEXT_HIT_DISTINCT);
    store<u32>(hit, 1, HIT_HAS_DISTINCT);
    store<u64>(hit, takeHash(), HIT_DISTINCT);
  }
  take(layout.TEXT_HIT_ALERT);
  takeQuoted();
  take(layout.TEXT_HIT_LABELS);
  store<usize>(hit, takeTexts(rule, true), SUBJECT_LABELS);
  take(layout.TEXT_HIT_ANNOTATIONS);
  store<usize>(hit, takeTexts(rule, false), HIT_ANNOTATIONS);
  if (isNext(layout.TEXT_HIT_SAMPLE)) {
    take(layout.TEXT_HIT_SAMPLE);
    // Not an array, as an annotation may be.
    if (cursor < limit && load<u8>(cursor) != QUOTE) cursor = 0;
    if (cursor != 0 && !takeText(hit + HIT_SAMPLE)) return layout.TOO_LARGE;
    if (!takeByte(CLOSE_BRACE) || sizeOf(load<u64>(hit, HIT_SAMPLE)) > <usize>layout.SAMPLE_SIZE_MAX)
      cursor = 0;
  } else take(layout.TEXT_HIT_END);
  if (load<usize>(hit, SUBJECT_LABELS) == 0 || load<usize>(hit, HIT_ANNOTATIONS) == 0)
    return layout.TOO_LARGE;
  return cursor == end ? 0 : layout.MALFORMED;
}

/** Whether these bytes are a mark. */
export function isMark(text: usize, end: usize): bool {
  cursor = text;
  limit = end;
  return markKind() != layout.MARK_KINDS;
}

function markKind(): u32 {
  let kind: u32 = 0;
  while (kind < layout.MARK_KINDS && !isNext(layout.TEXT_MARK + kind)) kind++;
  return kind;
}

/** Like `readHit`, for a mark. */
export function readMark(text: usize, end: usize, mark: usize): i32 {
  memory.fill(mark, 0, HIT_SIZE);
  cursor = text;
  limit = end;
  const kind = markKind();
  store<u32>(mark, kind, MARK_KIND);
  take(layout.TEXT_MARK + kind);
  store<u64>(mark, takeHash(), MARK_KEY);
  take(layout.TEXT_HIT_RULE);
  const rule = ruleOf(takeHash());
  if (cursor == 0) return layout.MALFORMED;
  if (rule == 0) return layout.UNKNOWN_RULE;
  store<usize>(mark, rule, HIT_RULE);
  if (kind == layout.MARK_SUPPRESSED) {
    take(layout.TEXT_MARK_COUNT);
    store<u64>(mark, takeNumber(), MARK_COUNT);
    take(layout.TEXT_MARK_ALERT);
  } else {
    if (kind == layout.MARK_REPORTED) {
      take(layout.TEXT_MARK_TENANT);
      store<u64>(mark, takeHash(), MARK_TENANT);
    }
    take(kind > layout.MARK_OVERDUE ? layout.TEXT_MARK_TIME : layout.TEXT_MARK_SEEN);
    store<i64>(mark, takeMoment(), MARK_TIME);
    store<i64>(mark, NEVER, MARK_TOLD);
    if (hasTold(kind) && (kind != layout.MARK_OVERDUE || isNext(layout.TEXT_MARK_TOLD))) {
      take(layout.TEXT_MARK_TOLD);
      store<i64>(mark, takeMoment(), MARK_TOLD);
    }
    take(layout.TEXT_HIT_ALERT);
  }
  takeQuoted();
  if (kind <= layout.MARK_OVERDUE) {
    take(layout.TEXT_HIT_LABELS);
    store<usize>(mark, takeTexts(rule, true), SUBJECT_LABELS);
    if (load<usize>(mark, SUBJECT_LABELS) == 0) return layout.TOO_LARGE;
    if (!takeByte(CLOSE_BRACE)) cursor = 0;
  }
  take(layout.TEXT_MARK_END);
  return cursor == end ? 0 : layout.MALFORMED;
}

/** Takes digits, up to u64's largest number. */
function takeNumber(): u64 {
  const start = cursor;
  let number: u64 = 0;
  while (cursor != 0 && cursor < limit && <u32>load<u8>(cursor) - 0x30 < 10) {
    const digit = <u64>load<u8>(cursor) - 0x30;
    cursor = number > (u64.MAX_VALUE - digit) / 10 ? 0 : cursor + 1;
    number = number * 10 + digit;
  }
  if (cursor == start) cursor = 0;
  return number;
}

function takeMoment(): i64 {
  takeString();
  if (cursor == 0) return 0;
  const time = parseTime(layout.TYPE_STRING, stringStart, stringEnd);
  if (time == NO_TIME) cursor = 0;
  return time;
}

/** Whether this one of TEXT_… comes next. */
function isNext(index: usize): bool {
  const text = constantOf(index);
  return cursor != 0 && cursor + sizeOf(text) <= limit && sameBytes(cursor, addressOf(text), sizeOf(text));
}

function take(index: usize): void {
  cursor = isNext(index) ? cursor + sizeOf(constantOf(index)) : 0;
}

function takeByte(byte: u32): bool {
  if (cursor == 0 || cursor >= limit || load<u8>(cursor) != byte) return false;
  cursor++;
  return true;
}

/** Takes 16 hexadecimal digits. */
function takeHash(): u64 {
  if (cursor == 0 || cursor + 16 > limit) {
    cursor = 0;
    return 0;
  }
  let hash: u64 = 0;
  for (const end = cursor + 16; cursor < end; cursor++) {
    const byte = <u32>load<u8>(cursor);
    const digit = byte - 0x30 < 10 ? byte - 0x30 : byte - 0x61 < 6 ? byte - 0x57 : 16;
    if (digit == 16) {
      cursor = 0;
      return 0;
    }
    hash = (hash << 4) | digit;
  }
  return hash;
}

/** Takes a string from after the opening quote to the closing one. */
function takeString(): void {
  if (cursor == 0) return;
  stringStart = cursor;
  stringEnd = skipString(cursor, limit);
  cursor = stringEnd;
}

/** Takes a string with its quotes. */
function takeQuoted(): void {
  if (!takeByte(QUOTE)) cursor = 0;
  takeString();
  if (!takeByte(QUOTE)) cursor = 0;
}

/** Takes members of labels or annotations, up to the closing brace; returns their references, or 0. */
function takeTexts(rule: usize, ofLabels: bool): usize {
  const size = (<usize>templateCountOf(rule, ofLabels) + 1) << 3;
  const references = allocate(size);
  if (references == 0) return 0;
  memory.fill(references, 0, size);
  let template = templatesOf(rule, ofLabels);
  let reference = references;
  let isFirst = true;
  while (cursor != 0 && cursor < limit && load<u8>(cursor) != CLOSE_BRACE) {
    // Both are sorted by name.
    while (reference + 8 < references + size && !takeKey(template, isFirst)) {
      template += layout.TEMPLATE_SIZE;
      reference += 8;
    }
    if (reference + 8 == references + size) {
      cursor = 0;
      return references;
    }
    if (!takeText(reference)) return 0;
    isFirst = false;
  }
  return references;
}

/** Takes the name of a template as a JSON key; the first key of an object has no comma. */
function takeKey(template: usize, isFirst: bool): bool {
  const comma = <usize>isFirst;
  const key = RULESET + load<u32>(template, layout.TEMPLATE_KEY_OFFSET) + comma;
  const size = <usize>load<u16>(template, layout.TEMPLATE_NAME_SIZE) + 4 - comma;
  if (cursor + size > limit || !sameBytes(cursor, key, size)) return false;
  cursor += size;
  return true;
}

/** Takes a string, or an array of the strings around marks. False when there is no memory. */
function takeText(reference: usize): bool {
  const isArray = takeByte(OPEN_BRACKET);
  let text: usize = 0;
  let size: usize = 0;
  do {
    takeQuoted();
    if (cursor == 0) return true;
    // The text so far is the arena's last block: the next string is written after it.
    const room = size + decodedSizeMax(stringStart, stringEnd) + 1;
    if (text == 0) text = allocate(room);
    else if (!resize(text, room)) return false;
    if (text == 0) return false;
    size = decode(stringStart, stringEnd, text + size) - text;
    if (isArray && cursor < limit && load<u8>(cursor) == COMMA) store<u8>(text + size++, VALUE_MARK);
  } while (isArray && takeByte(COMMA));
  if (isArray && !takeByte(CLOSE_BRACKET)) cursor = 0;
  resize(text, size);
  store<u64>(reference, textOf(text, size));
  return true;
}

/** The rule of a fingerprint, or 0. */
function ruleOf(fingerprint: u64): usize {
  const table = RULESET + load<u32>(RULESET, layout.HEADER_FINGERPRINTS_OFFSET);
  let low: u32 = 0;
  let high = load<u32>(RULESET, layout.HEADER_RULE_COUNT);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = table + <usize>middle * layout.FINGERPRINT_SIZE;
    const rule = RULESET + load<u32>(entry, layout.FINGERPRINT_RULE_OFFSET);
    const found = load<u64>(rule, layout.RULE_FINGERPRINT);
    if (found == fingerprint) return rule;
    if (found < fingerprint) low = middle + 1;
    else high = middle;
  }
  return 0;
}
