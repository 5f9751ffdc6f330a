// Fluent Bit's filter_wasm (`event_format: json`): the record is replaced by the string that a door returns, and an
// empty string drops it. So a door belongs on a copy of the stream, never on the stream itself. What leaves it:
//
//   {"key":"<hash>","hit":"<the hit, as a string>"}                a record with one hit, for the hits topic
//   {"hits":[{"key":"<hash>","hit":"…"},…]}                        with several
//   {"status":"firing","labels":{…},"annotations":{…},…}           a record with one alert, for Alertmanager
//   {"alerts":[{"status":"firing",…},…]}                           with several
//   {"id":"…","headers":{"content-type":"application/json"},"alert":"<the body>"}
//                                                                  a record with alerts, as one request: `id` becomes the
//     tag of its own chunk (so a retry of one does not repeat another), and out_http posts `alert` byte for byte
//
// A record that can't be read makes a notice, the first one and then the 2nd, 4th, 8th, …:
//
//   {"earshot":1,"unreadable":4,"tag":"kube.…","time":"…Z","why":"not JSON","record":"<its beginning>"}
//
// It goes where hits go, in place of one, with the key `unreadable`; where alerts go, it is an alert.
import * as layout from './layout';
import { recall, remember } from './again';
import { FNV_OFFSET, addToFingerprint, hasOneAlert } from './alert';
import { alertsFrom, alertsTo } from './body';
import { addressOf, findByte, hashText, sizeOf, textOf } from './bytes';
import { writeAsJson } from './dialect';
import { countHits, countHitsOnce, findHits, loaded, tellTime, writeHits } from './engine';
import { QUOTE, copyValid, decodedSizeMax } from './json';
import { allocate, clearExhausted, finish, isExhausted } from './memory';
import {
  beginOutput,
  constantOf,
  hexDigit,
  outputSize,
  outputStart,
  write,
  writeByte,
  writeConstant,
  writeHash,
  writeJsonAsString,
  writeMoment,
  writeString,
} from './output';
import { digitsOf } from './template';
import { toMs } from './time';

const NOTHING: usize = memory.data(8); // an empty string
const ENVELOPE_SIZE_MAX: usize = 256; // TEXT_EDGE_… around a hit or alert, its key or id, and the NUL
const RECORD_SHOWN_MAX: usize = 1024; // bytes of a record that could not be read
const HASH_FACTOR: u64 = 0x9e3779b97f4a7c15;

let unreadable: u32 = 0;

/** Records that could not be read: not JSON, too large, or in need of more memory or work than allowed. */
export function unreadableRecords(): u32 {
  return unreadable;
}

// The record of the call.
let tagStart: usize = 0;
let tagSize: usize = 0;
let recordStart: usize = 0;
let recordSize: usize = 0;
let recordSec: u32 = 0;
let recordNsec: u32 = 0;

/** What the record of a call becomes. */
export const AS_HITS: u32 = 0;
export const AS_ALERTS: u32 = 1;
export const AS_BODY: u32 = 2;
export const AS_ALERT_ARRAY: u32 = 3;

/** Answers a call of Fluent Bit's; returns the address of a string that ends with NUL. */
export function answerFilter(
  tag: usize,
  sizeOfTag: u32,
  sec: u32,
  nsec: u32,
  record: usize,
  size: u32,
  form: u32,
): usize {
  tagStart = tag;
  tagSize = tag == 0 ? 0 : <usize>sizeOfTag;
  recordStart = record;
  recordSize = record == 0 ? 0 : <usize>size;
  recordSec = sec;
  recordNsec = nsec;
  if (!loaded) return unread(layout.TOO_LARGE, form);
  if (form == AS_HITS) return isTick() ? NOTHING : answerHits();
  const answer = isTick() ? layout.HIT : find(0);
  if (answer == layout.NO_ALERT) return NOTHING;
  if (answer != layout.HIT) return unread(answer, form);
  // The fork's chunks hold what this returns, and do not come back.
  const id = form == AS_ALERTS ? recordId() : 0;
  const earlier = id == 0 ? <usize>0 : recall(id);
  if (earlier != 0) return earlier;
  const counted = isTick() ? tellTime(sec, nsec, true) : id == 0 ? countHits(0) : countHitsOnce(id);
  if (counted == layout.TOO_LARGE) return unread(counted, form);
  if (counted != layout.ALERT) return NOTHING;
  if (!writeAlerts(form)) return unread(layout.TOO_LARGE, form);
  if (id != 0) remember(id, outputStart(), outputSize());
  return outputStart();
}

const TICK_EARSHOT_: u64 = 0x2e746f6873726165; // "earshot."
const TICK_TICK: u32 = 0x6b636974; // "tick"

/** A record whose tag begins with `earshot.tick` is from a clock: only its time counts. */
function isTick(): bool {
  return tagSize >= 12 && load<u64>(tagStart) == TICK_EARSHOT_ && load<u32>(tagStart, 8) == TICK_TICK;
}

