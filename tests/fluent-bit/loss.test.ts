// What the recommended form promises: whatever is killed, restarted or refused, each hit arrives, and the logs do not
// wait. In a real Fluent Bit. EARSHOT_TEST_SOAK=1 (`npm run soak`) takes longer.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from '../../host/fluent-bit/pipeline.ts';
import type { Options, Receiver } from './process.ts';
import { FluentBit, skip, startReceiver } from './process.ts';

const IS_SOAK = process.env.EARSHOT_TEST_SOAK === '1';
const RESTARTS = IS_SOAK ? 6 : 2;
const DOWN_MS = IS_SOAK ? 60_000 : 6000;
const options = { timeout: IS_SOAK ? 600_000 : 180_000 };

/** The cool-down is long: an alert that goes out twice and is counted twice would be suppressed the second time. */
const RULES = `limits: {alertsPerSecond: 100000}
groups:
- name: test
  rules:
  - alert: Error
    match: {field: log, contains: 'ERROR'}
    realert: 6h
    labels: {message: '{{ $record.log }}'}
`;

/** One record in ten is a hit. */
class Stream {
  count = 0;
  readonly hits: string[] = [];

  next(size: number): object[] {
    return Array.from({ length: size }, () => {
      const n = this.count++;
      const log = n % 10 === 0 ? `ERROR ${n}` : `all is well ${n}`;
      if (n % 10 === 0) this.hits.push(log);
      const time = new Date(1_700_000_000_000 + n).toISOString();
      return { log, time, kubernetes: { pod_name: `web-${n % 7}` } };
    });
  }
}

interface Labelled {
  labels: { message: string };
}

/** What the receiver accepted: the messages of hits or alerts, each as often as it came. */
function messagesOf({ requests }: Receiver): string[] {
  return requests.flatMap(({ body, accepted }) => (accepted ? elementsOf(body) : []));
}

function elementsOf(body: string): string[] {
  type Element = { hit: string } | Labelled;
  return (JSON.parse(body) as Element[]).map(
    one => ('hit' in one ? (JSON.parse(one.hit) as Labelled) : one).labels.message,
  );
}

function assertAll(receiver: Receiver, { hits }: Stream): void {
  const found = new Set(messagesOf(receiver));
  assert.deepEqual(
    hits.filter(hit => !found.has(hit)),
    [],
    'lost',
  );
  assert.equal(found.size, hits.length);
}

const hasAll = (receiver: Receiver, { hits }: Stream) => () =>
  new Set(messagesOf(receiver)).size >= hits.length;

function open(context: TestContext, target: Target, port: number, more: Partial<Options> = {}): FluentBit {
  return new FluentBit(context, { rules: RULES, records: [], port, target, ...more });
}

/** Writes lines while it works, until it is told to end. */
async function writeFor(fluentBit: FluentBit, stream: Stream, ms: number): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) fluentBit.append(stream.next(100));
}

