// The HTTP door for hits: `POST /hits` of Fluent Bit. Its promise:
//
//   An answer of 200 says that every hit of the body is in the hits topic (acks=all) or, without Kafka, that it is counted
//   and its alert accepted by the sink, and that everything else in the body is in the dead-letter topic (of long things
//   the beginning) or, without Kafka, told in the log and the metrics. Any other answer says nothing: the body comes again,
//   and its hits, which have ids, count once.
//
// What Fluent Bit does with an answer (plugins/out_http, 5.1.1): 200 to 205 is success. A 4xx other than 408 and 429 deletes the
// chunk for good, whatever its retry_limit. Everything else is tried again. So what may pass, or what a person can put
// right, is answered 503, and what never passes is buried and answered 200: also a body that is too large, of which the
// hits up to the limit count. 404 and 405 are for requests that are not for this door.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDelivery } from './deliver.ts';
import type { Delivered, Delivery, Parcel, Streak } from './deliver.ts';
import { UserError } from '../error.ts';
import { readHits } from './hits.ts';
import type { Notice } from './hits.ts';
import { openBudget, readBody } from '../http/body.ts';
import type { Answer, Route } from '../http/server.ts';
import { sampled } from '../log.ts';
import type { Log } from '../log.ts';
import type { MatcherModule } from '../matcher.ts';
import type { Metrics } from './metrics.ts';
import type { KafkaSettings, Settings } from './settings.ts';
import type { Sink } from '../sink/sink.ts';
import type { Producer } from '../source/kafka.ts';
import type { Lease } from '../source/source.ts';
import { openTally } from './tally.ts';
import { checkTopics } from './topics.ts';

export const HITS_PATH = '/hits';
/** A client that has waited this long for its answer gets 503: it must not give up without one. */
const ANSWER_MAX_MS = 20_000;
const RETRY_AFTER_S = 5;
/** How often to look whether hits can be produced. */
const REACH_MS = 2000;
/** A broker that hangs does not even refuse. */
const REACH_STALE_MS = 10_000;
/** Notices that are not logged again when their body comes again. */
const NOTICES_MAX = 1000;
const PLACE = { topic: `POST ${HITS_PATH}`, partition: 0 };
const DELIVERED: Delivered = { kind: 'delivered' };

export interface Door {
  routes: Route[];
  /** Why hits cannot be taken now. */
  unready(): string | undefined;
  /** Rejects with a UserError when the topics are not as they must be. */
  failed: Promise<never>;
  /** Reports the time: once a second. */
  tick(): Promise<void>;
  /** Answers what is still worked on with 503. */
  giveUp(): void;
  /** When all requests are answered. */
  close(): Promise<void>;
}

/** Where the hits of a body go. */
interface Keeper {
  delivery: Delivery;
  keep(hits: Parcel[], lease: Lease): Promise<Delivered>;
  /** A body was refused, and comes again. */
  refused?(): void;
  unready(): string | undefined;
  failed: Promise<never>;
  tick?(lease: Lease): Promise<void>;
  close(): Promise<void>;
}

interface Parts {
  settings: Settings;
  module: MatcherModule;
  sink: Sink;
  metrics: Metrics;
  log: Log;
}

/** With Kafka: hits go to the hits topic. */
export function openKafkaDoor(parts: Parts & { settings: KafkaSettings; producer: Producer }): Door {
  return openDoor(parts, kafkaKeeper(parts));
}

/** Without Kafka: hits are counted here. */
export async function openMemoryDoor(parts: Parts): Promise<Door> {
  parts.log.warn(
    {},
    'without Kafka, counts, cool-downs and absences are in the memory of this process: a restart forgets them, and there must be one replica; set EARSHOT_BROKERS to keep them in the hits topic',
  );
  return openDoor(parts, await memoryKeeper(parts));
}

function kafkaKeeper(parts: Parts & { settings: KafkaSettings; producer: Producer }): Keeper {
  const { settings, producer } = parts;
  const delivery = openDelivery({ ...parts, source: producer });
  const streak: Streak = { failures: 0 };
  let trouble: string | undefined = 'no Kafka broker has answered yet';
  let isChecked = false;
  let reachedMs = 0;
  let fail!: (error: Error) => void;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  failed.catch(() => {}); // Awaited elsewhere, if at all.
  const closing = new AbortController();
  const polling = poll();

  async function poll(): Promise<void> {
    while (!closing.signal.aborted) {
      trouble = await look().catch(error => `the hits topic cannot be written: ${(error as Error).message}`);
      await sleep(REACH_MS, undefined, { signal: closing.signal }).catch(() => {});
    }
  }

  async function look(): Promise<undefined> {
    if (!isChecked) {
      await checkTopics(producer, parts).catch(error => {
        if (error instanceof UserError) fail(error);
        throw error;
      });
      isChecked = true;
    }
    await producer.reach(settings.hitsTopic);
    reachedMs = Date.now();
  }

  return {
    delivery,
    async keep(hits, lease) {
      if (hits.length === 0) return DELIVERED;
      const outcome = await delivery.produceOrBury(settings.hitsTopic, hits, lease, streak);
      if (outcome.kind === 'delivered') parts.metrics.hits.inc(hits.length);
      return outcome;
    },
    unready() {
      const silentMs = Date.now() - reachedMs;
      return (
        trouble ?? (silentMs > REACH_STALE_MS ? `no Kafka broker has answered for ${silentMs} ms` : undefined)
      );
    },
    failed,
    async close() {
      closing.abort();
      delivery.close();
      await Promise.all([producer.stop(), polling]);
    },
  };
}

