// Record batches: how Kafka stores and sends records (message format 2). A fetch returns many of them, each compressed
// on its own. They are decoded one after the other, and their records are passed on in pieces. So memory holds one
// decoded batch of each partition, whatever the size of the fetch.
//
//   batch:  base offset i64 | length i32 | leader epoch i32 | magic i8 | crc u32 | attributes i16 | last offset delta i32
//           base timestamp i64 | max timestamp i64 | producer id i64 | producer epoch i16 | base sequence i32
//           record count i32 | records, compressed together if the attributes name a codec
//   record: length | attributes i8 | timestamp delta | offset delta | key size, key | value size, value | header count …
//
// Integers are big-endian; the sizes and deltas of a record are zigzag varints. Checksums are not checked; kafkajs does
// not check them either.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { Reader } from './bytes.ts';
import { codecOf } from './codec.ts';
import type { Message } from './source.ts';

const HEADER_SIZE = 61; // To the first record.
const LENGTH_AT = 12; // The length counts from here.
const MAGIC_AT = 16;
const MAGIC = 2;
const CRC_SIZE = 4;
const RECORD_COUNT_AT = 57;
const CODEC_MASK = 0x07;
const LOG_APPEND_TIME = 0x08;
const TRANSACTIONAL = 0x10;
const CONTROL = 0x20;

/** A piece ends with the record that reaches one of these limits: about 10 ms of work. */
const PIECE_RECORDS_MAX = 5000;
const PIECE_SIZE_MAX = 1024 * 1024; // Bytes of keys and values.
/** The process holds only one decoded batch that is larger than this. A usual batch has about 1 MiB. */
const LARGE_SIZE = 8 * 1024 * 1024; // Bytes.

export interface RecordBatch {
  baseOffset: number;
  lastOffset: number;
  attributes: number;
  baseTimestamp: number;
  maxTimestamp: number;
  producerId: string;
  recordCount: number;
  /** The records, as they were sent. */
  bytes: Buffer;
  /** Why the batch cannot be read at all. */
  unreadable?: string;
}

/** All records from the end of the previous piece to `end`. */
export interface Piece {
  messages: Message[];
  end: number;
}

export function isControl({ attributes }: RecordBatch): boolean {
  return (attributes & CONTROL) !== 0;
}

export function isTransactional({ attributes }: RecordBatch): boolean {
  return (attributes & TRANSACTIONAL) !== 0;
}

/** The batches of one partition in the answer to a fetch. The last one may be incomplete, and is left out. */
export function splitBatches(bytes: Buffer): RecordBatch[] {
  const batches: RecordBatch[] = [];
  for (let at = 0; at + LENGTH_AT <= bytes.length;) {
    const end = at + LENGTH_AT + bytes.readInt32BE(at + 8);
    if (end > bytes.length) break;
    if (end < at + LENGTH_AT) throw new Error('a record batch of a negative length');
    batches.push(readBatch(bytes.subarray(at, end)));
    at = end;
  }
  return batches;
}

function readBatch(bytes: Buffer): RecordBatch {
  const reader = new Reader(bytes);
  const baseOffset = reader.number();
  if (bytes.length <= MAGIC_AT) return foreignBatch(baseOffset, 'a batch without a header');
  reader.at = MAGIC_AT;
  const magic = reader.i8();
  if (magic !== MAGIC) return foreignBatch(baseOffset, `message format ${magic}`);
  if (bytes.length < HEADER_SIZE) return foreignBatch(baseOffset, 'a batch without a header');
  reader.at += CRC_SIZE;
  return {
    attributes: reader.i16(),
    baseOffset,
    lastOffset: baseOffset + reader.i32(),
    baseTimestamp: reader.number(),
    maxTimestamp: reader.number(),
    producerId: String(reader.i64()),
    recordCount: bytes.readInt32BE(RECORD_COUNT_AT),
    bytes: bytes.subarray(HEADER_SIZE),
  };
}