for (const target of ['function', 'alertmanager'] as const) {
  describe(`the module in the output, for ${target}`, { skip, concurrency: 2 }, () => {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      test(`${signal} in mid-stream, ${RESTARTS} times: no hit is lost`, options, async context => {
        const receiver = await startReceiver(context);
        const stream = new Stream();
        const fluentBit = open(context, target, receiver.port).start();
        for (let i = 0; i < RESTARTS; i++) {
          const writing = writeFor(fluentBit, stream, 1500);
          await sleep(700 + Math.random() * 800);
          await fluentBit.kill(signal);
          fluentBit.start();
          await writing;
        }
        await fluentBit.until('all hits', hasAll(receiver, stream), 60_000);
        assertAll(receiver, stream);
        // In the order of the file; a kill may write the last lines again.
        if (signal === 'SIGTERM')
          await fluentBit.until('all logs', () => fluentBit.logs().length >= stream.count);
      });
    }

    test('every third answer is 503, another hangs: no hit is lost', options, async context => {
      const receiver = await startReceiver(context, index =>
        index === 4 ? 'hang' : index % 3 === 2 ? 503 : 200,
      );
      const stream = new Stream();
      const fluentBit = open(context, target, receiver.port).start();
      await writeFor(fluentBit, stream, 3000);
      await fluentBit.until('all hits', hasAll(receiver, stream), 60_000);
      assertAll(receiver, stream);
      assert.ok(receiver.requests.some(({ accepted }) => !accepted));
      assert.equal(messagesOf(receiver).length, stream.hits.length, 'nothing comes twice where nothing was accepted twice');
    });

    test(`a receiver that is down for ${DOWN_MS / 1000} s, and a restart meanwhile: the logs do not wait`, options, async context => {
      let isUp = false;
      const receiver = await startReceiver(context, () => (isUp ? 200 : 503));
      const stream = new Stream();
      const fluentBit = open(context, target, receiver.port, { maxChunksUp: 8 }).start();
      await writeFor(fluentBit, stream, DOWN_MS / 2);
      await fluentBit.until('the logs so far', () => fluentBit.logs().length >= stream.count, 20_000);
      await fluentBit.kill('SIGKILL');
      fluentBit.start();
      await writeFor(fluentBit, stream, DOWN_MS / 2);
      await fluentBit.until('all logs', () => fluentBit.logs().length >= stream.count, 20_000);
      assert.equal(messagesOf(receiver).length, 0);
      isUp = true;
      await fluentBit.until('all hits', hasAll(receiver, stream), 120_000).catch(() => {}); // assertAll says which
      assertAll(receiver, stream);
    });

    test('a receiver that answers 401 and 404: Fluent Bit says that it gives chunks up', options, async context => {
      let status = 401;
      const receiver = await startReceiver(context, () => status);
      const stream = new Stream();
      const fluentBit = open(context, target, receiver.port).start();
      fluentBit.append(stream.next(100));
      await fluentBit.until('a 401 in the log', () => /HTTP status=401/.test(fluentBit.log()));
      status = 404;
      fluentBit.append(stream.next(100));
      await fluentBit.until('a 404 in the log', () => /HTTP status=404/.test(fluentBit.log()));
      status = 200;
      const before = stream.hits.length;
      fluentBit.append(stream.next(100));
      await fluentBit.until('later hits', () => new Set(messagesOf(receiver)).size >= stream.hits.length - before);
    });

    test('a full disk: the oldest chunks go, and the log says so', options, async context => {
      let isUp = false;
      const receiver = await startReceiver(context, () => (isUp ? 200 : 503));
      const stream = new Stream();
      const fluentBit = open(context, target, receiver.port, { storageLimit: '1M', maxChunksUp: 128 }).start();
      for (let i = 0; i < 60; i++) {
        fluentBit.append(stream.next(1000));
        await sleep(50);
      }
      await fluentBit.until('all logs', () => fluentBit.logs().length >= stream.count, 60_000);
      assert.match(fluentBit.log(), /\[ ?(?:warn|error|info)\].*(?:remove|drop|delet|limit)/i);
      isUp = true;
      const last = stream.hits.at(-1)!;
      await fluentBit.until('the newest hits', () => messagesOf(receiver).includes(last), 60_000);
    });

    for (const input of ['threaded', 'plain'] as const) {
      test(`${input} input: the logs are what they are without Earshot`, options, async context => {
        const receiver = await startReceiver(context);
        const records = [...new Stream().next(3000), 'no JSON', { log: 'ERROR <é> \u2028', n: [1, null, { a: 1.5 }] }];
        const outputs = await Promise.all(
          [true, false].map(async isAlone => {
            const fluentBit = open(context, target, receiver.port, { records, isThreaded: input === 'threaded', isAlone }).start();
            await fluentBit.until('all logs', () => fluentBit.logs().length >= records.length);
            return fluentBit.logs();
          }),
        );
        assert.deepEqual(outputs[0], outputs[1]);
        await sleep(500);
        assert.ok(messagesOf(receiver).includes('ERROR <é> \u2028'));
      });
    }
  });
}
