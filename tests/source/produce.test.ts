// What a producer says is acknowledged is in the topic, also when the partitions have just moved to another broker.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { openKafka } from '../../host/source/kafka.ts';
import type { Letter } from '../../host/source/source.ts';
import { openStage, range, readTopic, until } from '../function/harness.ts';
import type { Stage } from '../function/harness.ts';
import { kafkaMissing, startCluster } from '../kafka.ts';

const PARTITIONS = 12;
const skip = kafkaMissing() ?? (process.env.KAFKA_BROKERS && 'needs three brokers of its own');

test(
  'partitions move to another broker: every letter that was acknowledged is in its topic',
  { skip },
  async () => {
    const cluster = await startCluster();
    const stage = await openStage(cluster.brokers, 'http://127.0.0.1:1', PARTITIONS);
    const silent = () => {};
    const source = openKafka(
      {
        brokers: cluster.brokers.split(','),
        topics: [stage.topic],
        group: stage.group,
        clientId: 'test',
        concurrency: 1,
        sessionTimeoutMs: 6000,
        rebalanceTimeoutMs: 10_000,
        tls: false,
      },
      { debug: silent, info: silent, warn: silent, error: silent },
    );
    const acknowledged: string[] = [];
    const produce = async (name: string) => {
      const letters = range(PARTITIONS).map((partition): Letter => ({
        key: null,
        value: Buffer.from(`${name}/${partition}`),
        headers: {},
        partition,
      }));
      await source.produce(stage.topic, letters); // It asks the new leaders by itself.
      acknowledged.push(...letters.map(({ value }) => String(value)));
    };
    try {
      await produce('before');
      const leaders = await leadersOf(stage);
      // Its partitions go to the other two, which have some of the letters already when it says that it leads no more.
      const partitionAssignment = leaders.flatMap((leader, partition) =>
        leader === 1 ? [{ partition, replicas: [2, 3] }] : [],
      );
      assert.ok(partitionAssignment.length > 0);
      await stage.admin.alterPartitionReassignments({
        topics: [{ topic: stage.topic, partitionAssignment }],
      });
      await until(async () => (await leadersOf(stage)).every(leader => leader > 1), 'other leaders');
      await produce('after');
      const there = new Set(
        (await readTopic(cluster.brokers, stage.topic)).map(({ value }) => String(value)),
      );
      assert.deepEqual(
        acknowledged.filter(value => !there.has(value)),
        [],
      );
    } finally {
      await source.stop();
      await stage.close();
      await cluster.stop();
    }
  },
);

async function leadersOf({ admin, topic }: Stage): Promise<number[]> {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return topics[0]!.partitions.toSorted((a, b) => a.partitionId - b.partitionId).map(({ leader }) => leader);
}
