// The generated setup in a real Fluent Bit, against a receiver that fails.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadModule } from '../../host/matcher.ts';
import { bakeRules } from './module.ts';
import { FluentBit, skip, startReceiver } from './process.ts';

const options = { timeout: 120_000 };

const RULES = `
- alert: Error
  match: {field: log, contains: 'ERROR'}
  realert: 0s
  labels: {message: '{{ $record.log }}', pod: '{{ $record.kubernetes.pod_name }}'}
`;
/** A record's time, twice: Fluent Bit reads `time`, the host `@timestamp`. From 2023-11-14T22:13:20.25Z on. */
const at = (seconds: number) => ({
  '@timestamp': 1_700_000_000.25 + seconds,
  time: new Date((1_700_000_000.25 + seconds) * 1000).toISOString(),
});
const errors = (count: number, start = 0) =>
  Array.from({ length: count }, (_, i) => ({
    ...at(start + i),
    log: `ERROR ${start + i}`,
    kubernetes: { pod_name: `web-${i % 3}` },
  }));
const fine = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    ...at(i),
    log: `all is well ${i}`,
    kubernetes: { pod_name: 'web' },
    n: [i, null, { a: 1.5 }],
  }));

/** Of bodies as Notification Manager takes them, and as Alertmanager does. */
const alertsOf = (bodies: string[]): any[] =>
  bodies.flatMap(body => {
    const value = JSON.parse(body);
    return Array.isArray(value) ? value : value.alerts;
  });
const messagesOf = (bodies: string[]) =>
  alertsOf(bodies)
    .map((alert: any) => alert.labels.message as string)
    .sort();
const messages = (count: number) =>
  errors(count)
    .map(record => record.log)
    .sort();

/** The bodies that the host would send for these records. */
async function expectedBodies(rules: string, records: object[]): Promise<string[]> {
  const matcher = await (await loadModule(bakeRules(rules))).instantiate();
  return records.flatMap(record => {
    const answer = matcher.match(Buffer.from(JSON.stringify(record)), 0, 0);
    return answer === 1 ? [Buffer.from(matcher.alert()).toString()] : [];
  });
}

