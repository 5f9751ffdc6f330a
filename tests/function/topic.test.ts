// Topics that are not there, that are created again, and what is committed before anything is read.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { hitId } from '../../host/hit.ts';
import { kafkaMissing, startKafka, uniqueName } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { stageTests, messages, metric, openStage, range, readTopic, until, persist } from './harness.ts';
import type { LogLine, Stage } from './harness.ts';
import { LIST_OFFSETS, METADATA, openWire, OFFSET_COMMIT } from './mock-kafka.ts';
import { buildModule } from './module.ts';

/** Requests for the ids of topics have this version; those of kafkajs are older. */
const TOPIC_IDS_VERSION = 12;

// kafkajs: a consumer that is stopped while it starts again after a crash continues for ever. The function's own process
// ends by process.exit; this one does so too, some seconds after its last test.
after(() => void setTimeout(() => process.exit(), 5000).unref());

const skip = kafkaMissing() ?? (process.env.KAFKA_BROKERS && 'needs a broker that deletes topics, its own');

describe('topics', { skip }, () => {
  let kafka: TestKafka;
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka?.stop());

  const stageTest = stageTests(() => kafka.brokers, 120_000);

  for (const [count, name] of [
    [3, 'fewer'],
    [300, 'more'],
  ] as const)
    stageTest(
      `a topic that is created again, with ${name} records than the old one, is read from its beginning`,
      1,
      async (stage, manager) => {
        await stage.produce(messages(100));
        const running = stage.start();
        await until(
          async () => (await stage.committed())[0] === 100 && (await stage.counted()),
          'the old records committed',
        );
        await recreate(stage, 1);
        await persist(() => stage.produce(messages(count, undefined, 1000)));
        await until(
          () => range(count, 1000).every(id => manager.ids().includes(id)),
          'all alerts of the new topic',
          60_000,
        );
        await until(
          async () => (await stage.committed())[0] === count && (await stage.counted()),
          'the new records committed',
        );
        assert.ok((await metric(running, 'earshot_topics_recreated_total')) >= 1);
        assert.ok(
          running.logs.some(line => line.message.startsWith('the topic was deleted and created again')),
        );
        assert.equal(await running.stop(), 0);
      },
    );

  stageTest(
    'a topic that is created again while the function is down is read from its beginning',
    1,
    async (stage, manager) => {
      await stage.produce(messages(100));
      const first = stage.start();
      await until(
        async () => (await stage.committed())[0] === 100 && (await stage.counted()),
        'the old records committed',
      );
      assert.equal(await first.stop(), 0);
      const [old] = await stage.admin.fetchOffsets({ groupId: stage.group, topics: [stage.topic] });
      const metadata = old!.partitions[0]!.metadata!;
      assert.match(metadata, /^topic-id:/);
      await recreate(stage, 1);
      await persist(() => stage.produce(messages(300, undefined, 1000)));
      // Kafka deletes the offsets with the topic. A commit that comes just after that is of the old topic.
      await commitAs(kafka.brokers, stage, '100', metadata);
      const second = stage.start();
      await until(() => range(300, 1000).every(id => manager.ids().includes(id)), 'all alerts', 60_000);
      await until(
        async () => (await stage.committed())[0] === 300 && (await stage.counted()),
        'the new records committed',
      );
      assert.equal(await second.stop(), 0);
    },
  );

  stageTest('a first start never sets a committed offset back', 4, async (stage, manager) => {
    const wired = await openWire(kafka.brokers);
    try {
      stage.environment.EARSHOT_BROKERS = wired.brokers;
      stage.environment.EARSHOT_MODULE = await buildModule('plain');
      const offsets = new Map<string, number>();
      const backwards: string[] = [];
      // The first offsets of the partitions come late, when others are committed already.
      wired.wire.delayMs = apiKey => (apiKey === LIST_OFFSETS ? 400 : 0);
      wired.wire.request = (apiKey, frame) => {
        if (apiKey === OFFSET_COMMIT) {
          const found = commitsOf(frame);
          for (const [partition, offset] of found) {
            const before = offsets.get(partition) ?? -1;
            if (offset < before) backwards.push(`${partition} from ${before} to ${offset}`);
            offsets.set(partition, offset);
          }
        }
        return true;
      };
      for (let round = 0; round < 3; round++) {
        offsets.clear();
        stage.environment.EARSHOT_GROUP = uniqueName('group');
        await stage.produce(messages(200, id => id % 200 === 0, round * 200));
        const running = stage.start({ EARSHOT_COMMIT_INTERVAL_MS: '50' });
        await until(() => sum([...offsets.values()]) === 200 * (round + 1), `round ${round}: all committed`);
        await sleep(2000);
        assert.equal(await running.stop(), 0);
      }
      assert.deepEqual(backwards, []);
      assert.deepEqual(
        [...new Set(manager.ids())].sort((a, b) => a - b),
        [0, 200, 400],
      );
    } finally {
      await wired.stop();
    }
  });

  stageTest(
    'every hit has the id of its topic, also when the broker says it late',
    1,
    async (stage, manager) => {
      const wired = await openWire(kafka.brokers);
      try {
        stage.environment.EARSHOT_BROKERS = wired.brokers;
        let asked = 0;
        wired.wire.request = (apiKey, frame) => {
          if (apiKey !== METADATA || frame.readInt16BE(2) !== TOPIC_IDS_VERSION) return true;
          const at = frame.indexOf(stage.topic);
          if (at < 0 || frame.includes(stage.hitsTopic)) return true; // The counter asks for its own topic.
          asked++;
          if (asked === 2) frame[at] = '!'.charCodeAt(0); // There is no such topic.
          return asked > 1;
        };
        await stage.produce(messages(10));
        const running = stage.start();
        await until(() => new Set(manager.ids()).size === 10, 'all alerts');
        assert.equal(await running.stop(), 0);
        assert.ok(asked > 2);
        const ids = (await readTopic(kafka.brokers, stage.hitsTopic)).flatMap(
          ({ value }) => hitId(value) ?? [],
        );
        assert.equal(ids.length, 10);
        assert.deepEqual(
          ids.filter(id => !id.startsWith(`${stage.topic}@`)),
          [],
        );
      } finally {
        await wired.stop();
      }
    },
  );

  test('a topic that does not exist is named, in one line', async () => {
    const stage = await openStage(kafka.brokers, 'http://127.0.0.1:9');
    try {
      const running = stage.start({ EARSHOT_TOPICS: `${stage.topic},no-such-topic` });
      assert.equal(await running.exitCode, 1);
      assert.deepEqual(complaints(running.logs), [
        'Kafka has no topic "no-such-topic": create it, or correct EARSHOT_TOPICS (is this user allowed to see it?)',
      ]);
    } finally {
      await stage.close();
    }
  });

  test('Kafka that is down at the start is one line, and waited for', async () => {
    const own = await startKafka({ 'group.min.session.timeout.ms': '1000' });
    const manager = await startNotificationManager();
    const stage = await openStage(own.brokers, manager.url);
    try {
      await stage.produce(messages(3));
      const back = own.restart(4000);
      await sleep(500);
      const running = stage.start();
      await back;
      await until(() => manager.ids().length >= 3, 'the alerts', 60_000);
      assert.deepEqual(
        complaints(running.logs).map(line => line.replace(/:\d+/g, '')),
        ['a Kafka broker cannot be reached; trying again'],
      );
      assert.equal(await running.stop(), 0);
    } finally {
      await stage.close();
      await manager.stop();
      await own.stop();
    }
  });

  test('no Kafka at all: the process ends, and says so in two lines', { timeout: 120_000 }, async () => {
    const stage = await openStage(kafka.brokers, 'http://127.0.0.1:9');
    try {
      const running = stage.start({ EARSHOT_BROKERS: '127.0.0.1:9,127.0.0.1:19' });
      assert.equal(await running.exitCode, 1);
      const [first, ...rest] = complaints(running.logs);
      assert.equal(first, 'a Kafka broker cannot be reached; trying again');
      assert.match(
        rest.at(-1)!,
        /^no Kafka broker of 127\.0\.0\.1:9,127\.0\.0\.1:19 can be reached: Connection error/,
      );
      assert.ok(rest.length <= 2, 'one more for every half minute');
      assert.ok(running.logs.every(line => !('stack' in line)));
    } finally {
      await stage.close();
    }
  });
});

