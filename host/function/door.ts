// The HTTP door: `POST /hits` for the hits of Fluent Bit, and the paths for records (records.ts). The promise for hits:
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

import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Streak } from './deliver.ts';
import { readHits } from './hits.ts';
import type { Notice } from './hits.ts';
import type { Body } from '../http/body.ts';
import type { Answer, Route } from '../http/server.ts';
import { kafkaKeeper, memoryKeeper } from './keeper.ts';
import type { Keeper } from './keeper.ts';
import type { Log } from '../log.ts';
import type { MatcherModule } from '../matcher.ts';
import type { Matching } from './matching.ts';
import type { Metrics } from './metrics.ts';
import { openReception } from './reception.ts';
import type { Taken } from './reception.ts';
import { recordRoutes } from './records.ts';
import type { KafkaSettings, Settings } from './settings.ts';
import type { Sink } from '../sink/sink.ts';
import type { Producer } from '../source/kafka.ts';
import type { Lease } from '../source/source.ts';

export const HITS_PATH = '/hits';
/** Notices that are not logged again when their body comes again. */
const NOTICES_MAX = 1000;
const PLACE = `POST ${HITS_PATH}`;

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

interface Parts {
  settings: Settings;
  module: MatcherModule;
  matching: Matching;
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

function openDoor(parts: Parts, keeper: Keeper): Door {
  const { metrics, log } = parts;
  const reception = openReception({ ...parts, onRefused: keeper.refused });
  const streak: Streak = { failures: 0 };
  /** Hashes of notices that are counted and logged. */
  const noticed = new Set<string>();

  async function takeHits({ bytes, cut }: Body, lease: Lease): Promise<Taken> {
    const found = readHits(bytes, cut);
    found.notices.forEach(note);
    // Hits first: they must not wait for a dead-letter topic that is not there.
    const kept = await keeper.keep(found.hits, lease);
    if (kept.kind === 'held') return kept;
    if (found.poison.length > 0) {
      const buried = await keeper.delivery.bury(found.poison, lease, streak);
      if (buried.kind === 'held') return buried;
    }
    metrics.listenHits.inc(found.hits.length);
    return { status: 200, text: `${found.hits.length} hits, ${found.poison.length} others` };
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

  const answer = (request: IncomingMessage): Promise<Answer> => reception.take(request, PLACE, takeHits);
  const live = () => !reception.isGivenUp();
  return {
    routes: [{ method: 'POST', path: HITS_PATH, answer }, ...recordRoutes({ ...parts, keeper, reception })],
    unready: keeper.unready,
    failed: keeper.failed,
    tick: async () => keeper.tick?.({ topic: PLACE, partition: 0, live, heartbeat: async () => {} }),
    giveUp: reception.giveUp,
    async close() {
      reception.giveUp();
      reception.close();
      await keeper.close();
    },
  };
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
