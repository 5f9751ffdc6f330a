// What happens to the messages of our partitions: worked on in order, acknowledged, committed. The role
// says what the work is (match.ts, count.ts); host/function/function.ts has the contract.

import { whileBeating } from './deliver.ts';
import type { Delivered } from './deliver.ts';
import type { Probes } from './health.ts';
import type { Log } from '../log.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';
import type { Batch, Handler, Lease, Message, Source, TopicPartition } from '../source/source.ts';

/** Messages between two looks at the clock, the heartbeat and the end of the batch: some 10 ms of work. */
const SLICE_MESSAGES = 1000;

/** The work on one partition, from its assignment to the end of the generation. */
export interface Task {
  /** Where it reads next; undefined: at the group's committed offset. A batch that begins elsewhere is not for it. */
  readonly position: number | undefined;
  /** Everything below it is done: only this is committed. */
  readonly acknowledged: number | undefined;
  /** When the last acknowledged message was written, milliseconds since 1970; kept with the commit. */
  readonly timestamp: number | undefined;
  /** Settles when the first batch can be worked on. Never rejects: it tries again while the lease is live. */
  open(lease: Lease): Promise<void>;
  /** Works on messages that begin at `position` and reach up to `end`, and moves `position`. */
  work(messages: Message[], end: number, lease: Lease): Promise<Delivered>;
  /** Reports the time, when all known messages have been worked on. */
  tick?(timeMs: number, lease: Lease): Promise<Delivered>;
  /** What it remembers: keys, and those that were evicted. */
  keys?(): { keyCount: number; evictedCount: number };
}

export interface Role {
  name: 'match' | 'count';
  source: Source;
  open(partition: TopicPartition): Task;
}

export interface Worker extends Probes {
  handler: Handler;
  /** Commits what is acknowledged, for all partitions at once. */
  commit(): Promise<void>;
  /** Reports the time to the partitions that are idle. */
  tick(): Promise<void>;
  /** Ends the leases: what is still being tried is given up. */
  close(): void;
}

interface Parts {
  settings: Settings;
  role: Role;
  metrics: Metrics;
  log: Log;
}

/** A task, and what the worker knows of its partition. */
interface Stream extends TopicPartition {
  task: Task;
  opened: Promise<void>;
  isOpen: boolean;
  committed: number;
  /** One past the last message, as far as is known. */
  highWatermark: number | undefined;
  /** Until when a tick that could not be delivered is not tried again. */
  quietUntil: number;
  turn: Promise<unknown>;
}

