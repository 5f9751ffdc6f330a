// Time and state, as the host keeps them: absences fall due without records, and no timestamp is believed blindly.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { believedTime } from '../../host/function/match.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { metric, openStage, until } from './harness.ts';
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
});
