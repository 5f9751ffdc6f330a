// The HTTP door for hits, as Fluent Bit sees it: what an answer of 200 promises, and that nothing is lost without one.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { skip as fluentBitMissing } from '../fluent-bit/process.ts';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { openStage, range, readTopic, until } from './harness.ts';
import type { Stage } from './harness.ts';
import { runFunction } from '../../host/function/function.ts';
import { openMetrics } from '../../host/function/metrics.ts';
import { readSettings } from '../../host/function/settings.ts';
import type { Producer } from '../../host/source/kafka.ts';
import { partitionOfKey } from '../../host/source/produce.ts';
import { alertRecords, bodyOf, elementOf, hitsOf, somePort, startDoor } from './door.ts';
import type { DoorProcess } from './door.ts';
import { buildModule, modulePath } from './module.ts';
import { bundleFunction, spawnFunction } from './process.ts';

type Manager = Awaited<ReturnType<typeof startNotificationManager>>;

const NOTICE = {
  earshot: 1,
  unreadable: 4,
  tag: 'kube.web',
  time: '2026-11-30T12:00:00Z',
  why: 'nan',
  record: '{"a":nan}',
};
const file = await bundleFunction();
const settings = (manager: Manager) => ({
  EARSHOT_MODULE: modulePath,
  EARSHOT_SINK_URL: manager.url,
  EARSHOT_SINK_TIMEOUT_MS: '1500',
  EARSHOT_RETRY_HOLD_MS: '500',
  EARSHOT_RETRY_MAX_MS: '500',
  EARSHOT_SHUTDOWN_MS: '6000',
});

