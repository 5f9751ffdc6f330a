// Delivers an alert to the sink, or puts what the sink refuses, and records that are poison, into the dead-letter topic.
// Or it gives up for now, and the caller pauses the partition. There is no other outcome.

import { setTimeout as sleep } from 'node:timers/promises';
import { alertsOf, ruleNames, splitBody } from '../body.ts';
import { sampled } from '../log.ts';
import type { Log } from '../log.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';
import { ALERTS_A_POST } from '../sink/sink.ts';
import type { Fate, Sink } from '../sink/sink.ts';
import type { Lease, Letter, Source } from '../source/source.ts';

const BACKOFF_FIRST_MS = 200;
const SLOW_PAUSE_MS = 1000; // What a sink near its limits is given to recover.
const BEAT_MS = 500; // The time between two heartbeats of a wait, and two looks at the end of the lease.
/** Room for headers, key and framing in a dead letter that is cut to fit its topic. */
const LETTER_VALUE_MAX = 512 * 1024; // Bytes; half of Kafka's default message.max.bytes.
const LETTER_RULE_MAX = 1024; // Characters of the rules' names: an alert can be of thousands.
// Dead letters of one request. Kafka compares the whole request with message.max.bytes, 1 MiB by default.
const LETTERS_COUNT_MAX = 500;
const LETTERS_SIZE_MAX = 512 * 1024; // Bytes of keys and values.
const LETTER_HEADERS_SIZE = 400; // Bytes, roughly.
const NO_HEADERS = {};
/** What a broker says of a batch that its topic will never take. */
const TOO_LARGE = ['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE'];

/** An alert, or a record that cannot be read, and where it came from. */
export interface Parcel {
  offset: number;
  key: Buffer | null;
  /** The body of the alert, or the bytes of the poison record. */
  bytes: Uint8Array;
  /** Why this is poison; undefined for an alert. */
  poison?: string;
}

export type Delivered = { kind: 'delivered' } | { kind: 'held'; pauseMs: number };
/** What became of an alert: the sink accepted it, or all of it that it refused is in the dead-letter topic. */
export type AlertDelivered =
  { kind: 'delivered'; fate: 'accepted' | 'buried' } | { kind: 'held'; pauseMs: number };

/** Failures in a row, of one partition: what the backoff grows with. */
export interface Streak {
  failures: number;
}

export interface Delivery {
  /** Delivers an alert: to the sink, or what the sink refuses of it to the dead-letter topic. */
  deliver(parcel: Parcel, lease: Lease, streak: Streak): Promise<AlertDelivered>;
  /** Puts poison records into the dead-letter topic, many at once. */
  bury(parcels: Parcel[], lease: Lease, streak: Streak): Promise<Delivered>;
  /** Produces letters to a topic. A failure of a broker is tried again like one of a sink. */
  produce(topic: string, letters: Letter[], lease: Lease, streak: Streak): Promise<Delivered>;
  /** Produces parcels to a topic. What is too large for it goes into the dead-letter topic: nothing would ever help it. */
  produceOrBury(topic: string, parcels: Parcel[], lease: Lease, streak: Streak): Promise<Delivered>;
  /** Logs the counts that are not logged yet. */
  close(): void;
}

/** A dead letter, and what the log says about it. */
interface Burial {
  letter: Letter;
  offset: number;
  reason: 'refused' | 'poison';
  rule: string;
  error: string;
}

interface Parts {
  settings: Settings;
  sink: Sink;
  source: Pick<Source, 'produce'>;
  metrics: Metrics;
  log: Log;
  /** What the log says of a dead letter. */
  burial?: string;
  random?: () => number;
}