/** Finds the record's hits; what Fluent Bit wrote and JSON does not have is read, too. */
function find(flags: u32): i32 {
  if (recordStart == 0 || recordSize > <usize>layout.RECORD_SIZE_MAX) return layout.TOO_LARGE;
  const answer = findHits(recordStart, recordStart + recordSize, recordSec, recordNsec, flags);
  if (answer != layout.MALFORMED || !writeAsJson(recordStart, recordStart + recordSize)) return answer;
  return findHits(outputStart(), outputStart() + outputSize(), recordSec, recordNsec, flags);
}

/**
 * A hash of the record, its time and its tag. Fluent Bit has no name for a record: two that are alike in all three are one
 * record that comes again.
 */
function recordId(): u64 {
  const time = ((<u64>recordSec) << 32) | (<u64>recordNsec);
  const hash = hashText(recordStart, recordSize) ^ (time * HASH_FACTOR);
  const both = (hash ^ rotl<u64>(hashText(tagStart, tagSize), 29)) * HASH_FACTOR;
  return both ^ (both >>> 32);
}

// ── Hits ────────────────────────────────────────────────────────────────────────────────────────────

// What writeHit writes before a hit's key.
const KEY_START: usize = 20;
const KEY_SIZE: usize = 16;
const LINE_END: u32 = 0x0a;

function answerHits(): usize {
  const answer = find(layout.FLAG_HITS);
  if (answer == layout.NO_ALERT) return NOTHING;
  if (answer != layout.HIT) return unread(answer, AS_HITS);
  const source = allocate(KEY_SIZE);
  if (source == 0) return unread(layout.TOO_LARGE, AS_HITS);
  const id = recordId();
  for (let i: usize = 0; i < KEY_SIZE; i++)
    store<u8>(source + i, hexDigit(<u32>(id >>> (<u64>(60 - (i << 2))))));
  if (!writeHits(source, KEY_SIZE)) return unread(layout.TOO_LARGE, AS_HITS);
  wrapHits(outputStart(), outputStart() + outputSize());
  return isExhausted() ? unread(layout.TOO_LARGE, AS_HITS) : outputStart();
}

/** Writes the lines `at` … `end`, each a hit, as the record that leaves. */
function wrapHits(at: usize, end: usize): void {
  beginOutput((end - at) * 2 + ENVELOPE_SIZE_MAX);
  let line = findByte(at, end, LINE_END); // JSON has none in it, and each hit has one after it
  const isOne = line + 1 == end;
  if (!isOne) writeConstant(layout.TEXT_EDGE_HITS);
  for (;;) {
    writeConstant(layout.TEXT_EDGE_HIT_KEY);
    write(at + KEY_START, KEY_SIZE);
    writeConstant(layout.TEXT_EDGE_HIT);
    writeJsonAsString(at, line - at);
    writeConstant(layout.TEXT_EDGE_CLOSE);
    at = line + 1;
    if (at >= end) break;
    writeByte(0x2c);
    line = findByte(at, end, LINE_END);
  }
  if (!isOne) {
    writeByte(0x5d);
    writeConstant(layout.TEXT_EDGE_CLOSE);
  }
  writeByte(0);
}

// ── Alerts ──────────────────────────────────────────────────────────────────────────────────────────

let count: u64 = 0; // of records with alerts

/** Writes the alerts of the output's body as the record that leaves; false when there is no memory. */
function writeAlerts(form: u32): bool {
  if (isExhausted()) return false;
  const array = outputStart() + alertsFrom();
  const arraySize = alertsTo() - alertsFrom();
  if (form != AS_ALERTS) {
    if (form == AS_ALERT_ARRAY) writeRequest(array, arraySize);
    else writeRequest(outputStart(), outputSize());
  } else {
    beginOutput(arraySize + ENVELOPE_SIZE_MAX);
    if (hasOneAlert()) write(array + 1, arraySize - 2);
    else {
      writeConstant(layout.TEXT_EDGE_ALERTS);
      write(array, arraySize);
      writeConstant(layout.TEXT_EDGE_CLOSE);
    }
    writeByte(0);
  }
  return !isExhausted();
}

/** Writes a body as the record of one request. */
function writeRequest(body: usize, size: usize): void {
  beginOutput(size * 2 + ENVELOPE_SIZE_MAX);
  writeConstant(layout.TEXT_EDGE_OPEN);
  // The record's id, and a number: equal records of one instance have different ones.
  writeHash(recordId());
  writeByte(0x2d);
  writeHash(++count);
  writeConstant(layout.TEXT_EDGE_ALERT);
  writeJsonAsString(body, size);
  writeConstant(layout.TEXT_EDGE_CLOSE);
  writeByte(0);
}

// ── What can't be read ──────────────────────────────────────────────────────────────────────────────

