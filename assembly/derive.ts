// Fields that are not in the record itself: captures of a pattern, what a text holds as JSON or logfmt, every string of
// the record. They are computed for a record when the first of them is asked for, and all that one pass yields at once.
import * as layout from './layout';
import { takeSteps } from './budget';
import { capturesOf } from './captures';
import { BACKSLASH, COLON, OPEN_BRACE, OPEN_BRACKET, QUOTE, skipSpace, skipString, skipValue } from './json';
import {
  fieldEnd,
  fieldStart,
  fieldText,
  fieldTextSize,
  fieldType,
  firstValue,
  keepInList,
  nextValue,
  setField,
  setText,
} from './record';
import { beginPart, enterKey, scanPart, scannedEnd, scannedStart } from './scan';

const EQUALS: u32 = 0x3d;
const SPACE: u32 = 0x20;
const PASSES_JSON: usize = 2; // is it JSON, and where are the fields

let ruleset: usize = 0;
let fields: usize = 0;
let done: usize = 0; // u32 for each derivation: the epoch in which it was computed
let epoch: u32 = 0;

export function placeDerivations(base: usize, at: usize): usize {
  ruleset = base;
  fields = base + load<u32>(base, layout.HEADER_FIELDS_OFFSET);
  done = at;
  return at + (((<usize>load<u32>(base, layout.HEADER_DERIVATION_COUNT) + 1) & ~1) << 2);
}

export function beginDerivations(now: u32): void {
  epoch = now;
}

/** The type of a field's value, wherever it comes from. */
export function typeOf(field: u32): u32 {
  const type = fieldType(field);
  if (type != layout.TYPE_ABSENT) return type;
  makeReady(field);
  return fieldType(field);
}

/** Computes the field if it is derived from another one and has not been computed yet. */
export function makeReady(field: u32): void {
  const index = load<u32>(fields + <usize>field * layout.FIELD_SIZE, layout.FIELD_DERIVATION);
  if (index == 0) return;
  const mark = done + ((<usize>(index - 1)) << 2);
  if (load<u32>(mark) == epoch) return;
  store<u32>(mark, epoch);
  derive(
    ruleset +
      load<u32>(ruleset, layout.HEADER_DERIVATIONS_OFFSET) +
      <usize>(index - 1) * layout.DERIVATION_SIZE,
  );
}

function derive(derivation: usize): void {
  const kind = load<u32>(derivation, layout.DERIVATION_KIND);
  const source = load<u32>(derivation, layout.DERIVATION_SOURCE);
  if (kind == layout.DERIVE_STRINGS) {
    findStrings(source, skipSpace(scannedStart(), scannedEnd()), scannedEnd());
    return;
  }
  makeReady(source); // sources are no deeper than a path is long
  for (let value = firstValue(source); value != 0; value = nextValue(source, value)) {
    if (kind == layout.DERIVE_CAPTURES) {
      if (readCaptures(derivation, source)) return;
    } else readFields(derivation, kind, source);
  }
}

function readCaptures(derivation: usize, source: u32): bool {
  if (fieldType(source) != layout.TYPE_STRING) return false;
  const text = fieldText(source);
  const slots = capturesOf(
    ruleset + load<u32>(derivation, layout.DERIVATION_A),
    text,
    text + fieldTextSize(source),
  );
  if (slots == 0) return false;
  let captured = ruleset + load<u32>(derivation, layout.DERIVATION_B);
  for (let left = load<u32>(derivation, layout.DERIVATION_C); left != 0; left--) {
    const slot = slots + ((<usize>load<u32>(captured, layout.CAPTURED_SLOT)) << 2);
    const start = load<usize>(slot);
    if (start != 0) setText(load<u32>(captured, layout.CAPTURED_FIELD), start, load<usize>(slot, 4) - start);
    captured += layout.CAPTURED_SIZE;
  }
  return true;
}

/** Finds the fields in a text, or in what Fluent Bit has parsed already. */
function readFields(derivation: usize, kind: u32, source: u32): void {
  const root = ruleset + load<u32>(derivation, layout.DERIVATION_A);
  const nodeCount = load<u32>(derivation, layout.DERIVATION_B);
  const type = fieldType(source);
  if (type == layout.TYPE_OBJECT || type == layout.TYPE_ARRAY) {
    takeSteps(fieldEnd(source) - fieldStart(source));
    scanPart(root, nodeCount, fieldStart(source), fieldEnd(source));
  } else if (type == layout.TYPE_STRING) {
    const text = fieldText(source);
    const end = text + fieldTextSize(source);
    if (kind == layout.DERIVE_JSON) readJson(root, nodeCount, text, end);
    else readLogfmt(root, nodeCount, text, end);
  }
}

function readJson(root: usize, nodeCount: u32, at: usize, end: usize): void {
  at = skipSpace(at, end);
  if (at >= end || (load<u8>(at) != OPEN_BRACE && load<u8>(at) != OPEN_BRACKET)) return;
  takeSteps((end - at) * PASSES_JSON);
  const after = skipValue(at, end);
  if (after != 0 && skipSpace(after, end) == end) scanPart(root, nodeCount, at, end);
}

/**
 * Pairs `key=value` and `key="value"` between blanks; a key alone has the empty text. What is wrong is read as far as it
 * goes: a value without quotes ends at a blank, whatever else it holds, and in one with quotes an escape that JSON does not
 * know is as it is written.
 */
function readLogfmt(root: usize, nodeCount: u32, at: usize, end: usize): void {
  takeSteps(end - at);
  beginPart(root, nodeCount);
  while (at < end) {
    if (load<u8>(at) <= SPACE) {
      at++;
      continue;
    }
    const key = at;
    while (at < end && load<u8>(at) > SPACE && load<u8>(at) != EQUALS) at++;
    const node = enterKey(root, key, at - key);
    const field = node == 0 ? layout.NONE : load<u32>(node, layout.NODE_FIELD);
    if (at < end && load<u8>(at) == EQUALS) at++;
    const value = at;
    if (at < end && load<u8>(at) == QUOTE) {
      at++;
      while (at < end && load<u8>(at) != QUOTE) at += load<u8>(at) == BACKSLASH ? 2 : 1;
      if (at >= end) return; // not closed
      if (field != layout.NONE) {
        if (skipString(value + 1, at + 1) == at) setField(field, layout.TYPE_STRING, value, at + 1);
        else setText(field, value + 1, at - value - 1);
      }
      at++;
    } else {
      while (at < end && load<u8>(at) > SPACE) at++;
      if (field != layout.NONE) setText(field, value, at - value);
    }
    if (field != layout.NONE) keepInList(field);
  }
}

/** Makes every string value of a record a value of the field. None if the record is not JSON: then it gets no answer anyway. */
function findStrings(field: u32, at: usize, end: usize): void {
  takeSteps(end - at);
  if (skipValue(at, end) == 0) return;
  while (at < end) {
    if (load<u8>(at) != QUOTE) {
      at++;
      continue;
    }
    const after = skipString(at + 1, end) + 1;
    const next = skipSpace(after, end);
    if (next >= end || load<u8>(next) != COLON) {
      setField(field, layout.TYPE_STRING, at, after);
      keepInList(field);
    }
    at = next;
  }
}
