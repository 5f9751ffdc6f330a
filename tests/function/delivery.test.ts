// Named after the list of Vector's Kafka source, against a real broker.

import { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { stageTests, messages, metric, range, until } from './harness.ts';

describe('delivery', { skip: kafkaMissing(), concurrency: 4 }, () => {
  let kafka: TestKafka;
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka?.stop());

  const stageTest = stageTests(() => kafka.brokers);

  stageTest('consumes with acknowledgements', 1, async (stage, manager) => {
    await stage.produce(messages(2500, id => id % 100 === 0));
    const running = stage.start();
    await until(
      async () => (await stage.committed())[0] === 2500 && (await stage.counted()),
      'everything committed',
    );
    assert.deepEqual(
      manager.ids(),
      range(25).map(n => n * 100),
    );
    assert.equal(await running.stop(), 0);
    assert.deepEqual(
      running.logs.filter(line => line.level === 'error' && !line.kafkajs),
      [],
    );
  });

  stageTest('one negative acknowledgement', 1, async (stage, manager) => {
    let refusals = 0;
    manager.intercept = (_, response, body) => {
      if (!body.includes('record 7"') || refusals > 0) return false;
      refusals++;
      response.writeHead(503).end();
      return true;
    };
    await stage.produce(messages(20));
    stage.start();
    await until(
      async () => (await stage.committed())[0] === 20 && (await stage.counted()),
      'everything committed',
    );
    assert.deepEqual(manager.ids(), range(20));
    assert.equal(refusals, 1);
  });

  stageTest(
    'permanent negative acknowledgement: the alert goes to the dead-letter topic',
    1,
    async (stage, manager) => {
      manager.intercept = (_, response, body) => {
        if (!body.includes('record 7"')) return false;
        response.writeHead(422).end('cannot be taken');
        return true;
      };
      await stage.produce(messages(20));
      stage.start();
      await until(
        async () => (await stage.committed())[0] === 20 && (await stage.counted()),
        'everything committed',
      );
      assert.deepEqual(
        manager.ids(),
        range(20).filter(id => id !== 7),
      );
      const [letter] = await stage.deadLetters(1);
      assert.equal(JSON.parse(letter!.value!).alerts[0].labels.id, '7');
      const { 'earshot.time': time, ...headers } = letter!.headers;
      assert.ok(!Number.isNaN(Date.parse(time!)));
      assert.deepEqual(headers, {
        'earshot.topic': stage.hitsTopic,
        'earshot.partition': '0',
        'earshot.offset': '7',
        'earshot.reason': 'refused',
        'earshot.rule': 'Test',
        'earshot.error': '422 cannot be taken',
      });
    },
  );

  stageTest('a rebalance with 1, 3 and 1 members loses nothing', 6, async (stage, manager) => {
    const total = 12_000;
    let produced = 0;
    const producing = (async () => {
      while (produced < total) {
        await stage.produce(messages(200, id => id % 10 === 0, produced));
        produced += 200;
        await sleep(50);
      }
    })();
    const first = stage.start();
    await until(() => manager.queue.length > 20, 'the first alerts');
    const others = [stage.start(), stage.start()];
    for (const other of others)
      await until(async () => (await metric(other, 'earshot_records_total')) > 0, 'all three at work');
    await sleep(500);
    assert.deepEqual(await Promise.all(others.map(other => other.stop())), [0, 0]);
    await producing;
    await until(
      async () => sum(await stage.committed()) === total && (await stage.counted()),
      'everything committed',
    );
    assert.deepEqual(
      [...new Set(manager.ids())].sort((a, b) => a - b),
      range(total / 10).map(n => n * 10),
    );
    assert.equal(await first.stop(), 0);
  });

  stageTest(
    'drains at shutdown: the post under way is finished, its offset committed, the rest left',
    1,
    async (stage, manager) => {
      manager.intercept = async (_request, _response, body) => {
        if (body.includes('record 5"')) await sleep(800);
        return false;
      };
      await stage.produce(messages(20));
      const running = stage.start();
      await until(() => manager.requests.length === 6, 'the slow post');
      assert.equal(await running.stop(), 0);
      assert.deepEqual(manager.ids(), range(6));
      assert.deepEqual(await stage.committedHits(), [6]);
      const group = await stage.admin.describeGroups([`${stage.group}-count`]);
      assert.equal(group.groups[0]!.members.length, 0, 'it left the group');
    },
  );

  stageTest('drains during a rebalance: nothing acknowledged is sent twice', 2, async (stage, manager) => {
    const posts: { from: number; to: number }[] = [];
    manager.intercept = async () => {
      const from = Date.now();
      await sleep(300);
      posts.push({ from, to: Date.now() });
      return false;
    };
    await stage.produce(messages(10), 0);
    await stage.produce(messages(10, undefined, 10), 1);
    stage.start();
    await until(() => manager.requests.length >= 4, 'posts under way');
    const second = stage.start();
    await until(
      async () => sum(await stage.committed()) === 20 && (await stage.counted()),
      'everything committed',
    );
    // The second member's request to be let in is what begins the rebalance.
    const joins = second.logs.filter(line => line.message === 'JoinGroup was sent');
    const meets = ({ sentAt }: Record<string, unknown>) =>
      posts.some(({ from, to }) => from <= Number(sentAt) && Number(sentAt) <= to);
    assert.ok(joins.some(meets), 'the rebalance began while a post was under way');
    assert.deepEqual(
      manager.ids().sort((a, b) => a - b),
      range(20),
    );
  });
});

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + Math.max(0, number), 0);
}
