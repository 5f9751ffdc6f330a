// The records of our partitions are matched, delivered, acknowledged and committed, in that order. The contract is in
// host/function/function.ts.

import { whileBeating } from './deliver.ts';
import type { Delivered, Delivery, Parcel } from './deliver.ts';
import type { Probes } from './health.ts';
import type { Log } from '../log.ts';
import type { MatcherModule } from '../matcher.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';
import type { Batch, Handler, Lease, Message, Source, TopicPartition } from '../source/source.ts';
import { believedTime, recordsOf, Stream } from './stream.ts';
import type { Point } from './stream.ts';

/** Messages between two checks of the heartbeat and of the lease: about 10 ms of work. */
const SLICE_MESSAGES = 1000;
/** Messages read again to rebuild the state of a partition; more would keep it from its work for too long. */
const WARM_MESSAGES_MAX = 1_000_000;
/** A record is older than its message: it takes time from the log file to Kafka. */
const WARM_MARGIN_MS = 60_000;
const WARM_RETRY_MS = 2000;

export interface Worker extends Probes {
  handler: Handler;
  /** Commits what is acknowledged, for all partitions at once. */
  commit(): Promise<void>;
  /** Passes the time to the partitions that are idle. */
  tick(): Promise<void>;
}

interface Parts {
  settings: Settings;
  module: MatcherModule;
  source: Source;
  delivery: Delivery;
  metrics: Metrics;
  log: Log;
}

