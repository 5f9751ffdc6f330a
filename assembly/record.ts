// What the scan found of one record: for each field of the ruleset its type and its bytes, and on first
// use its text (unescaped, UTF-8) and its value id. All of it lives until the next record.
//
// A field with several values, such as one of each element of an array, is a list: a chain of copies of its entry. One of
// its values at a time is in the entry itself, and is the value of the field for whoever asks.
import * as layout from './layout';
import { clearWords, hashValue, sameBytes } from './bytes';
import { copyValid, decode, decodedSizeMax, isPlain } from './json';
import { allocate, markExhausted, resize } from './memory';

const FOUND_TYPE = 0; // TYPE_…
const FOUND_START = 4; // the value's bytes; for a string, those between the quotes
const FOUND_END = 8;
const FOUND_TEXT = 12; // 0: not read yet
const FOUND_TEXT_SIZE = 16;
const FOUND_VALUE = 20; // value id; 0: not looked up yet
const FOUND_SIZE = 24;

const VALUE_NEXT = 24; // of a list's value, after the copy of the entry
const VALUE_SIZE = 32;
const LIST_FIRST = 0; // addresses of values
const LIST_LAST = 4;
const LIST_SIZE = 8;

const UNKNOWN_VALUE: u32 = 1; // looked up, and in no table; not an offset that a value can have

let ruleset: usize = 0;
let fields: usize = 0;
let found: usize = 0;
let lists: usize = 0;
let clearSize: usize = 0; // of the fields and lists, which a record begins without
let valuesLeft: u32 = 0; // that lists may still take

/** Places its scratch at `at` and returns the address after it. */
export function placeRecord(base: usize, at: usize): usize {
  ruleset = base;
  fields = base + load<u32>(base, layout.HEADER_FIELDS_OFFSET);
  found = at;
  lists = at + <usize>load<u32>(base, layout.HEADER_FIELD_COUNT) * FOUND_SIZE;
  const end = lists + <usize>load<u32>(base, layout.HEADER_LIST_COUNT) * LIST_SIZE;
  clearSize = end - at;
  return end;
}

export function beginRecord(): void {
  clearWords(found, clearSize);
  valuesLeft = layout.LIST_COUNT_MAX;
}

export function setField(field: u32, type: u32, start: usize, end: usize): void {
  const entry = found + <usize>field * FOUND_SIZE;
  const inset = <usize>(type == layout.TYPE_STRING);
  store<u32>(entry, type, FOUND_TYPE);
  store<usize>(entry, start + inset, FOUND_START);
  store<usize>(entry, end - inset, FOUND_END);
}

/** Sets a field to a string whose text is known: valid UTF-8, nothing escaped. */
export function setText(field: u32, text: usize, size: usize): void {
  const entry = found + <usize>field * FOUND_SIZE;
  store<u32>(entry, layout.TYPE_STRING, FOUND_TYPE);
  store<usize>(entry, text, FOUND_TEXT);
  store<usize>(entry, size, FOUND_TEXT_SIZE);
  store<u32>(entry, 0, FOUND_VALUE);
}

/** What the scan does with the field: one of ROLE_…. */
export function fieldRole(field: u32): u32 {
  return load<u32>(fields + <usize>field * layout.FIELD_SIZE, layout.FIELD_ROLE);
}

export function fieldType(field: u32): u32 {
  return load<u32>(found + <usize>field * FOUND_SIZE, FOUND_TYPE);
}

export function fieldStart(field: u32): usize {
  return load<usize>(found + <usize>field * FOUND_SIZE, FOUND_START);
}

export function fieldEnd(field: u32): usize {
  return load<usize>(found + <usize>field * FOUND_SIZE, FOUND_END);
}

/** The text of a field: a string unescaped, anything else as its JSON, an absent field empty. */
export function fieldText(field: u32): usize {
  const entry = found + <usize>field * FOUND_SIZE;
  if (load<usize>(entry, FOUND_TEXT) == 0) readText(entry);
  return load<usize>(entry, FOUND_TEXT);
}

/** The size of the text that `fieldText` returned: call that first. */
export function fieldTextSize(field: u32): usize {
  return load<usize>(found + <usize>field * FOUND_SIZE, FOUND_TEXT_SIZE);
}

