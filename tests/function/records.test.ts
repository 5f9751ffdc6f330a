// The HTTP door for records, as its senders see it: each form has the same alerts as a file, and 200 promises what it says.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { CloudEvent, emitterFor, HTTP, httpTransport, Mode } from 'cloudevents';
import { skip as fluentBitMissing } from '../fluent-bit/process.ts';
import { diceOf } from '../fuzz/dice.ts';
import { lokiProtobuf, otlpJson, otlpProtobuf } from '../http/senders.ts';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import type { Alert } from '../sink/notification-manager.ts';
import { hitId } from '../../host/hit.ts';
import { ALERT, loadModule } from '../../host/matcher.ts';
import { openStage, range, until } from './harness.ts';
import type { Stage } from './harness.ts';
import { somePort, startDoor } from './door.ts';
import type { DoorProcess } from './door.ts';
import { buildModule, modulePath } from './module.ts';
import { bundleFunction, spawnFunction } from './process.ts';

type Manager = Awaited<ReturnType<typeof startNotificationManager>>;

const opensslMissing = spawnSync('openssl', ['version']).status !== 0 && 'there is no openssl on the PATH';
const file = await bundleFunction();
const recordsModule = await buildModule('records');
const TIME_MS = Date.parse('2021-08-25T01:53:25.480Z');
/** Every second one is quiet. */
const LINES = range(20).map(id => (id % 2 === 0 ? `ALERT ${id}` : `quiet ${id}`));

/** One line, and when it was written. */
const at = (index: number) => TIME_MS + index;
const record = (line: string, index: number) =>
  JSON.stringify({ '@timestamp': new Date(at(index)).toISOString(), log: line });
const RECORDS = LINES.map(record);

interface Send {
  path: string;
  headers?: Record<string, string>;
  body: string | Uint8Array;
}

const json = { 'content-type': 'application/json' };
const logs = LINES.map((body, index) => ({ timeUnixNano: BigInt(at(index)) * 1_000_000n, body }));
const otlp = { resource: { 'service.name': 'web' }, scope: { name: 'app', version: '1' }, logs };
const event = (line: string, index: number, name = 'logs') =>
  new CloudEvent({
    id: `partition:0/offset:${index}`,
    source: `/apis/v1/namespaces/ns/kafkasources/${name}#logs`,
    type: 'dev.knative.kafka.event',
    time: new Date(at(index)).toISOString(),
    data: { log: line },
  });
/** A frame of zstd with its size and one block that is not compressed. */
function zstd(text: string): Buffer {
  const content = Buffer.from(text);
  const head = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0, 0, 0, 0]);
  head.writeUInt32LE(content.length, 5);
  head.writeUIntLE((content.length << 3) | 1, 9, 3);
  return Buffer.concat([head, content]);
}

/** The same lines in each form. */
const FORMS: Record<string, Send[]> = {
  'one record a request': RECORDS.map(body => ({ path: '/', body })),
  'an array': [{ path: '/records', headers: json, body: `[${RECORDS.join()}]` }],
  'one record a line': [
    { path: '/x', headers: { 'content-type': 'application/x-ndjson' }, body: `${RECORDS.join('\n')}\n` },
  ],
  'one after the other, gzip': [
    { path: '/', headers: { 'content-encoding': 'gzip' }, body: gzipSync(RECORDS.join('')) },
  ],
  'lines, zstd': [{ path: '/', headers: { 'content-encoding': 'zstd' }, body: zstd(RECORDS.join('\n')) }],
  Dapr: LINES.map((log, index) => ({
    path: '/serving-8f5fc-bindings-kafka-receiver-9g5vr',
    headers: {
      ...json,
      __topic: 'logs',
      __partition: '0',
      __offset: String(index),
      __timestamp: String(at(index)),
    },
    body: JSON.stringify({ log }),
  })),
  'CloudEvents, binary, without a content type': LINES.map((line, index) => {
    const { headers, body } = HTTP.binary(event(line, index));
    const { 'content-type': _, ...attributes } = headers as Record<string, string>;
    return { path: '/', headers: attributes, body: Buffer.from(body as string) };
  }),
  'CloudEvents, structured': LINES.map((line, index) => {
    const { headers, body } = HTTP.structured(event(line, index, 'structured'));
    return { path: '/', headers: headers as Record<string, string>, body: body as string };
  }),
  'CloudEvents, batch': [
    {
      path: '/',
      headers: { 'content-type': 'application/cloudevents-batch+json' },
      body: JSON.stringify(LINES.map((line, index) => event(line, index, 'batch'))),
    },
  ],
  'OTLP, JSON': [{ path: '/v1/logs', headers: json, body: otlpJson(otlp) }],
  'OTLP, protobuf': [
    { path: '/v1/logs', headers: { 'content-type': 'application/x-protobuf' }, body: otlpProtobuf(otlp) },
  ],
  'Loki, JSON': [
    {
      path: '/loki/api/v1/push',
      headers: json,
      body: JSON.stringify({
        streams: [{ stream: {}, values: LINES.map((line, index) => [`${at(index)}000000`, line]) }],
      }),
    },
  ],
  'Loki, protobuf': [
    {
      path: '/loki/api/v1/push',
      headers: { 'content-type': 'application/x-protobuf' },
      body: lokiProtobuf(
        '{app="web"}',
        LINES.map((line, index) => ({ timeMs: at(index), line })),
      ),
    },
  ],
};

