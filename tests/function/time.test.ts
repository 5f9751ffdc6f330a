// Time and state, as the host keeps them: absences fall due without records, and no timestamp is believed blindly.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { believedTime } from '../../host/function/match.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import type { Alert } from '../sink/notification-manager.ts';
import { metric, openStage, until } from './harness.ts';
import type { Stage } from './harness.ts';
import { buildModule } from './module.ts';

test('a timestamp ahead of the wall clock is taken for now, and −1 for no time', () => {
  const times = ['-1', '0', '999', '1000', '1001', '9999999999999'].map(text => believedTime(text, 1000));
  assert.deepEqual(times, [undefined, 0, 999, 1000, 1000, 1000]);
});

describe('absence', { skip: kafkaMissing() }, () => {
  let kafka: TestKafka;
  before(async () => {
    kafka = await startKafka();
  });
  after(() => kafka?.stop());

  test('fires and resolves through the host, whatever the timestamps of the messages say', async () => {
    const manager = await startNotificationManager();
    const stage = await openStage(kafka.brokers, manager.url);
    const beat = (host: string, timestamp?: string) => ({
      value: JSON.stringify({ log: 'BEAT', host }),
      ...(timestamp && { timestamp }),
    });
    const told = () =>
      manager.requests.flatMap(({ body }) =>
        (JSON.parse(body).alerts as { status: string; labels: { host: string } }[]).map(
          ({ status, labels }) => `${labels.host} ${status}`,
        ),
      );
    try {
      // The broker refuses what is more than an hour ahead; half of that would make every host long silent.
      const beganAt = Date.now();
      await stage.produce([beat('a'), beat('b', String(beganAt + 1_800_000)), beat('b', '-1')]);
      const running = stage.start({ EARSHOT_MODULE: await buildModule('absence') });
      await until(
        async () => (await stage.committed())[0] === 3 && (await stage.counted()),
        'everything committed',
      );
      await until(() => told().length === 2, 'both are silent');
      assert.ok(Date.now() - beganAt >= 2000, 'not before its time');
      assert.deepEqual(told().sort(), ['a firing', 'b firing']);
      await stage.produce([beat('a')]);
      await until(() => told().length === 3, 'a is back');
      assert.equal(told().at(-1), 'a resolved');
      await until(
        async () => (await stage.committed())[0] === 4 && (await stage.counted()),
        'everything committed',
      );
      assert.equal(await metric(running, 'earshot_state_keys'), 4, 'silence and alert, of a and b');
      assert.equal(await metric(running, 'earshot_state_evicted_keys'), 0);
      assert.equal(await running.stop(), 0);
    } finally {
      await stage.close();
      await manager.stop();
    }
  });

  test('of a key that nobody has ever seen is told once, counted from the first start of the counter', async () => {
    const manager = await startNotificationManager();
    const stage = await openStage(kafka.brokers, manager.url, 1, 3);
    const module = { EARSHOT_MODULE: await buildModule('expected') };
    const alerts = () =>
      manager.requests.flatMap(
        ({ body }) => JSON.parse(body).alerts as Required<Alert & { endsAt: string }>[],
      );
    try {
      const first = stage.start(module);
      await until(async () => (await marksOf(stage)).length === 1, 'the wait is written down');
      assert.equal(await first.stop(), 0);
      const [mark] = await marksOf(stage);
      const running = stage.start(module);
      await until(() => alerts().length === 1, 'it is missed');
      const [alert] = alerts();
      assert.deepEqual(alert!.labels, { alertname: 'No backup', severity: 'critical' });
      assert.equal(Date.parse(alert!.startsAt), Date.parse(mark!.mark.seen) + 4000);
      await stage.produce([{ value: JSON.stringify({ log: 'BACKUP', host: 'a' }) }]);
      await until(() => alerts().length === 2, 'it is back');
      assert.deepEqual([alerts()[1]!.status, alerts()[1]!.startsAt], ['resolved', alert!.startsAt]);
      assert.equal(await running.stop(), 0);
      assert.equal(alerts().length, 2);
    } finally {
      await stage.close();
      await manager.stop();
    }
  });

  test('waits until the matchers have caught up with the logs', async () => {
    const manager = await startNotificationManager();
    const stage = await openStage(kafka.brokers, manager.url);
    const module = { EARSHOT_MODULE: await buildModule('absence') };
    const beat = () => stage.produce([{ value: JSON.stringify({ log: 'BEAT', host: 'a' }) }]);
    const alerts = () => manager.requests.flatMap(({ body }) => JSON.parse(body).alerts as Alert[]);
    try {
      const matcher = stage.start({ ...module, EARSHOT_ROLE: 'match' });
      await beat();
      await until(async () => (await stage.committed())[0] === 1, 'the first beat matched');
      assert.equal(await matcher.stop(), 0);
      const secondAt = Date.now();
      await beat();
      // Nobody matches it: as far as the counter knows, the host has been silent since the first beat.
      const counter = stage.start({ ...module, EARSHOT_ROLE: 'count' });
      await until(
        async () => (await stage.counted()) && (await metric(counter, 'earshot_matching_behind_seconds')) > 4,
        'the counter waits for the matchers',
      );
      assert.deepEqual(alerts(), []);
      const second = stage.start({ ...module, EARSHOT_ROLE: 'match' });
      await until(() => alerts().length === 1, 'the host is silent');
      assert.ok(Date.parse(alerts()[0]!.startsAt) >= secondAt + 2000, 'since the second beat');
      assert.deepEqual(await Promise.all([second.stop(), counter.stop()]), [0, 0]);
    } finally {
      await stage.close();
      await manager.stop();
    }
  });
});

/** What the counters wrote down of keys that they wait for. */
async function marksOf(stage: Stage): Promise<{ at: number; mark: { seen: string } }[]> {
  const values = await stage.hits();
  return values.flatMap(value => (value.includes('"expected"') ? [JSON.parse(value)] : []));
}
