// From a log file to the sink, through real processes: Fluent Bit, the function and Kafka, each of them killed on the way.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import { hitId, hitKey } from '../../host/hit.ts';
import { partitionOfKey } from '../../host/source/produce.ts';
import { somePort, startDoor } from '../function/door.ts';
import { openStage, readTopic, until } from '../function/harness.ts';
import type { Stage } from '../function/harness.ts';
import { bundleFunction, spawnFunction } from '../function/process.ts';
import type { FunctionProcess } from '../function/process.ts';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { bakeRules } from './module.ts';
import { FluentBit, skip } from './process.ts';

const IS_SOAK = process.env.EARSHOT_TEST_SOAK === '1';
const ROUNDS = IS_SOAK ? 6 : 1;
const PARTITIONS = 4;
const options = { timeout: IS_SOAK ? 900_000 : 240_000 };

/** One alert for each record that matches, and for some of them a threshold on top. */
const RULES = `limits: {alertsPerSecond: 100000}
groups:
- name: test
  rules:
  - alert: Error
    match: {field: log, contains: 'ERROR'}
    realert: 6h
    labels: {message: '{{ $record.log }}'}
  - alert: Many
    match: {field: log, regex: 'ERROR \\d*00$'}
    threshold: {count: 10, within: 6h}
    realert: 0s
    annotations: {count: '{{ $value }}'}
`;

type Manager = Awaited<ReturnType<typeof startNotificationManager>>;

describe('from the log file to the sink', { skip: skip || kafkaMissing() }, () => {
  let kafka: TestKafka;
  let file: string;
  before(async () => {
    file = await bundleFunction();
    kafka = await startKafka();
  });
  after(() => kafka.stop());

  interface Set {
    stage: Stage;
    manager: Manager;
    environment: NodeJS.ProcessEnv;
  }

  async function open(context: TestContext): Promise<Set> {
    const manager = await startNotificationManager();
    manager.queueSize = Infinity;
    const stage = await openStage(kafka.brokers, manager.url, 1, PARTITIONS);
    const modulePath = join(import.meta.dirname, `../../.cache/function/edge-${process.pid}.wasm`);
    writeFileSync(modulePath, bakeRules(RULES));
    context.after(async () => {
      await stage.close();
      await manager.stop();
    });
    const { EARSHOT_TOPICS: _, ...environment } = stage.environment;
    return { stage, manager, environment: { ...environment, EARSHOT_MODULE: modulePath } };
  }

  let written = 0;
  function lines(count: number): object[] {
    return Array.from({ length: count }, () => {
      const n = written++;
      const time = new Date(1_700_000_000_000 + n).toISOString();
      return { log: n % 10 === 0 ? `ERROR ${n}` : `all is well ${n}`, time, kubernetes: { pod_name: 'web' } };
    });
  }

  async function writeFor(fluentBit: FluentBit, ms: number): Promise<void> {
    for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) fluentBit.append(lines(50));
  }

  function messagesOf({ queue }: Manager): string[] {
    return queue.flatMap(({ labels }) => (labels.alertname === 'Error' ? [labels.message!] : []));
  }

  const expected = (from: number) =>
    Array.from({ length: written - from }, (_, i) => from + i)
      .filter(n => n % 10 === 0)
      .map(n => `ERROR ${n}`);

  const isMany = (message: string) => message.endsWith('00');

  function assertAll(manager: Manager, from: number): void {
    const found = new Set(messagesOf(manager));
    assert.deepEqual(
      expected(from).filter(message => !found.has(message)),
      [],
      'lost',
    );
    assert.equal(found.size, expected(from).length);
    // Each hit was counted once: the threshold tells 10, 11, 12, … of them.
    const counts = manager.queue.flatMap(({ labels, annotations }) =>
      labels.alertname === 'Many' ? [Number(annotations.count!.replace('+', ''))] : [],
    );
    assert.equal(Math.max(...counts), expected(from).filter(isMany).length, 'counted once');
  }

  test('through the function’s door, each part killed in turn: no hit is lost, none is counted twice', options, async context => {
    const { manager, environment } = await open(context);
    const from = written;
    const port = somePort();
    let door = await startDoor(file, environment, port);
    context.after(() => void door.child.kill('SIGKILL'));
    const fluentBit = new FluentBit(context, { rules: RULES, records: [], port, target: 'function' }).start();
    for (let round = 0; round < ROUNDS; round++) {
      const writing = writeFor(fluentBit, 12_000);
      await sleep(1500);
      await fluentBit.kill('SIGKILL');
      fluentBit.start();
      await sleep(1500);
      door.child.kill('SIGKILL');
      await door.exited;
      await sleep(700);
      door = await startDoor(file, environment, port);
      await sleep(1500);
      await kafka.restart(1000);
      await fluentBit.kill('SIGTERM');
      fluentBit.start();
      await writing;
    }
    await until(
      () => new Set(messagesOf(manager)).size >= expected(from).length,
      'all alerts',
      120_000,
    ).catch(() => {}); // assertAll says which
      assertAll(manager, from);
  });

  test('through Kafka: hits as they are, keyed, in the partition where the function would put them', options, async context => {
    const { stage, manager, environment } = await open(context);
    const from = written;
    const fluentBit = new FluentBit(context, {
      rules: RULES,
      records: [],
      port: 0,
      target: 'kafka',
      address: kafka.brokers,
      topic: stage.hitsTopic,
    }).start();
    let counter: FunctionProcess = spawnFunction(file, { ...environment, EARSHOT_ROLE: 'count' });
    context.after(() => void counter.child.kill('SIGKILL'));
    const writing = writeFor(fluentBit, 5000);
    await sleep(2500);
    counter.child.kill('SIGKILL');
    await counter.exited;
    counter = spawnFunction(file, { ...environment, EARSHOT_ROLE: 'count' });
    await writing;
    // Asked to end, it sends what it has queued.
    await fluentBit.until('all logs', () => fluentBit.logs().length >= written - from);
    await fluentBit.kill('SIGTERM');
    await until(() => new Set(messagesOf(manager)).size >= expected(from).length, 'all alerts', 60_000);
    assertAll(manager, from);
    const stored = await readTopic(kafka.brokers, stage.hitsTopic);
    const hits = stored.filter(({ value }) => hitId(value) !== undefined);
    assert.equal(hits.length, expected(from).length + expected(from).filter(isMany).length);
    for (const { key, value, partition } of hits) {
      assert.deepEqual(key, hitKey(value));
      assert.equal(partition, partitionOfKey(key!, PARTITIONS));
      assert.equal(JSON.stringify(JSON.parse(value.toString())), value.toString());
    }
  });
});