/** The alerts of the same records in a file. */
async function alertsOfFile(): Promise<Alert[]> {
  const matcher = await (await loadModule(readFileSync(recordsModule))).instantiate();
  return RECORDS.flatMap(text => {
    if (matcher.match(Buffer.from(text), 0, 0) !== ALERT) return [];
    return JSON.parse(Buffer.from(matcher.alert()).toString()).alerts as Alert[];
  });
}

const environment = (manager: Manager): NodeJS.ProcessEnv => ({
  EARSHOT_MODULE: recordsModule,
  EARSHOT_SINK_URL: manager.url,
  EARSHOT_SINK_TIMEOUT_MS: '1500',
  EARSHOT_RETRY_HOLD_MS: '500',
  EARSHOT_RETRY_MAX_MS: '500',
  EARSHOT_SHUTDOWN_MS: '6000',
});

async function send(door: { url: string }, { path, headers, body }: Send): Promise<Response> {
  return fetch(`${door.url}${path}`, { method: 'POST', headers, body: body as BodyInit });
}

describe('records without Kafka', () => {
  const doorTest = (
    name: string,
    run: (door: DoorProcess, manager: Manager) => Promise<void>,
    more: NodeJS.ProcessEnv = {},
    skip: string | boolean = false,
  ) =>
    test(name, { timeout: 60_000, skip }, async () => {
      const manager = await startNotificationManager();
      const door = await startDoor(file, { ...environment(manager), ...more }, somePort());
      try {
        await run(door, manager);
      } finally {
        door.child.kill('SIGKILL');
        await manager.stop();
      }
    });

  doorTest(
    'each form has the alerts of a file, and a request that is sent again counts nothing',
    async (door, manager) => {
      const expected = await alertsOfFile();
      assert.equal(expected.length, 10);
      for (const [form, requests] of Object.entries(FORMS)) {
        for (let times = 0; times < 2; times++)
          for (const one of requests) {
            const response = await send(door, one);
            const isLoki = one.path.startsWith('/loki');
            assert.equal(response.status, isLoki ? 204 : 200, `${form}: ${await response.clone().text()}`);
            if (/CloudEvents|Dapr/.test(form))
              assert.equal(await response.text(), '', 'a body would be a reply');
          }
        const found = manager.queue.splice(0);
        assert.deepEqual(found, expected, form);
      }
      assert.equal(await door.metric('earshot_records_total{topic="POST otlp"}'), 80);
    },
  );

  doorTest("the official SDK's own transport", async (door, manager) => {
    for (const mode of [Mode.BINARY, Mode.STRUCTURED])
      await emitterFor(httpTransport(`${door.url}/`), { mode })(
        event('ALERT 4', mode === Mode.BINARY ? 1 : 2),
      );
    assert.deepEqual(manager.ids(), [4, 4]);
  });

  doorTest('Dapr asks with OPTIONS on any name; everything else has its own answer', async door => {
    const ask = (method: string, path: string) => fetch(`${door.url}${path}`, { method });
    assert.equal((await ask('OPTIONS', '/tick')).status, 200);
    assert.equal((await ask('GET', '/dapr/config')).status, 404);
    assert.equal((await ask('GET', '/v1/logs')).status, 405);
    assert.equal((await ask('POST', '/tick')).status, 200, 'a binding without a record: cron');
    const typed = await send(door, {
      path: '/v1/logs',
      headers: { 'content-type': 'text/plain' },
      body: 'x',
    });
    assert.equal(typed.status, 503);
    assert.match(await typed.text(), /send application\/json or application\/x-protobuf/);
  });

  doorTest(
    'a sink that is down: 503 with Retry-After, never 4xx or 204, and then nothing lost or counted twice',
    async (door, manager) => {
      manager.intercept = (_, response) => (response.writeHead(400 + 103).end(), true);
      const some = ['Dapr', 'CloudEvents, structured', 'OTLP, protobuf', 'Loki, JSON', 'an array'];
      for (const form of some) {
        const response = await send(door, FORMS[form]![0]!);
        assert.equal(response.status, 503, form);
        assert.match(response.headers.get('retry-after')!, /^\d+$/);
      }
      manager.intercept = undefined;
      for (const one of FORMS['an array']!)
        await until(async () => (await send(door, one)).status === 200, 'accepted');
      const ids = manager.ids();
      assert.deepEqual(
        [...new Set(ids)].sort((a, b) => a - b),
        range(10).map(index => index * 2),
      );
    },
  );

  doorTest('what is no record is told and counted, and costs only itself', async (door, manager) => {
    const body = `[${RECORDS[0]},5,{"log":"ALERT 99"`;
    const response = await send(door, { path: '/', body });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), '3 records, 1 hits, 2 others\n');
    const bad = JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [7] }] }] });
    const partial = await send(door, { path: '/v1/logs', headers: json, body: bad });
    assert.deepEqual(await partial.json(), {
      partialSuccess: { rejectedLogRecords: '1', errorMessage: '1 log records could not be read' },
    });
    assert.deepEqual(manager.ids(), [0]);
    await until(() => /dead-letter topic/.test(door.log()), 'the log');
    assert.match(door.log(), /the rest of an array without its end/);
    assert.equal(await door.metric('earshot_dead_letters_total{reason="poison"}'), 3);
  });

  doorTest(
    'an event that is no record is refused when its sender has a place for it',
    async (door, manager) => {
      const { headers } = HTTP.binary(event('x', 1));
      const one = (body: string) =>
        send(door, { path: '/', headers: headers as Record<string, string>, body });
      const refused = await one('garbage');
      assert.equal(refused.status, 422);
      assert.equal(await refused.text(), 'not a JSON object\n');
      assert.equal((await one(RECORDS[0]!)).status, 200);
      assert.equal((await send(door, { path: '/', body: 'garbage' })).status, 200, 'not an event');
      assert.deepEqual(manager.ids(), [0]);
      assert.equal(await door.metric('earshot_dead_letters_total{reason="poison"}'), 1);
    },
    { EARSHOT_POISON_STATUS: '422' },
  );

  doorTest('a large body of lines, and a crowd of bodies: bounded memory', async (door, manager) => {
    manager.queueSize = Infinity;
    const count = 300_000;
    const body =
      range(count)
        .map(id => `{"log":"quiet ${id}","x":"${'y'.repeat(60)}"}`)
        .join('\n') + `\n${RECORDS[2]}`;
    const response = await send(door, {
      path: '/',
      headers: { 'content-type': 'application/x-ndjson' },
      body,
    });
    assert.equal(await response.text(), `${count + 1} records, 1 hits, 0 others\n`);
    assert.deepEqual(manager.ids(), [2]);
    assert.equal(await door.metric('earshot_listen_body_bytes'), 0);
    const crowd = await Promise.all(
      range(6).map(index =>
        send(door, { path: '/', body: Buffer.alloc(30 * 1024 * 1024, 0x20 + (index % 1)) }).then(
          ({ status }) => status,
          () => 503,
        ),
      ),
    );
    assert.ok(crowd.includes(200) && crowd.includes(503), crowd.join());
    assert.ok((await door.metric('process_resident_memory_bytes')) < 700e6);
  });

  doorTest(
    '10,000 malformed requests: an answer for each, and the next good one counts',
    async (door, manager) => {
      const random = diceOf(7);
      const all = Object.values(FORMS).flat();
      const statuses = new Map<number, number>();
      const memory = () => door.metric('process_resident_memory_bytes');
      let before = 0;
      const one = async (index: number) => {
        if (index === 2000) before = await memory();
        const { path, headers, body } = all[random.below(all.length)]!;
        const bytes = Buffer.from(body as string).filter((_, at) => at < 600);
        const broken = bytes.subarray(random.below(bytes.length), 1 + random.below(bytes.length + 1));
        for (let flips = random.below(4); flips > 0 && broken.length > 0; flips--)
          broken[random.below(broken.length)] = random.below(256);
        const { status } = await send(door, { path, headers, body: broken });
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      };
      for (let at = 0; at < 10_000; at += 50) await Promise.all(range(50, at).map(one));
      assert.deepEqual([...statuses.keys()].sort(), [200, 204], JSON.stringify([...statuses]));
      assert.equal(await door.metric('earshot_listen_body_bytes'), 0);
      assert.ok((await memory()) < before + 150e6, `${before} ${await memory()}`);
      assert.ok(!door.log().includes('a request failed'), 'no bug');
      manager.queue.length = 0;
      assert.equal((await send(door, { path: '/', body: '{"log":"ALERT 77"}' })).status, 200);
      assert.deepEqual(manager.ids(), [77]);
    },
    {},
  );

  doorTest(
    'two ways to read one request, and floods of headers, are refused by the server itself',
    async door => {
      const raw = (bytes: string) =>
        new Promise<string>(done => {
          let text = '';
          const socket = connect(door.port, '127.0.0.1', () => socket.write(bytes));
          socket
            .on('data', chunk => (text += chunk))
            .on('error', () => {})
            .once('close', () => done(text));
        });
      const post = 'POST / HTTP/1.1\r\nhost: x\r\n';
      const smuggled = [
        `${post}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: x\r\n\r\n`,
        `${post}content-length: 2\r\ncontent-length: 40\r\n\r\n{}`,
        `${post}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
        `${post}transfer-encoding : chunked\r\n\r\n0\r\n\r\n`,
        `${post}content-length: +2\r\n\r\n{}`,
        `${post}transfer-encoding: chunked\r\n\r\n5;\r\n{}\r\n\r\n`,
        'POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}',
        `${post}x\n: y\r\n\r\n`,
      ];
      for (const bytes of smuggled) {
        const answer = await raw(bytes);
        assert.match(answer, /^HTTP\/1.1 400/, JSON.stringify(bytes));
        assert.equal(answer.match(/^HTTP\/1/gm)!.length, 1, JSON.stringify(bytes));
      }
      const flood = range(3000)
        .map(index => `x-${index}: 1\r\n`)
        .join('');
      assert.match(await raw(`${post}${flood}\r\n`), /^HTTP\/1.1 431/);
      assert.equal((await fetch(`${door.url}/readyz`)).status, 200);
    },
  );

  doorTest(
    "a real Fluent Bit's out_http, out_opentelemetry and out_loki",
    async (door, manager) => {
      const folder = mkdtempSync(join(tmpdir(), 'earshot-records-'));
      writeFileSync(join(folder, 'logs.ndjson'), `${LINES.map(log => JSON.stringify({ log })).join('\n')}\n`);
      writeFileSync(join(folder, 'fluent-bit.yaml'), fluentBit(folder, door.port));
      const fluent = spawn('fluent-bit', ['-q', '-c', join(folder, 'fluent-bit.yaml')], { stdio: 'ignore' });
      try {
        await until(() => manager.queue.length >= 40, 'four times ten alerts').catch(error => {
          throw new Error(`${error.message}\n${manager.queue.length}\n${door.log()}`);
        });
        const ids = new Map<number, number>();
        for (const id of manager.ids()) ids.set(id, (ids.get(id) ?? 0) + 1);
        assert.deepEqual(
          [...ids].sort((a, b) => a[0] - b[0]),
          range(10).map(index => [index * 2, 4]),
        );
      } finally {
        fluent.kill('SIGKILL');
        rmSync(folder, { recursive: true, force: true });
      }
    },
    {},
    fluentBitMissing,
  );
});

function fluentBit(folder: string, port: number): string {
  const to = `host: 127.0.0.1, port: ${port}, match: '*'`;
  return `
service: {flush: 0.2}
parsers:
  - {name: logs, format: json}
pipeline:
  inputs:
    - {name: tail, path: ${join(folder, 'logs.ndjson')}, parser: logs, read_from_head: true, refresh_interval: 1}
  outputs:
    - {name: http, ${to}, uri: /a, format: json, json_date_key: '@timestamp', json_date_format: iso8601}
    - {name: http, ${to}, uri: /b, format: json_lines, json_date_key: '@timestamp', json_date_format: iso8601, compress: gzip, header: 'x y'}
    - {name: opentelemetry, ${to}, logs_uri: /v1/logs, logs_body_key: $log}
    - {name: loki, ${to}, labels: 'app=web', drop_single_key: 'raw', line_format: json, remove_keys: x}
`;
}

describe('records with TLS', { skip: opensslMissing }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'earshot-tls-'));
  const pem = (name: string) => join(folder, name);
  const issue = (name: string) =>
    execFileSync(
      'openssl',
      [
        ...[
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-days',
          '2',
        ],
        ...['-subj', `/CN=${name}`, '-keyout', pem(`${name}.key`), '-out', pem(`${name}.crt`)],
      ],
      { stdio: 'ignore' },
    );
  const subject = (port: number) =>
    new Promise<string>((done, fail) => {
      const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
        done(socket.getPeerCertificate().subject.CN as string);
        socket.destroy();
      });
      socket.once('error', fail);
    });

  test(
    'the certificate is renewed when its files change; a broken pair is not taken',
    { timeout: 90_000 },
    async () => {
      for (const name of ['first', 'second']) issue(name);
      const use = (name: string, keyName = name) => {
        writeFileSync(pem('tls.new'), readFileSync(pem(`${name}.crt`)));
        renameSync(pem('tls.new'), pem('tls.crt'));
        writeFileSync(pem('tls.new'), readFileSync(pem(`${keyName}.key`)));
        renameSync(pem('tls.new'), pem('tls.key'));
      };
      use('first');
      const manager = await startNotificationManager();
      const port = somePort();
      const door = spawnFunction(file, {
        ...environment(manager),
        EARSHOT_LISTEN: `127.0.0.1:${port}`,
        EARSHOT_LISTEN_TLS_CERT_FILE: pem('tls.crt'),
        EARSHOT_LISTEN_TLS_KEY_FILE: pem('tls.key'),
        EARSHOT_PORT: '0',
      });
      try {
        await until(() => door.log().includes('"listening"'), 'the door');
        const answer = await new Promise<number>((done, fail) =>
          httpsRequest({ port, method: 'POST', path: '/', rejectUnauthorized: false }, response => {
            response.resume();
            done(response.statusCode!);
          })
            .once('error', fail)
            .end(RECORDS[0]),
        );
        assert.equal(answer, 200);
        assert.deepEqual(manager.ids(), [0]);
        await assert.rejects(fetch(`http://127.0.0.1:${port}/`), 'without TLS nothing is answered');
        assert.equal(await subject(port), 'first');
        use('second', 'first');
        await until(() => /the old one stays/.test(door.log()), 'the broken pair', 20_000);
        assert.equal(await subject(port), 'first');
        use('second');
        await until(async () => (await subject(port)) === 'second', 'the new one', 20_000);
      } finally {
        door.child.kill('SIGKILL');
        await manager.stop();
      }
    },
  );

  test('files that are no certificate end the process at its start with a sentence', async () => {
    writeFileSync(pem('no.pem'), 'no');
    const door = spawnFunction(file, {
      EARSHOT_MODULE: recordsModule,
      EARSHOT_SINK: 'stdout',
      EARSHOT_LISTEN: `127.0.0.1:${somePort()}`,
      EARSHOT_LISTEN_TLS_CERT_FILE: pem('no.pem'),
      EARSHOT_LISTEN_TLS_KEY_FILE: pem('no.pem'),
      EARSHOT_PORT: '0',
    });
    assert.equal(await door.exited, 1, door.log());
    assert.match(
      door.log(),
      /no\.pem and .*no\.pem are no certificate and its key: .*EARSHOT_LISTEN_TLS_KEY_FILE/,
    );
  });
});

