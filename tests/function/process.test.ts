// The function as Kubernetes sees it: probes, metrics, logs, signals, exit codes.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { messages, openStage, range, until } from './harness.ts';
import type { Stage } from './harness.ts';
import { bundleFunction, spawnFunction } from './process.ts';
import { withMatcher } from './module.ts';

describe('the process', { skip: kafkaMissing() }, () => {
  let kafka: TestKafka;
  let file: string;
  let manager: Awaited<ReturnType<typeof startNotificationManager>>;
  let stage: Stage;
  before(async () => {
    [kafka, manager, file] = await Promise.all([startKafka(), startNotificationManager(), bundleFunction()]);
    stage = await openStage(kafka.brokers, manager.url, 2);
  });
  after(async () => {
    await stage?.close();
    await manager?.stop();
    await kafka?.stop();
  });

  test('probes, metrics and logs, without a secret in any of them', async () => {
    const port = 20_000 + (process.pid % 10_000);
    const url = `http://127.0.0.1:${port}`;
    const secret = 'hunter2';
    const environment = {
      ...stage.environment,
      EARSHOT_PORT: String(port),
      EARSHOT_SINK_USERNAME: 'me',
      EARSHOT_SINK_PASSWORD: secret,
    };
    await stage.produce(
      messages(100, id => id % 10 === 0),
      0,
    );
    await stage.produce([{ value: 'poison' }], 1);
    const one = spawnFunction(file, environment);
    await until(async () => (await stage.committed()).join() === '100,1', 'everything committed');
    for (const probe of ['healthz', 'readyz']) assert.equal((await fetch(`${url}/${probe}`)).status, 200);
    assert.equal((await fetch(`${url}/else`)).status, 404);
    await sleep(300); // The gauges follow the commit.
    const text = await (await fetch(`${url}/metrics`)).text();
    for (const line of [
      `earshot_records_total{topic="${stage.topic}"} 101`,
      'earshot_matches_total{rule="Test"} 10',
      'earshot_alerts_total 10',
      'earshot_sink_results_total{result="accepted"} 10',
      'earshot_sink_seconds_count 10',
      'earshot_dead_letters_total{reason="poison"} 1',
      `earshot_lag_records{topic="${stage.topic}",partition="0"} 0`,
      `earshot_committed_offset{topic="${stage.topic}",partition="0"} 100`,
    ])
      assert.ok(text.includes(`${line}\n`), `no line "${line}" in:\n${text}`);
    one.child.kill('SIGTERM');
    assert.equal(await one.exited, 0, one.log());
    for (const output of [one.log(), text])
      assert.ok(!output.includes(secret) && !output.includes(Buffer.from(`me:${secret}`).toString('base64')));
    for (const line of one.log().trim().split('\n')) assert.ok(JSON.parse(line).msg, line);
  });

  test('SIGTERM with a sink that hangs: an exit within the deadline, and nothing committed beyond it', async () => {
    manager.intercept = () => true; // Never answers.
    await until(() => stage.counted(), 'everything counted');
    const committed = await stage.committedHits();
    await stage.produce(messages(5, undefined, 1000), 0);
    const one = spawnFunction(file, { ...stage.environment, EARSHOT_SINK_TIMEOUT_MS: '2000' });
    const seen = manager.requests.length;
    await until(() => manager.requests.length > seen, 'a post');
    const signalled = Date.now();
    one.child.kill('SIGTERM');
    assert.equal(await one.exited, 0, one.log());
    assert.ok(Date.now() - signalled < 5000, `${Date.now() - signalled} ms`);
    assert.deepEqual(await stage.committedHits(), committed);
    manager.intercept = undefined;
    const next = stage.start();
    await until(() => range(5, 1000).every(id => manager.ids().includes(id)), 'the next owner delivers');
    await next.stop();
  });

  test('a topic that does not exist ends the process with 1', async () => {
    const one = spawnFunction(file, { ...stage.environment, EARSHOT_TOPICS: 'not-there' });
    assert.equal(await one.exited, 1, one.log());
  });

  test('a bug of ours ends the process with 1, and commits nothing of the batch', async () => {
    const before = await stage.committed();
    const bug = () => {
      throw new TypeError('a bug');
    };
    const one = stage.start({}, { loadModule: withMatcher(() => ({ find: bug })) });
    const assigned = () => one.logs.filter(({ message }) => message === 'partitions assigned').length;
    await until(() => assigned() === 2, 'both roles at work');
    await sleep(1000);
    await stage.produce(messages(3, undefined, 2000), 1);
    assert.equal(await one.exitCode, 1);
    assert.deepEqual(await stage.committed(), before);
  });
});
