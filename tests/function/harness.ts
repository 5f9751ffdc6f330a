// Runs the host function in this process against a real broker, and looks at it from outside.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import type { Admin, IHeaders, KafkaMessage, Message, Producer } from 'kafkajs';
import { runFunction } from '../../host/function/function.ts';
import type { Dependencies } from '../../host/function/function.ts';
import type { Log } from '../../host/log.ts';
import { decodeLz4 } from '../../host/source/lz4.ts';
import { openMetrics } from '../../host/function/metrics.ts';
import { readSettings } from '../../host/function/settings.ts';
import { uniqueName } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { modulePath } from './module.ts';

/** The last lines of every function of this process, for the message of a test that waited in vain. */
const lastLines: string[] = [];

export interface LogLine {
  level: keyof Log;
  message: string;
  [field: string]: unknown;
}

/** A topic, its dead-letter topic and a group of their own. */
export interface Stage {
  topic: string;
  deadLetterTopic: string;
  hitsTopic: string;
  group: string;
  admin: Admin;
  environment: NodeJS.ProcessEnv;
  produce(messages: Message[], partition?: number): Promise<void>;
  /** Committed offsets of the logs by partition; -1 where there is none. */
  committed(): Promise<number[]>;
  /** The committed offset of the counter, by partition of the hits. */
  committedHits(): Promise<number[]>;
  /** True when every hit in the topic is below the committed offset of the counter. */
  counted(): Promise<boolean>;
  /** All that is in the hits topic. */
  hits(): Promise<string[]>;
  deadLetters(count: number): Promise<{ value: string | undefined; headers: Record<string, string> }[]>;
  start(overrides?: Record<string, string>, dependencies?: Partial<Dependencies>): Running;
  close(): Promise<void>;
}

export interface Running {
  logs: LogLine[];
  metrics: ReturnType<typeof openMetrics>;
  /** As SIGTERM would. Gives the exit code. */
  stop(): Promise<number>;
  exitCode: Promise<number>;
}

/** With one partition of hits the alerts come in the order of the logs' partition. */
export async function openStage(
  brokers: string,
  sinkUrl: string,
  partitions = 1,
  hitsPartitions = 1,
): Promise<Stage> {
  const topic = uniqueName('logs');
  const group = uniqueName('group');
  const deadLetterTopic = `${topic}-dlq`;
  const hitsTopic = `${topic}-hits`;
  const client = new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING });
  const admin = client.admin();
  await admin.connect();
  // Without `waitForLeaders`: kafkajs gives up when the broker does not know the new topic yet.
  const topics = [
    { topic, numPartitions: partitions },
    { topic: deadLetterTopic, numPartitions: 1 },
    { topic: hitsTopic, numPartitions: hitsPartitions },
  ];
  await admin.createTopics({ topics, waitForLeaders: false });
  const ready = async (name: string) => (await admin.fetchTopicOffsets(name)).length > 0;
  for (const name of [topic, deadLetterTopic, hitsTopic])
    await until(() => ready(name).catch(() => false), `the topic ${name}`);
  // Without the retries of kafkajs: they lose what host/source/kafka.ts describes.
  const producer: Producer = client.producer({
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    retry: { retries: 0 },
  });
  await producer.connect();
  async function offsetsOf(groupId: string, name: string): Promise<number[]> {
    // A fresh broker is still loading its groups; then there is nothing committed yet.
    const answer = await admin.fetchOffsets({ groupId, topics: [name] }).catch(() => []);
    const [{ partitions } = { partitions: [] }] = answer;
    return partitions.sort((a, b) => a.partition - b.partition).map(({ offset }) => Number(offset));
  }
  /** Messages of a topic, as soon as there are so many. */
  async function read(name: string, count: number): Promise<KafkaMessage[]> {
    const consumer = client.consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 200 });
    const found: KafkaMessage[] = [];
    await consumer.connect();
    await consumer.subscribe({ topic: name, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ message }) => void found.push(message) });
    await until(() => found.length >= count, `${count} messages of ${name}`);
    await consumer.disconnect();
    return found;
  }
  const running: Running[] = [];
  const environment = {
    EARSHOT_MODULE: modulePath,
    EARSHOT_BROKERS: brokers,
    EARSHOT_TOPICS: topic,
    EARSHOT_GROUP: group,
    EARSHOT_DEAD_LETTER_TOPIC: deadLetterTopic,
    EARSHOT_HITS_TOPIC: hitsTopic,
    EARSHOT_SINK_URL: sinkUrl,
    EARSHOT_SINK_TIMEOUT_MS: '1500',
    EARSHOT_COMMIT_INTERVAL_MS: '100',
    EARSHOT_SESSION_TIMEOUT_MS: '6000', // The least that Kafka allows.
    EARSHOT_REBALANCE_TIMEOUT_MS: '10000',
    EARSHOT_RETRY_HOLD_MS: '1000',
    EARSHOT_RETRY_MAX_MS: '1000',
    EARSHOT_SHUTDOWN_MS: '10000',
    EARSHOT_PORT: '0',
  };
  return {
    topic,
    deadLetterTopic,
    hitsTopic,
    group,
    admin,
    environment,
    async produce(messages, partition) {
      for (let at = 0; at < messages.length; at += 1000) {
        const some = messages.slice(at, at + 1000).map(message => ({ partition, ...message }));
        await tryAgain(() => producer.send({ topic, messages: some }));
      }
    },
    committed: () => offsetsOf(group, topic),
    committedHits: () => offsetsOf(`${group}-count`, hitsTopic),
    async counted() {
      const [ends, offsets] = await Promise.all([
        admin.fetchTopicOffsets(hitsTopic),
        offsetsOf(`${group}-count`, hitsTopic),
      ]);
      return ends.every(({ partition, high }) => (offsets[partition] ?? -1) >= Number(high));
    },
    async deadLetters(count) {
      const letters = await read(deadLetterTopic, count);
      return letters.map(({ value, headers }) => ({ value: value?.toString(), headers: textOf(headers) }));
    },
    async hits() {
      const ends = await admin.fetchTopicOffsets(hitsTopic);
      const count = ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
      return count === 0 ? [] : (await read(hitsTopic, count)).map(({ value }) => String(value));
    },
    start(overrides = {}, dependencies = {}) {
      const controller = new AbortController();
      const logs: LogLine[] = [];
      const metrics = openMetrics();
      const add = (level: keyof Log) => (fields: object, message: string) => {
        logs.push({ ...fields, level, message });
        lastLines.push(`${level} ${message} ${JSON.stringify(fields).slice(0, 300)}`);
        if (lastLines.length > 30) lastLines.shift();
      };
      const log: Log = { debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') };
      const settings = readSettings([], { ...environment, ...overrides });
      const exitCode = runFunction(settings, { stop: controller.signal, log, metrics, ...dependencies });
      const one: Running = { logs, metrics, exitCode, stop: () => (controller.abort(), exitCode) };
      running.push(one);
      return one;
    },
    async close() {
      await Promise.all(running.map(one => one.stop().catch(() => {})));
      await Promise.all([admin.disconnect(), producer.disconnect()]);
    },
  };
}

