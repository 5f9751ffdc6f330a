// Gets one alert to the sink, or one that can never get there to the dead-letter topic; or gives up for now, and the
// caller pauses the partition. There is no fourth way.

import { setTimeout as sleep } from 'node:timers/promises';
import { alertsOf, ruleNames, splitBody } from '../body.ts';
import type { Log } from '../log.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';
import { ALERTS_A_POST } from '../sink/sink.ts';
import type { Fate, Sink } from '../sink/sink.ts';
import type { Lease, Source } from '../source/source.ts';

const BACKOFF_FIRST_MS = 200;
const SLOW_PAUSE_MS = 1000; // What a sink near its limits is given to recover.
const BEAT_MS = 500; // How often a wait looks at the heartbeat and at the end of the lease.
/** Room for headers, key and framing in a dead letter cut to fit the topic. */
const LETTER_VALUE_MAX = 512 * 1024; // Bytes; half of Kafka's default message.max.bytes.
const LETTER_RULE_MAX = 1024; // Characters of the rules' names: a body can be of thousands.

/** An alert, or a record that is no record, and where it came from. */
export interface Parcel {
  offset: number;
  key: Buffer | null;
  /** The body of the alert, or the bytes of the poison record. */
  bytes: Uint8Array;
  /** Why this is poison; undefined for an alert. */
  poison?: string;
}

export type Delivered = { kind: 'delivered' } | { kind: 'held'; pauseMs: number };

/** Failures in a row, of one partition: what the backoff grows with. */
export interface Streak {
  failures: number;
}

export interface Delivery {
  deliver(parcel: Parcel, lease: Lease, streak: Streak): Promise<Delivered>;
}

interface Parts {
  settings: Settings;
  sink: Sink;
  source: Pick<Source, 'produce'>;
  metrics: Metrics;
  log: Log;
  random?: () => number;
}

