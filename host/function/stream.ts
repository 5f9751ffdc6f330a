// One partition: a matcher, and how far its records are acknowledged. The state of the matcher is a function of the
// records up to an offset, so it moves forward and back with the read position.

import { ALERT, MALFORMED, NO_ALERT, TOO_LARGE } from '../matcher.ts';
import type { Matcher, MatcherModule } from '../matcher.ts';
import { arrayElements, isArray } from '../json.ts';
import type { Parcel } from './deliver.ts';
import type { Message, TopicPartition } from '../source/source.ts';

const EMPTY = new Uint8Array();
/** Elements of a message that is an array. Each one that is no record is a dead letter, and 1 MB can have half a million. */
const ELEMENTS_MAX = 10_000;

/** An offset, and the state of the matcher after all records below it. */
export interface Point {
  offset: number;
  state: Uint8Array;
}

export class Stream implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  /** Where the read position may stay: all below is done, and this is the state there. */
  acknowledged: Point;
  /** All below is done: no match, delivered, or a dead letter. At or, while a slice is delivered, beyond `acknowledged`. */
  deliveredOffset: number;
  committedOffset: number;
  /** Records below this offset were acknowledged before our time; they are read to rebuild the state. */
  warmUntil: number;
  /** Failures in a row to deliver. */
  failures = 0;
  /** Nothing is left to read, as far as we know: time may pass without records. */
  caughtUp = false;
  /** Until when an alert of `tick` is not tried again. */
  quietUntil = 0;
  /** A tick is waiting for its turn, or has it. */
  ticking = false;
  readonly #module: MatcherModule;
  #matcher: Matcher;
  #retiredMatches: number[];
  /** Records since the acknowledged point that broke the matcher; it does not get them again. */
  #trapped = new Set<Message>();
  // The time of the record at hand; of a message that has none, that of the one before, or else the wall clock.
  #timestamp: string | undefined;
  /** The last believed time: rules about absence use it as their clock. */
  #timeMs: number | undefined;
  #sec = 0;
  #nsec = 0;
  #turn: Promise<unknown> = Promise.resolve();

  /** A stream that begins at `offset`, with the state `kept` there or an empty one. */
  static async open(
    module: MatcherModule,
    at: TopicPartition,
    offset: number,
    kept: Uint8Array | undefined,
  ): Promise<Stream> {
    const matcher = await module.instantiate();
    if (kept) matcher.restore(kept);
    return new Stream(module, matcher, at, offset);
  }

  private constructor(
    module: MatcherModule,
    matcher: Matcher,
    { topic, partition }: TopicPartition,
    offset: number,
  ) {
    this.topic = topic;
    this.partition = partition;
    this.#module = module;
    this.#matcher = matcher;
    this.#retiredMatches = module.info.alerts.map(() => 0);
    this.acknowledged = { offset, state: matcher.snapshot() };
    this.deliveredOffset = offset;
    this.committedOffset = offset;
    this.warmUntil = offset;
  }

  /** One thing at a time: a batch, or a tick. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /**
   * Matches the records up to `end`, and returns what has to be delivered before they are acknowledged, in their order.
   */
  async match(records: Message[], end: number): Promise<Parcel[]> {
    const parcels: Parcel[] = [];
    for (let at = 0; at < records.length; at++) {
      try {
        for (; at < records.length; at++) this.#matchOne(records[at]!, parcels);
      } catch (error) {
        // The instance may be broken in any way: a new one continues with the state before this record.
        const record = records[at]!;
        this.#trapped.add(record);
        await this.#renew(records.slice(0, at));
        if (!this.#isWarming(record))
          parcels.push(poison(record, `the matcher broke: ${(error as Error).message}`));
      }
    }
    const last = records.at(-1);
    if (last && !this.#isWarming(last) && this.#timeMs !== undefined)
      parcels.push(...this.#tick(this.#timeMs, end));
    return parcels;
  }

  #matchOne(record: Message, parcels: Parcel[]): void {
    const { value: bytes, unreadable } = record;
    if (unreadable !== undefined) {
      if (!this.#isWarming(record)) parcels.push(poison(record, unreadable));
      return;
    }
    const value = bytes ?? EMPTY;
    this.#setTime(record.timestamp);
    if (this.#isWarming(record)) {
      this.#matcher.warm(value, this.#sec, this.#nsec);
      return;
    }
    const outcome = this.#matcher.match(value, this.#sec, this.#nsec);
    if (outcome === NO_ALERT) return;
    if (outcome === ALERT) parcels.push(this.#alert(Number(record.offset), record.key));
    else if (outcome === MALFORMED) parcels.push(poison(record, 'not a JSON object'));
    else if (outcome === TOO_LARGE) parcels.push(poison(record, `too large: ${value.length} bytes`));
  }

  #isWarming(record: Message): boolean {
    return this.acknowledged.offset < this.warmUntil && Number(record.offset) < this.warmUntil;
  }

  /** What is due by that time without a record: alerts of rules about absence. */
  tick(timeMs: number): Parcel[] {
    return this.#tick(timeMs, this.acknowledged.offset);
  }

  #tick(timeMs: number, offset: number): Parcel[] {
    const parcels: Parcel[] = [];
    const sec = Math.floor(timeMs / 1000);
    while (this.#matcher.tick(sec, (timeMs - sec * 1000) * 1_000_000) === ALERT)
      parcels.push(this.#alert(offset, null));
    return parcels;
  }

  #alert(offset: number, key: Buffer | null): Parcel {
    return { offset, key, bytes: this.#matcher.alert().slice() };
  }

  acknowledge(offset: number): void {
    this.acknowledged = { offset, state: this.#matcher.snapshot() };
    this.deliveredOffset = offset;
    this.#trapped.clear();
  }

  /** Moves back to `offset`, between the acknowledged point and now; `records` were matched since that point. */
  rewind(records: Message[], offset: number): void {
    this.#matcher.restore(this.acknowledged.state);
    this.#replay(records.filter(record => Number(record.offset) < offset));
    this.acknowledge(offset);
  }

  /** Matches of each rule since the stream was opened. */
  matches(): number[] {
    return this.#matcher.matches().map((count, rule) => count + this.#retiredMatches[rule]!);
  }

  /** The keys of the state, and those that were evicted. */
  keys(): { keyCount: number; evictedCount: number } {
    return { keyCount: this.#matcher.keyCount(), evictedCount: this.#matcher.evictedKeyCount() };
  }

  async #renew(records: Message[]): Promise<void> {
    this.#retiredMatches = this.matches();
    this.#matcher = await this.#module.instantiate();
    this.#matcher.restore(this.acknowledged.state);
    this.#replay(records);
  }

  #replay(records: Message[]): void {
    for (const record of records) {
      if (this.#trapped.has(record) || record.unreadable !== undefined) continue;
      this.#setTime(record.timestamp);
      this.#matcher.warm(record.value ?? EMPTY, this.#sec, this.#nsec);
    }
  }

  /** Messages of one batch often have the same timestamp. */
  #setTime(timestamp: string): void {
    if (timestamp === this.#timestamp) return;
    this.#timestamp = timestamp;
    this.#timeMs = believedTime(timestamp) ?? this.#timeMs;
    const timeMs = this.#timeMs ?? Date.now();
    this.#sec = Math.floor(timeMs / 1000);
    this.#nsec = (timeMs - this.#sec * 1000) * 1_000_000;
  }
}

/**
 * The time of a message, in milliseconds. Its producer may have set it to anything: what is ahead of the wall clock is
 * taken for now, so that no window ends and no absence falls due before its time; −1 stands for no time at all.
 */
export function believedTime(timestamp: string, nowMs = Date.now()): number | undefined {
  const timeMs = Number(timestamp);
  return timeMs >= 0 ? Math.min(timeMs, nowMs) : undefined;
}

/** The records of the messages: a JSON array is split into its elements, any other message is one record. */
export function recordsOf(messages: Message[]): Message[] {
  return messages.some(isArrayMessage) ? messages.flatMap(elementsOf) : messages;
}

function isArrayMessage({ value }: Message): boolean {
  return value !== null && isArray(value);
}

/** An array without an end or with too many elements is not split; the matcher reports it as malformed. */
function elementsOf(message: Message): Message[] {
  const elements = isArrayMessage(message)
    ? arrayElements(message.value!, 0, ELEMENTS_MAX)?.elements
    : undefined;
  if (!elements) return [message];
  const { offset, timestamp, key } = message;
  return elements.map(value => ({ offset, timestamp, key, value }));
}

function poison({ offset, key, value }: Message, reason: string): Parcel {
  return { offset: Number(offset), key, bytes: value ?? EMPTY, poison: reason };
}