/** Formats 0 and 1 are older than Kafka 0.11 (2017); Kafka 4 does not accept them from producers. */
function foreignBatch(offset: number, unreadable: string): RecordBatch {
  return {
    attributes: 0,
    baseOffset: offset,
    lastOffset: offset,
    baseTimestamp: -1,
    maxTimestamp: -1,
    producerId: '-1',
    recordCount: 0,
    bytes: Buffer.alloc(0),
    unreadable,
  };
}

/**
 * Yields the records of the batches from offset `start` to `end`. For a batch that cannot be read it yields one message
 * in place of the records, with the reason.
 */
export async function* piecesOf(
  batches: RecordBatch[],
  start: number,
  end: number,
): AsyncGenerator<Piece, void, void> {
  let piece: Message[] = [];
  let size = 0;
  for (const batch of batches) {
    let expected = Math.max(start, batch.baseOffset);
    const decoded = await decode(batch);
    try {
      if (typeof decoded === 'string') throw new Error(decoded);
      const records = new Reader(decoded.bytes);
      for (let left = batch.recordCount; left > 0; left--) {
        const message = readRecord(records, batch);
        const offset = Number(message.offset);
        if (offset < start) continue;
        expected = offset + 1;
        piece.push(message);
        size += (message.value?.length ?? 0) + (message.key?.length ?? 0);
        if (piece.length < PIECE_RECORDS_MAX && size < PIECE_SIZE_MAX) continue;
        yield { messages: piece, end: expected };
        // Let probes, timers and other partitions run.
        await nextTurn();
        piece = [];
        size = 0;
      }
    } catch (error) {
      piece.push(unreadable(batch, expected, (error as Error).message));
    } finally {
      if (typeof decoded !== 'string') decoded.release();
    }
  }
  if (piece.length > 0) yield { messages: piece, end };
}

function readRecord(records: Reader, batch: RecordBatch): Message {
  const end = records.zigzag() + records.at;
  records.at++; // No record attribute has a meaning yet.
  const timestamp =
    batch.attributes & LOG_APPEND_TIME
      ? (records.zigzag(), batch.maxTimestamp)
      : batch.baseTimestamp + records.zigzag();
  const offset = batch.baseOffset + records.zigzag();
  const key = field(records);
  const value = field(records);
  if (!(records.at <= end && end <= records.bytes.length)) throw new Error('a record leaves its batch');
  records.at = end; // Headers are skipped.
  return { offset: String(offset), timestamp: String(timestamp), key, value };
}

function field(records: Reader): Buffer | null {
  const size = records.zigzag();
  return size < 0 ? null : records.slice(size);
}

function unreadable(batch: RecordBatch, offset: number, reason: string): Message {
  const range = offset === batch.lastOffset ? `offset ${offset}` : `offsets ${offset} to ${batch.lastOffset}`;
  return {
    offset: String(offset),
    timestamp: String(batch.maxTimestamp),
    key: null,
    value: null,
    unreadable: `the record batch cannot be decoded (${range}, still in the topic): ${reason}`,
  };
}

interface Decoded {
  bytes: Buffer;
  /** To be called when the bytes are no longer used. */
  release(): void;
}

let large: Promise<void> = Promise.resolve();

/** Returns the bytes of the records, or the reason why there are none. */
async function decode(batch: RecordBatch): Promise<Decoded | string> {
  if (batch.unreadable !== undefined) return batch.unreadable;
  const codec = batch.attributes & CODEC_MASK;
  if (codec === 0) return { bytes: batch.bytes, release: () => {} };
  const turn = large;
  let release!: () => void;
  large = new Promise(done => (release = done));
  await turn;
  try {
    const bytes = (await codecOf(codec))(batch.bytes);
    if (bytes.length <= LARGE_SIZE) release();
    return { bytes, release };
  } catch (error) {
    release();
    return (error as Error).message;
  }
}