/** Counts a record that can't be read, and answers with the notice of it when one is due. */
function unread(answer: i32, form: u32): usize {
  unreadable++;
  if (popcnt(unreadable) != 1 || !loaded) return NOTHING;
  // What the record took is not needed any more.
  finish();
  clearExhausted();
  const shown = min(recordSize, RECORD_SHOWN_MAX);
  const record = validText(recordStart, shown);
  const tag = validText(tagStart, tagSize);
  const why = answer == layout.MALFORMED ? layout.TEXT_WHY_MALFORMED : layout.TEXT_WHY_TOO_LARGE;
  beginOutput((shown + tagSize) * 3 + 2 * ENVELOPE_SIZE_MAX);
  if (form == AS_HITS) writeNotice(tag, why, record);
  else writeNoticeAlert(tag, why, record);
  if (isExhausted()) return NOTHING;
  const notice = outputStart();
  const size = outputSize();
  if (form == AS_HITS) {
    beginOutput(size * 2 + ENVELOPE_SIZE_MAX);
    writeConstant(layout.TEXT_EDGE_HIT_KEY);
    writeConstant(layout.TEXT_UNREADABLE_KEY);
    writeConstant(layout.TEXT_EDGE_HIT);
    writeJsonAsString(notice, size);
    writeConstant(layout.TEXT_EDGE_CLOSE);
  } else if (form == AS_BODY) {
    writeNoticeBody(tag, why, record, notice, size);
    writeRequest(outputStart(), outputSize());
  } else if (form == AS_ALERT_ARRAY) {
    beginOutput(size + 2);
    writeByte(0x5b);
    write(notice, size);
    writeByte(0x5d);
    writeRequest(outputStart(), outputSize());
  }
  writeByte(0);
  return isExhausted() ? NOTHING : outputStart();
}

/** A copy of a text in which each byte that is not UTF-8 is U+FFFD. */
function validText(at: usize, size: usize): u64 {
  const copy = allocate(decodedSizeMax(at, at + size));
  return copy == 0 ? textOf(at, 0) : textOf(copy, copyValid(at, at + size, copy) - copy);
}

function writeText(text: u64): void {
  writeString(addressOf(text), sizeOf(text));
}

function writeCount(): void {
  const digits = digitsOf(unreadable);
  write(addressOf(digits), sizeOf(digits));
}

function writeNotice(tag: u64, why: u32, record: u64): void {
  writeConstant(layout.TEXT_UNREADABLE);
  writeCount();
  writeConstant(layout.TEXT_UNREADABLE_TAG);
  writeText(tag);
  writeConstant(layout.TEXT_UNREADABLE_TIME);
  writeMoment(toMs(recordSec, recordNsec));
  writeConstant(layout.TEXT_UNREADABLE_WHY);
  writeConstant(why);
  writeConstant(layout.TEXT_UNREADABLE_RECORD);
  writeText(record);
  writeConstant(layout.TEXT_EDGE_CLOSE);
}

function writeNoticeAlert(tag: u64, why: u32, record: u64): void {
  writeConstant(layout.TEXT_ALERT_FIRING);
  writeNoticeLabels(tag);
  writeConstant(layout.TEXT_ANNOTATIONS);
  writeNoticeAnnotations(why, record);
  writeConstant(layout.TEXT_STARTS_AT);
  writeMoment(toMs(recordSec, recordNsec));
  writeConstant(layout.TEXT_NO_END);
  writeHash(noticeFingerprint(tag));
  writeConstant(layout.TEXT_ALERT_END);
}

function writeNoticeLabels(tag: u64): void {
  writeConstant(layout.TEXT_UNREADABLE_LABELS);
  writeText(tag);
}

function writeNoticeAnnotations(why: u32, record: u64): void {
  writeConstant(layout.TEXT_UNREADABLE_MESSAGE);
  writeCount();
  writeConstant(layout.TEXT_UNREADABLE_COUNT);
  writeConstant(why);
  writeConstant(layout.TEXT_UNREADABLE_RECORD);
  writeText(record);
}

function writeNoticeBody(tag: u64, why: u32, record: u64, alert: usize, size: usize): void {
  beginOutput(size * 2 + 2 * ENVELOPE_SIZE_MAX);
  writeConstant(layout.TEXT_BODY_FIRING);
  write(alert, size);
  writeConstant(layout.TEXT_GROUP_LABELS);
  writeConstant(layout.TEXT_COMMON_LABELS);
  writeNoticeLabels(tag);
  writeConstant(layout.TEXT_COMMON_ANNOTATIONS);
  writeNoticeAnnotations(why, record);
  writeConstant(layout.TEXT_CLOSING);
}

/** The fingerprint of the notice's labels. Its constant has three strings in it: two names and the first value. */
function noticeFingerprint(tag: u64): u64 {
  const labels = constantOf(layout.TEXT_UNREADABLE_LABELS);
  const end = addressOf(labels) + sizeOf(labels);
  let hash = FNV_OFFSET;
  for (let at = addressOf(labels) + 1; at < end;) {
    const quote = findByte(at, end, QUOTE);
    hash = addToFingerprint(hash, at, quote - at);
    at = findByte(quote + 1, end, QUOTE) + 1;
  }
  return addToFingerprint(hash, addressOf(tag), sizeOf(tag));
}
