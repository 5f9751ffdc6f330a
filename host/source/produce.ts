// Produces messages: which partition each belongs to, and their bytes. kafkajs' own producer takes 15 µs of CPU a message,
// which was half of what matching costs when every record is a hit; and it has lost messages whose leader moved
// (tests/source/produce.test.ts). This is Kafka's Produce request, version 7, with record batches of version 2:
//
//   request:  transactional id | acks i16 | timeout ms i32 | [topic name | [partition i32 | size i32, batch]]
//   answer:   [topic name | [partition i32 | error i16 | offset i64 | append time i64 | first offset i64]] | throttle ms i32
//   batch:    as records.ts draws it

import crc32C from 'kafkajs/src/protocol/recordBatch/crc32C/index.js';
import { Reader } from './bytes.ts';
import { request } from './request.ts';
import type { Request } from './request.ts';
import type { Letter } from './source.ts';

const PRODUCE = 0;
const VERSION = 7;
const ALL_REPLICAS = -1;
const BATCH_HEADER_SIZE = 61;
const CRC_START = 21; // What the checksum covers begins here.
/** Length, attributes, both deltas and the sizes of key, value and headers. */
const RECORD_EXTRA_SIZE = 40;
const NONE = new Uint8Array();

/** What the broker says of a partition: 0, all in-sync replicas have its batch, or Kafka's number of an error. */
export interface Answer {
  partition: number;
  error: number;
}

/** The names that kafkajs has for Kafka's numbers of errors; any other error is named by its number. */
const ERRORS = new Map([
  [3, 'UNKNOWN_TOPIC_OR_PARTITION'],
  [6, 'NOT_LEADER_FOR_PARTITION'],
  [7, 'REQUEST_TIMED_OUT'],
  [10, 'MESSAGE_TOO_LARGE'],
  [18, 'RECORD_LIST_TOO_LARGE'],
  [19, 'NOT_ENOUGH_REPLICAS'],
  [20, 'NOT_ENOUGH_REPLICAS_AFTER_APPEND'],
  [29, 'TOPIC_AUTHORIZATION_FAILED'],
  [87, 'INVALID_RECORD'],
]);
/** Trying again soon does not help. */
const LASTING = [10, 18, 29, 87];

export class ProduceError extends Error {
  readonly type: string;
  /** Whether a later try may succeed. */
  readonly mayPass: boolean;

  constructor(topic: string, { partition, error }: Answer) {
    const type = ERRORS.get(error) ?? `error ${error}`;
    super(`the broker refused messages for ${topic}/${partition}: ${type}`);
    this.type = type;
    this.mayPass = !LASTING.includes(error);
  }
}

/** The partition of a key, as Java's producer and librdkafka's `murmur2_random` compute it. */
export function partitionOfKey(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fffffff) % partitionCount;
}

/** Austin Appleby's MurmurHash2, with Kafka's seed. */
function murmur2(bytes: Uint8Array): number {
  const factor = 0x5bd1e995;
  let hash = 0x9747b28c ^ bytes.length;
  const end = bytes.length & ~3;
  for (let at = 0; at < end; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    const mixed = Math.imul(word, factor);
    hash = Math.imul(hash, factor) ^ Math.imul(mixed ^ (mixed >>> 24), factor);
  }
  for (let at = bytes.length - 1; at >= end; at--) hash ^= bytes[at]! << ((at - end) * 8);
  if (end < bytes.length) hash = Math.imul(hash, factor);
  hash = Math.imul(hash ^ (hash >>> 13), factor);
  return hash ^ (hash >>> 15);
}

export function produceRequest(
  topic: string,
  batches: ReadonlyMap<number, Buffer>,
  timeoutMs: number,
): Request<Answer[]> {
  return request([PRODUCE, VERSION, 'Produce'], () => encodeRequest(topic, batches, timeoutMs), decodeAnswer);
}

function encodeRequest(topic: string, batches: ReadonlyMap<number, Buffer>, timeoutMs: number): Buffer {
  const name = Buffer.from(topic);
  const head = Buffer.alloc(2 + 2 + 4 + 4 + 2 + name.length + 4);
  let at = head.writeInt16BE(-1, 0); // no transaction
  at = head.writeInt16BE(ALL_REPLICAS, at);
  at = head.writeInt32BE(timeoutMs, at);
  at = head.writeInt32BE(1, at); // topics
  at = head.writeInt16BE(name.length, at);
  at += name.copy(head, at);
  head.writeInt32BE(batches.size, at);
  const parts: Buffer[] = [head];
  for (const [partition, batch] of batches) {
    const place = Buffer.alloc(8);
    place.writeInt32BE(batch.length, place.writeInt32BE(partition, 0));
    parts.push(place, batch);
  }
  return Buffer.concat(parts) as Buffer;
}