describe('rules that count, without a hits topic, on more than one pod', () => {
  const start = (more: NodeJS.ProcessEnv) =>
    spawnFunction(file, {
      EARSHOT_MODULE: modulePath,
      EARSHOT_SINK: 'stdout',
      EARSHOT_LISTEN: `127.0.0.1:${somePort()}`,
      EARSHOT_PORT: '0',
      ...more,
    });

  for (const [where, more, why] of [
    [
      'on Knative',
      { K_SERVICE: 'earshot' },
      /"Test": these rules count, .* the Knative Service earshot can have any number of pods/,
    ],
    [
      'with several replicas',
      { EARSHOT_REPLICAS: '3' },
      /"Test": these rules count, .* EARSHOT_REPLICAS is 3/,
    ],
  ] as const)
    test(`${where}: refused at the start, with their names and the remedy`, async () => {
      const one = start(more);
      assert.equal(await one.exited, 2, one.log());
      assert.match(one.log(), why);
      assert.match(one.log(), /set EARSHOT_BROKERS/);
    });

  for (const [what, more] of [
    ['one replica on Knative', { K_SERVICE: 'earshot', EARSHOT_REPLICAS: '1' }],
    ['rules that look at one record', { K_SERVICE: 'earshot', EARSHOT_MODULE: recordsModule }],
  ] as const)
    test(`${what} are accepted`, async () => {
      const one = start(more);
      await until(() => one.log().includes('"listening"'), what);
      one.child.kill('SIGTERM');
      assert.equal(await one.exited, 0, one.log());
    });
});