export function openDelivery({
  settings,
  sink,
  source,
  metrics,
  log,
  random = Math.random,
}: Parts): Delivery {
  return {
    async deliver(parcel, lease, streak) {
      const { poison } = parcel;
      if (poison !== undefined) return persistBurial(parcel, parcel.bytes, poison, lease, streak);

      metrics.alerts.inc();
      const bodies = splitBody(parcel.bytes, ALERTS_A_POST);
      for (let body = bodies.shift(); body; body = bodies.shift()) {
        const outcome = await persist(() => post(body!), lease, streak);
        if (outcome.kind === 'held') return outcome;
        if (outcome.kind === 'delivered') continue;
        const alertCount = alertsOf(body).length;
        if (alertCount > 1) {
          bodies.unshift(...splitBody(body, Math.ceil(alertCount / 2)));
          continue;
        }
        const buried = await persistBurial(parcel, body, outcome.error, lease, streak);
        if (buried.kind === 'held') return buried;
      }
      return { kind: 'delivered' };
    },
  };

  /** Tries until it is settled, but no longer than the partition may be held up. */
  async function persist(
    send: () => Promise<Fate>,
    lease: Lease,
    streak: Streak,
  ): Promise<Delivered | { kind: 'refused'; error: string }> {
    const startedAt = performance.now();
    for (;;) {
      const fate = await whileBeating(send(), lease);
      if (fate.kind !== 'retry') streak.failures = 0;
      if (fate.kind === 'refused') return fate;
      if (fate.kind === 'accepted') {
        if (fate.slow) await rest(SLOW_PAUSE_MS, lease);
        return { kind: 'delivered' };
      }
      const { error, retryAfterMs, misconfigured = false } = fate;
      const waitMs = backoffMs(streak.failures++, retryAfterMs);
      metrics.retries.inc({ misconfigured: String(misconfigured) });
      const where = {
        topic: lease.topic,
        partition: lease.partition,
        failures: streak.failures,
        waitMs: Math.round(waitMs),
        error,
      };
      if (misconfigured)
        log.error(
          where,
          'the sink refuses us: check its address and credentials; nothing is skipped, nothing goes on',
        );
      else log.warn(where, 'not delivered yet; trying again');
      const holdEnds = performance.now() - startedAt + waitMs > settings.retryHoldMs;
      if (holdEnds || !(await rest(waitMs, lease))) return { kind: 'held', pauseMs: waitMs };
    }
  }

  async function persistBurial(
    parcel: Parcel,
    value: Uint8Array,
    error: string,
    lease: Lease,
    streak: Streak,
  ): Promise<Delivered> {
    // The dead-letter topic refuses nothing for good.
    return (await persist(() => bury(parcel, value, error, lease), lease, streak)) as Delivered;
  }

  function backoffMs(failures: number, retryAfterMs = 0): number {
    // 2^20 is beyond any cap; without the limit the power overflows after a long outage.
    const capMs = Math.min(settings.retryMaxMs, BACKOFF_FIRST_MS * 2 ** Math.min(failures, 20));
    return Math.max(retryAfterMs, capMs * (0.5 + random() / 2));
  }

  async function post(body: Uint8Array): Promise<Fate> {
    const end = metrics.sinkSeconds.startTimer();
    const fate = await sink.send(body);
    end();
    metrics.sinkResults.inc({ result: fate.kind });
    if (fate.kind === 'accepted' && fate.slow) {
      metrics.sinkSlow.inc();
      log.warn(
        {},
        'the sink took the alert very slowly: its queue may be full, and it may have dropped the alert',
      );
    }
    return fate;
  }

  async function bury(parcel: Parcel, value: Uint8Array, error: string, lease: Lease): Promise<Fate> {
    const { topic, partition } = lease;
    const reason = parcel.poison === undefined ? 'refused' : 'poison';
    const rule =
      parcel.poison === undefined ? ruleNames(parcel.bytes).join(',').slice(0, LETTER_RULE_MAX) : '';
    const headers: Record<string, string> = {
      'earshot.topic': topic,
      'earshot.partition': String(partition),
      'earshot.offset': String(parcel.offset),
      'earshot.reason': reason,
      'earshot.rule': rule,
      'earshot.error': error,
      'earshot.time': new Date().toISOString(),
    };
    try {
      await source.produce(settings.deadLetterTopic, { key: parcel.key, value, headers });
    } catch (failure) {
      const { type, message } = failure as Error & { type?: string };
      const isCut = value.length > LETTER_VALUE_MAX;
      if (type !== 'MESSAGE_TOO_LARGE' || (!isCut && parcel.key === null))
        return { kind: 'retry', error: `dead-letter topic: ${message}` };
      // Better the beginning of it than a partition that stands still for ever.
      log.error(
        { topic, partition, offset: parcel.offset, size: value.length, keySize: parcel.key?.length },
        'a dead letter is too large for its topic and is cut, or goes without its key',
      );
      return bury(
        { ...parcel, key: null },
        value.subarray(0, LETTER_VALUE_MAX),
        `${error} (${isCut ? `cut from ${value.length}` : `without its key of ${parcel.key!.length}`} bytes)`,
        lease,
      );
    }
    metrics.deadLetters.inc({ reason });
    log.error(
      { topic, partition, offset: parcel.offset, reason, rule, error },
      'put in the dead-letter topic',
    );
    return { kind: 'accepted' };
  }
}

/** Waits, and keeps the session alive meanwhile. */
export async function whileBeating<T>(work: Promise<T>, lease: Lease): Promise<T> {
  let done = false;
  const finish = () => (done = true);
  // Not `finally`: the promise it gives fails with the work, and one that nobody hears ends the process.
  const settled = work.then(finish, finish);
  while (!done) {
    await Promise.race([settled, sleep(BEAT_MS)]);
    await lease.heartbeat();
  }
  return work;
}

/** Waits unless the batch ends before; answers whether it waited to the end. */
async function rest(durationMs: number, lease: Lease): Promise<boolean> {
  for (const endsAt = performance.now() + durationMs; performance.now() < endsAt;) {
    await sleep(Math.min(BEAT_MS, endsAt - performance.now()));
    await lease.heartbeat();
    if (!lease.live()) return false;
  }
  return lease.live();
}