export function openWorker({ settings, role, metrics, log }: Parts): Worker {
  const { source } = role;
  let generation = 0;
  let streams = new Map<string, Stream>();
  let lastHeartbeat = Date.now();
  let isTicking = false;
  /** Since when there is something to commit that the broker has not accepted. */
  let commitDueSince: number | undefined;

  const handler: Handler = {
    assigned(next, partitions) {
      generation = next;
      streams = new Map(partitions.map(partition => [keyOf(partition), begin(partition)]));
      metrics.generations.inc();
      for (const gauge of [metrics.lag, metrics.committedOffset, metrics.stateKeys, metrics.evictedKeys])
        gauge.reset();
      handler.heartbeat();
      log.info({ role: role.name, generation, partitions: partitions.map(keyOf) }, 'partitions assigned');
    },
    heartbeat() {
      lastHeartbeat = Date.now();
      metrics.lastHeartbeat.set(lastHeartbeat / 1000);
    },
    skipped(partition) {
      const { topic } = partition;
      metrics.offsetResets.inc({ topic, partition: partition.partition });
      log.error(
        { topic, partition: partition.partition },
        'the committed offset is gone: records were deleted unread; going on from the first that is left',
      );
      if (streams.has(keyOf(partition))) streams.set(keyOf(partition), begin(partition));
    },
    recreated(topic) {
      metrics.topicsRecreated.inc({ topic });
      log.warn({ topic }, 'the topic was deleted and created again: it is read from its beginning');
    },
    async batch(batch) {
      const stream = streams.get(keyOf(batch));
      if (!stream) return;
      await whileBeating(stream.opened, batch);
      // A tick that has its turn may wait for the sink: the session must not end meanwhile.
      if (batch.live() && streams.get(keyOf(batch)) === stream)
        await whileBeating(
          inTurn(stream, () => work(stream, batch)),
          batch,
        );
      if (!batch.live()) await commit();
    },
  };

  function begin({ topic, partition }: TopicPartition): Stream {
    const task = role.open({ topic, partition });
    const stream: Stream = {
      topic,
      partition,
      task,
      opened: Promise.resolve(),
      isOpen: false,
      committed: -1,
      highWatermark: undefined,
      quietUntil: 0,
      turn: Promise.resolve(),
    };
    stream.opened = task.open(leaseOf(stream)).then(() => void (stream.isOpen = true));
    return stream;
  }

  /** The right to work on a partition outside of a batch. */
  function leaseOf(stream: Stream): Lease {
    const { topic, partition } = stream;
    const mine = generation;
    return {
      topic,
      partition,
      live: () => mine === generation && streams.get(keyOf(stream)) === stream,
      heartbeat: async () => {},
    };
  }

  async function work(stream: Stream, batch: Batch): Promise<void> {
    const { task } = stream;
    const { topic, partition, messages } = batch;
    if (task.position !== undefined && task.position !== batch.start) {
      batch.seek(task.position); // It was fetched before the task moved.
      return;
    }
    stream.highWatermark = batch.highWatermark;
    for (let at = 0; at < messages.length && batch.live(); at += SLICE_MESSAGES) {
      const next = messages[at + SLICE_MESSAGES];
      const end = next ? Number(next.offset) : batch.end;
      const outcome = await task.work(messages.slice(at, at + SLICE_MESSAGES), end, batch);
      if (task.acknowledged !== undefined)
        metrics.lag.set({ topic, partition }, batch.highWatermark - task.acknowledged);
      if (task.position === end) batch.advance(end);
      else batch.seek(task.position ?? batch.start);
      if (outcome.kind === 'held') {
        metrics.pauses.inc();
        batch.pause(outcome.pauseMs);
        return;
      }
      if (task.position !== end) return;
      await batch.heartbeat();
    }
  }

  async function commit(): Promise<void> {
    const mine = generation;
    // As they are now: the tasks go on while the broker answers.
    const moved = [...streams.values()].flatMap(stream => {
      const { acknowledged, timestamp } = stream.task;
      return acknowledged === undefined || acknowledged <= stream.committed
        ? []
        : [{ stream, offset: acknowledged, timestamp }];
    });
    if (moved.length === 0) return void (commitDueSince = undefined);
    commitDueSince ??= Date.now();
    const positions = moved.map(({ stream: { topic, partition }, offset, timestamp }) => ({
      topic,
      partition,
      offset,
      timestamp,
    }));
    if (!(await source.commit(mine, positions))) return;
    commitDueSince = undefined;
    metrics.lastCommit.setToCurrentTime();
    for (const { stream, offset } of moved) {
      const { topic, partition } = stream;
      stream.committed = offset;
      metrics.committedOffset.set({ topic, partition }, offset);
      const keys = stream.task.keys?.();
      if (!keys) continue;
      metrics.stateKeys.set({ topic, partition }, keys.keyCount);
      metrics.evictedKeys.set({ topic, partition }, keys.evictedCount);
    }
    metrics.lastProgress.setToCurrentTime();
  }

  /**
   * One partition after the other, and one round at a time. Otherwise a sink that hangs would collect a tick of every
   * partition, and each batch would have to wait until all ticks before its own had their turn at the sink.
   */
  async function tick(): Promise<void> {
    if (isTicking) return;
    isTicking = true;
    await tickAll().finally(() => (isTicking = false));
  }

  /** The time of an idle partition is that of the last heartbeat: when Kafka is down, no silence is an absence. */
  async function tickAll(): Promise<void> {
    for (const stream of streams.values()) {
      const { task } = stream;
      if (!task.tick || !isIdle(stream) || Date.now() < stream.quietUntil) continue;
      const lease = leaseOf(stream);
      await inTurn(stream, async () => {
        if (!lease.live() || !isIdle(stream)) return;
        const outcome = await task.tick!(lastHeartbeat, lease);
        if (outcome.kind === 'held') stream.quietUntil = Date.now() + outcome.pauseMs;
      });
    }
  }

  return {
    handler,
    commit,
    tick,
    close: () => (streams = new Map()),
    unready() {
      if (generation === 0) return `${role.name}: not in the group yet`;
      const closed = [...streams.values()].find(({ isOpen }) => !isOpen);
      return closed && `${role.name}: ${keyOf(closed)} is not open yet`;
    },
    unhealthy() {
      const now = Date.now();
      const silentMs = now - lastHeartbeat;
      const uncommittedMs = now - (commitDueSince ?? now);
      if (silentMs > settings.stalledMs) return `${role.name}: no heartbeat for ${silentMs} ms`;
      if (uncommittedMs > settings.stalledMs)
        return `${role.name}: no commit was accepted for ${uncommittedMs} ms`;
      return undefined;
    },
  };
}

/** Nothing is left to work on, as far as is known: time may pass without messages. */
function isIdle({ isOpen, task, highWatermark }: Stream): boolean {
  return isOpen && task.position !== undefined && task.position >= (highWatermark ?? 0);
}

/** One thing at a time: a batch, or a tick. */
function inTurn<T>(stream: Stream, work: () => Promise<T>): Promise<T> {
  const turn = stream.turn.then(work, work);
  stream.turn = turn.catch(() => {});
  return turn;
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
