// The matching role: logs → hits. It remembers nothing. Before a message is acknowledged its hits are in the hits topic
// (acks=all), and what is not a record is in the dead-letter topic.

import type { Delivered, Delivery, Parcel, Streak } from './deliver.ts';
import { hitKey, kafkaSource } from '../hit.ts';
import { arrayElements, isArray } from '../json.ts';
import { HIT, MALFORMED, NO_ALERT, linesOf } from '../matcher.ts';
import type { Matcher } from '../matcher.ts';
import type { Matching } from './matching.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';
import type { Letter, Message, Source, TopicPartition } from '../source/source.ts';
import type { Role, Task } from './worker.ts';

/** Elements of a message that is an array: each that is not a record is a dead letter, and 1 MB holds half a million. */
const ELEMENTS_MAX = 10_000;
const EMPTY = new Uint8Array();
const DELIVERED: Delivered = { kind: 'delivered' };

interface Parts {
  settings: Settings;
  matching: Matching;
  source: Source;
  delivery: Delivery;
  metrics: Metrics;
}

/** A record, the message that it came in, and its place among the elements of that message. */
interface Element {
  message: Message;
  record: Uint8Array;
  index: number;
}

/** What must be delivered before the messages are acknowledged. */
interface Findings {
  /** With the offset of their message. */
  hits: { offset: number; letter: Letter }[];
  poison: Parcel[];
}

/** All partitions share one matcher: nothing of a record stays in it. */
export function matchRole({ settings, matching, source, delivery, metrics }: Parts): Role {
  async function matchAll(partition: TopicPartition, elements: Element[]): Promise<Findings> {
    const findings: Findings = { hits: [], poison: [] };
    const clock = openClock();
    const place = kafkaSource({ ...partition, topicId: source.topicId(partition.topic) });
    await matching.forEach(
      elements,
      (matcher, element) => matchOne(matcher, place, element, clock, findings),
      (element, why) => findings.poison.push(poison(element, why)),
    );
    return findings;
  }

  function matchOne(
    matcher: Matcher,
    place: string,
    element: Element,
    clock: Clock,
    { hits, poison: bad }: Findings,
  ): void {
    const { message, record, index } = element;
    if (message.unreadable !== undefined) {
      bad.push(poison(element, message.unreadable));
      return;
    }
    clock.set(message.timestamp);
    const answer = matcher.find(record, clock.sec, clock.nsec);
    if (answer === NO_ALERT) return;
    const lines =
      answer === HIT ? matcher.hits(`${place}/${message.offset}/${message.timestamp}/${index}`) : undefined;
    if (lines)
      for (const value of linesOf(lines))
        hits.push({ offset: Number(message.offset), letter: { key: hitKey(value), value, headers: {} } });
    else
      bad.push(
        poison(element, answer === MALFORMED ? 'not a JSON object' : `too large: ${record.length} bytes`),
      );
  }

  function open(partition: TopicPartition): Task {
    const streak: Streak = { failures: 0 };
    const task: Task & { position?: number; acknowledged?: number; timestamp?: number } = {
      position: undefined,
      acknowledged: undefined,
      timestamp: undefined,
      open: async () => {},
      async work(messages, end, lease) {
        const { hits, poison } = await matchAll(partition, elementsOf(messages));
        const outcome = poison.length > 0 ? await delivery.bury(poison, lease, streak) : DELIVERED;
        // What comes before a record that can't be buried does not wait for it.
        const reached = outcome.kind === 'held' ? poison[0]!.offset : end;
        const letters = hits.flatMap(({ offset, letter }) => (offset < reached ? [letter] : []));
        const produced =
          letters.length > 0 ? await delivery.produce(settings.hitsTopic, letters, lease, streak) : DELIVERED;
        if (produced.kind === 'held') return produced;
        const done = messages.filter(({ offset }) => Number(offset) < reached);
        task.position = task.acknowledged = reached;
        task.timestamp = Number(done.at(-1)?.timestamp) || task.timestamp;
        metrics.records.inc({ topic: partition.topic }, done.length);
        metrics.hits.inc(letters.length);
        return outcome;
      },
    };
    return task;
  }

  return { name: 'match', source, open };
}

/** The time of the current message; when it has none, that of the message before, or else the wall clock. */
interface Clock {
  sec: number;
  nsec: number;
  set(timestamp: string): void;
}

function openClock(): Clock {
  let last: string | undefined;
  const clock = {
    sec: 0,
    nsec: 0,
    set(timestamp: string) {
      if (timestamp === last) return; // Messages of one batch often have the same timestamp.
      const timeMs = believedTime(timestamp) ?? (last === undefined ? Date.now() : undefined);
      last = timestamp;
      if (timeMs === undefined) return;
      clock.sec = Math.floor(timeMs / 1000);
      clock.nsec = (timeMs - clock.sec * 1000) * 1_000_000;
    },
  };
  return clock;
}

/**
 * The time of a message, in milliseconds. Its producer may have set it to anything: what is ahead of the wall clock
 * counts as now, so that no window ends and no absence falls due before its time; −1 means no time at all.
 */
export function believedTime(timestamp: string, nowMs = Date.now()): number | undefined {
  const timeMs = Number(timestamp);
  return timeMs >= 0 ? Math.min(timeMs, nowMs) : undefined;
}

/** The records of the messages: a message that is a JSON array is taken apart, any other is its record. */
export function elementsOf(messages: Message[]): Element[] {
  return messages.flatMap(message => recordsOf(message).map((record, index) => ({ message, record, index })));
}

/** An array without an end, or of too many elements, is left whole, and is poison to the matcher. */
function recordsOf({ value }: Message): Uint8Array[] {
  const whole = value ?? EMPTY;
  return (isArray(whole) && arrayElements(whole, 0, ELEMENTS_MAX)?.elements) || [whole];
}

function poison({ message: { offset, key }, record }: Element, reason: string): Parcel {
  return { offset: Number(offset), key, bytes: record, poison: reason };
}
