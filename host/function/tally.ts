// Counts hits without Kafka: one counter in this process, in the order in which the bodies come. Its memory ends with the
// process. While the process lives, no alert is lost and no hit is counted twice:
//
//   A hit that was counted is `seen`. Its alert is `pending` until the sink has accepted it, and nothing else is counted,
//   and no body is answered 200, before that. So a body that comes again goes on where it could not go on before.

import { setImmediate } from 'node:timers/promises';
import { reportCapped } from './capped.ts';
import { poisonOf, secondsOf } from './count.ts';
import type { Delivered, Delivery, Parcel, Streak } from './deliver.ts';
import { hitId } from '../hit.ts';
import type { Log } from '../log.ts';
import { ALERT, MARKS, UNKNOWN_RULE, rulesToExpect } from '../matcher.ts';
import type { MatcherModule } from '../matcher.ts';
import type { Metrics } from './metrics.ts';
import { Seen } from './seen.ts';
import type { Lease } from '../source/source.ts';

/** Hits between two looks at what else there is to do: some 10 ms of work. */
const SLICE_HITS = 1000;
/**
 * A body that was refused comes again, after seconds or, when that happened several times, after minutes. Meanwhile a
 * silence may be none, so absences wait. Only for this long after the last refusal: a node may never come back.
 */
const REFUSED_WAIT_MS = 60_000;
const DELIVERED: Delivered = { kind: 'delivered' };

export interface Tally {
  /** Counts hits, and tells their alerts. Held: try again with the same hits. */
  count(parcels: Parcel[], lease: Lease): Promise<Delivered>;
  /** A body was refused: its hits are still to come. */
  refused(): void;
  /** Reports the time, for absences. */
  tick(lease: Lease): Promise<void>;
}

interface Parts {
  module: MatcherModule;
  delivery: Pick<Delivery, 'deliver' | 'bury'>;
  metrics: Metrics;
  log: Log;
  now?: () => number;
}

export async function openTally({ module, delivery, metrics, log, now = Date.now }: Parts): Promise<Tally> {
  const streak: Streak = { failures: 0 };
  const seen = new Seen();
  let counter = await module.instantiate();
  let capped = counter.capped();
  let expected: number[] | undefined = rulesToExpect(module.info);
  /** What must be delivered before anything else is counted. */
  let pending: Parcel | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  let isTicking = false;
  let refusedMs = -Infinity;
  /** Until when a tick that could not deliver is not tried again. */
  let quietUntilMs = 0;

  /** One body or tick at a time. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = turn.then(work, work);
    turn = mine.catch(() => {});
    return mine;
  }

  async function settle(lease: Lease): Promise<Delivered> {
    if (!pending) return DELIVERED;
    const isAlert = pending.poison === undefined;
    const outcome = isAlert
      ? await delivery.deliver(pending, lease, streak)
      : await delivery.bury([pending], lease, streak);
    if (outcome.kind === 'held') return outcome;
    if (isAlert) counter.told();
    pending = undefined;
    return DELIVERED;
  }

  async function countAll(parcels: Parcel[], lease: Lease): Promise<Delivered> {
    for (const [index, parcel] of parcels.entries()) {
      if (index % SLICE_HITS === SLICE_HITS - 1) await setImmediate();
      if (!lease.live()) return { kind: 'held', pauseMs: 0 };
      const outcome = await settle(lease);
      if (outcome.kind === 'held') return outcome;
      if (seen.add(hitId(parcel.bytes)!)) metrics.duplicates.inc();
      else pending = await countOne(parcel);
    }
    return settle(lease);
  }

  async function countOne(parcel: Parcel): Promise<Parcel | undefined> {
    try {
      const answer = counter.count(parcel.bytes, 'live', now());
      if (answer === ALERT) return { ...parcel, bytes: counter.alert().slice() };
      if (answer === UNKNOWN_RULE) metrics.unknownHits.inc();
      const poison = poisonOf(answer, parcel.bytes.length);
      return poison === undefined ? undefined : { ...parcel, poison };
    } catch (error) {
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
      metrics.traps.inc();
      log.error({ error: error.message }, 'a hit broke the counter; a fresh one begins without any memory');
      counter = await module.instantiate();
      capped = counter.capped();
      return { ...parcel, poison: `the counter broke: ${error.message}` };
    }
  }

  async function tell(lease: Lease): Promise<Delivered> {
    const outcome = await settle(lease);
    if (outcome.kind === 'held') return outcome;
    capped = reportCapped({ counter, module, metrics, log }, capped);
    if (now() < refusedMs + REFUSED_WAIT_MS) return DELIVERED;
    const [sec, nsec] = secondsOf(now());
    for (const rule of expected ?? []) if (counter.expect(rule, sec, nsec) === MARKS) counter.told();
    expected = undefined;
    for (;;) {
      const answer = counter.due(sec, nsec);
      if (answer === ALERT) {
        pending = { offset: 0, key: null, bytes: counter.alert().slice() };
        const told = await settle(lease);
        if (told.kind === 'held') return told;
      } else if (answer === MARKS) counter.told();
      else return DELIVERED;
    }
  }

  return {
    count: (parcels, lease) => inTurn(() => countAll(parcels, lease)),
    refused: () => void (refusedMs = now()),
    async tick(lease) {
      if (isTicking || now() < quietUntilMs) return;
      isTicking = true;
      try {
        const outcome = await inTurn(() => tell(lease));
        if (outcome.kind === 'held') quietUntilMs = now() + outcome.pauseMs;
        const { topic, partition } = lease;
        metrics.stateKeys.set({ topic, partition }, counter.keyCount());
        metrics.evictedKeys.set({ topic, partition }, counter.evictedKeyCount());
      } finally {
        isTicking = false;
      }
    },
  };
}