export function openWorker({ settings, module, source, delivery, metrics, log }: Parts): Worker {
  let generation = 0;
  /** The partitions of this generation of which a batch has come. */
  let streams = new Map<string, Stream>();
  /** The state at the last committed offset, kept during a rebalance: the partition may return at once. */
  const kept = new Map<string, Point>();
  /** Matches of the streams of earlier generations. */
  const pastMatches = module.info.alerts.map(() => 0);
  let lastHeartbeat = Date.now();
  /** Since when there is something to commit that the broker has not accepted. */
  let commitDueSince: number | undefined;
  metrics.countMatchesBy(countMatches);

  const handler: Handler = {
    assigned(next, partitions) {
      generation = next;
      for (const stream of streams.values())
        stream.matches().forEach((count, rule) => (pastMatches[rule]! += count));
      streams = new Map();
      metrics.generations.inc();
      metrics.lag.reset(); // A partition that is no longer ours has no lag here.
      for (const gauge of [
        metrics.committedOffset,
        metrics.stateSize,
        metrics.stateKeys,
        metrics.evictedKeys,
      ])
        gauge.reset();
      handler.heartbeat();
      log.info({ generation, partitions: partitions.map(keyOf) }, 'partitions assigned');
    },
    heartbeat() {
      lastHeartbeat = Date.now();
      metrics.lastHeartbeat.set(lastHeartbeat / 1000);
    },
    skipped({ topic, partition }) {
      metrics.offsetResets.inc({ topic, partition });
      log.error(
        { topic, partition },
        'the next offset is gone: records were deleted before they were read; going on from the first one that is left',
      );
    },
    recreated(topic) {
      metrics.topicsRecreated.inc({ topic });
      log.warn({ topic }, 'the topic was deleted and created again: it is read from its beginning');
    },
    async batch(batch) {
      const stream = await streamFor(batch);
      // A tick before it may wait for the sink: the session must not end meanwhile.
      if (stream)
        await whileBeating(
          stream.inTurn(() => work(stream, batch)),
          batch,
        );
      if (!batch.live()) await commit();
    },
  };

  /** The stream with its state at the start of the batch; undefined when it has to read earlier records first. */
  async function streamFor(batch: Batch): Promise<Stream | undefined> {
    const key = keyOf(batch);
    const known = streams.get(key);
    if (known && batch.start >= known.acknowledged.offset) return known;

    const point = kept.get(key);
    const state = point?.offset === batch.start ? point.state : undefined;
    const stream = await Stream.open(module, batch, batch.start, state);
    if (!state && !(await warmUp(stream, batch))) return undefined;
    if (!batch.live()) return undefined;
    streams.set(key, stream);
    return stream.acknowledged.offset < batch.start ? undefined : stream;
  }

  /** Moves the stream back to the start of its window, to read it without alerts. False when the start is not known yet. */
  async function warmUp(stream: Stream, batch: Batch): Promise<boolean> {
    const { lookBackMs } = module.info;
    if (lookBackMs === 0) return true;
    const time = (believedTime(batch.messages[0]!.timestamp) ?? Date.now()) - lookBackMs - WARM_MARGIN_MS;
    try {
      const windowStart = await whileBeating(source.offsetAt(batch, Math.max(0, time)), batch);
      const warmFrom = Math.max(windowStart, batch.start - WARM_MESSAGES_MAX);
      if (warmFrom > windowStart)
        log.warn(
          { partition: keyOf(batch), windowStart, warmFrom },
          'too many records in the window; its state will be incomplete',
        );
      if (warmFrom >= batch.start) return true;
      stream.acknowledge(warmFrom);
      batch.seek(warmFrom);
      return true;
    } catch (error) {
      log.warn(
        { partition: keyOf(batch), error: (error as Error).message },
        'the start of the window is not known yet',
      );
      batch.pause(WARM_RETRY_MS);
      return false;
    }
  }

  async function work(stream: Stream, batch: Batch): Promise<void> {
    const { topic, partition, messages } = batch;
    for (let at = 0; at < messages.length && batch.live(); at += SLICE_MESSAGES) {
      const next = messages[at + SLICE_MESSAGES];
      const end = next ? Number(next.offset) : batch.end;
      const records = recordsOf(messages.slice(at, at + SLICE_MESSAGES));
      const outcome = await workSlice(stream, batch, records, end);
      batch.advance(stream.acknowledged.offset);
      metrics.lag.set({ topic, partition }, batch.highWatermark - stream.acknowledged.offset);
      stream.caughtUp = stream.acknowledged.offset >= batch.highWatermark;
      if (outcome.kind === 'held') {
        metrics.pauses.inc();
        batch.pause(outcome.pauseMs);
        return;
      }
      await batch.heartbeat();
    }
  }

  /** Matches and delivers a run of records, and acknowledges them or those before the first that is not delivered. */
  async function workSlice(
    stream: Stream,
    batch: Batch,
    records: Message[],
    end: number,
  ): Promise<Delivered> {
    const { topic } = batch;
    const parcels = await stream.match(records, end);
    const warmed =
      batch.start < stream.warmUntil
        ? records.filter(({ offset }) => Number(offset) < stream.warmUntil).length
        : 0;
    metrics.warmed.inc({ topic }, warmed);
    metrics.records.inc({ topic }, records.length - warmed);
    const { outcome, undelivered } = await deliverAll(parcels, batch, stream);
    if (undelivered) stream.rewind(records, undelivered.offset);
    else stream.acknowledge(end);
    metrics.lastProgress.setToCurrentTime();
    return outcome;
  }

  /** One after the other, so that what is delivered is always a prefix of the partition. */
  async function deliverAll(
    parcels: Parcel[],
    lease: Lease,
    stream: Stream,
  ): Promise<{ outcome: Delivered; undelivered?: Parcel }> {
    for (const parcel of parcels) {
      stream.deliveredOffset = parcel.offset;
      if (!lease.live()) return { outcome: DELIVERED, undelivered: parcel };
      const outcome = await delivery.deliver(parcel, lease, stream);
      if (outcome.kind === 'held') return { outcome, undelivered: parcel };
    }
    return { outcome: DELIVERED };
  }

  async function commit(): Promise<void> {
    const mine = generation;
    // A copy: the streams go on while the broker answers.
    const moved = [...streams.values()]
      .filter(stream => stream.deliveredOffset > stream.committedOffset)
      .map(stream => ({ stream, offset: stream.deliveredOffset, point: stream.acknowledged }));
    if (moved.length === 0) return void (commitDueSince = undefined);
    commitDueSince ??= Date.now();
    const positions = moved.map(({ stream: { topic, partition }, offset }) => ({ topic, partition, offset }));
    if (!(await source.commit(mine, positions))) return;
    commitDueSince = undefined;
    metrics.lastCommit.setToCurrentTime();
    for (const { stream, offset, point } of moved) {
      const { topic, partition } = stream;
      stream.committedOffset = offset;
      // In the middle of a slice there is no state for the offset; then the window would be read again.
      if (point.offset === offset) kept.set(keyOf(stream), point);
      metrics.committedOffset.set({ topic, partition }, offset);
      metrics.stateSize.set({ topic, partition }, point.state.length);
      const { keyCount, evictedCount } = stream.keys();
      metrics.stateKeys.set({ topic, partition }, keyCount);
      metrics.evictedKeys.set({ topic, partition }, evictedCount);
    }
  }

  async function tick(): Promise<void> {
    for (const [key, stream] of streams) {
      const lease: Lease = {
        ...keyless(stream),
        live: () => streams.get(key) === stream,
        heartbeat: async () => {},
      };
      if (!stream.caughtUp || stream.ticking || Date.now() < stream.quietUntil) continue;
      stream.ticking = true;
      await stream.inTurn(() => tickOne(stream, lease)).finally(() => (stream.ticking = false));
    }
  }

  /** The time of an idle partition is that of the last heartbeat: when Kafka is away, no silence is an absence. */
  async function tickOne(stream: Stream, lease: Lease): Promise<void> {
    const { offset } = stream.acknowledged;
    const { outcome, undelivered } = await deliverAll(stream.tick(lastHeartbeat), lease, stream);
    if (undelivered) stream.rewind([], offset);
    else stream.acknowledge(offset);
    if (outcome.kind === 'held') stream.quietUntil = Date.now() + outcome.pauseMs;
  }

  function countMatches() {
    const counts = [...pastMatches];
    for (const stream of streams.values())
      stream.matches().forEach((count, rule) => (counts[rule]! += count));
    return counts.map((count, rule) => ({ rule: module.info.alerts[rule]!, count }));
  }

  return {
    handler,
    commit,
    tick,
    unready: () => (generation === 0 ? 'not in the group yet' : undefined),
    unhealthy() {
      const now = Date.now();
      const silentMs = now - lastHeartbeat;
      const uncommittedMs = now - (commitDueSince ?? now);
      if (silentMs > settings.stalledMs) return `no heartbeat for ${silentMs} ms`;
      if (uncommittedMs > settings.stalledMs) return `no commit was accepted for ${uncommittedMs} ms`;
      return undefined;
    },
  };
}

const DELIVERED: Delivered = { kind: 'delivered' };

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

function keyless({ topic, partition }: TopicPartition): TopicPartition {
  return { topic, partition };
}