describe('the door without Kafka', () => {
  const doorTest = (
    name: string,
    run: (door: DoorProcess, manager: Manager) => Promise<void>,
    more: NodeJS.ProcessEnv = {},
  ) =>
    test(name, { timeout: 60_000 }, async () => {
      const manager = await startNotificationManager();
      const door = await startDoor(file, { ...settings(manager), ...more }, somePort());
      try {
        await run(door, manager);
      } finally {
        door.child.kill('SIGKILL');
        await manager.stop();
      }
    });
  /** What the alerts say: `$value` is the count. */
  const counts = (manager: Manager) => manager.queue.map(({ annotations }) => Number(annotations.count));
  const answerWith = (status: number) => (_: unknown, response: { writeHead(status: number): any }) => {
    response.writeHead(status).end();
    return true;
  };

  doorTest(
    'answers 200 after the sink has every alert; the same body again counts nothing',
    async (door, manager) => {
      const body = bodyOf(await hitsOf(modulePath, alertRecords(20)));
      assert.equal((await fetch(`${door.url}/readyz`)).status, 200);
      assert.equal((await door.post(body)).status, 200);
      assert.deepEqual(manager.ids(), range(20));
      assert.equal((await door.post(body)).status, 200);
      assert.deepEqual(counts(manager), range(20, 1));
      assert.equal(await door.metric('earshot_duplicate_hits_total'), 20);
      assert.equal(await door.metric('earshot_listen_hits_total'), 40);
      assert.equal(await door.metric('earshot_listen_requests_total{path="/hits",status="200"}'), 2);
      assert.match(door.log(), /a restart forgets them/);
    },
  );

  doorTest(
    'a sink that is down for a while: 503, and then nothing lost, and nothing counted twice',
    async (door, manager) => {
      const body = bodyOf(await hitsOf(modulePath, alertRecords(50)));
      let failing = 0;
      manager.intercept = (request, response) =>
        manager.queue.length >= 20 && failing++ < 4 && answerWith(503)(request, response);
      const answers: number[] = [];
      for (;;) {
        const { status, headers } = await door.post(body);
        answers.push(status);
        if (status === 200) break;
        assert.equal(status, 503);
        assert.match(headers.get('retry-after')!, /^\d+$/);
        assert.ok(answers.length < 20, answers.join());
        await sleep(300);
      }
      assert.ok(answers.length > 1, 'it was refused at first');
      assert.deepEqual(manager.ids(), range(50));
      assert.deepEqual(counts(manager), range(50, 1));
    },
  );

  doorTest(
    'a body of another node waits for the alert that is not accepted, and tells it',
    async (door, manager) => {
      manager.intercept = answerWith(503);
      assert.equal((await door.post(bodyOf(await hitsOf(modulePath, alertRecords(3))))).status, 503);
      assert.equal((await door.post(bodyOf(await hitsOf(modulePath, alertRecords(3, 100))))).status, 503);
      manager.intercept = undefined;
      const second = bodyOf(await hitsOf(modulePath, alertRecords(3, 100)));
      await until(async () => (await door.post(second)).status === 200, 'the second body');
      assert.ok(
        manager.ids().includes(0),
        'the alert that was pending is told, although its body has not come again',
      );
      await until(
        async () => (await door.post(bodyOf(await hitsOf(modulePath, alertRecords(3))))).status === 200,
        'the first',
      );
      assert.deepEqual(
        manager.ids().sort((a, b) => a - b),
        [0, 1, 2, 100, 101, 102],
      );
      assert.deepEqual(counts(manager), range(6, 1));
    },
  );

  doorTest('killed in mid-body: the body comes again, and no alert is lost', async (door, manager) => {
    const body = bodyOf(await hitsOf(modulePath, alertRecords(200)));
    const lost = assert.rejects(door.post(body));
    await until(() => manager.queue.length > 20, 'some alerts');
    door.child.kill('SIGKILL');
    await lost;
    assert.ok(manager.queue.length < 200, 'it was in mid-body');
    const next = await startDoor(file, settings(manager), door.port);
    assert.equal((await next.post(body)).status, 200);
    assert.deepEqual(
      [...new Set(manager.ids())].sort((a, b) => a - b),
      range(200),
    );
    next.child.kill('SIGKILL');
  });

  doorTest('what can never count is logged and counted, and does not come again', async (door, manager) => {
    const [hit] = await hitsOf(modulePath, alertRecords(1));
    const unknown = (await hitsOf(await buildModule('plain'), alertRecords(1, 7)))[0]!;
    const elements = [
      5,
      null,
      { key: 'x' },
      { hit: 'x' },
      { hits: [elementOf(hit!), 3] },
      elementOf(unknown),
    ];
    const notice = { key: 'unreadable', hit: JSON.stringify(NOTICE) };
    for (let times = 0; times < 2; times++)
      assert.equal((await door.post(JSON.stringify([...elements, notice]))).status, 200);
    for (const garbage of [
      '',
      '{',
      'garbage',
      '[',
      ']',
      '"',
      '{"hit":',
      '\0\x01',
      '[[[',
      `[${'0,'.repeat(30_000)}0]`,
    ])
      assert.equal((await door.post(garbage)).status, 200, garbage.slice(0, 20));
    assert.deepEqual(manager.ids(), [0]);
    assert.equal(await door.metric('earshot_unknown_hits_total'), 1, 'the second time it is known by its id');
    assert.equal(await door.metric('earshot_edge_unreadable_records_total'), 2, 'the 3rd and the 4th record');
    const lines = door
      .log()
      .split('\n')
      .filter(line => line.includes('could not read a record'));
    assert.equal(lines.length, 1);
    const { tag, why } = JSON.parse(lines[0]!);
    assert.deepEqual({ tag, why }, { tag: 'kube.web', why: 'nan' });
    assert.match(door.log(), /without Kafka there is no dead-letter topic/);
  });

  doorTest('other forms of a body: new lines, one after the other, gzip', async (door, manager) => {
    const hits = await hitsOf(modulePath, alertRecords(6));
    const text = hits.map(hit => JSON.stringify(elementOf(hit)));
    assert.equal((await door.post(`${text[0]}\n${text[1]}\n`)).status, 200);
    assert.equal((await door.post(`${text[2]}${text[3]}`)).status, 200);
    assert.equal(
      (await door.post(gzipSync(bodyOf(hits.slice(4))), { 'content-encoding': 'gzip' })).status,
      200,
    );
    assert.deepEqual(manager.ids(), range(6));
  });

  doorTest(
    'huge bodies and gzip bombs cost a bounded memory, and the hits before the limit count',
    async (door, manager) => {
      const hits = await hitsOf(modulePath, alertRecords(2));
      const bomb = gzipSync(
        Buffer.concat([Buffer.from(JSON.stringify(elementOf(hits[0]!))), Buffer.alloc(300 * 1024 * 1024)]),
      );
      assert.equal((await door.post(bomb, { 'content-encoding': 'gzip' })).status, 200);
      const huge = Buffer.concat([
        Buffer.from(JSON.stringify(elementOf(hits[1]!))),
        Buffer.alloc(40 * 1024 * 1024, ' '),
      ]);
      assert.equal((await door.post(huge)).status, 200);
      assert.equal(
        (await door.post(gzipSync('[]').subarray(0, 15), { 'content-encoding': 'gzip' })).status,
        200,
      );
      assert.equal((await door.post('[]', { 'content-encoding': 'gzip' })).status, 200);
      assert.deepEqual(manager.ids(), [0, 1]);
      // A client that reads its answers only after it has sent everything, twice on one connection.
      const { socket, answer } = open(door.port);
      const size = 40 * 1024 * 1024;
      for (const last of ['keep-alive', 'close']) {
        socket.write(
          `POST /hits HTTP/1.1\r\nhost: x\r\nconnection: ${last}\r\ncontent-length: ${size}\r\n\r\n`,
        );
        await new Promise(done => socket.write(Buffer.alloc(size, ' '), done));
      }
      assert.equal((await answer).match(/^HTTP\/1.1 200/gm)?.length, 2);
      const crowd = await Promise.all(
        range(6).map(() => door.post(Buffer.alloc(30 * 1024 * 1024, ' ')).catch(() => undefined)),
      );
      const statuses = crowd.map(answer => answer?.status ?? 503);
      assert.ok(statuses.includes(200) && statuses.includes(503), statuses.join());
      assert.equal(await door.metric('earshot_listen_body_bytes'), 0);
      assert.ok((await door.metric('process_resident_memory_bytes')) < 600e6);
    },
  );

  doorTest(
    'what a person has to put right is 503 with a sentence: the chunk must not be deleted',
    async door => {
      const { status, text } = await door.post('[]', { 'content-encoding': 'br' });
      assert.equal(status, 503);
      assert.match(text, /use gzip, zstd or none/);
      const body = bodyOf(await hitsOf(modulePath, alertRecords(2)));
      const wrong = await fetch(`${door.url}/hit`, { method: 'POST', body });
      assert.equal(wrong.status, 503, 'hits at a path for records');
      assert.match(await wrong.text(), /these are hits, not records: send them to \/hits/);
      assert.equal((await fetch(`${door.url}/hit`)).status, 404);
      assert.equal((await fetch(`${door.url}/hits`)).status, 405);
      assert.match(await raw(door.port, 'GARBAGE\r\n\r\n'), /^HTTP\/1.1 400/);
      assert.match(
        await raw(door.port, `POST /hits HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`),
        /^HTTP\/1.1 431/,
      );
    },
  );

  doorTest(
    'a token: with another one the answer says so, and is not 401',
    async door => {
      for (const token of ['hunter', 'Bearer hunter']) {
        const { status, text } = await door.post('[]', { authorization: token });
        assert.equal(status, 503);
        assert.match(text, /the token is missing or wrong/);
      }
      assert.equal((await door.post('[]', { authorization: 'Bearer hunter2' })).status, 200);
      assert.equal((await fetch(`${door.url}/readyz`)).status, 200, 'probes need none');
      assert.ok(!door.log().includes('hunter2'));
    },
    { EARSHOT_LISTEN_TOKEN: 'hunter2' },
  );

  test('an absence is told by the clock, and ends with a hit', { timeout: 60_000 }, async () => {
    const manager = await startNotificationManager();
    const module = await buildModule('absence');
    const door = await startDoor(file, { ...settings(manager), EARSHOT_MODULE: module }, somePort());
    const states = () =>
      manager.requests.flatMap(({ body }) =>
        (JSON.parse(body).alerts as { status: string }[]).map(({ status }) => status),
      );
    const beat = async (id: number) => bodyOf(await hitsOf(module, [{ log: 'BEAT', host: 'a', id }]));
    assert.equal((await door.post(await beat(1))).status, 200);
    await until(() => states().length === 1, 'the silence is told');
    assert.equal((await door.post(await beat(2))).status, 200);
    assert.deepEqual(states().slice(0, 2), ['firing', 'resolved']);
    door.child.kill('SIGKILL');
    await manager.stop();
  });

  doorTest(
    'SIGTERM: requests under way are answered, also those that are still arriving',
    async (door, manager) => {
      const hits = await hitsOf(modulePath, alertRecords(2));
      let release = () => {};
      manager.intercept = async () => {
        await new Promise<void>(done => (release = done));
        return false;
      };
      const working = door.post(bodyOf([hits[0]!]));
      const body = bodyOf([hits[1]!]);
      const { socket, answer } = open(door.port);
      socket.write(
        `POST /hits HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body.slice(0, 50)}`,
      );
      await until(() => manager.requests.length === 1, 'a post');
      door.child.kill('SIGTERM');
      await until(() => door.log().includes('stopping'), 'the signal');
      await assert.rejects(door.post('[]'), 'no new connections');
      release();
      manager.intercept = undefined;
      assert.equal((await working).status, 200);
      socket.write(body.slice(50));
      assert.match(await answer, /^HTTP\/1.1 200[^]*connection: close/i);
      assert.equal(await door.exited, 0, door.log());
      assert.deepEqual(manager.ids(), [0, 1]);
    },
  );

  doorTest('SIGTERM with a sink that hangs: 503, and exit 0 within the deadline', async (door, manager) => {
    manager.intercept = () => true;
    const working = door.post(bodyOf(await hitsOf(modulePath, alertRecords(1))));
    const stuck = open(door.port);
    stuck.socket.write('POST /hits HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n[');
    await until(() => manager.requests.length >= 1, 'a post');
    const signalledAt = Date.now();
    door.child.kill('SIGTERM');
    assert.equal((await working).status, 503);
    assert.equal(await door.exited, 0, door.log());
    assert.ok(Date.now() - signalledAt < 6000, `${Date.now() - signalledAt} ms`);
    await stuck.answer;
  });
});