function readText(entry: usize): void {
  const type = load<u32>(entry, FOUND_TYPE);
  let text = load<usize>(entry, FOUND_START);
  const end = load<usize>(entry, FOUND_END);
  let size = end - text;
  if (type == layout.TYPE_ABSENT) {
    text = found;
  } else if (!isPlain(text, end)) {
    const start = text;
    text = allocate(decodedSizeMax(start, end));
    if (text == 0) {
      text = found;
      size = 0;
    } else {
      size = (type == layout.TYPE_STRING ? decode(start, end, text) : copyValid(start, end, text)) - text;
      resize(text, size);
    }
  }
  store<usize>(entry, text, FOUND_TEXT);
  store<usize>(entry, size, FOUND_TEXT_SIZE);
}

/** The id of a field's value when it is a string that the rules name, or UNKNOWN_VALUE. */
export function fieldValue(field: u32): u32 {
  const entry = found + <usize>field * FOUND_SIZE;
  let value = load<u32>(entry, FOUND_VALUE);
  if (value == 0) {
    value = lookUpValue(field);
    store<u32>(entry, value, FOUND_VALUE);
  }
  return value;
}

function lookUpValue(field: u32): u32 {
  const table = load<u32>(fields + <usize>field * layout.FIELD_SIZE, layout.FIELD_VALUES_OFFSET);
  if (table == 0 || fieldType(field) != layout.TYPE_STRING) return UNKNOWN_VALUE;
  const text = fieldText(field);
  const size = fieldTextSize(field);
  const heads = ruleset + table;
  const bucket = <usize>(hashValue(text, size) >>> (<u64>load<u32>(heads, layout.VALUES_SHIFT)));
  let value = load<u32>(heads + (bucket << 2), layout.VALUES_HEADS);
  while (value != 0) {
    const entry = ruleset + value;
    if (
      <usize>load<u32>(entry, layout.VALUE_TEXT_SIZE) == size &&
      sameBytes(ruleset + load<u32>(entry, layout.VALUE_TEXT_OFFSET), text, size)
    ) {
      return value;
    }
    value = load<u32>(entry, layout.VALUE_NEXT_OFFSET);
  }
  return UNKNOWN_VALUE;
}

// ── Lists ───────────────────────────────────────────────────────────────────────────────────────────

function listOf(field: u32): usize {
  const list = load<u32>(fields + <usize>field * layout.FIELD_SIZE, layout.FIELD_LIST);
  return list == 0 ? 0 : lists + <usize>(list - 1) * LIST_SIZE;
}

/** When the field is a list: makes the value that was set the last one of it. */
export function keepInList(field: u32): void {
  const list = listOf(field);
  if (list == 0) return;
  if (valuesLeft == 0) {
    markExhausted();
    return;
  }
  valuesLeft--;
  const value = allocate(VALUE_SIZE);
  if (value == 0) return;
  store<usize>(value, 0, VALUE_NEXT);
  const last = load<usize>(list, LIST_LAST);
  if (last == 0) store<usize>(list, value, LIST_FIRST);
  else store<usize>(last, value, VALUE_NEXT);
  store<usize>(list, value, LIST_LAST);
  const entry = found + <usize>field * FOUND_SIZE;
  copyEntry(value, entry);
  clearWords(entry, FOUND_SIZE);
}

function copyEntry(target: usize, source: usize): void {
  store<u64>(target, load<u64>(source));
  store<u64>(target, load<u64>(source, 8), 8);
  store<u64>(target, load<u64>(source, 16), 16);
}

/** Begins with the first value of a field. 0 when it has none; a field that is no list has one value at most. */
export function firstValue(field: u32): usize {
  const list = listOf(field);
  const entry = found + <usize>field * FOUND_SIZE;
  if (list == 0) return load<u32>(entry, FOUND_TYPE) == layout.TYPE_ABSENT ? 0 : entry;
  const first = load<usize>(list, LIST_FIRST);
  if (first != 0) copyEntry(entry, first);
  return first;
}

/** Goes on with the value after this one; 0 when there is none. */
export function nextValue(field: u32, value: usize): usize {
  const entry = found + <usize>field * FOUND_SIZE;
  if (value == entry) return 0;
  copyEntry(value, entry); // with its text, if that was read
  const next = load<usize>(value, VALUE_NEXT);
  if (next != 0) copyEntry(entry, next);
  return next;
}