/** The lines above info, and of the last one what it says. */
function complaints(logs: LogLine[]): string[] {
  return logs
    .filter(({ level }) => level === 'error' || level === 'warn')
    .map(line => (line.message.startsWith('the function ends') ? String(line.error) : line.message));
}

async function recreate(stage: Stage, partitions: number): Promise<void> {
  const { admin, topic } = stage;
  await admin.deleteTopics({ topics: [topic] });
  const create = () =>
    admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: false });
  await persist(async () => {
    if (!(await create())) throw new Error('the topic is still there');
  });
}

/** Commits for a group that has no members. */
async function commitAs(brokers: string, stage: Stage, offset: string, metadata: string): Promise<void> {
  const { default: kafkajs } = await import('kafkajs');
  const client = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING });
  const consumer = client.consumer({ groupId: stage.group, sessionTimeout: 6000 });
  await consumer.connect();
  await consumer.subscribe({ topics: [stage.topic], fromBeginning: true });
  const joined = new Promise(done => consumer.on('consumer.group_join', done));
  await consumer.run({ autoCommit: false, eachBatch: async () => {} });
  await joined;
  await sleep(500);
  await consumer.commitOffsets([{ topic: stage.topic, partition: 0, offset, metadata }]);
  await consumer.disconnect();
  assert.deepEqual(await stage.committed(), [Number(offset)]);
}

/** OffsetCommit version 5: client, group, generation, member, [topic, [partition, offset, metadata]]. */
function commitsOf(frame: Buffer): Map<string, number> {
  let at = 8;
  const text = () => {
    const size = frame.readInt16BE(at);
    at += 2 + Math.max(0, size);
    return frame.toString('utf8', at - Math.max(0, size), at);
  };
  const count = () => frame.readInt32BE((at += 4) - 4);
  text();
  text();
  count();
  text();
  const commits = new Map<string, number>();
  for (let topics = count(); topics > 0; topics--) {
    const topic = text();
    for (let partitions = count(); partitions > 0; partitions--) {
      const partition = count();
      commits.set(`${topic}/${partition}`, Number(frame.readBigInt64BE((at += 8) - 8)));
      text();
    }
  }
  return commits;
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + Math.max(0, number), 0);
}
