// One forward pass over a record's JSON: the fields that the rules name are put into `record`, everything
// else is skipped. The pass ends as soon as every field is found, or no rule can match any more; the rest
// of a record that matches is read afterwards, because only whole, valid JSON alerts. If an object has a key twice, the first is used. Paths are at most 10 long, so the recursion below is shallow; the depth
// of the record itself costs no stack (skipValue).
import * as layout from './layout';
import { hashKey, sameBytes, wordMask } from './bytes';
import { noteField } from './candidate';
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  OPEN_BRACE,
  QUOTE,
  decode,
  decodedSizeMax,
  escapeCount,
  skipSpace,
  skipString,
  skipValue,
  typeAt,
} from './json';
import { allocate, arenaTop, release } from './memory';
import { fieldRole, keepInList, setField } from './record';

export const SCAN_DONE = 0;
export const SCAN_REJECTED = 1; // no rule can match
export const SCAN_MALFORMED = 2;

let ruleset: usize = 0;
let nodes: usize = 0;
let edges: usize = 0;
let nodesSeen: usize = 0; // u32 each: the epoch in which the scan was there
let guesses: usize = 0; // GUESS_COUNT for each node
let epoch: u32 = 0;
let fieldsLeft: u32 = 0;
let whole: bool = false;
let isRead: bool = false; // to its end
let outcome: i32 = SCAN_MALFORMED;
let recordStart: usize = 0;
let recordEnd: usize = 0;

export function placeScan(base: usize, at: usize): usize {
  ruleset = base;
  nodes = base + load<u32>(base, layout.HEADER_NODES_OFFSET);
  edges = base + load<u32>(base, layout.HEADER_EDGES_OFFSET);
  nodesSeen = at;
  const nodeCount = <usize>load<u32>(base, layout.HEADER_NODE_COUNT);
  guesses = at + (((nodeCount + 1) & ~1) << 2);
  return guesses + nodeCount * GUESS_COUNT * GUESS_SIZE;
}

/** Scans a record: one of SCAN_…. `now` is a number that no earlier record had; `toEnd`: read on when all is known. */
export function scan(at: usize, end: usize, now: u32, toEnd: bool): i32 {
  epoch = now;
  whole = toEnd;
  isRead = false;
  recordStart = at;
  recordEnd = end;
  return scanFrom(nodes, at, end);
}

/** Finds the fields that only a match needs, and reads what `scan` left of the record. False when it is malformed. */
export function scanLate(at: usize, end: usize): bool {
  whole = !isRead;
  const found = scanFrom(ruleset + load<u32>(ruleset, layout.HEADER_LATE_NODE_OFFSET), at, end);
  return found != SCAN_MALFORMED;
}

/** The record that `scan` has begun. */
export function scannedStart(): usize {
  return recordStart;
}

export function scannedEnd(): usize {
  return recordEnd;
}

/** Finds the fields under `root`, which has `nodeCount` nodes, in a valid JSON value. */
export function scanPart(root: usize, nodeCount: u32, at: usize, end: usize): void {
  beginPart(root, nodeCount);
  whole = false;
  fieldsLeft = load<u32>(root, layout.NODE_FIELDS_BELOW);
  scanValue(root, at, end);
}

/** Makes the nodes from this one on as if the scan had never been there. */
export function beginPart(root: usize, nodeCount: u32): void {
  let seen = seenAt(root);
  for (let left = nodeCount; left != 0; left--) {
    store<u32>(seen, 0);
    seen += 4;
  }
}

function scanFrom(root: usize, at: usize, end: usize): i32 {
  outcome = SCAN_MALFORMED;
  fieldsLeft = load<u32>(root, layout.NODE_FIELDS_BELOW);
  at = skipSpace(at, end);
  if (at >= end || load<u8>(at) != OPEN_BRACE) return SCAN_MALFORMED;
  at = scanObject(root, at, end);
  if (at == 0) return outcome; // malformed, or stopped early
  if (skipSpace(at, end) != end) return SCAN_MALFORMED;
  isRead = true;
  return SCAN_DONE;
}

function seenAt(node: usize): usize {
  return nodesSeen + (((node - nodes) / layout.NODE_SIZE) << 2);
}

function markSeen(node: usize): bool {
  const seen = seenAt(node);
  if (load<u32>(seen) == epoch) return false;
  store<u32>(seen, epoch);
  return true;
}