function decodeAnswer(bytes: Buffer): Answer[] {
  const reader = new Reader(bytes);
  const topics = reader.array(() => {
    reader.string();
    return reader.array(() => {
      const answer = { partition: reader.i32(), error: reader.i16() };
      reader.slice(24); // offset, append time, first offset
      return answer;
    });
  });
  return topics.flat();
}

/** A broker takes 1 MiB in one batch, unless its topic says otherwise. A message that is larger goes alone. */
const BATCH_SIZE_MAX = 900_000;

/** The batches of one partition, in order; all of the messages were made at `timeMs`. */
export function encodeBatches(letters: readonly Letter[], timeMs: number): Buffer[] {
  const batches: Buffer[] = [];
  let start = 0;
  let size = 0;
  letters.forEach((letter, index) => {
    const own = sizeMax(letter);
    if (index > start && size + own > BATCH_SIZE_MAX) {
      batches.push(encodeBatch(letters.slice(start, index), timeMs));
      start = index;
      size = 0;
    }
    size += own;
  });
  if (start < letters.length) batches.push(encodeBatch(letters.slice(start), timeMs));
  return batches;
}

function encodeBatch(letters: readonly Letter[], timeMs: number): Buffer {
  const bytes = Buffer.allocUnsafe(
    letters.reduce((size, letter) => size + sizeMax(letter), BATCH_HEADER_SIZE),
  );
  let at = BATCH_HEADER_SIZE;
  letters.forEach((letter, index) => (at = putRecord(bytes, at, letter, index)));
  bytes.writeBigInt64BE(0n, 0); // first offset
  bytes.writeInt32BE(at - 12, 8); // the size of what comes after this number
  bytes.writeInt32BE(-1, 12); // leader epoch
  bytes.writeInt8(2, 16); // version
  bytes.writeInt16BE(0, CRC_START); // attributes: not compressed, the producer's time
  bytes.writeInt32BE(letters.length - 1, 23); // last offset
  bytes.writeBigInt64BE(BigInt(timeMs), 27); // first and last time
  bytes.writeBigInt64BE(BigInt(timeMs), 35);
  bytes.writeBigInt64BE(-1n, 43); // no producer id, epoch and sequence
  bytes.writeInt16BE(-1, 51);
  bytes.writeInt32BE(-1, 53);
  bytes.writeInt32BE(letters.length, 57);
  bytes.writeUInt32BE(crc32C(bytes.subarray(CRC_START, at)), 17);
  return bytes.subarray(0, at);
}

function sizeMax({ key, value, headers }: Letter): number {
  let size = RECORD_EXTRA_SIZE + (key?.length ?? 0) + (value?.length ?? 0);
  for (const name in headers) size += 10 + 3 * (name.length + headers[name]!.length);
  return size;
}

/** Writes a record after the room for its length, and moves it there when the length is known. */
function putRecord(bytes: Buffer, start: number, { key, value, headers }: Letter, index: number): number {
  const body = start + 5;
  let at = body;
  bytes[at++] = 0; // attributes
  bytes[at++] = 0; // time delta
  at = putZigzag(bytes, at, index);
  at = putZigzag(bytes, at, key ? key.length : -1);
  at = put(bytes, at, key ?? NONE);
  at = putZigzag(bytes, at, value ? value.length : -1);
  at = put(bytes, at, value ?? NONE);
  const names = Object.keys(headers);
  at = putZigzag(bytes, at, names.length);
  for (const name of names)
    for (const text of [name, headers[name]!]) {
      at = putZigzag(bytes, at, Buffer.byteLength(text));
      at += bytes.write(text, at);
    }
  const length = putZigzag(bytes, start, at - body);
  bytes.copyWithin(length, body, at);
  return length + at - body;
}

function put(bytes: Buffer, at: number, part: Uint8Array): number {
  bytes.set(part, at);
  return at + part.length;
}

function putZigzag(bytes: Buffer, at: number, value: number): number {
  let left = ((value << 1) ^ (value >> 31)) >>> 0;
  for (; left >= 0x80; left >>>= 7) bytes[at++] = (left & 0x7f) | 0x80;
  bytes[at++] = left;
  return at;
}
