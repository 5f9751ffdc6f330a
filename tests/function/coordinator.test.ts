// The broker that coordinates the group: it moves, it loads, it refuses. A wire in front of three real brokers stages
// what otherwise takes luck.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startCluster } from '../kafka.ts';
import type { TestCluster } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { messages, metric, openStage, range, until } from './harness.ts';
import type { Stage } from './harness.ts';
import { JOIN_GROUP, openWire, OFFSET_COMMIT } from './mock-kafka.ts';
import type { WiredKafka } from './mock-kafka.ts';

const LOAD_IN_PROGRESS = 14;
const NOT_COORDINATOR = 16;
const OFFSETS_TOPIC = '__consumer_offsets';

type Manager = Awaited<ReturnType<typeof startNotificationManager>>;

const skip = kafkaMissing() ?? (process.env.KAFKA_BROKERS && 'needs three brokers of its own');

describe('the coordinator', { skip }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.stop());

  function stageTest(
    name: string,
    run: (stage: Stage, manager: Manager, wired: WiredKafka) => Promise<void>,
  ): void {
    test(name, { timeout: 120_000 }, async () => {
      const wired = await openWire(cluster.brokers);
      const manager = await startNotificationManager();
      const stage = await openStage(cluster.brokers, manager.url, 3);
      stage.environment.EARSHOT_BROKERS = wired.brokers;
      try {
        await run(stage, manager, wired);
      } finally {
        await stage.close();
        await manager.stop();
        await wired.stop();
      }
    });
  }

  stageTest(
    'moves, and is still loading when the function joins: commits go on',
    async (stage, manager, wired) => {
      await stage.produce(messages(10));
      const running = stage.start();
      await until(
        async () => sum(await stage.committed()) === 10 && (await stage.counted()),
        'the first commits',
      );
      let loading = 2;
      wired.wire.request = (apiKey, frame) => {
        if (apiKey === JOIN_GROUP && loading > 0) spoil(frame);
        return true;
      };
      wired.wire.response = (apiKey, frame) => {
        // [correlation 4][throttle 4][error 2]
        if (apiKey === JOIN_GROUP && loading-- > 0) frame.writeInt16BE(LOAD_IN_PROGRESS, 8);
        return true;
      };
      await moveCoordinator(stage);
      await stage.produce(messages(10, undefined, 10));
      await until(
        async () => sum(await stage.committed()) === 20 && (await stage.counted()),
        'the commits after the move',
        20_000,
      );
      await stage.produce(messages(10, undefined, 20));
      await until(
        async () => sum(await stage.committed()) === 30 && (await stage.counted()),
        'the commits go on',
        20_000,
      );
      assert.deepEqual(
        [...new Set(manager.ids())].sort((a, b) => a - b),
        range(30),
      );
      assert.equal(await running.stop(), 0);
    },
  );

  stageTest('moves twice: a commit finds it', async (stage, manager) => {
    const running = stage.start();
    for (let round = 1; round <= 3; round++) {
      await stage.produce(messages(10, undefined, (round - 1) * 10));
      await until(
        async () => sum(await stage.committed()) === 10 * round && (await stage.counted()),
        `the commits of round ${round}`,
      );
      await moveCoordinator(stage);
    }
    assert.deepEqual(
      [...new Set(manager.ids())].sort((a, b) => a - b),
      range(30),
    );
    assert.equal(await running.stop(), 0);
  });

  stageTest(
    'refuses every commit and takes every heartbeat: the process ends with a sentence',
    async (stage, manager, wired) => {
      await stage.produce(messages(5));
      const port = 20_000 + (process.pid % 10_000);
      const running = stage.start({ EARSHOT_PORT: String(port), EARSHOT_STALLED_MS: '3000' });
      await until(
        async () => sum(await stage.committed()) === 5 && (await stage.counted()),
        'the first commits',
      );
      wired.wire.response = (apiKey, frame) => {
        // The error of the last partition ends the answer.
        if (apiKey === OFFSET_COMMIT) frame.writeInt16BE(NOT_COORDINATOR, frame.length - 2);
        return true;
      };
      wired.wire.request = (apiKey, frame) => {
        if (apiKey === OFFSET_COMMIT) spoil(frame);
        return true;
      };
      await stage.produce(messages(5, undefined, 5));
      await until(async () => {
        const health = await fetch(`http://127.0.0.1:${port}/healthz`);
        return health.status === 503 && /no commit was accepted/.test(await health.text());
      }, 'an unhealthy function');
      assert.equal(await running.exitCode, 1);
      assert.match(JSON.stringify(running.logs.at(-1)), /refused \d+ commits in a row/);
      assert.ok(manager.ids().length >= 10);
    },
  );

  stageTest('kill -9: deliveries go on, and commits after it has moved', async (stage, manager) => {
    const running = stage.start();
    await stage.produce(messages(30));
    await until(
      async () => sum(await stage.committed()) === 30 && (await stage.counted()),
      'the first commits',
    );
    const generations = await metric(running, 'earshot_generations_total');
    await spreadOffsets(stage);
    const node = await coordinator(stage);
    const killedAt = Date.now();
    await cluster.kill(node);
    let next = 30;
    const delivered = () => new Set(manager.ids()).size;
    let firstDelivery: number | undefined;
    while (!firstDelivery && Date.now() - killedAt < 60_000) {
      const before = delivered();
      await stage.produce(messages(30, undefined, next)).then(
        () => (next += 30),
        () => {},
      );
      await sleep(200);
      if (delivered() > before) firstDelivery = Date.now() - killedAt;
    }
    await until(() => delivered() === next, 'all delivered', 60_000);
    const allDelivered = Date.now() - killedAt;
    const ends = async () =>
      (await stage.admin.fetchTopicOffsets(stage.topic)).reduce((total, { high }) => total + Number(high), 0);
    await until(
      async () => sum(await stage.committed()) === (await ends()) && (await stage.counted()),
      'all committed',
      60_000,
    );
    const allCommitted = Date.now() - killedAt;
    console.log(
      `# after kill -9: first delivery ${firstDelivery} ms, all delivered ${allDelivered} ms, all committed ${allCommitted} ms, joins ${(await metric(running, 'earshot_generations_total')) - generations}`,
    );
    assert.equal(await running.stop(), 0);
    assert.ok(allDelivered < 20_000, `all delivered after ${allDelivered} ms`);
  });
});

