// Staged protocol faults, with kcat's mock cluster (librdkafka 2.0.2) behind the wire of mock-kafka.ts. The mock by
// itself can stage nothing of this from the command line but the number of brokers: its error codes, round-trip times
// and single brokers that go down are reached from C only, hence the wire. It has no CreateTopics (topics are made by
// the first look at them, with 4 partitions), no DescribeGroups, and does not move a coordinator to another broker.

import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import type { Admin } from 'kafkajs';
import { runFunction } from '../../host/function/function.ts';
import type { Log } from '../../host/log.ts';
import { openMetrics } from '../../host/function/metrics.ts';
import { readSettings } from '../../host/function/settings.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { messages, range, until } from './harness.ts';
import {
  FIND_COORDINATOR,
  kcatMissing,
  OFFSET_COMMIT,
  spoilGeneration,
  startMockKafka,
} from './mock-kafka.ts';
import type { MockKafka } from './mock-kafka.ts';
import { modulePath } from './module.ts';

const COORDINATOR_LOAD_IN_PROGRESS = 14;
const COORDINATOR_NOT_AVAILABLE = 15;
const NOT_COORDINATOR = 16;
const ILLEGAL_GENERATION = 22;

interface Staged {
  /** The committed offset of the logs, whatever is counted. */
  committedLogs(): Promise<number>;
  mock: MockKafka;
  manager: Awaited<ReturnType<typeof startNotificationManager>>;
  logged: string[];
  produce(start: number, count: number): Promise<void>;
  /** Starts the function, and gives what stops it. */
  start(): () => Promise<number>;
  committed(): Promise<number>;
}

