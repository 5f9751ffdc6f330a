// `kill -9` at random moments under load: every alert arrives at least once. That nothing is committed too early is held by
// tests/function/count.test.ts, at every point where a process can end.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { messages, openStage, until } from './harness.ts';
import { bundleFunction, spawnFunction } from './process.ts';

const KILLS = Number(process.env.EARSHOT_TEST_KILLS ?? 50);
const PARTITIONS = 4;
const ROUND = 40; // Messages to each partition at a time, in ids that follow each other.
const BACKLOG_MAX = 300; // Alerts that wait; the load is as heavy as the machine can deliver.
const fires = (id: number) => id % 7 === 0;

const skip = kafkaMissing() ?? (process.env.KAFKA_BROKERS && 'needs a broker with short sessions, its own');

test(`${KILLS} kills under load lose no alert`, { skip }, async () => {
  // A killed member holds up the group until its session ends.
  const kafka = await startKafka({ 'group.min.session.timeout.ms': '500' });
  const manager = await startNotificationManager();
  const stage = await openStage(kafka.brokers, manager.url, PARTITIONS);
  const file = await bundleFunction();
  manager.intercept = (request, response) => {
    const dice = Math.random();
    if (dice < 0.05) response.writeHead(503).end();
    else if (dice < 0.07) request.socket.destroy();
    return dice < 0.07;
  };

  // Message `offset` of partition p is known by its place: the ids are dealt out in order.
  const ids: number[][] = Array.from({ length: PARTITIONS }, () => []);
  let producing = true;
  let next = 0;
  const load = (async () => {
    while (producing) {
      for (let partition = 0; partition < PARTITIONS; partition++, next += ROUND) {
        const batch = messages(ROUND, fires, next);
        await stage.produce(batch, partition);
        ids[partition]!.push(...batch.map((_, index) => next + index));
      }
      do await sleep(50);
      while (producing && next / 7 - new Set(manager.ids()).size > BACKLOG_MAX);
    }
  })();

  const environment = {
    ...stage.environment,
    EARSHOT_SESSION_TIMEOUT_MS: '1000',
    EARSHOT_LOG_LEVEL: 'warn',
  };
  let fruitful = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const before = manager.queue.length;
    const victim = spawnFunction(file, environment);
    // Half of them early, while joining or just at work; half somewhere in the run.
    await sleep(kill % 2 ? 1200 + Math.random() * 1000 : 1000 + Math.random() * 600);
    victim.child.kill('SIGKILL');
    assert.equal(await victim.exited, 'SIGKILL', victim.log());
    if (manager.queue.length > before) fruitful++;
  }
  producing = false;
  await load;
  assert.ok(fruitful > KILLS / 3, `only ${fruitful} of ${KILLS} came to deliver anything`);

  const last = spawnFunction(file, environment);
  const isDone = async () =>
    (await stage.committed()).every((offset, partition) => offset === ids[partition]!.length) &&
    (await stage.counted());
  await until(isDone, 'everything committed', 60_000).catch(async (error: Error) => {
    throw new Error(
      `${error.message}; committed ${await stage.committed()} of ${ids.map(({ length }) => length)}\n${last.log()}`,
    );
  });
  last.child.kill('SIGTERM');
  assert.equal(await last.exited, 0, last.log());
  const expected = ids
    .flat()
    .filter(fires)
    .sort((a, b) => a - b);
  const arrived = manager.ids();
  assert.deepEqual(
    [...new Set(arrived)].sort((a, b) => a - b),
    expected,
  );
  console.log(
    `# ${KILLS} kills, ${fruitful} of them after a delivery: ${expected.length} alerts of ${next} records, ${arrived.length - expected.length} of them twice, 0 lost`,
  );

  await stage.close();
  await manager.stop();
  await kafka.stop();
});
