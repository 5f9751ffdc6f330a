// What goes wrong around the function: the sink, the broker, the records, the offsets.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { stageTests, messages, metric, openStage, range, until } from './harness.ts';
import { bodyOf } from '../sink/body.ts';
import { breakable, buildModule, trappingOn, withMatcher } from './module.ts';

const DOWN_MS = Number(process.env.EARSHOT_TEST_DOWN_MS ?? 60_000);

describe('faults', { skip: kafkaMissing(), concurrency: 4 }, () => {
  let kafka: TestKafka;
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka?.stop());

  const stageTest = stageTests(() => kafka.brokers);

  stageTest(
    `a sink that is down for ${DOWN_MS / 1000} s loses nothing, and its partitions stay ours`,
    2,
    async (stage, manager) => {
      const { port } = new URL(manager.url);
      const running = stage.start();
      await stage.produce(messages(10), 0);
      await until(() => manager.queue.length === 10, 'the first alerts');
      await manager.stop();
      await stage.produce(
        messages(100, id => id % 10 === 0, 100),
        0,
      );
      await stage.produce(
        messages(100, id => id % 10 === 0, 200),
        1,
      );
      await sleep(DOWN_MS);
      // Ten hits, and their ten marks where these came before the first hit whose alert is not delivered.
      const [committed] = await stage.committedHits();
      assert.ok(committed! >= 10 && committed! <= 20, `committed up to ${committed}`);
      const back = await startNotificationManager(Number(port));
      await until(
        async () => (await stage.committed()).join() === '110,100' && (await stage.counted()),
        'everything committed',
      );
      assert.deepEqual(
        back.ids().sort((a, b) => a - b),
        range(20).map(n => 100 + n * 10),
      );
      assert.equal(await metric(running, 'earshot_generations_total'), 2, 'no rebalance of either group');
      assert.ok((await metric(running, 'earshot_pauses_total')) > 0);
      await back.stop();
    },
  );

  stageTest('a sink slower than the session keeps its partition', 1, async (stage, manager) => {
    manager.intercept = async (_request, _response, body) => {
      if (body.includes('record 1"')) await sleep(9000); // The session is 6 s.
      return false;
    };
    await stage.produce(messages(3));
    const running = stage.start({ EARSHOT_SINK_TIMEOUT_MS: '9900', EARSHOT_SHUTDOWN_MS: '12000' });
    await until(
      async () => (await stage.committed())[0] === 3 && (await stage.counted()),
      'everything committed',
    );
    assert.deepEqual(manager.ids(), range(3));
    assert.equal(await metric(running, 'earshot_generations_total'), 2, 'no rebalance of either group');
    assert.equal(await metric(running, 'earshot_sink_slow_total'), 1);
  });

  stageTest('a paused partition resumes with the state it had at the alert', 1, async (stage, manager) => {
    let refusals = 0;
    manager.intercept = (_request, response, body) => {
      if (!body.includes('record 5"') || refusals > 6) return false;
      refusals++;
      response.writeHead(503).end();
      return true;
    };
    await stage.produce(messages(30));
    const running = stage.start({ EARSHOT_RETRY_HOLD_MS: '100' });
    await until(
      async () => (await stage.committed())[0] === 30 && (await stage.counted()),
      'everything committed',
    );
    assert.ok((await metric(running, 'earshot_pauses_total')) > 0);
    assert.deepEqual(manager.ids(), range(30));
    const counts = manager.queue.map(alert => Number(alert.annotations.count));
    assert.deepEqual(counts, range(30, 1), 'each record counted once');
  });

  stageTest('401, 403 and 404 are retried loudly, and nothing is skipped', 1, async (stage, manager) => {
    const statuses = [401, 403, 404];
    manager.intercept = (_request, response) => {
      const status = statuses.shift();
      if (!status) return false;
      response.writeHead(status).end();
      return true;
    };
    await stage.produce(messages(3));
    const running = stage.start();
    await until(
      async () => (await stage.committed())[0] === 3 && (await stage.counted()),
      'everything committed',
    );
    assert.deepEqual(manager.ids(), range(3));
    assert.equal(
      running.logs.filter(line => line.level === 'error' && line.message.includes('check its address'))
        .length,
      3,
    );
  });

  stageTest('Retry-After is honoured', 1, async (stage, manager) => {
    const times: number[] = [];
    manager.intercept = (_request, response) => {
      times.push(Date.now());
      if (times.length > 1) return false;
      response.writeHead(429, { 'retry-after': '3' }).end();
      return true;
    };
    await stage.produce(messages(1));
    stage.start();
    await until(
      async () => (await stage.committed())[0] === 1 && (await stage.counted()),
      'everything committed',
    );
    assert.ok(times[1]! - times[0]! >= 3000, `${times[1]! - times[0]!} ms`);
  });

  stageTest(
    'of a body with many alerts only the refused one becomes a dead letter',
    1,
    async (stage, manager) => {
      manager.intercept = (_request, response, body) => {
        if (!body.includes('"part":"77"')) return false;
        response.writeHead(400).end('part 77');
        return true;
      };
      const loadModule = withMatcher(() => ({ alert: () => bodyOf(1, 120) }));
      await stage.produce(messages(1));
      stage.start({}, { loadModule });
      await until(
        async () => (await stage.committed())[0] === 1 && (await stage.counted()),
        'everything committed',
      );
      const parts = manager.queue.map(alert => Number(alert.labels.part)).sort((a, b) => a - b);
      assert.deepEqual(
        parts,
        range(120).filter(part => part !== 77),
      );
      const [letter] = await stage.deadLetters(1);
      assert.deepEqual(
        JSON.parse(letter!.value!).alerts.map((alert: { labels: object }) => alert.labels),
        [{ alertname: 'Test', id: '1', part: '77' }],
      );
      for (const { body } of manager.requests) assert.ok(JSON.parse(body).alerts.length <= 50);
    },
  );

  stageTest(
    'poison goes to the dead-letter topic, the instance is renewed, the stream goes on',
    1,
    async (stage, manager) => {
      await stage.produce([
        ...messages(3),
        { key: 'k', value: 'no JSON' },
        { value: null },
        { value: '{"log":"BREAK"}' },
        { value: '[{"log":"ALERT","id":3}, 17 , {"log":"ALERT [\\"]","id":4}]' },
        { value: '[{"log":"ALERT"' },
        ...messages(1, undefined, 5),
      ]);
      const running = stage.start({}, { loadModule: breakable });
      await until(
        async () => (await stage.committed())[0] === 9 && (await stage.counted()),
        'everything committed',
      );
      assert.deepEqual(manager.ids(), range(6));
      assert.deepEqual(
        manager.queue.map(alert => alert.annotations.count),
        ['1', '2', '3', '4', '5', '6'],
        'the state outlived the instance',
      );
      const letters = await stage.deadLetters(5);
      assert.deepEqual(
        letters.map(({ value, headers }) => [value, headers['earshot.offset'], headers['earshot.error']]),
        [
          ['no JSON', '3', 'not a JSON object'],
          ['', '4', 'not a JSON object'],
          ['{"log":"BREAK"}', '5', 'the matcher broke: unreachable'],
          ['17 ', '6', 'not a JSON object'],
          ['[{"log":"ALERT"', '7', 'not a JSON object'],
        ],
      );
      assert.equal(await metric(running, 'earshot_dead_letters_total'), 5);
    },
  );

  stageTest('a record on which the module traps is counted, and a dead letter', 1, async (stage, manager) => {
    const size = 4242;
    const trap = JSON.stringify({ log: 'ALERT', id: 9, pad: '' });
    const value = trap.replace('""', `"${'x'.repeat(size - trap.length)}"`);
    await stage.produce([...messages(2), { value }, ...messages(1, undefined, 2), { value }]);
    const running = stage.start({}, { loadModule: trappingOn(size) });
    await until(
      async () => (await stage.committed())[0] === 5 && (await stage.counted()),
      'everything committed',
    );
    assert.equal(await metric(running, 'earshot_traps_total'), 2);
    assert.deepEqual(
      manager.queue.map(alert => alert.annotations.count),
      ['1', '2', '3'],
      'the state outlived the instance',
    );
    const letters = await stage.deadLetters(2);
    assert.deepEqual(
      letters.map(({ headers }) => [headers['earshot.offset'], headers['earshot.error']]),
      [
        ['2', 'the matcher broke: unreachable'],
        ['4', 'the matcher broke: unreachable'],
      ],
    );
  });

  stageTest('many records that are no JSON cost little more than others, and few lines', 1, async stage => {
    const count = 3000;
    const secondsOf = async (from: number, records: { value: string }[]) => {
      await stage.produce(records);
      const running = stage.start();
      const startedAt = performance.now();
      await until(
        async () => (await stage.committed())[0] === from + count && (await stage.counted()),
        'everything committed',
      );
      const seconds = (performance.now() - startedAt) / 1000;
      await running.stop();
      return { seconds, running };
    };
    const plain = await secondsOf(0, Array(count).fill({ value: '{"log":"quiet"}' }));
    const poison = await secondsOf(
      count,
      Array.from({ length: count }, (_, id) => ({ value: `no JSON ${id}` })),
    );
    const ratio = poison.seconds / plain.seconds;
    assert.ok(ratio < 4, `${ratio.toFixed(1)} times as long as ${plain.seconds.toFixed(2)} s`);
    const letters = await stage.deadLetters(count);
    assert.deepEqual(
      letters.map(({ value }) => value),
      Array.from({ length: count }, (_, id) => `no JSON ${id}`),
    );
    assert.equal(await metric(poison.running, 'earshot_dead_letters_total'), count);
    const lines = poison.running.logs.filter(({ message }) => message === 'put in the dead-letter topic');
    assert.ok(lines.length <= 3, `${lines.length} lines`);
    assert.equal(
      lines.reduce((sum, line) => sum + Number(line.count), 0),
      count,
    );
    assert.ok(JSON.stringify(poison.running.logs).length < 20_000);
  });

  stageTest('a sink that is slow for every connection is sent nothing twice', 6, async (stage, manager) => {
    manager.intercept = async () => {
      await sleep(700);
      return false;
    };
    for (const partition of range(6)) await stage.produce(messages(2, undefined, partition * 2), partition);
    // Six posts for one connection: the last waits 3.5 s, and its time is 1.5 s.
    const running = stage.start({ EARSHOT_SINK_CONNECTIONS: '1' });
    await until(
      async () => (await stage.committed()).join() === '2,2,2,2,2,2' && (await stage.counted()),
      'everything committed',
    );
    assert.deepEqual(
      manager.ids().sort((a, b) => a - b),
      range(12),
    );
    assert.equal(await metric(running, 'earshot_retries_total'), 0);
    assert.equal(await metric(running, 'earshot_sink_slow_total'), 0);
  });

  stageTest(
    'a sink that hangs holds one tick, and what comes after it keeps its session',
    8,
    async (stage, manager) => {
      const eachPartition = async (log: string) => {
        for (const host of range(8))
          await stage.produce([{ value: JSON.stringify({ log, host: String(host) }) }], host);
      };
      let isHanging = true;
      let openCount = 0;
      let mostOpen = 0;
      manager.intercept = async (_request, response) => {
        if (!isHanging) return false;
        openCount++;
        const closed = new Promise(done => response.once('close', done));
        await sleep(100); // The end of the one before may be on its way.
        mostOpen = Math.max(mostOpen, openCount);
        await closed;
        openCount--;
        return true;
      };
      await eachPartition('BEAT');
      const running = stage.start({ EARSHOT_MODULE: await buildModule('absence') });
      await until(() => openCount > 0, 'a tick at the sink');
      await sleep(8000); // Every partition has an absence to tell by now.
      assert.equal(mostOpen, 1, 'ticks at the sink at the same time');
      await eachPartition('quiet');
      await sleep(12_000); // Two sessions.
      assert.equal(await metric(running, 'earshot_generations_total'), 2, 'no rebalance of either group');
      isHanging = false;
      const told = () => new Set(manager.queue.map(({ status, labels }) => `${labels.host} ${status}`));
      await until(() => told().size === 8, 'every absence');
      assert.deepEqual(
        [...told()].sort(),
        range(8).map(host => `${host} firing`),
      );
      await until(
        async () => (await stage.committed()).every(offset => offset === 2),
        'everything committed',
      );
    },
  );

  stageTest(
    'without a dead-letter topic a poison record holds up the other partitions for a moment only',
    2,
    async (stage, manager) => {
      await stage.produce([{ value: 'no JSON' }], 0);
      const running = stage.start({ EARSHOT_DEAD_LETTER_TOPIC: `${stage.topic}-missing` });
      await until(
        () => running.logs.some(line => line.message.startsWith('not delivered yet')),
        'a retry',
        60_000,
      );
      const latencies: number[] = [];
      for (let id = 0; id < 10; id++) {
        const producedAt = Date.now();
        await stage.produce(messages(1, undefined, id), 1);
        await until(() => manager.ids().includes(id), `the alert of record ${id}`, 60_000);
        latencies.push(Date.now() - producedAt);
        await sleep(300);
      }
      // The hold (1 s), one more attempt, and a fetch.
      assert.ok(Math.max(...latencies) < 6000, `${latencies.join(', ')} ms`);
      assert.deepEqual(await stage.committed(), [0, 10]);
    },
  );

  stageTest('a dead letter that cannot be written holds its partition', 1, async (stage, manager) => {
    await stage.produce([...messages(2), { value: 'no JSON' }, ...messages(1, undefined, 2)]);
    const running = stage.start({ EARSHOT_DEAD_LETTER_TOPIC: `${stage.topic}-missing` });
    await until(
      () => running.logs.some(line => line.message.startsWith('not delivered yet')),
      'a retry',
      60_000,
    );
    assert.ok(running.logs.some(line => line.message.startsWith('the dead-letter topic does not exist')));
    await sleep(1000);
    assert.deepEqual(await stage.committed(), [2]);
    await stage.admin.createTopics({
      topics: [{ topic: `${stage.topic}-missing`, numPartitions: 1 }],
      waitForLeaders: false,
    });
    await until(
      async () => (await stage.committed())[0] === 4 && (await stage.counted()),
      'everything committed',
      60_000,
    );
    assert.deepEqual(manager.ids(), range(3));
  });

  stageTest(
    'an offset out of range goes on from the first record that is left',
    1,
    async (stage, manager) => {
      await stage.produce(messages(100));
      await stage.admin.setOffsets({
        groupId: stage.group,
        topic: stage.topic,
        partitions: [{ partition: 0, offset: '10' }],
      });
      await stage.admin.deleteTopicRecords({
        topic: stage.topic,
        partitions: [{ partition: 0, offset: '50' }],
      });
      const running = stage.start();
      await until(
        async () => (await stage.committed())[0] === 100 && (await stage.counted()),
        'everything committed',
      );
      assert.deepEqual(manager.ids(), range(50, 50));
      assert.equal(await metric(running, 'earshot_offset_resets_total'), 1);
    },
  );

  stageTest('every assigned partition gets a committed offset, records or not', 4, async (stage, manager) => {
    await stage.produce(messages(10), 1);
    await stage.produce(messages(10, undefined, 10), 2);
    await stage.admin.deleteTopicRecords({
      topic: stage.topic,
      partitions: [{ partition: 2, offset: '10' }],
    });
    stage.start();
    await until(
      async () => (await stage.committed()).join() === '0,10,10,0' && (await stage.counted()),
      'all four',
    );
    assert.deepEqual(manager.ids(), range(10));
  });

  stageTest('the window before the committed offset is read in silence', 1, async (stage, manager) => {
    await stage.produce(messages(500));
    const first = stage.start();
    await until(
      async () => (await stage.committed())[0] === 500 && (await stage.counted()),
      'the first records committed',
    );
    assert.equal(await first.stop(), 0);
    await stage.produce(messages(5, undefined, 500));
    const second = stage.start();
    await until(
      async () => (await stage.committed())[0] === 505 && (await stage.counted()),
      'everything committed',
    );
    assert.deepEqual(manager.ids(), range(505));
    assert.deepEqual(
      manager.queue.slice(-5).map(alert => Number(alert.annotations.count)),
      range(5, 501),
    );
    assert.equal(await metric(second, 'earshot_replayed_hits_total'), 500);
  });

  stageTest(
    'strict delivery waits for the channel, and takes its trouble for its own',
    1,
    async (stage, manager) => {
      let troubles = 2;
      manager.channel = () => (troubles-- > 0 ? 'slack: 429' : undefined);
      await stage.produce(messages(3));
      stage.start({
        EARSHOT_STRICT: 'true',
        EARSHOT_STRICT_RECEIVER_FILE: new URL('receiver.json', import.meta.url).pathname,
      });
      await until(
        async () => (await stage.committed())[0] === 3 && (await stage.counted()),
        'everything committed',
      );
      assert.deepEqual(manager.ids(), range(3));
      assert.ok(manager.requests.every(({ path }) => path === '/api/v2/notifications'));
    },
  );
});

describe(
  'the broker',
  { skip: kafkaMissing() ?? (process.env.KAFKA_BROKERS && 'needs a broker of its own') },
  () => {
    test('restarted: the function goes on in the same process', async () => {
      const kafka = await startKafka();
      const manager = await startNotificationManager();
      const stage = await openStage(kafka.brokers, manager.url, 2);
      try {
        const running = stage.start();
        await stage.produce(messages(100));
        await until(() => manager.queue.length === 100, 'the first alerts');
        await kafka.restart(3000);
        await stage.produce(messages(100, undefined, 100));
        await until(() => new Set(manager.ids()).size === 200, 'the alerts after the restart', 60_000);
        await until(
          async () => (await stage.committed()).reduce((sum, offset) => sum + offset, 0) === 200,
          'everything committed',
        );
        assert.equal(await running.stop(), 0);
      } finally {
        await stage.close();
        await manager.stop();
        await kafka.stop();
      }
    });
  },
);