describe('records with Kafka', { skip: kafkaMissing() }, () => {
  let kafka: TestKafka;
  let manager: Manager;
  let stage: Stage;
  before(async () => {
    kafka = await startKafka();
    manager = await startNotificationManager();
    stage = await openStage(kafka.brokers, manager.url, 1, 4);
  });
  after(async () => {
    await stage?.close();
    await manager?.stop();
    await kafka?.stop();
  });

  test(
    'hits of each form are in the topic with 200, and counted once from there',
    { timeout: 120_000 },
    async () => {
      const { EARSHOT_TOPICS: _, ...rest } = stage.environment;
      const door = await startDoor(file, { ...rest, EARSHOT_MODULE: recordsModule }, somePort());
      try {
        const expected = await alertsOfFile();
        for (const requests of Object.values(FORMS))
          for (let times = 0; times < 2; times++)
            for (const one of requests) await until(async () => (await send(door, one)).ok, 'accepted');
        const forms = Object.keys(FORMS).length;
        const hits = (await stage.hits()).filter(text => hitId(Buffer.from(text)) !== undefined);
        assert.equal(hits.length, 2 * 10 * forms);
        await until(() => stage.counted(), 'everything counted');
        // The same event, or the same body, in two forms has one name only where its bytes are the same.
        const key = ({ labels, startsAt }: Alert) => `${labels.id} ${startsAt}`;
        assert.deepEqual([...new Set(manager.queue.map(key))].sort(), expected.map(key).sort());
        assert.equal((await send(door, { path: '/', body: 'garbage' })).status, 200);
        const [letter] = await stage.deadLetters(1);
        assert.equal(letter!.value, 'garbage');
        assert.equal(letter!.headers['earshot.topic'], 'POST plain');
        assert.equal(letter!.headers['earshot.error'], 'not a JSON object');
      } finally {
        door.child.kill('SIGKILL');
      }
    },
  );

  test(
    'a broker that is down: 503, and with it up again the hits are in the topic',
    { timeout: 120_000 },
    async () => {
      const { EARSHOT_TOPICS: _, ...rest } = stage.environment;
      const door = await startDoor(
        file,
        { ...rest, EARSHOT_ROLE: 'match', EARSHOT_MODULE: recordsModule },
        somePort(),
      );
      try {
        const one = {
          path: '/binding',
          headers: { __topic: 'a', __offset: '1' },
          body: '{"log":"ALERT 500"}',
        };
        await until(async () => (await fetch(`${door.url}/readyz`)).ok, 'ready');
        const restarted = kafka.restart(4000);
        assert.equal((await send(door, one)).status, 503);
        await restarted;
        await until(async () => (await send(door, one)).status === 200, 'accepted', 60_000);
        assert.ok((await stage.hits()).some(hit => hit.includes('500')));
      } finally {
        door.child.kill('SIGKILL');
      }
    },
  );
});
