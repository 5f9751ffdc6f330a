// What the host function needs from a Kafka client. host/source/kafka.ts provides it with kafkajs; another client can
// replace it by offering the same. Offsets are numbers: exact up to 2^53, which is 285 years at a million records a second.

/** Why the source ends. It is not a bug: the message says everything, and no stack is logged. */
export class SourceEnd extends Error {}

export interface TopicPartition {
  topic: string;
  partition: number;
}

export interface Position extends TopicPartition {
  /** The next record to read: everything below is done. */
  offset: number;
  /** When the last record below was written, milliseconds since 1970; kept with the commit. */
  timestamp?: number;
}

/** The state of a partition. */
export interface Standing {
  /** −1: nothing is committed. */
  committed: number;
  /** Of the last commit. */
  timestamp: number | undefined;
  /** The first record that is left, and one past the last. */
  low: number;
  high: number;
}

/** How far a group has come with a partition. */
export interface Reached extends Position {
  /** The first record that is left, and one past the last. `offset` is −1 where nothing is committed. */
  low: number;
  end: number;
}

export interface Message {
  offset: string;
  /** Milliseconds since 1970, of the producer or of the broker. */
  timestamp: string;
  key: Buffer | null;
  value: Uint8Array | null;
  /** Why there are no bytes: this message is in place of records that cannot be decoded. */
  unreadable?: string;
}

/**
 * The right to work on a partition. It never throws. When the group rebalances, a heartbeat fails or the source stops,
 * it is no longer `live`, and what is not acknowledged is left to the next owner.
 */
export interface Lease extends TopicPartition {
  live(): boolean;
  heartbeat(): Promise<void>;
}

/** Records of one partition, in order. */
export interface Batch extends Lease {
  /** Counts up with every assignment of partitions. */
  generation: number;
  /** The offset that was asked for: the first message is there or, where offsets are missing, after it. */
  start: number;
  /** One past the last message. */
  end: number;
  /** One past the last record of the partition. */
  highWatermark: number;
  messages: Message[];
  /** Moves the read position of the partition: the next batch starts at `offset`. Commits nothing. */
  advance(offset: number): void;
  /** Moves the read position back. The rest of this batch is void. */
  seek(offset: number): void;
  /** Reads nothing more from this partition for a while. */
  pause(durationMs: number): void;
}

export interface Handler {
  /** A new generation begins: what was known of the partitions of the last one is void. */
  assigned(generation: number, partitions: TopicPartition[]): void;
  batch(batch: Batch): Promise<void>;
  /** Kafka accepted a heartbeat: the connection to the group is alive. */
  heartbeat(): void;
  /** The offset to read next is gone: retention deleted records before they were read. */
  skipped(partition: TopicPartition): void;
  /** The topic was deleted and created again: its partitions are read from their beginning. */
  recreated(topic: string): void;
}

/** A message to produce. */
export interface Letter {
  key: Buffer | null;
  value: Uint8Array | null;
  headers: Record<string, string>;
  /** Undefined: the key decides. */
  partition?: number;
}

/** What the broker says of a topic. */
export interface TopicFacts {
  partitionCount: number;
  /** −1: no limit. */
  retentionMs: number;
  cleanupPolicy: string;
}

export interface Source {
  /** Joins the group and passes on batches. Settles when stopped; rejects when the client will not recover. */
  run(handler: Handler): Promise<void>;
  /** Commits for `generation`, and returns whether the broker accepted it. Refused once that generation is over. */
  commit(generation: number, positions: Position[]): Promise<boolean>;
  /** The first offset whose record is at `timestampMs` or later. */
  offsetAt(partition: TopicPartition, timestampMs: number): Promise<number>;
  /** What is committed for the partition, and what it holds. */
  standing(partition: TopicPartition): Promise<Standing>;
  /** Reads the partition from `offset` on, even when no batch has come. */
  seek(partition: TopicPartition, offset: number): void;
  /** The id of a topic that is read; undefined where brokers have none. A topic that is created again has another. */
  topicId(topic: string): string | undefined;
  /** Undefined: there is no such topic. */
  topic(name: string): Promise<TopicFacts | undefined>;
  /** The partition of a topic that messages of this key are produced to. */
  partitionOf(topic: string, key: Buffer): Promise<number>;
  /** How far a group has come with the topics; undefined: with all that it has committed offsets for. */
  progress(group: string, topics?: readonly string[]): Promise<Reached[]>;
  /** One past the last record, by partition. */
  ends(topic: string): Promise<number[]>;
  /** Produces to a topic; settles when all in-sync replicas have all of it, rejects otherwise. */
  produce(topic: string, letters: Letter[]): Promise<void>;
  /** Passes on nothing new: running batches are no longer live. */
  drain(): void;
  /** Waits for the running batches, leaves the group, disconnects. */
  stop(): Promise<void>;
}
