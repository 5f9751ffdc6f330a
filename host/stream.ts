// One partition: a matcher, and how far its records are acknowledged. The state of the matcher is a function of the
// records up to an offset, so it goes wherever the read position goes: forward with it, and back with it.

import { ALERT, MALFORMED, TOO_LARGE } from './matcher.ts';
import type { Matcher, MatcherModule } from './matcher.ts';
import { arrayElements, isArray } from './json.ts';
import type { Parcel } from './deliver.ts';
import type { Message, TopicPartition } from './source/source.ts';

const EMPTY = new Uint8Array();

/** An offset, and the state of the matcher after all records below it. */
export interface Point {
  offset: number;
  state: Uint8Array;
}

/** What the matcher is given. One message may hold several. */
export interface StreamRecord {
  offset: number;
  key: Buffer | null;
  value: Uint8Array;
  sec: number;
  nsec: number;
  /** It broke the matcher once; it is not shown to it again. */
  trapped?: boolean;
}

export class Stream implements TopicPartition {
  readonly topic: string;
  readonly partition: number;
  /** All below is acknowledged: no match, delivered, or a dead letter. */
  acknowledged: Point;
  committedOffset: number;
  /** Records below this offset were acknowledged before our time; they are read to rebuild the state. */
  warmUntil: number;
  /** Failures in a row to deliver. */
  failures = 0;
  /** Nothing is left to read, as far as we know: time may pass without records. */
  caughtUp = false;
  /** Until when an alert of `tick` is not tried again. */
  quietUntil = 0;
  readonly #module: MatcherModule;
  #matcher: Matcher;
  #retiredMatches: number[];
  #turn: Promise<unknown> = Promise.resolve();

  /** A stream that begins at `offset`, with the state `kept` there or an empty one. */
  static async open(module: MatcherModule, at: TopicPartition, offset: number, kept: Uint8Array | undefined): Promise<Stream> {
    const matcher = await module.instantiate();
    if (kept) matcher.restore(kept);
    return new Stream(module, matcher, at, offset);
  }

  private constructor(module: MatcherModule, matcher: Matcher, { topic, partition }: TopicPartition, offset: number) {
    this.topic = topic;
    this.partition = partition;
    this.#module = module;
    this.#matcher = matcher;
    this.#retiredMatches = module.info.alerts.map(() => 0);
    this.acknowledged = { offset, state: matcher.snapshot() };
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
   * Matches the records up to `end`, and gives what has to leave the house before they are acknowledged, in their order.
   */
  async match(records: StreamRecord[], end: number): Promise<Parcel[]> {
    const parcels: Parcel[] = [];
    for (const record of records) {
      try {
        this.#matchOne(record, parcels);
      } catch (error) {
        // The instance may be broken in any way: a fresh one takes over, with the
        // state before this record.
        record.trapped = true;
        await this.#renew(records.slice(0, records.indexOf(record)));
        if (record.offset >= this.warmUntil) parcels.push(poison(record, `the matcher broke: ${(error as Error).message}`));
      }
    }
    const last = records.at(-1);
    if (last && end > this.warmUntil) parcels.push(...this.#tick(last.sec, last.nsec, end));
    return parcels;
  }

  /** What falls due by that time although no record came: the silence that a rule about absence waits for. */
  tick(timeMs: number): Parcel[] {
    const sec = Math.floor(timeMs / 1000);
    return this.#tick(sec, (timeMs - sec * 1000) * 1_000_000, this.acknowledged.offset);
  }

  #tick(sec: number, nsec: number, offset: number): Parcel[] {
    const parcels: Parcel[] = [];
    while (this.#matcher.tick(sec, nsec) === ALERT) parcels.push({ offset, key: null, bytes: this.#matcher.alert().slice() });
    return parcels;
  }

  #matchOne(record: StreamRecord, parcels: Parcel[]): void {
    const { value, sec, nsec, offset } = record;
    if (offset < this.warmUntil) {
      this.#matcher.warm(value, sec, nsec);
      return;
    }
    const outcome = this.#matcher.match(value, sec, nsec);
    if (outcome === ALERT) parcels.push({ offset, key: record.key, bytes: this.#matcher.alert().slice() });
    else if (outcome === MALFORMED) parcels.push(poison(record, 'not a JSON object'));
    else if (outcome === TOO_LARGE) parcels.push(poison(record, `too large: ${value.length} bytes`));
  }

  acknowledge(offset: number): void {
    this.acknowledged = { offset, state: this.#matcher.snapshot() };
  }

  /** Back to `offset`, between the acknowledged point and now; `records` are those matched since that point. */
  rewind(records: StreamRecord[], offset: number): void {
    this.#matcher.restore(this.acknowledged.state);
    this.#replay(records.filter(record => record.offset < offset));
    this.acknowledge(offset);
  }

  /** Matches of each rule since the stream was opened. */
  matches(): number[] {
    return this.#matcher.matches().map((count, rule) => count + this.#retiredMatches[rule]!);
  }

  async #renew(records: StreamRecord[]): Promise<void> {
    this.#retiredMatches = this.matches();
    this.#matcher = await this.#module.instantiate();
    this.#matcher.restore(this.acknowledged.state);
    this.#replay(records);
  }

  #replay(records: StreamRecord[]): void {
    for (const { trapped, value, sec, nsec } of records) if (!trapped) this.#matcher.warm(value, sec, nsec);
  }
}

/** The records of a message: the elements of a JSON array, otherwise the value itself. */
export function recordsOf(message: Message): StreamRecord[] {
  const { key } = message;
  const offset = Number(message.offset);
  const timestampMs = Number(message.timestamp);
  const sec = Math.floor(timestampMs / 1000);
  const nsec = (timestampMs - sec * 1000) * 1_000_000;
  const value = message.value ?? EMPTY;
  // An array without an end is left whole, and is poison to the matcher.
  const elements = isArray(value) ? arrayElements(value)?.elements : undefined;
  return (elements ?? [value]).map(element => ({ offset, key, value: element, sec, nsec }));
}

function poison({ offset, key, value }: StreamRecord, reason: string): Parcel {
  return { offset, key, bytes: value, poison: reason };
}