// The keys of logs come in the same order, record after record. For each node the first keys of the last
// object are remembered: when the same key comes again, its end is not searched for and it is not looked up.
const GUESS_COUNT: usize = 8;
const GUESS_HEAD = 0; // u64, the first 8 bytes of the key, padded with zeros
const GUESS_TAIL = 8; // u64, the next 8
const GUESS_HEAD_MASK = 16;
const GUESS_TAIL_MASK = 24;
const GUESS_KEY_SIZE = 32; // u32, 1 to 16; 0: no guess
const GUESS_NODE = 36; // what findChild returned
const GUESS_SIZE: usize = 40;
const QUOTE_COLON: u32 = 0x3a22;

function isGuess(guess: usize, key: usize, end: usize): bool {
  const size = <usize>load<u32>(guess, GUESS_KEY_SIZE);
  return (
    size != 0 &&
    key + size + 2 < end &&
    load<u16>(key + size) == QUOTE_COLON &&
    (load<u64>(key) & load<u64>(guess, GUESS_HEAD_MASK)) == load<u64>(guess, GUESS_HEAD) &&
    (load<u64>(key, 8) & load<u64>(guess, GUESS_TAIL_MASK)) == load<u64>(guess, GUESS_TAIL)
  );
}

function learn(guess: usize, key: usize, size: usize, child: usize): void {
  store<u32>(guess, <u32>size, GUESS_KEY_SIZE);
  const head = wordMask(min(size, 8));
  const tail = size > 8 ? wordMask(size - 8) : 0;
  store<u64>(guess, head, GUESS_HEAD_MASK);
  store<u64>(guess, tail, GUESS_TAIL_MASK);
  store<u64>(guess, load<u64>(key) & head, GUESS_HEAD);
  store<u64>(guess, load<u64>(key, 8) & tail, GUESS_TAIL);
  store<usize>(guess, child, GUESS_NODE);
}

/** Scans from the opening brace to after the closing one; 0 when malformed or stopped. */
function scanObject(node: usize, at: usize, end: usize): usize {
  let guess = guesses + ((node - nodes) / layout.NODE_SIZE) * (GUESS_COUNT * GUESS_SIZE);
  const lastGuess = guess + (GUESS_COUNT - 1) * GUESS_SIZE; // shared by all further keys
  at = skipSpace(at + 1, end);
  if (at < end && load<u8>(at) == CLOSE_BRACE) return at + 1;
  while (at < end && load<u8>(at) == QUOTE) {
    const key = at + 1;
    let child: usize;
    if (isGuess(guess, key, end)) {
      at = skipSpace(key + load<u32>(guess, GUESS_KEY_SIZE) + 2, end);
      child = load<usize>(guess, GUESS_NODE);
    } else {
      const escapesBefore = escapeCount();
      const quote = skipString(key, end);
      if (quote == 0) return 0;
      at = skipSpace(quote + 1, end);
      if (at >= end || load<u8>(at) != COLON) return 0;
      at = skipSpace(at + 1, end);
      const isEscaped = escapeCount() != escapesBefore;
      child = findChild(node, key, quote, isEscaped);
      if (!isEscaped && quote - key - 1 < 16) learn(guess, key, quote - key, child);
    }
    if (at >= end) return 0;
    if (guess != lastGuess) guess += GUESS_SIZE;
    at = child != 0 && markSeen(child) ? scanValue(child, at, end) : skipOther(at, end);
    if (at == 0) return 0;
    at = skipSpace(at, end);
    if (at >= end) return 0;
    const next = load<u8>(at);
    if (next == CLOSE_BRACE) return at + 1;
    if (next != COMMA) return 0;
    at = skipSpace(at + 1, end);
  }
  return 0;
}

/** Skips a value that no rule names: most are strings, which need no more than this. */
function skipOther(at: usize, end: usize): usize {
  if (load<u8>(at) != QUOTE) return skipValue(at, end);
  const quote = skipString(at + 1, end);
  return quote == 0 ? 0 : quote + 1;
}