describe('the generated setup', { skip, concurrency: 4 }, () => {
  for (const configuration of ['fluent-bit.yaml', 'fluent-bit.conf'] as const) {
    test(
      `${configuration}: every alert arrives, byte for byte, when requests fail and hang; the logs stay as they are`,
      options,
      async context => {
        const records = [...fine(200), ...errors(20)];
        const receiver = await startReceiver(context, index =>
          index === 5 ? 500 : index === 11 ? 'hang' : 200,
        );
        const fluentBit = new FluentBit(context, {
          rules: RULES,
          records,
          port: receiver.port,
          configuration,
        }).start();
        await fluentBit.until('20 alerts', () => receiver.accepted().length >= 20);
        await sleep(500);
        assert.deepEqual(receiver.accepted().sort(), (await expectedBodies(RULES, records)).sort());
        assert.ok(receiver.requests.every(({ path }) => path === '/api/v2/alerts'));
        assert.deepEqual(
          fluentBit.logs().map(line => JSON.parse(line)),
          records,
        );
        assert.doesNotMatch(fluentBit.log(), /\[error\] \[(?:filter|wasm)/);
      },
    );
  }

  for (const escapesUnicode of [true, false]) {
    test(`json.escape_unicode ${escapesUnicode ? 'on' : 'off'}: the same alerts`, options, async context => {
      const texts = [
        'ERROR 支付失败 — 😀 é',
        'ERROR <b>&amp; "quoted" \\ / \u2028 \u007f \t',
        'ERROR \u0001\u001f',
      ];
      const records = texts.map((log, i) => ({ ...at(i), log, kubernetes: { pod_name: 'ウェブ' } }));
      const receiver = await startReceiver(context);
      const fluentBit = new FluentBit(context, {
        rules: RULES,
        records,
        port: receiver.port,
        escapesUnicode,
      }).start();
      await fluentBit.until('3 alerts', () => receiver.accepted().length >= 3);
      assert.deepEqual(receiver.accepted().sort(), (await expectedBodies(RULES, records)).sort());
    });
  }

  test('records of 5 MB and records that are not UTF-8 or not JSON go through', options, async context => {
    const large = { ...at(0), log: `${'x'.repeat(5_000_000)} ERROR large`, kubernetes: { pod_name: 'web' } };
    const broken = Buffer.concat([
      Buffer.from('{"@timestamp":1700000001.25,"log":"ERROR caf'),
      Buffer.from([0xe9, 0xff, 0xf0]),
      Buffer.from('","kubernetes":{"pod_name":"web"}}'),
    ]);
    const receiver = await startReceiver(context);
    const fluentBit = new FluentBit(context, {
      rules: RULES,
      records: [large, broken, 'ERROR no JSON', ...errors(1, 2)],
      port: receiver.port,
    }).start();
    await fluentBit.until('4 alerts', () => receiver.accepted().length >= 4);
    const found = messagesOf(receiver.accepted());
    assert.equal(found.length, 4);
    assert.ok(found.some(message => message.startsWith('xxxx') && message.endsWith('…')));
    assert.ok(
      found.some(message => message.startsWith('ERROR caf')),
      found.map(message => message.slice(0, 40)).join('\n'),
    );
    assert.ok(found.includes('ERROR no JSON'));
    assert.ok(found.includes('ERROR 2'));
  });

  const forms = [
    ['alertmanager', 'memory'],
    ['notification-manager', 'filesystem'],
  ] as const;
  for (const [target, emitterStorage] of forms)
    test(
      `${target}: kill -9 and restart: what the receiver has not accepted is delivered afterwards`,
      options,
      async context => {
        let isUp = false;
        const receiver = await startReceiver(context, () => (isUp ? 200 : 503));
        const fluentBit = new FluentBit(context, {
          rules: RULES,
          records: errors(30),
          port: receiver.port,
          target,
          emitterStorage,
        }).start();
        const attempted = () => new Set(messagesOf(receiver.requests.map(({ body }) => body)));
        await fluentBit.until('30 attempts', () => attempted().size === 30);
        await fluentBit.kill();
        isUp = true;
        fluentBit.start();
        await fluentBit.until('30 alerts', () => messagesOf(receiver.accepted()).length >= 30);
        await sleep(500);
        assert.deepEqual(messagesOf(receiver.accepted()), messages(30));
      },
    );

  test(
    'alertmanager: an array a chunk, again whole when it fails; other outputs see the records as they are',
    options,
    async context => {
      const records = [...fine(20), ...errors(20)];
      const receiver = await startReceiver(context, index => (index < 2 ? 503 : 200));
      const fluentBit = new FluentBit(context, {
        rules: RULES,
        records,
        port: receiver.port,
        target: 'alertmanager',
      }).start();
      await fluentBit.until('20 alerts', () => messagesOf(receiver.accepted()).length >= 20);
      assert.deepEqual(messagesOf(receiver.accepted()), messages(20));
      assert.ok(receiver.requests.every(({ path }) => path === '/api/v2/alerts'));
      await fluentBit.until('40 logs', () => fluentBit.logs().length >= 40);
      assert.deepEqual(
        fluentBit.logs().map(line => JSON.parse(line)),
        records,
      );
    },
  );

  for (const configuration of ['fluent-bit.yaml', 'fluent-bit.conf'] as const)
    test(`function: ${configuration}: the hits, of several rules too`, options, async context => {
      const rules = `${RULES}
- alert: Of web-1
  match: {all: [{field: log, contains: ERROR}, {field: kubernetes.pod_name, eq: web-1}]}
`;
      const receiver = await startReceiver(context);
      const records = [...fine(5), ...errors(9)];
      const fluentBit = new FluentBit(context, {
        rules,
        records,
        port: receiver.port,
        target: 'function',
        configuration,
      }).start();
      const hits = () =>
        receiver
          .accepted()
          .flatMap(body => JSON.parse(body) as any[])
          .flatMap(element => element.hits ?? [element]);
      await fluentBit.until('12 hits', () => hits().length >= 12);
      assert.ok(receiver.requests.every(({ path }) => path === '/hits'));
      for (const { key, hit } of hits()) assert.equal(JSON.parse(hit).key, key);
      const alerts = hits().map(({ hit }) => JSON.parse(hit).alert);
      assert.deepEqual(alerts.sort(), [...Array(9).fill('Error'), ...Array(3).fill('Of web-1')]);
    });

  test('SIGHUP: other rules under another name, while records come', options, async context => {
    const receiver = await startReceiver(context);
    const own = { port: receiver.port, target: 'alertmanager' } as const;
    const fluentBit = new FluentBit(context, { ...own, rules: RULES, records: errors(5) }).start();
    await fluentBit.until('5 alerts', () => messagesOf(receiver.accepted()).length >= 5);
    fluentBit.write({ ...own, rules: RULES.replaceAll('ERROR', 'WARNING') });
    fluentBit.signal('SIGHUP');
    await fluentBit.until('the reload', () => /reload.*(?:finish|complete|success)/is.test(fluentBit.log()));
    fluentBit.append([...errors(5, 5), { ...at(20), log: 'WARNING 1', kubernetes: { pod_name: 'web' } }]);
    await fluentBit.until('a new alert', () => messagesOf(receiver.accepted()).includes('WARNING 1'));
    assert.deepEqual(messagesOf(receiver.accepted()), [...messages(5), 'WARNING 1'].sort());
  });

  for (const target of ['alertmanager', 'notification-manager'] as const)
    for (const configuration of ['fluent-bit.yaml', 'fluent-bit.conf'] as const)
      test(`${target}: ${configuration}: a clock wakes absences`, options, async context => {
        const rules = `
- alert: Silence
  match: {field: log, contains: heartbeat}
  absence: {for: 3s}
`;
        const receiver = await startReceiver(context);
        const records = [{ time: new Date().toISOString(), log: 'heartbeat' }];
        const fluentBit = new FluentBit(context, {
          rules,
          records,
          port: receiver.port,
          target,
          configuration,
        }).start();
        await fluentBit.until('the alert', () => receiver.accepted().length >= 1);
        assert.equal(alertsOf(receiver.accepted())[0].labels.alertname, 'Silence');
      });

  test(
    '5,000 matches in one burst: little memory, and each is delivered or counted',
    options,
    async context => {
      const rules = `
  - alert: Error
    match: {field: log, contains: 'ERROR'}
    realert: 10m
    labels: {pod: '{{ $record.kubernetes.pod_name }}'}
  `;
      const burst = Array.from({ length: 5000 }, (_, i) => ({
        ...at(i / 10_000),
        log: `ERROR ${i}`,
        kubernetes: { pod_name: `web-${i % 50}` },
      }));
      const receiver = await startReceiver(context);
      const fluentBit = new FluentBit(context, { rules, records: fine(1), port: receiver.port }).start();
      await fluentBit.until('the first log', () => fluentBit.logs().length === 1);
      const idle = fluentBit.memorySize();
      let most = idle;
      fluentBit.append(burst);
      await fluentBit.until('the burst', () => {
        most = Math.max(most, fluentBit.memorySize());
        return fluentBit.logs().length === 5001;
      });
      // An hour later each pod is told of once more: what was suppressed is in there.
      const later = Array.from({ length: 50 }, (_, i) => ({
        ...at(3600 + i),
        log: 'ERROR',
        kubernetes: { pod_name: `web-${i}` },
      }));
      fluentBit.append(later);
      await fluentBit.until('later', () => fluentBit.logs().length === 5051);
      for (let i = 0; i < 100; i++) {
        most = Math.max(most, fluentBit.memorySize());
        await sleep(20);
      }
      const alerts = alertsOf(receiver.accepted());
      const told = alerts.reduce(
        (sum, { annotations }) =>
          sum + 1 + Number(annotations.suppressed ?? 0) + Number(annotations.suppressed_others ?? 0),
        0,
      );
      context.diagnostic(`${alerts.length} alerts, ${((most - idle) / 2 ** 20).toFixed(1)} MiB above idle`);
      assert.equal(told, 5050);
      assert.ok(most - idle < 64 * 2 ** 20, `${most - idle} bytes above idle`);
    },
  );
});
