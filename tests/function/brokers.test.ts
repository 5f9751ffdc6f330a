// Three brokers that go and come back. Every topic has three replicas, the group's own topic too.

import { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startCluster } from '../kafka.ts';
import type { TestCluster } from '../kafka.ts';
import { stageTests, messages, range, until, persist } from './harness.ts';
import type { Stage } from './harness.ts';

const ROUNDS = Number(process.env.EARSHOT_TEST_ROLLS ?? 3);
const PARTITIONS = 6;
const NODES = [1, 2, 3];

const skip = kafkaMissing() ?? (process.env.KAFKA_BROKERS && 'needs three brokers of its own');

describe('three brokers', { skip }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
  });
  after(() => cluster?.stop());

  const stageTest = stageTests(() => cluster.brokers);

  stageTest(`the function goes on after ${ROUNDS} rolling restarts`, PARTITIONS, async (stage, manager) => {
    const running = stage.start();
    let produced = 0;
    const produce = async (count: number) => {
      await persist(() => stage.produce(messages(count, undefined, produced)));
      produced += count;
    };
    for (let round = 1; round <= ROUNDS; round++) {
      for (const node of NODES) {
        await produce(10);
        await cluster.shutDown(node);
        await produce(10);
        await sleep(500);
        await cluster.start(node);
        await inSync(stage);
      }
      await produce(10);
      await until(() => new Set(manager.ids()).size === produced, `round ${round}: all alerts`, 30_000);
      await until(() => isCommitted(stage), `round ${round}: all offsets committed`, 30_000);
      const posts = manager.requests.length;
      await sleep(1000);
      assert.equal(manager.requests.length, posts, `round ${round}: nothing is posted again`);
    }
    assert.deepEqual(
      [...new Set(manager.ids())].sort((a, b) => a - b),
      range(produced),
    );
    assert.equal(await running.stop(), 0);
  });
});

/** All offsets are committed. A record that was produced twice has two of them. */
async function isCommitted(stage: Stage): Promise<boolean> {
  const ends = await stage.admin.fetchTopicOffsets(stage.topic).catch(() => []);
  const committed = await stage.committed();
  return ends.length > 0 && ends.every(({ partition, high }) => committed[partition] === Number(high));
}

/** All replicas of the topic and of the group's offsets follow their leader. */
async function inSync(stage: Stage): Promise<void> {
  await until(
    async () => {
      const { topics } = await stage.admin.fetchTopicMetadata({
        topics: [stage.topic, '__consumer_offsets'],
      });
      return topics.every(({ partitions }) => partitions.every(({ isr }) => isr.length === NODES.length));
    },
    'all replicas in sync',
    60_000,
  );
}