function textOf(headers: IHeaders = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

type Manager = Awaited<ReturnType<typeof startNotificationManager>>;
type StageTest = (stage: Stage, manager: Manager) => Promise<void>;

/** Declares tests that have a topic of so many partitions and a sink of their own. */
export function stageTests(brokers: () => string, timeout?: number) {
  return (name: string, partitions: number, run: StageTest): void => {
    test(name, { timeout }, async () => {
      const manager = await startNotificationManager();
      const stage = await openStage(brokers(), manager.url, partitions);
      try {
        await run(stage, manager);
      } finally {
        await stage.close();
        await manager.stop();
      }
    });
  };
}

// kafkajs has no LZ4, which Fluent Bit's out_kafka is told to use.
const { CompressionCodecs, CompressionTypes } = kafkajs;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: () => assert.fail('nothing is compressed here'),
  decompress: async (frame: Buffer) => decodeLz4(frame),
});

export interface Stored {
  partition: number;
  offset: number;
  key: Buffer | null;
  value: Buffer;
}

/** All messages of a topic, as it is now. */
export async function readTopic(brokers: string, topic: string): Promise<Stored[]> {
  const client = new kafkajs.Kafka({ brokers: brokers.split(','), logLevel: kafkajs.logLevel.NOTHING });
  const admin = client.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const total = ends.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0);
  const consumer = client.consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 200 });
  const stored: Stored[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachBatch: async ({ batch }) => {
      for (const { offset, key, value } of batch.messages)
        stored.push({ partition: batch.partition, offset: Number(offset), key, value: value! });
    },
  });
  await until(() => stored.length >= total, `${total} messages of ${topic}`, 120_000);
  await consumer.disconnect();
  return stored;
}

/** Messages numbered from `start`; those for which `fires` holds become an alert. */
export function messages(count: number, fires: (id: number) => boolean = () => true, start = 0): Message[] {
  return Array.from({ length: count }, (_, index) => {
    const id = start + index;
    return { value: JSON.stringify({ log: fires(id) ? `ALERT ${id}` : `quiet ${id}`, id }) };
  });
}

export function range(count: number, start = 0): number[] {
  return Array.from({ length: count }, (_, index) => start + index);
}

export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 30_000,
): Promise<void> {
  for (const endsAt = Date.now() + timeoutMs; Date.now() < endsAt; await sleep(25))
    if (await condition()) return;
  throw new Error(`waited ${timeoutMs} ms for: ${what}\n${lastLines.join('\n')}`);
}

async function tryAgain(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 0; ; tries++)
    try {
      return void (await work());
    } catch (error) {
      if (tries === 10) throw error;
      await sleep(500);
    }
}

export async function metric(running: Running, name: string): Promise<number> {
  const found = (await running.metrics.registry.getMetricsAsJSON()).find(entry => entry.name === name);
  return (found?.values as { value: number }[] | undefined)?.reduce((sum, { value }) => sum + value, 0) ?? 0;
}

/** Work that may fail while a broker is away, tried again every half second. */
export async function persist(work: () => Promise<void>, triesMax = 60): Promise<void> {
  for (let tries = 1; ; tries++)
    try {
      return await work();
    } catch (error) {
      if (tries === triesMax) throw error;
      await sleep(500);
    }
}
