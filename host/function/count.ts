// The counting role: hits → alerts. A partition of the hits topic holds all that its counter knows: the counter's state is
// a fold over the hits and the marks in it. A `told` mark is written after the sink has accepted the alert and before
// the commit. So a new owner of the partition reads, before anything else,
//
//   1. the marks from the look-back's start up to the end: which hits' alerts were told, and what was told without a hit;
//   2. the hits from the look-back's start up to the committed offset, in silence: cool-downs begin at told alerts only;
//   3. from the committed offset on: counts, tells, marks, commits. An alert that has its mark already is not told again.
//
// A mark of what no hit says is applied where it was written: after the hits before it, and before all others.
//
//   look-back's start        committed            end
//   ├── hits in silence ─────┤── hits ────────────┤─▶
//   ├── marks ────────────────────────────────────┤

import { setTimeout as sleep } from 'node:timers/promises';
import { reportCapped } from './capped.ts';
import type { Delivered, Delivery, Parcel, Streak } from './deliver.ts';
import { ruleNames } from '../body.ts';
import { hitId } from '../hit.ts';
import type { Log } from '../log.ts';
import { readMark, readSeen, writeNoted, writeSeen, writeTold } from './mark.ts';
import type { Noted, Told } from './mark.ts';
import { ALERT, MALFORMED, MARKS, NO_ALERT, TOO_LARGE, UNKNOWN_RULE } from '../matcher.ts';
import type { Matcher, MatcherModule } from '../matcher.ts';
import type { Matched } from './matched.ts';
import { believedTime } from './match.ts';
import type { Metrics } from './metrics.ts';
import { Seen } from './seen.ts';
import type { Settings } from './settings.ts';
import type { Lease, Letter, Message, Source, TopicPartition } from '../source/source.ts';
import type { Role, Task } from './worker.ts';

/** A hit is written after its event, by the time it took from the log file to the topic. */
const LOOK_BACK_MARGIN_MS = 60_000;
const OPEN_RETRY_MS = 2000;

interface Parts {
  settings: Settings;
  module: MatcherModule;
  source: Source;
  delivery: Delivery;
  metrics: Metrics;
  log: Log;
  /** How far matching has come: what the clock tells waits for it. Undefined: the clock tells no alert. */
  matched?: Matched;
}

export function countRole(parts: Parts): Role {
  return { name: 'count', source: parts.source, open: partition => countTask(parts, partition) };
}

type Phase = 'marks' | 'silence' | 'live';

interface Window {
  /** Where the look-back begins. */
  start: number;
  /** Below it every hit was counted and its alert told. */
  committed: number;
  /** One past the last message, when the partition was assigned. */
  end: number;
}

/** What a tick has to tell, if anything, and its marks. */
interface Due {
  parcel: Parcel | undefined;
  marks: Letter[];
}

const EMPTY = new Uint8Array();
const DELIVERED: Delivered = { kind: 'delivered' };

