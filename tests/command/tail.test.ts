// `earshot tail`: alerts as they come, from a pipe, from a file that is rotated and cut, and from a topic.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { appendFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import { kafkaMissing, startKafka, uniqueName } from '../kafka.ts';
import { finish, folder, start, write } from './program.ts';

write(
  'tail.yaml',
  `groups:
  - name: demo
    rules:
      - alert: Order
        match: {field: log, regex: 'order (?P<id>\\d+)'}
        realert: 0
        annotations: {message: '{{ $captures.id }}'}
      - alert: Heartbeat gone
        match: {field: log, contains: heartbeat}
        absence: {for: 1s}
        annotations: {message: 'none came'}
`,
);

/** The messages of the alerts that a tail has printed so far. */
function listen(child: ChildProcess) {
  const heard = { text: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', text => (heard.text += text));
  child.stderr!.setEncoding('utf8').on('data', text => (heard.stderr += text));
  const orders = () => [...heard.text.matchAll(/ Order  (\d+)/g)].map(([, id]) => id);
  return {
    heard,
    orders,
    async until(isThere: () => boolean) {
      for (let tries = 0; !isThere(); tries++) {
        assert.ok(tries < 400, `${heard.text}\n${heard.stderr}`);
        await sleep(25);
      }
    },
  };
}

const ended = (child: ChildProcess) => new Promise(done => child.on('close', done));

test('a pipe: lines that are no JSON are the field "log"', async () => {
  const input =
    'order 1 came\n{"log":"order 2"}\n{"log": order 3\n\nnothing\n{"@timestamp":1,"log":"order 4"}\n';
  const { code, stdout, stderr } = await finish(start('tail', 'tail.yaml'), input);
  assert.equal(code, 0, stderr);
  const today = String.raw`\d\d:\d\d:\d\d\.\d{3}`;
  assert.match(
    stdout,
    new RegExp(
      `^${today} Order  1\n  order 1 came\n${today} Order  2\n  order 2\n${today} Order  3\n  \\{"log": order 3\n1970-01-01 00:00:01.000 Order  4\n  order 4\n$`,
    ),
  );
  assert.match(stderr, /^5 records, .*, 4 alerts\n  Order           4 matches, 4 alerts\n/);
});

test('--output json has one body a line', async () => {
  const { stdout } = await finish(start('tail', '--output', 'json', 'tail.yaml'), 'order 1\norder 2\n');
  const bodies = stdout.trim().split('\n').map(line => JSON.parse(line)); // prettier-ignore
  assert.deepEqual(
    bodies.map(body => body.alerts[0].annotations.message),
    ['1', '2'],
  );
});

test('an absence is reported by the clock, while nothing comes', async () => {
  const child = start('tail', 'tail.yaml');
  const { heard, until } = listen(child);
  child.stdin!.write('heartbeat\n');
  await until(() => heard.text.includes('Heartbeat gone  none came'));
  child.stdin!.write('heartbeat\n');
  await until(() => heard.text.includes('Heartbeat gone resolved'));
  child.kill('SIGINT');
  assert.equal(await ended(child), 0);
});

describe('a file that grows', () => {
  const path = join(folder, 'app.log');

  test('from now on, over a rotation and a truncation, in whole lines', async () => {
    writeFileSync(path, 'order 1\n');
    const child = start('tail', 'tail.yaml', 'app.log');
    const { orders, until } = listen(child);
    await sleep(1500); // it is at the end
    appendFileSync(path, 'order 2\nord');
    await until(() => orders().length === 1);
    appendFileSync(path, 'er 3\n');
    await until(() => orders().length === 2);
    appendFileSync(path, 'order 4'); // gets no end
    await sleep(500);
    renameSync(path, `${path}.1`);
    await sleep(400);
    writeFileSync(path, 'order 5\n');
    await until(() => orders().length === 4);
    truncateSync(path, 0);
    await sleep(500);
    appendFileSync(path, 'order 6\n');
    await until(() => orders().length === 5);
    child.kill('SIGTERM');
    assert.equal(await ended(child), 0);
    assert.deepEqual(orders(), ['2', '3', '4', '5', '6']);
  });

  test('--all begins at its start', async () => {
    writeFileSync(path, 'order 1\norder 2\n');
    const child = start('tail', '--all', 'tail.yaml', 'app.log');
    const { orders, until } = listen(child);
    await until(() => orders().length === 2);
    child.kill('SIGINT');
    assert.equal(await ended(child), 0);
  });

  test('a reader that goes ends it', async () => {
    const child = start('tail', '--all', 'tail.yaml', 'app.log');
    child.stdout!.once('data', () => child.stdout!.destroy());
    await sleep(500);
    const end = ended(child);
    const writing = setInterval(() => appendFileSync(path, 'order 7\n'), 50);
    assert.equal(await end, 0);
    clearInterval(writing);
  });
});

describe('called wrongly', () => {
  const cases: [args: string[], message: string][] = [
    [[], 'tail takes a rules file or a module, and one file'],
    [['tail.yaml', 'a', 'b'], 'tail takes a rules file or a module, and one file'],
    [['tail.yaml', '--topic', 'logs'], '--brokers and --topic go together'],
    [['tail.yaml', 'a', '--topic', 'logs', '--brokers', 'x:1'], 'tail reads a file or a topic, not both'],
    [['tail.yaml', '--topic', 'logs', '--brokers', 'x'], '--brokers holds "x", which is not host:port'],
    [['tail.yaml', '--all'], '--all goes with a file'],
  ];
  for (const [args, message] of cases)
    test(message, async () => {
      const { code, stderr } = await finish(start('tail', ...args));
      assert.deepEqual([code, stderr.split('\n')[0]], [2, `earshot: ${message}`]);
    });
});

describe('a topic', { skip: kafkaMissing() }, () => {
  test('from now on, of all partitions, without a group', async () => {
    const kafka = await startKafka();
    after(() => kafka.stop());
    const client = new kafkajs.Kafka({ brokers: [kafka.brokers], logLevel: kafkajs.logLevel.NOTHING });
    const topic = uniqueName('logs');
    const admin = client.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] });
    const producer = client.producer();
    await producer.connect();
    const send = (...values: (string | null)[]) =>
      producer.send({ topic, messages: values.map((value, partition) => ({ value, partition })) });
    await send('order 1', 'order 2', 'order 3');
    const child = start('tail', 'tail.yaml', '--brokers', kafka.brokers, '--topic', topic);
    const { heard, orders, until } = listen(child);
    await until(() => heard.stderr.includes('(3 partitions)'));
    await send('order 4', null, '{"log":"order 5"}');
    await until(() => orders().length === 2);
    child.kill('SIGINT');
    assert.equal(await ended(child), 0);
    assert.deepEqual(orders().toSorted(), ['4', '5']);
    assert.deepEqual((await admin.listGroups()).groups, []);
    const none = await finish(start('tail', 'tail.yaml', '--brokers', kafka.brokers, '--topic', 'no-such'));
    assert.deepEqual(
      [none.code, none.stderr.split('\n').at(-2)],
      [1, 'earshot: Kafka has no topic "no-such" (is this user allowed to see it?)'],
    );
    await Promise.all([admin.disconnect(), producer.disconnect()]);
  });

  test('a broker that does not answer', async () => {
    const { code, stderr } = await finish(
      start('tail', 'tail.yaml', '--brokers', '127.0.0.1:9', '--topic', 'x'),
    );
    assert.equal(code, 1);
    assert.match(stderr, /^earshot: no Kafka broker of 127\.0\.0\.1:9 can be reached: .*ECONNREFUSED/);
  });
});