function staged(name: string, brokerCount: number, run: (staged: Staged) => Promise<void>): void {
  test(name, async () => {
    const mock = await startMockKafka(brokerCount);
    const manager = await startNotificationManager();
    const client = new kafkajs.Kafka({ brokers: mock.direct.split(','), logLevel: kafkajs.logLevel.NOTHING });
    const [producer, admin] = [client.producer(), client.admin()];
    await Promise.all([producer.connect(), admin.connect()]);
    const stop = new AbortController();
    const logged: string[] = [];
    let ended: Promise<number> | undefined;
    try {
      await run({
        mock,
        manager,
        logged,
        async produce(start, count) {
          const numbered = messages(count, undefined, start).map(message => ({ ...message, partition: 0 }));
          await producer.send({ topic: 'logs', messages: numbered });
        },
        start() {
          const settings = readSettings([], {
            EARSHOT_MODULE: modulePath,
            EARSHOT_BROKERS: mock.brokers,
            EARSHOT_TOPICS: 'logs',
            EARSHOT_DEAD_LETTER_TOPIC: 'logs-dlq',
            EARSHOT_SINK_URL: manager.url,
            EARSHOT_COMMIT_INTERVAL_MS: '100',
            EARSHOT_SESSION_TIMEOUT_MS: '6000',
            EARSHOT_PORT: '0',
          });
          const add = (level: string) => (fields: object, message: string) =>
            void logged.push(`${level} ${message} ${JSON.stringify(fields)}`);
          const log: Log = {
            debug: add('debug'),
            info: add('info'),
            warn: add('warn'),
            error: add('error'),
          };
          ended = runFunction(settings, { stop: stop.signal, log, metrics: openMetrics() });
          return () => (stop.abort(), ended!);
        },
        async committed() {
          return (await allCounted(admin)) ? this.committedLogs() : -1;
        },
        async committedLogs() {
          const [{ partitions } = { partitions: [] }] = await admin.fetchOffsets({
            groupId: 'earshot',
            topics: ['logs'],
          });
          return Number(partitions.find(({ partition }) => partition === 0)?.offset ?? -1);
        },
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${logged.slice(-20).join('\n')}`, { cause: error });
    } finally {
      stop.abort();
      await ended?.catch(() => {});
      await Promise.all([producer.disconnect(), admin.disconnect()]);
      await manager.stop();
      await mock.stop();
    }
  });
}

/** Whether the counter has committed all hits that are in their topic. */
async function allCounted(admin: Admin): Promise<boolean> {
  const ends = await admin.fetchTopicOffsets('earshot-hits').catch(() => []);
  const [{ partitions } = { partitions: [] }] = await admin.fetchOffsets({
    groupId: 'earshot-count',
    topics: ['earshot-hits'],
  });
  return ends.every(({ partition, high }) =>
    partitions.some(entry => entry.partition === partition && Number(entry.offset) >= Number(high)),
  );
}

/** The ids of the alerts that came; hits of several partitions are counted in no order. */
function idsOf(stage: Staged): number[] {
  return stage.manager.ids().sort((a, b) => a - b);
}

describe('staged', { skip: kcatMissing(), concurrency: 5 }, () => {
  staged('a coordinator that is not available is looked for again', 1, async stage => {
    let faults = 3;
    stage.mock.wire.response = (apiKey, frame) => {
      // [correlation 4][throttle 4][error 2]
      if (apiKey === FIND_COORDINATOR && faults-- > 0) frame.writeInt16BE(COORDINATOR_NOT_AVAILABLE, 8);
      return true;
    };
    await stage.produce(0, 5);
    const stop = stage.start();
    await until(async () => (await stage.committed()) === 5, 'everything committed');
    assert.ok(faults <= 0);
    assert.deepEqual(idsOf(stage), range(5));
    assert.equal(await stop(), 0);
  });

  for (const [broker, name] of ['the first', 'the second', 'the third'].entries())
    staged(`${name} of three brokers goes away for a while in the middle of the run`, 3, async stage => {
      await stage.produce(0, 5);
      const stop = stage.start();
      await until(async () => (await stage.committed()) === 5, 'the first records committed');
      await stage.mock.unplug(broker);
      await stage.produce(5, 5);
      await sleep(1500);
      await stage.mock.plug(broker);
      await until(async () => (await stage.committed()) === 10, 'everything committed');
      assert.deepEqual([...new Set(idsOf(stage))], range(10));
      assert.equal(await stop(), 0);
    });

  for (const [code, name] of [
    [COORDINATOR_LOAD_IN_PROGRESS, 'COORDINATOR_LOAD_IN_PROGRESS'],
    [NOT_COORDINATOR, 'NOT_COORDINATOR'],
    [ILLEGAL_GENERATION, 'ILLEGAL_GENERATION'],
  ] as const)
    staged(`a commit refused with ${name} is made later, and nothing is skipped`, 1, async stage => {
      await stage.produce(0, 3);
      const stop = stage.start();
      await until(async () => (await stage.committed()) === 3, 'the first records committed');
      let refused = 0;
      let refusing = false;
      stage.mock.wire.request = (apiKey, frame) => {
        // Those of the matcher: the counter's go on.
        if (apiKey !== OFFSET_COMMIT || frame.includes('earshot-count')) return true;
        refusing = refused++ < 5;
        if (refusing) spoilGeneration(frame);
        return true;
      };
      stage.mock.wire.response = (apiKey, frame) => {
        // The error of the last partition ends the answer.
        if (apiKey === OFFSET_COMMIT && refusing && !frame.includes('earshot-hits')) {
          assert.equal(frame.readInt16BE(frame.length - 2), ILLEGAL_GENERATION, 'the mock refused it');
          frame.writeInt16BE(code, frame.length - 2);
        }
        return true;
      };
      await stage.produce(3, 3);
      await until(() => refused > 0, 'a refused commit');
      assert.equal(await stage.committedLogs(), 3);
      await until(async () => (await stage.committed()) === 6, 'a commit that is taken');
      await stage.produce(6, 3);
      await until(async () => (await stage.committed()) === 9, 'the work goes on', 15_000);
      assert.deepEqual([...new Set(idsOf(stage))], range(9));
      assert.ok(stage.logged.some(line => line.startsWith('warn a commit was refused')));
      assert.equal(await stop(), 0);
    });

  staged('a commit whose answer is lost with the connection is made again', 1, async stage => {
    let cuts = 0;
    stage.mock.wire.response = apiKey => !(apiKey === OFFSET_COMMIT && cuts++ === 1);
    await stage.produce(0, 5);
    const stop = stage.start();
    await until(async () => (await stage.committed()) === 5 && cuts > 1, 'everything committed');
    await stage.produce(5, 5);
    await until(async () => (await stage.committed()) === 10, 'the work goes on');
    assert.deepEqual([...new Set(idsOf(stage))], range(10));
    assert.equal(await stop(), 0);
  });

  staged('a batch in lz4, as librdkafka writes it', 1, async stage => {
    const lines = messages(50).map(({ value }) => `${value}\n`);
    execFileSync('kcat', ['-P', '-b', stage.mock.direct, '-t', 'logs', '-p', '0', '-z', 'lz4'], {
      input: lines.join(''),
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const stop = stage.start();
    await until(async () => (await stage.committed()) === 50, 'everything committed');
    assert.deepEqual(idsOf(stage), range(50));
    assert.equal(await stop(), 0);
  });
});