export function openDelivery({
  settings,
  sink,
  source,
  metrics,
  log,
  burial = 'put in the dead-letter topic',
  random = Math.random,
}: Parts): Delivery {
  const burials = sampled(fields => log.error(fields, burial));
  const cuts = sampled(fields =>
    log.error(fields, 'a dead letter is too large for its topic; it is cut, or goes without its key'),
  );
  const delivery: Delivery = {
    async deliver(parcel, lease, streak) {
      let fate: 'accepted' | 'buried' = 'accepted';
      metrics.alerts.inc();
      const bodies = splitBody(parcel.bytes, ALERTS_A_POST);
      for (let body = bodies.shift(); body; body = bodies.shift()) {
        const outcome = await persist(unwanted => post(body!, unwanted), lease, streak);
        if (outcome.kind === 'held') return outcome;
        if (outcome.kind === 'delivered') continue;
        const alertCount = alertsOf(body).length;
        if (alertCount > 1) {
          bodies.unshift(...splitBody(body, Math.ceil(alertCount / 2)));
          continue;
        }
        const rule = ruleNames(body).join(',').slice(0, LETTER_RULE_MAX);
        const burial = burialOf(parcel, body, { reason: 'refused', rule, error: outcome.error }, lease);
        const buried = await persistBurial([burial], lease, streak);
        if (buried.kind === 'held') return buried;
        fate = 'buried';
      }
      return { kind: 'delivered', fate };
    },
    async bury(parcels, lease, streak) {
      const why = (parcel: Parcel) => ({ reason: 'poison', rule: '', error: parcel.poison! }) as const;
      const all = parcels.map(parcel => burialOf(parcel, parcel.bytes, why(parcel), lease));
      for (const some of requestsOf(all)) {
        const buried = await persistBurial(some, lease, streak);
        if (buried.kind === 'held') return buried;
      }
      return { kind: 'delivered' };
    },
    async produce(topic, letters, lease, streak) {
      const send = async (): Promise<Fate> => {
        try {
          await source.produce(topic, letters);
          return { kind: 'accepted' };
        } catch (error) {
          return { kind: 'retry', error: `${topic}: ${(error as Error).message}` };
        }
      };
      return (await persist(send, lease, streak)) as Delivered; // A broker refuses nothing for good.
    },
    async produceOrBury(topic, parcels, lease, streak) {
      const letters = parcels.map(({ key, bytes }): Letter => ({ key, value: bytes, headers: NO_HEADERS }));
      const send = async (): Promise<Fate> => {
        try {
          await source.produce(topic, letters);
          return { kind: 'accepted' };
        } catch (failure) {
          const { type, message } = failure as Error & { type?: string };
          return { kind: TOO_LARGE.includes(type!) ? 'refused' : 'retry', error: `${topic}: ${message}` };
        }
      };
      const outcome = await persist(send, lease, streak);
      if (outcome.kind !== 'refused') return outcome;
      if (parcels.length === 1) {
        const poison = `too large for ${topic}: ${parcels[0]!.bytes.length} bytes`;
        return delivery.bury([{ ...parcels[0]!, poison }], lease, streak);
      }
      const half = Math.ceil(parcels.length / 2);
      for (const part of [parcels.slice(0, half), parcels.slice(half)]) {
        const produced = await delivery.produceOrBury(topic, part, lease, streak);
        if (produced.kind === 'held') return produced;
      }
      return { kind: 'delivered' };
    },
    close() {
      burials.flush();
      cuts.flush();
    },
  };
  return delivery;

  /** Tries until it is settled, but no longer than the partition may be held up. */
  async function persist(
    send: (unwanted: AbortSignal) => Promise<Fate>,
    lease: Lease,
    streak: Streak,
  ): Promise<Delivered | { kind: 'refused'; error: string }> {
    const startedAt = performance.now();
    for (;;) {
      const ended = new AbortController();
      const fate = await whileBeating(send(ended.signal), lease, () => ended.abort());
      if (fate.kind !== 'retry') streak.failures = 0;
      if (fate.kind === 'refused') return fate;
      if (fate.kind === 'accepted') {
        if (fate.slow) await rest(SLOW_PAUSE_MS, lease);
        return { kind: 'delivered' };
      }
      // The next owner of the partition sends it, and reports what is wrong.
      if (ended.signal.aborted) return { kind: 'held', pauseMs: 0 };
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
          'the sink refuses every post: check its address and credentials; nothing is skipped, and this partition waits',
        );
      else log.warn(where, 'not delivered yet; trying again');
      const holdEnds = performance.now() - startedAt + waitMs > settings.retryHoldMs;
      if (holdEnds || !(await rest(waitMs, lease))) return { kind: 'held', pauseMs: waitMs };
    }
  }

  async function persistBurial(some: Burial[], lease: Lease, streak: Streak): Promise<Delivered> {
    // The dead-letter topic refuses nothing for good.
    return (await persist(() => bury(some, lease), lease, streak)) as Delivered;
  }

  function backoffMs(failures: number, retryAfterMs = 0): number {
    // 2^20 is beyond any cap; without the limit the power overflows after a long outage.
    const capMs = Math.min(settings.retryMaxMs, BACKOFF_FIRST_MS * 2 ** Math.min(failures, 20));
    return Math.max(retryAfterMs, capMs * (0.5 + random() / 2));
  }

  async function post(body: Uint8Array, unwanted: AbortSignal): Promise<Fate> {
    const end = metrics.sinkSeconds.startTimer();
    const fate = await sink.send(body, unwanted);
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

  async function bury(some: Burial[], lease: Lease): Promise<Fate> {
    try {
      await source.produce(
        settings.deadLetterTopic ?? '', // Without Kafka there is none, and `source` takes no notice.
        some.map(({ letter }) => letter),
      );
    } catch (failure) {
      const { type, message } = failure as Error & { type?: string };
      const smaller = type === 'MESSAGE_TOO_LARGE' ? smallerThan(some, lease) : undefined;
      if (!smaller) return { kind: 'retry', error: `dead-letter topic: ${message}` };
      for (const part of smaller) {
        const fate = await bury(part, lease);
        if (fate.kind !== 'accepted') return fate;
      }
      return { kind: 'accepted' };
    }
    const { topic, partition } = lease;
    const { offset, reason, rule, error } = some.at(-1)!;
    metrics.deadLetters.inc({ reason }, some.length);
    burials.add(reason, { topic, partition, offset, reason, rule, error }, some.length);
    return { kind: 'accepted' };
  }

  /** The same in smaller requests; undefined when they are as small as possible. */
  function smallerThan(some: Burial[], { topic, partition }: Lease): Burial[][] | undefined {
    const half = Math.ceil(some.length / 2);
    if (some.length > 1) return [some.slice(0, half), some.slice(half)];
    const cut = cutBurial(some[0]!);
    if (!cut) return undefined;
    const { offset, letter } = some[0]!;
    const size = letter.value!.length;
    cuts.add('cut', { topic, partition, offset, size, keySize: letter.key?.length });
    return [[cut]];
  }
}