test('Kafka that never answers: 503 in time, and the body counts as long as it is in memory', async () => {
  const port = somePort();
  const stop = new AbortController();
  let end = () => {};
  const hanging = new Promise<void>(done => (end = done));
  const facts = { partitionCount: 1, retentionMs: -1, cleanupPolicy: 'delete' };
  const producer: Producer = {
    topic: async () => facts,
    reach: () => hanging,
    produce: () => hanging.then(() => assert.fail('no answer')),
    stop: async () => {},
  };
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const metrics = openMetrics();
  const exitCode = runFunction(
    readSettings([modulePath], {
      EARSHOT_BROKERS: '127.0.0.1:1',
      EARSHOT_DEAD_LETTER_TOPIC: 'letters',
      EARSHOT_ROLE: 'match',
      EARSHOT_LISTEN: `127.0.0.1:${port}`,
      EARSHOT_PORT: String(port),
      EARSHOT_SHUTDOWN_MS: '9000',
    }),
    { stop: stop.signal, log, metrics, openProducer: () => producer },
  );
  const body = bodyOf(await hitsOf(modulePath, alertRecords(1)));
  const post = () => fetch(`http://127.0.0.1:${port}/hits`, { method: 'POST', body });
  await until(async () => (await post().catch(() => undefined))?.status === 503, 'an answer');
  assert.equal((await metrics.listenBytes.get()).values[0]!.value, body.length, 'it is still in memory');
  assert.match(
    await (await fetch(`http://127.0.0.1:${port}/readyz`)).text(),
    /^no Kafka broker has answered/,
  );
  const second = post();
  await sleep(300);
  stop.abort();
  assert.equal((await second).status, 503);
  assert.equal(await exitCode, 0);
  end();
});