/** Like scanObject, for the items of an array that paths name. */
function scanArray(node: usize, at: usize, end: usize): usize {
  let item = ruleset + load<u32>(node, layout.NODE_ITEMS_OFFSET);
  let after = item + <usize>load<u32>(node, layout.NODE_ITEM_COUNT) * layout.ITEM_SIZE;
  const last = after - layout.ITEM_SIZE;
  const every = load<u32>(last, layout.ITEM_INDEX) == layout.NONE ? last : 0;
  if (every != 0) after = last;
  at = skipSpace(at + 1, end);
  if (at < end && load<u8>(at) == CLOSE_BRACKET) return at + 1;
  for (let index: u32 = 0; at < end; index++) {
    const start = at;
    if (item < after && load<u32>(item, layout.ITEM_INDEX) == index) {
      at = scanValue(ruleset + load<u32>(item, layout.ITEM_NODE), at, end);
      item += layout.ITEM_SIZE;
      if (at != 0 && every != 0) scanEvery(every, start, end);
    } else {
      at = every != 0 ? scanEvery(every, at, end) : skipValue(at, end);
    }
    if (at == 0) return 0;
    at = skipSpace(at, end);
    if (at >= end) return 0;
    const next = load<u8>(at);
    if (next == CLOSE_BRACKET) return at + 1;
    if (next != COMMA) return 0;
    at = skipSpace(at + 1, end);
  }
  return 0;
}

/** Scans an item of an array that is like all others. There may be more to find in the next one. */
function scanEvery(item: usize, at: usize, end: usize): usize {
  const node = ruleset + load<u32>(item, layout.ITEM_NODE);
  beginPart(node, load<u32>(item, layout.ITEM_NODE_COUNT));
  const before = fieldsLeft;
  fieldsLeft = before + 1; // so that the scan does not stop here
  at = scanValue(node, at, end);
  fieldsLeft = before;
  return at;
}

/** Scans a value that is a field, or that holds fields. */
function scanValue(node: usize, at: usize, end: usize): usize {
  const type = typeAt(at);
  const before = fieldsLeft;
  let after: usize;
  if (type == layout.TYPE_STRING) {
    after = skipString(at + 1, end);
    if (after != 0) after++;
  } else if (type == layout.TYPE_OBJECT && load<u32>(node, layout.NODE_EDGE_COUNT) != 0)
    after = scanObject(node, at, end);
  else if (type == layout.TYPE_ARRAY && load<u32>(node, layout.NODE_ITEM_COUNT) != 0)
    after = scanArray(node, at, end);
  else after = skipValue(at, end);
  if (after == 0) return 0;
  // What was not found below this node cannot be found any more.
  fieldsLeft = before - load<u32>(node, layout.NODE_FIELDS_BELOW);
  const field = load<u32>(node, layout.NODE_FIELD);
  if (field != layout.NONE) {
    setField(field, type, at, after);
    const role = fieldRole(field); // a late field opens no gate
    if (role == layout.ROLE_LIST) keepInList(field);
    else if (role == layout.ROLE_GATE && noteField(field) && !whole) return stop(SCAN_REJECTED);
  }
  return fieldsLeft == 0 && !whole ? stop(SCAN_DONE) : after;
}

function stop(why: i32): usize {
  outcome = why;
  return 0;
}

/** The node that a key leads to (its bytes between the quotes), or 0. */
function findChild(node: usize, key: usize, quote: usize, isEscaped: bool): usize {
  if (load<u32>(node, layout.NODE_EDGE_COUNT) == 0) return 0;
  if (!isEscaped) return childNamed(node, key, quote - key);
  const mark = arenaTop();
  const text = allocate(decodedSizeMax(key, quote));
  const child = text == 0 ? <usize>0 : childNamed(node, text, decode(key, quote, text) - text);
  release(mark); // a record may have millions of keys
  return child;
}

/** The node of a key that comes for the first time, and its text is known; or 0. */
export function enterKey(node: usize, key: usize, size: usize): usize {
  const child = childNamed(node, key, size);
  return child != 0 && markSeen(child) ? child : 0;
}

function childNamed(node: usize, key: usize, size: usize): usize {
  const prefix = size == 0 ? 0 : load<u64>(key) & wordMask(min(size, 8));
  const bucket = <usize>(hashKey(prefix, size) >>> (<u64>load<u32>(node, layout.NODE_SHIFT)));
  let next = <u32>load<u16>(ruleset + load<u32>(node, layout.NODE_HEADS_OFFSET) + (bucket << 1));
  while (next != 0) {
    const edge = edges + <usize>(next - 1) * layout.EDGE_SIZE;
    if (
      load<u64>(edge, layout.EDGE_PREFIX) == prefix &&
      <usize>load<u32>(edge, layout.EDGE_KEY_SIZE) == size &&
      (size <= 8 || sameBytes(key, ruleset + load<u32>(edge, layout.EDGE_KEY_OFFSET), size))
    ) {
      return ruleset + load<u32>(edge, layout.EDGE_NODE);
    }
    next = load<u32>(edge, layout.EDGE_NEXT);
  }
  return 0;
}
