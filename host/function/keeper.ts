// Where the hits of a request go: with Kafka into the hits topic, without it into a counter in this process.

import { setTimeout as sleep } from 'node:timers/promises';
import { openDelivery } from './deliver.ts';
import type { Delivered, Delivery, Parcel, Streak } from './deliver.ts';
import { UserError } from '../error.ts';
import type { Log } from '../log.ts';
import type { MatcherModule } from '../matcher.ts';
import type { Metrics } from './metrics.ts';
import type { KafkaSettings, Settings } from './settings.ts';
import type { Sink } from '../sink/sink.ts';
import type { Producer } from '../source/kafka.ts';
import type { Lease } from '../source/source.ts';
import { openTally } from './tally.ts';
import { checkTopics } from './topics.ts';

/** How often to look whether hits can be produced. */
const REACH_MS = 2000;
/** A broker that hangs does not even refuse. */
const REACH_STALE_MS = 10_000;
const DELIVERED: Delivered = { kind: 'delivered' };

/** Where the hits of a body go. */
export interface Keeper {
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

export function kafkaKeeper(parts: Parts & { settings: KafkaSettings; producer: Producer }): Keeper {
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

export async function memoryKeeper(parts: Parts): Promise<Keeper> {
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