/** The broker that leads the only partition of the group's offsets. */
async function coordinator(stage: Stage): Promise<number> {
  const { topics } = await stage.admin.fetchTopicMetadata({ topics: [OFFSETS_TOPIC] });
  return topics[0]!.partitions[0]!.leader;
}

/** Gives the offsets to the other two brokers: the coordinator lives on, and is none any more. */
async function moveCoordinator(stage: Stage): Promise<void> {
  const leader = await coordinator(stage);
  await assignOffsets(
    stage,
    [1, 2, 3].filter(node => node !== leader),
  );
  await until(async () => (await coordinator(stage)) !== leader, 'another coordinator');
}

/** Gives the offsets to all three brokers again, so that one of them can go. */
async function spreadOffsets(stage: Stage): Promise<void> {
  await assignOffsets(stage, [1, 2, 3]);
  await until(async () => {
    const { topics } = await stage.admin.fetchTopicMetadata({ topics: [OFFSETS_TOPIC] });
    return topics[0]!.partitions[0]!.isr.length === 3;
  }, 'three replicas of the offsets');
}

async function assignOffsets(stage: Stage, replicas: number[]): Promise<void> {
  await stage.admin.alterPartitionReassignments({
    topics: [{ topic: OFFSETS_TOPIC, partitionAssignment: [{ partition: 0, replicas }] }],
  });
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + Math.max(0, number), 0);
}

/** OffsetCommit and JoinGroup begin with the group: the broker knows no such group, and the real one sees nothing of it. */
function spoil(frame: Buffer): void {
  const clientSize = Math.max(0, frame.readInt16BE(8));
  const groupAt = 10 + clientSize + 2;
  frame[groupAt] = '!'.charCodeAt(0);
}
