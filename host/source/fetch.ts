// Reads the answer to a fetch (Fetch version 11, Kafka 2.3 and newer) without its records. kafkajs would decode all
// records of the answer before it passes on the first one: that can take longer than a session, and any size of memory.
//
// So kafkajs gets record batches in place of messages. It reads only their offset, whether they are control records,
// and what marks an aborted transaction. The source decodes them one by one.
//
//   throttle ms i32 | error i16 | session i32 | [topic string | [partition i32 | error i16 | high watermark i64
//   last stable i64 | start i64 | [aborted: producer id i64, first offset i64] | preferred replica i32 | records bytes]]

import { Reader } from './bytes.ts';
import { isControl, isTransactional, splitBatches } from './records.ts';
import type { RecordBatch } from './records.ts';

export const FETCH_VERSION = 11;

/** The partition has another leader now, or will have one soon. */
const LEADER_MOVES = new Set([
  5, // LEADER_NOT_AVAILABLE
  6, // NOT_LEADER_OR_FOLLOWER
  9, // REPLICA_NOT_AVAILABLE
  56, // KAFKA_STORAGE_ERROR
  74, // FENCED_LEADER_EPOCH
  75, // UNKNOWN_LEADER_EPOCH
  78, // OFFSET_NOT_AVAILABLE
]);

export interface FetchAnswer {
  throttleTime: number;
  clientSideThrottleTime: number;
  errorCode: number;
  sessionId: number;
  responses: { topicName: string; partitions: object[] }[];
  /** Some partitions have other leaders; they are empty here, and the metadata is out of date. */
  leadersMove: boolean;
}

export function decodeFetch(bytes: Buffer): FetchAnswer {
  const reader = new Reader(bytes);
  let leadersMove = false;
  const partition = () => {
    const read = {
      partition: reader.i32(),
      errorCode: reader.i16(),
      highWatermark: String(reader.i64()),
      lastStableOffset: String(reader.i64()),
      lastStartOffset: String(reader.i64()),
      abortedTransactions: reader.array(() => ({
        producerId: String(reader.i64()),
        firstOffset: String(reader.i64()),
      })),
      preferredReadReplica: reader.i32(),
      messages: splitBatches(reader.slice(Math.max(0, reader.i32()))).map(messageOf),
    };
    // With the error kafkajs would join the group again, which stops every member.
    if (!LEADER_MOVES.has(read.errorCode)) return read;
    leadersMove = true;
    return { ...read, errorCode: 0 };
  };
  return {
    throttleTime: 0,
    clientSideThrottleTime: reader.i32(),
    errorCode: reader.i16(),
    sessionId: reader.i32(),
    responses: reader.array(() => ({ topicName: reader.string(), partitions: reader.array(partition) })),
    leadersMove,
  };
}

/** A record batch in the form of a message, as kafkajs expects it. */
export interface BatchMessage {
  offset: string;
  key: Buffer | null;
  isControlRecord: boolean;
  batchContext: { producerId: string; inTransaction: boolean };
  batch: RecordBatch;
}

function messageOf(batch: RecordBatch): BatchMessage {
  return {
    // The last offset: a batch may begin before the offset that was asked for.
    offset: String(batch.lastOffset),
    key: isControl(batch) ? controlKey(batch.bytes) : null,
    isControlRecord: isControl(batch),
    batchContext: { producerId: batch.producerId, inTransaction: isTransactional(batch) },
    batch,
  };
}

/** The version and type of a control batch. It has one record and is never compressed. */
function controlKey(bytes: Buffer): Buffer | null {
  const reader = new Reader(bytes);
  reader.zigzag(); // length
  reader.at++; // attributes
  reader.zigzag(); // timestamp delta
  reader.zigzag(); // offset delta
  const size = reader.zigzag();
  return size < 0 ? null : reader.slice(size);
}