describe('the door with Kafka', { skip: kafkaMissing() }, () => {
  let kafka: TestKafka;
  let manager: Manager;
  let stage: Stage;
  before(async () => {
    [kafka, manager] = await Promise.all([
      startKafka({ 'message.max.bytes': '1048588' }),
      startNotificationManager(),
    ]);
  });
  after(async () => {
    await manager?.stop();
    await kafka?.stop();
  });

  /** A door alone, unless `more` says otherwise. */
  const doorTest = (
    name: string,
    run: (door: DoorProcess, environment: NodeJS.ProcessEnv) => Promise<void>,
    more: NodeJS.ProcessEnv = { EARSHOT_ROLE: 'match' },
    skip: string | false = false,
  ) =>
    test(name, { timeout: 120_000, skip }, async () => {
      manager.queue.length = 0;
      stage = await openStage(kafka.brokers, manager.url, 1, 4);
      const { EARSHOT_TOPICS: _, ...rest } = stage.environment;
      const environment = { ...rest, ...more };
      const door = await startDoor(file, environment, somePort());
      try {
        await until(async () => (await fetch(`${door.url}/readyz`)).status === 200, 'ready');
        await run(door, environment);
      } finally {
        door.child.kill('SIGKILL');
        await stage.close();
      }
    });

  doorTest(
    'hits are in the topic with 200, each in the partition of its key; the rest is a dead letter',
    async door => {
      const hits = await hitsOf(modulePath, alertRecords(300));
      const plain = await hitsOf(await buildModule('plain'), alertRecords(50));
      const notice = JSON.stringify(NOTICE);
      const body = JSON.stringify([
        { hits: hits.slice(0, 100).map(elementOf) },
        ...hits.slice(100).map(hit => ({ key: 'wrong', hit })),
        ...plain.map(elementOf),
        { key: 'unreadable', hit: notice },
        { hit: 'no hit' },
        17,
      ]);
      assert.equal((await door.post(body)).status, 200);
      const stored = await readTopic(kafka.brokers, stage.hitsTopic);
      assert.deepEqual(stored.map(({ value }) => String(value)).sort(), [...hits, ...plain].sort());
      for (const { partition, value } of stored)
        assert.equal(partition, partitionOfKey(Buffer.from(elementOf(String(value)).key), 4));
      const letters = await stage.deadLetters(3);
      assert.deepEqual(letters.map(({ value }) => value).sort(), ['17', 'no hit', notice].sort());
      const why = (text: string) => letters.find(({ value }) => value === text)!.headers['earshot.error'];
      assert.equal(why(notice), 'unreadable for the module in Fluent Bit: nan');
      assert.equal(why('17'), 'an element without a hit');
      assert.equal(letters[0]!.headers['earshot.topic'], 'POST /hits');
      assert.equal(await door.metric('earshot_hits_total'), 350);
      assert.equal(await door.metric('earshot_edge_unreadable_records_total'), 2);
      door.child.kill('SIGTERM');
      assert.equal(await door.exited, 0, door.log());
    },
  );

  doorTest(
    'a hit that is too large for its topic is a dead letter, and the others are in the topic',
    async door => {
      const [hit, other] = await hitsOf(modulePath, alertRecords(2));
      const large = hit!.replace('"alert"', `"more":"${'x'.repeat(2_000_000)}","alert"`);
      assert.equal((await door.post(bodyOf([other!, large]))).status, 200);
      // What is sent again in smaller parts may be there twice.
      assert.deepEqual([...new Set(await stage.hits())], [other]);
      const [letter] = await stage.deadLetters(1);
      assert.match(letter!.headers['earshot.error']!, /^too large for .*: 2\d{6} bytes \(cut from/);
    },
  );

  doorTest('a broker that is down: 503, not ready, and with it up again nothing is lost', async door => {
    const body = bodyOf(await hitsOf(modulePath, alertRecords(1000)));
    const restarted = kafka.restart(6000);
    await sleep(500);
    const { status, headers } = await door.post(body);
    assert.equal(status, 503);
    assert.match(headers.get('retry-after')!, /^\d+$/);
    await until(async () => (await fetch(`${door.url}/readyz`)).status === 503, 'not ready');
    assert.equal((await fetch(`${door.url}/healthz`)).status, 200, 'a restart would not help');
    await restarted;
    await until(async () => (await door.post(body)).status === 200, 'accepted', 60_000);
    await until(async () => (await fetch(`${door.url}/readyz`)).status === 200, 'ready');
    assert.equal(new Set(await stage.hits()).size, 1000);
  });

  doorTest('killed in mid-body: the body comes again, and nothing is lost', async (door, environment) => {
    const bodies = await Promise.all(
      range(20).map(async at => bodyOf(await hitsOf(modulePath, alertRecords(500, at * 500)))),
    );
    const left = new Set(bodies);
    const send = async (to: DoorProcess) => {
      for (const body of [...left]) if ((await to.post(body)).status === 200) left.delete(body);
    };
    const sending = send(door).catch(() => {});
    await until(() => left.size < 15, 'some are accepted');
    door.child.kill('SIGKILL');
    await sending;
    assert.ok(left.size > 0, 'killed in the middle');
    const next = await startDoor(file, environment, door.port);
    await until(async () => (await send(next), left.size === 0), 'all are accepted');
    assert.equal(new Set(await stage.hits()).size, 10_000);
    next.child.kill('SIGKILL');
  });

  doorTest(
    'with a counter in the same process: from the door to the sink, once',
    async door => {
      const body = bodyOf(await hitsOf(modulePath, alertRecords(40)));
      for (let times = 0; times < 2; times++) assert.equal((await door.post(body)).status, 200);
      await until(() => stage.counted(), 'everything counted');
      assert.deepEqual(manager.ids(), range(40));
      door.child.kill('SIGTERM');
      assert.equal(await door.exited, 0, door.log());
    },
    {},
  );

  doorTest(
    'a real Fluent Bit, and a function that is killed three times: all hits are in the topic',
    async (door, environment) => {
      const hits = await hitsOf(modulePath, alertRecords(20_000));
      const folder = mkdtempSync(join(tmpdir(), 'earshot-door-'));
      const log = join(folder, 'hits.ndjson');
      writeFileSync(log, '');
      writeFileSync(join(folder, 'fluent-bit.yaml'), fluentBit(folder, door.port));
      const fluent = spawn('fluent-bit', ['-q', '-c', join(folder, 'fluent-bit.yaml')], { stdio: 'ignore' });
      let current = door;
      try {
        for (let part = 0; part < 4; part++) {
          const some = hits.slice(part * 5000, (part + 1) * 5000).map(hit => JSON.stringify(elementOf(hit)));
          for (let at = 0; at < some.length; at += 500) {
            appendFileSync(log, `${some.slice(at, at + 500).join('\n')}\n`);
            if (part < 3 && at === 2500) current.child.kill('SIGKILL');
            await sleep(100);
          }
          if (part < 3) current = await startDoor(file, environment, door.port);
        }
        const found = async () =>
          new Set((await readTopic(kafka.brokers, stage.hitsTopic)).map(({ value }) => String(value)));
        await until(async () => (await found()).size === hits.length, 'all hits', 90_000);
        assert.deepEqual([...(await found())].sort(), [...hits].sort());
      } finally {
        fluent.kill('SIGKILL');
        current.child.kill('SIGKILL');
        rmSync(folder, { recursive: true, force: true });
      }
    },
    undefined,
    fluentBitMissing,
  );

  test('a hits topic that does not exist ends the process with 1', async () => {
    const stage = await openStage(kafka.brokers, manager.url);
    const { EARSHOT_TOPICS: _, ...environment } = stage.environment;
    const listen = {
      EARSHOT_ROLE: 'match',
      EARSHOT_LISTEN: `127.0.0.1:${somePort()}`,
      EARSHOT_HITS_TOPIC: 'not-there',
    };
    const one = spawnFunction(file, { ...environment, ...listen });
    assert.equal(await one.exited, 1, one.log());
    assert.match(one.log(), /Kafka has no topic/);
    await stage.close();
  });
});

/** Its records are what the module's door makes of the logs' records. */
function fluentBit(folder: string, port: number): string {
  return `
service:
  flush: 0.2
  scheduler.base: 1
  scheduler.cap: 2
  storage.path: ${join(folder, 'storage')}
parsers:
  - {name: hits, format: json}
pipeline:
  inputs:
    - {name: tail, path: ${join(folder, 'hits.ndjson')}, tag: hits, parser: hits, read_from_head: true, refresh_interval: 1, db: ${join(folder, 'tail.db')}, storage.type: filesystem}
  outputs:
    - {name: http, match: hits, host: 127.0.0.1, port: ${port}, uri: /hits, format: json, json_date_key: false, compress: gzip, workers: 0, retry_limit: no_limits}
`;
}

function open(port: number): { socket: Socket; answer: Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', chunk => (text += chunk));
  socket.on('error', () => {});
  return { socket, answer: new Promise(done => socket.once('close', () => done(text))) };
}

/** What the server answers to these bytes before it closes the connection. */
async function raw(port: number, bytes: string): Promise<string> {
  const { socket, answer } = open(port);
  socket.write(bytes);
  return answer;
}