async function memoryKeeper(parts: Parts): Promise<Keeper> {
  const delivery = openDelivery({
    ...parts,
    source: { produce: async () => {} },
    burial: 'dropped: without Kafka there is no dead-letter topic',
  });
  const tally = await openTally({ ...parts, delivery });
  return {
    delivery,
    keep: tally.count,
    refused: tally.refused,
    unready: () => undefined,
    failed: new Promise(() => {}),
    tick: tally.tick,
    close: async () => delivery.close(),
  };
}

function openDoor({ settings, metrics, log }: Parts, keeper: Keeper): Door {
  const budget = openBudget();
  const streak: Streak = { failures: 0 };
  const complaints = sampled(fields => log.error(fields, 'a request to the HTTP door is refused'));
  const delays = sampled(fields => log.warn(fields, 'a body of hits is answered 503, and comes again'));
  /** Hashes of notices that are counted and logged. */
  const noticed = new Set<string>();
  /** Ends of the bodies that are worked on. */
  const underWay = new Set<AbortController>();
  let isGivenUp = false;
  const token = settings.listenToken === undefined ? undefined : hashOf(`Bearer ${settings.listenToken}`);

  async function answer(request: IncomingMessage): Promise<Answer> {
    // Not 401, at which Fluent Bit deletes its chunk: a token that is rotated here first must lose nothing.
    if (token && !timingSafeEqual(token, hashOf(request.headers.authorization ?? '')))
      return refuse(
        'the token is missing or wrong: send "Authorization: Bearer …" as in EARSHOT_LISTEN_TOKEN',
      );
    const reading = readBody(request, budget);
    const release = () => {
      reading.release();
      metrics.listenBytes.set(budget.used);
    };
    let isWorkedOn = false;
    try {
      const body = await reading.body;
      metrics.listenBytes.set(budget.used);
      if (body === 'encoding')
        return refuse(
          `the content-encoding ${request.headers['content-encoding']} is not read here: use gzip or none`,
        );
      if (body === 'crowded') return later('too many bodies at the same time');
      const found = readHits(body.bytes, body.cut);
      found.notices.forEach(note);
      isWorkedOn = true;
      const outcome = await beforeDeadline(async lease => {
        // Hits first: they must not wait for a dead-letter topic that is not there.
        const kept = await keeper.keep(found.hits, lease);
        if (kept.kind === 'held' || found.poison.length === 0) return kept;
        return keeper.delivery.bury(found.poison, lease, streak);
      }, release);
      if (outcome.kind === 'held') return later('the hits could not be delivered');
      metrics.listenHits.inc(found.hits.length);
      return { status: 200, text: `${found.hits.length} hits, ${found.poison.length} others` };
    } finally {
      if (!isWorkedOn) release();
    }
  }

  /** Held when the deadline comes first. The work ends some time after that, and releases the body only then. */
  async function beforeDeadline(
    work: (lease: Lease) => Promise<Delivered>,
    release: () => void,
  ): Promise<Delivered> {
    const end = new AbortController();
    if (isGivenUp) end.abort();
    const timer = setTimeout(() => end.abort(), ANSWER_MAX_MS);
    underWay.add(end);
    const late = new Promise<Delivered>(held =>
      end.signal.addEventListener('abort', () => held({ kind: 'held', pauseMs: 0 }), { once: true }),
    );
    const working = work(leaseUntil(end.signal)).finally(() => {
      clearTimeout(timer);
      underWay.delete(end);
      release();
    });
    return Promise.race([working, late]);
  }

  function later(why: string): Answer {
    keeper.refused?.();
    delays.add(why, { why });
    return unavailable(`${why}; send the same again`);
  }

  /** Somebody has to do something, and until then nothing may be lost. */
  function refuse(why: string): Answer {
    complaints.add(why, { why });
    return unavailable(why);
  }

  function note(notice: Notice): void {
    const hash = hashOf(notice.text).toString('base64');
    if (noticed.has(hash)) return;
    noticed.add(hash);
    if (noticed.size > NOTICES_MAX) noticed.delete(noticed.values().next().value!);
    const { unreadable, tag, why } = notice;
    // The notice before it was of half as many.
    metrics.edgeUnreadable.inc(unreadable - Math.floor(unreadable / 2));
    log.warn({ tag, why, unreadable }, 'the module in Fluent Bit could not read a record');
  }

  function giveUp(): void {
    isGivenUp = true;
    for (const end of underWay) end.abort();
  }

  return {
    routes: [{ method: 'POST', path: HITS_PATH, answer }],
    unready: keeper.unready,
    failed: keeper.failed,
    tick: async () => keeper.tick?.({ ...PLACE, live: () => !isGivenUp, heartbeat: async () => {} }),
    giveUp,
    async close() {
      giveUp();
      complaints.flush();
      delays.flush();
      await keeper.close();
    },
  };
}

function unavailable(text: string): Answer {
  return { status: 503, text, headers: { 'retry-after': String(RETRY_AFTER_S) } };
}

function leaseUntil(end: AbortSignal): Lease {
  return { ...PLACE, live: () => !end.aborted, heartbeat: async () => {} };
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