function countTask(parts: Parts, at: TopicPartition): Task {
  const { module, source, delivery, metrics, log, matched } = parts;
  const streak: Streak = { failures: 0 };
  /** Hits whose alerts were told, by their offset. */
  const told = new Map<number, Told>();
  /** What was told without a hit, in the order of the hits. */
  let noted: (Noted & { writtenMs: number })[] = [];
  /** How many of those are applied. */
  let taken = 0;
  /** Offsets of hits that broke the counter: they are dead letters, and are not shown to it again. */
  const trapped = new Set<number>();
  let seen = new Seen();
  /** When `seen` was written down last, and whether the partition has anything new since then. */
  let seenNotedMs: number | undefined;
  let hasMoved = false;
  let counter: Matcher;
  let phase: Phase = 'marks';
  let window: Window = { start: 0, committed: 0, end: 0 };
  /** Below it every message is counted. Those from `acknowledged` on come again after a pause, and are skipped. */
  let counted = 0;
  /** The result of the message at `counted`, while it cannot be delivered. */
  let pending: Parcel | undefined;
  let due: Due | undefined;
  /** Everything that fell due until this time was told. Milliseconds since 1970; undefined: nobody has counted here yet. */
  let toldMs: number | undefined;
  /** Rules that wait for their key here, whether or not it was ever seen, or learn what is not new. */
  let expected: number[] | undefined;
  /** Alerts that the rate cap suppressed, by rule, as of the last look. */
  let capped: number[] = [];
  /** Marks of told alerts that are not in the topic yet. */
  let marks: Letter[] = [];
  const task = {
    position: undefined as number | undefined,
    acknowledged: undefined as number | undefined,
    timestamp: undefined as number | undefined,
    open,
    work,
    tick,
    keys: () => ({ keyCount: counter.keyCount(), evictedCount: counter.evictedKeyCount() }),
  };
  return task;

  async function open(lease: Lease): Promise<void> {
    counter = await module.instantiate();
    for (; lease.live(); await sleep(OPEN_RETRY_MS)) {
      try {
        window = await findWindow();
        expected = await findExpected();
        if (!lease.live()) return;
        begin();
        if (task.position !== window.committed) source.seek(at, task.position!);
        return;
      } catch (error) {
        const { message } = error as Error;
        log.warn({ ...at, error: message }, 'the look-back of the partition is not known yet; trying again');
      }
    }
  }

  async function findWindow(): Promise<Window> {
    const { committed, timestamp, low, high } = await source.standing(at);
    toldMs = timestamp;
    const from = Math.max(committed, low); // −1: nothing is committed
    const { lookBackMs } = module.info;
    if (committed <= low) return { start: from, committed: from, end: high };
    const time = (timestamp ?? Date.now()) - lookBackMs - LOOK_BACK_MARGIN_MS;
    const start = await source.offsetAt(at, Math.max(0, time));
    return { start: Math.min(Math.max(start, low), from), committed: from, end: high };
  }

  /** Rules whose key has its hits in this partition, and those that learn. */
  async function findExpected(): Promise<number[]> {
    const rules: number[] = [];
    for (const [rule, { expectedKey, learns }] of module.info.rules.entries()) {
      if (learns) rules.push(rule); // Its keys are in all partitions, and all learn from the same time on.
      if (expectedKey === undefined) continue;
      if ((await source.partitionOf(at.topic, Buffer.from(expectedKey))) === at.partition) rules.push(rule);
    }
    return rules;
  }

  function begin(): void {
    told.clear();
    noted = [];
    taken = 0;
    if (window.start < window.end) read('marks', window.start);
    else read('live', window.committed);
  }

  function read(next: Phase, position: number): void {
    phase = next;
    task.position = position;
    if (next !== 'live') return;
    counted = task.acknowledged = position;
    capped = counter.capped();
  }

  async function work(messages: Message[], end: number, lease: Lease): Promise<Delivered> {
    switch (phase) {
      case 'marks':
        for (const message of messages) remember(message);
        task.position = end;
        if (end < window.end) return DELIVERED;
        // One owner writes them in order; after an owner that did not notice its end, they may not be.
        noted.sort((a, b) => a.at - b.at);
        if (window.start < window.committed) read('silence', window.start);
        else read('live', window.committed);
        return DELIVERED;
      case 'silence':
        await replay(messages);
        if (phase === 'silence' && task.position! < end) task.position = end;
        if (task.position! >= window.committed) read('live', window.committed);
        return DELIVERED;
      case 'live':
        return count(messages, end, lease);
    }
  }

  function remember({ value, timestamp }: Message): void {
    const mark = value && readMark(value);
    if (!mark) return;
    if ('told' in mark) told.set(mark.told, mark);
    else noted.push({ at: mark.at, mark: mark.mark.slice(), writtenMs: believedTime(timestamp) ?? 0 });
  }

  /** Applies the marks that were written when all hits below `offset` were counted. */
  function take(offset: number): void {
    for (; taken < noted.length && noted[taken]!.at <= offset; taken++) {
      const { mark, writtenMs } = noted[taken]!;
      const saved = readSeen(mark);
      if (saved) {
        seen.load(saved);
        continue;
      }
      if (counter.count(mark, 'silent', writtenMs) !== NO_ALERT)
        log.warn(
          { ...at, mark: Buffer.from(mark).toString() },
          'a mark is of other rules, and does not count',
        );
    }
  }

  /** Counts in silence: an alert that has its mark was told, one that has none was not. */
  async function replay(messages: Message[]): Promise<void> {
    for (const { offset, value, timestamp } of messages) {
      const place = Number(offset);
      if (place >= window.committed) return;
      if (!value) continue;
      try {
        take(place);
        if (isPassedOver(place, value)) continue;
        counter.count(value, told.has(place) ? 'told' : 'silent', believedTime(timestamp));
        metrics.warmed.inc({ topic: at.topic });
      } catch (error) {
        await startOver(place, error);
        return;
      }
    }
  }

  /** A message that is not to be counted: a mark, a hit that was counted before, or one that broke the counter. */
  function isPassedOver(place: number, value: Uint8Array): boolean {
    if (trapped.has(place)) return true;
    const id = hitId(value);
    if (id === undefined) return isMark(value);
    hasMoved = true;
    if (!seen.add(id)) return false;
    metrics.duplicates.inc();
    return true;
  }

  function isMark(value: Uint8Array): boolean {
    const mark = readMark(value);
    hasMoved ||= !mark || 'told' in mark || readSeen(mark.mark) === undefined;
    return mark !== undefined;
  }

  /** A counter that trapped may be broken in any way: a fresh one reads the look-back without the hit. */
  async function startOver(place: number, error: unknown): Promise<void> {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    metrics.traps.inc();
    log.error(
      { ...at, offset: place, error: error.message },
      'a hit broke the counter; it goes on without it',
    );
    trapped.add(place);
    counter = await module.instantiate();
    seen = new Seen();
    // Alerts were told since then, and their marks are in the topic.
    window = { ...window, end: Math.max(window.end, await source.standing(at).then(({ high }) => high)) };
    begin();
  }

  async function count(messages: Message[], end: number, lease: Lease): Promise<Delivered> {
    let outcome = await flush(lease);
    if (outcome.kind === 'held') return outcome;
    let reached = end;
    for (const message of messages) {
      const offset = Number(message.offset);
      if (offset < counted) continue;
      if (!lease.live()) {
        reached = offset;
        break;
      }
      try {
        pending ??= countOne(message);
      } catch (error) {
        // The hit is a dead letter; what was counted before it is counted again, in silence.
        outcome = await bury(message, error, lease);
        if (outcome.kind === 'held') {
          reached = offset;
          break;
        }
        window = { ...window, committed: offset + 1 };
        await flush(lease);
        await startOver(offset, error);
        return outcome;
      }
      outcome = pending ? await send(pending, lease) : DELIVERED;
      if (outcome.kind === 'held') {
        reached = offset;
        break;
      }
      pending = undefined;
      counted = offset + 1;
    }
    // Even when the lease is over: the alerts are told, whoever has the partition now.
    const flushed = await flush(lease);
    if (flushed.kind === 'held') {
      task.position = task.acknowledged;
      return flushed;
    }
    counted = Math.max(counted, reached);
    task.position = task.acknowledged = reached;
    passTime(messages);
    return outcome;
  }

  /** What falls due later is still to be told: the look-back of the next owner must reach back to what it depends on. */
  function passTime(messages: Message[]): void {
    // Where nobody has committed before, nothing is known to be told since the first message.
    toldMs ??= messages[0] && believedTime(messages[0].timestamp);
    const last = messages.at(-1);
    const timeMs = last && believedTime(last.timestamp);
    if (timeMs === undefined) return;
    task.timestamp = Math.min(timeMs, toldMs ?? timeMs);
  }

  async function bury(message: Message, error: unknown, lease: Lease): Promise<Delivered> {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    const { offset, key, value } = message;
    const poison = `the counter broke: ${error.message}`;
    return delivery.bury([{ offset: Number(offset), key, bytes: value ?? EMPTY, poison }], lease, streak);
  }

  /** What must be delivered before the message is acknowledged. */
  function countOne({ offset, key, value, timestamp, unreadable }: Message): Parcel | undefined {
    const place = Number(offset);
    if (unreadable !== undefined) return { offset: place, key, bytes: EMPTY, poison: unreadable };
    if (!value) return undefined;
    take(place);
    if (isPassedOver(place, value)) return undefined;
    const answer = counter.count(value, told.delete(place) ? 'told' : 'live', believedTime(timestamp));
    if (answer === ALERT) return { offset: place, key, bytes: counter.alert().slice() };
    const poison = poisonOf(answer, value.length);
    return poison === undefined ? undefined : { offset: place, key, bytes: value, poison };
  }

  async function send(parcel: Parcel, lease: Lease): Promise<Delivered> {
    if (parcel.poison !== undefined) return delivery.bury([parcel], lease, streak);
    const outcome = await delivery.deliver(parcel, lease, streak);
    if (outcome.kind === 'held') return outcome;
    counter.told();
    const mark = writeTold({
      told: parcel.offset,
      fate: outcome.fate,
      alert: ruleNames(parcel.bytes).join(', '),
    });
    marks.push({ key: parcel.key, value: mark, headers: {}, partition: at.partition });
    return DELIVERED;
  }

  /** Writes the marks that are not in the topic yet, and tells what a tick could not tell. */
  async function flush(lease: Lease): Promise<Delivered> {
    if (due) {
      const outcome = await tellDue(due, lease);
      if (outcome.kind === 'held') return outcome;
    }
    if (marks.length === 0) return DELIVERED;
    const outcome = await delivery.produce(at.topic, marks, lease, streak);
    if (outcome.kind === 'delivered') marks = [];
    return outcome;
  }

  async function tick(timeMs: number, lease: Lease): Promise<Delivered> {
    if (phase !== 'live') return DELIVERED;
    capped = reportCapped({ counter, module, metrics, log, at }, capped);
    const outcome = await flush(lease);
    if (outcome.kind === 'held') return outcome;
    const known = matched?.progress(at.partition);
    // Hits that are in the topic, and not counted yet, may be of a key that would be missed.
    if (matched && (!known || counted < known.hitsEnd)) return DELIVERED;
    return tell(Math.min(timeMs, known?.untilMs ?? timeMs), lease);
  }

  async function tell(timeMs: number, lease: Lease): Promise<Delivered> {
    take(counted);
    expectKeys(timeMs);
    noteSeen(timeMs);
    for (;;) {
      due ??= nextDue(timeMs);
      const isLast = due === undefined;
      const outcome = await flush(lease);
      if (outcome.kind === 'held') return outcome;
      if (isLast) break;
    }
    toldMs = Math.max(toldMs ?? timeMs, timeMs);
    return DELIVERED;
  }

  /** The counter is up to date for the first time: from now on a key that was never seen can be missing too. */
  function expectKeys(timeMs: number): void {
    for (const rule of expected ?? []) {
      if (counter.expect(rule, ...secondsOf(timeMs)) !== MARKS) continue;
      marks.push(...letters());
      counter.told();
    }
    expected = undefined;
  }

  /**
   * Writes down what is seen before it is too old to be found: a matcher that was killed may come back long after its last
   * hits, and produce them again.
   */
  function noteSeen(timeMs: number): void {
    // The next owner finds in its look-back what was seen since what was told; at an owner's first tick much may be older.
    seenNotedMs ??= toldMs ?? timeMs;
    if (!hasMoved || timeMs - seenNotedMs < (module.info.lookBackMs + LOOK_BACK_MARGIN_MS) / 4) return;
    hasMoved = false;
    seenNotedMs = timeMs;
    marks.push(letterOf(writeSeen(seen.save())));
  }

  function nextDue(timeMs: number): Due | undefined {
    const answer = counter.due(...secondsOf(timeMs));
    if (answer !== ALERT && answer !== MARKS) return undefined;
    const parcel =
      answer === ALERT ? { offset: counted, key: null, bytes: counter.alert().slice() } : undefined;
    return { parcel, marks: letters() };
  }

  /** What the core wants to find again, as messages for this partition. */
  function letters(): Letter[] {
    return counter.marks().map(letterOf);
  }

  function letterOf(mark: Uint8Array): Letter {
    return { key: null, value: writeNoted({ at: counted, mark }), headers: {}, partition: at.partition };
  }

  async function tellDue(one: Due, lease: Lease): Promise<Delivered> {
    if (one.parcel) {
      const outcome = await delivery.deliver(one.parcel, lease, streak);
      if (outcome.kind === 'held') return outcome;
    }
    counter.told();
    marks.push(...one.marks);
    due = undefined;
    return DELIVERED;
  }
}

/** Why a counter that answered this cannot take a hit of `size` bytes; undefined: it can. */
export function poisonOf(answer: number, size: number): string | undefined {
  if (answer === MALFORMED) return 'neither a hit nor a mark';
  if (answer === UNKNOWN_RULE)
    return 'a hit of a rule that this module does not have, or has in another form';
  return answer === TOO_LARGE ? `too large: ${size} bytes` : undefined;
}

export function secondsOf(timeMs: number): [sec: number, nsec: number] {
  const sec = Math.floor(timeMs / 1000);
  return [sec, (timeMs - sec * 1000) * 1_000_000];
}