function burialOf(
  { offset, key }: Parcel,
  value: Uint8Array,
  { reason, rule, error }: Pick<Burial, 'reason' | 'rule' | 'error'>,
  { topic, partition }: Lease,
): Burial {
  const headers = {
    'earshot.topic': topic,
    'earshot.partition': String(partition),
    'earshot.offset': String(offset),
    'earshot.reason': reason,
    'earshot.rule': rule,
    'earshot.error': error,
    'earshot.time': new Date().toISOString(),
  };
  return { letter: { key, value, headers }, offset, reason, rule, error };
}

/** The same without its key and with the beginning of its value; undefined when it is cut already. */
function cutBurial(burial: Burial): Burial | undefined {
  const { key, headers } = burial.letter;
  const value = burial.letter.value!; // Even an empty record has one.
  const isCut = value.length > LETTER_VALUE_MAX;
  if (!isCut && key === null) return undefined;
  const what = isCut ? `cut from ${value.length}` : `without its key of ${key!.length}`;
  const error = `${burial.error} (${what} bytes)`;
  // Better a part of it than a partition that stands still for ever.
  const letter = {
    key: null,
    value: value.subarray(0, LETTER_VALUE_MAX),
    headers: { ...headers, 'earshot.error': error },
  };
  return { ...burial, letter, error };
}

/** Burials in their order, as many together as a request may hold. */
function* requestsOf(all: Burial[]): Generator<Burial[]> {
  let some: Burial[] = [];
  let size = 0;
  for (const burial of all) {
    const { key, value } = burial.letter;
    const letterSize = (key?.length ?? 0) + (value?.length ?? 0) + LETTER_HEADERS_SIZE;
    if (some.length > 0 && (some.length === LETTERS_COUNT_MAX || size + letterSize > LETTERS_SIZE_MAX)) {
      yield some;
      [some, size] = [[], 0];
    }
    some.push(burial);
    size += letterSize;
  }
  if (some.length > 0) yield some;
}

/**
 * Waits for the work, and keeps the session alive meanwhile. `onEnd` is called, maybe several times, when the lease ends
 * before the work.
 */
export async function whileBeating<T>(work: Promise<T>, lease: Lease, onEnd?: () => void): Promise<T> {
  let done = false;
  const finish = () => (done = true);
  // Not `finally`: its promise would fail with the work, and a failure that nobody handles ends the process.
  const settled = work.then(finish, finish);
  while (!done) {
    await Promise.race([settled, sleep(BEAT_MS)]);
    await lease.heartbeat();
    if (!done && !lease.live()) onEnd?.();
  }
  return work;
}

/** Waits unless the batch ends before. Returns whether it waited to the end. */
async function rest(durationMs: number, lease: Lease): Promise<boolean> {
  for (const endsAt = performance.now() + durationMs; performance.now() < endsAt;) {
    await sleep(Math.min(BEAT_MS, endsAt - performance.now()));
    await lease.heartbeat();
    if (!lease.live()) return false;
  }
  return lease.live();
}
