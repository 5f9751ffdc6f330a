// The forms of a body of records, without a server: what each makes of what its senders write, and of what nobody should.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import fc from 'fast-check';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { CloudEvent, HTTP } from 'cloudevents';
import { formOf } from '../../host/http/form.ts';
import type { Posted } from '../../host/http/posted.ts';
import { lokiProtobuf, otlpJson, otlpProtobuf } from './senders.ts';

const read = (body: string | Uint8Array, headers: IncomingHttpHeaders = {}, path = '/'): Posted[] => {
  const form = formOf(path, headers);
  assert.ok(typeof form !== 'string', String(form));
  return [...form.read(Buffer.from(body as string))];
};
const texts = (all: Posted[]) => all.map(({ bytes }) => Buffer.from(bytes).toString());
const jsons = (all: Posted[]) => texts(all).map(text => JSON.parse(text) as unknown);
const reasons = (all: Posted[]) => all.map(({ poison }) => poison);

test('plain: one record, an array, one after the other, one a line', () => {
  assert.deepEqual(texts(read('{"a":1}')), ['{"a":1}']);
  assert.deepEqual(texts(read(' [ {"a":1} , {"b":[2]} ] ')), ['{"a":1}', '{"b":[2]}']);
  assert.deepEqual(texts(read('{"a":1}{"b":2}\n{"c":"\\n"}')), ['{"a":1}', '{"b":2}', '{"c":"\\n"}']);
  assert.deepEqual(texts(read('{\n  "a": 1\n}\n')), ['{\n  "a": 1\n}']);
  const lines = { 'content-type': 'application/x-ndjson' };
  assert.deepEqual(texts(read('{"a":1}\r\n\n{"b":\n2}', lines)), ['{"a":1}\r', '{"b":', '2}']);
  assert.deepEqual(read(''), []);
  assert.deepEqual(read(' \n\n'), []);
  assert.deepEqual(read('[]'), []);
});

test('plain: a line that is no record costs itself, and an array without its end the rest of it', () => {
  assert.deepEqual(texts(read('{"a":1}\n}oops\n{"b":2}\n')), ['{"a":1}', '}oops', '{"b":2}']);
  assert.deepEqual(texts(read('{"a":"x\n{"b":2}')), ['{"a":"x', '{"b":2}']);
  const cut = read('[{"a":1},{"b":');
  assert.deepEqual(texts(cut), ['{"a":1}', '{"b":']);
  assert.deepEqual(reasons(cut), [undefined, 'the rest of an array without its end']);
});

test('plain: a body of unclosed lines is read once, not once a line', () => {
  const body = '{"\n'.repeat(2_000_000);
  const started = performance.now();
  assert.equal(read(body).length, 2_000_000);
  assert.ok(performance.now() - started < 10_000);
});

const EVENT = {
  specversion: '1.0',
  id: '7',
  source: '/logs',
  type: 'log',
  time: '2021-08-25T01:53:25.480Z',
};

test('CloudEvents: what the official SDK writes, binary and structured, and a batch of them', () => {
  const event = new CloudEvent({ ...EVENT, data: { log: 'a "quoted" line', n: 5 } });
  const forms = [HTTP.binary(event), HTTP.structured(event)].map(({ headers, body }) =>
    read(body as string, headers as IncomingHttpHeaders),
  );
  for (const posted of forms) {
    assert.deepEqual(jsons(posted), [{ log: 'a "quoted" line', n: 5 }]);
    assert.equal(posted[0]!.timeMs, Date.parse(EVENT.time));
    assert.match(posted[0]!.name!, /^[0-9a-f]{32}-0$/);
  }
  assert.equal(forms[0]![0]!.name, forms[1]![0]!.name);
  const batch = JSON.stringify([event, event.cloneWith({ id: '8' })]);
  const both = read(batch, { 'content-type': 'application/cloudevents-batch+json; charset=UTF-8' });
  assert.equal(both[0]!.name, forms[0]![0]!.name, 'the same event has the same name');
  assert.notEqual(both[1]!.name, both[0]!.name);
});

test('CloudEvents: data stays byte for byte, and can be a string or base64', () => {
  const structured = (members: string) =>
    read(`{"specversion":"1.0","id":"1",${members}}`, { 'content-type': 'application/cloudevents+json' });
  assert.deepEqual(texts(structured('"data":{"n":12345678901234567890, "z":1.0}')), [
    '{"n":12345678901234567890, "z":1.0}',
  ]);
  assert.deepEqual(texts(structured('"data":"{\\"a\\":1}"')), ['{"a":1}']);
  const base64 = Buffer.from('{"a":1}\n{"b":2}').toString('base64');
  assert.deepEqual(texts(structured(`"data_base64":"${base64}"`)), ['{"a":1}', '{"b":2}']);
  assert.deepEqual(reasons(structured('"x":1')), ['a CloudEvent without data']);
  assert.deepEqual(reasons(read('{"a":1}', { 'content-type': 'application/cloudevents+json' })), [
    'a CloudEvent without specversion',
  ]);
  assert.deepEqual(reasons(read('[{"a":', { 'content-type': 'application/cloudevents-batch+json' })), [
    'not a CloudEvent, or one without its end',
  ]);
});

test("Dapr: the place of Kafka's message names the record, and its time is the message's", () => {
  const headers = { __topic: 'logs', __partition: '3', __offset: '17', __timestamp: '1629856405480' };
  const [first] = read('{"a":1}', { ...headers, 'content-type': 'application/json' }, '/kafka-receiver');
  assert.equal(first!.timeMs, 1629856405480);
  const [again] = read('{"a":1}', headers, '/another-name');
  assert.equal(again!.name, first!.name);
  const [next] = read('{"a":1}', { ...headers, __offset: '18' });
  assert.notEqual(next!.name, first!.name);
});

const LOG = {
  timeUnixNano: 1629856405480000000n,
  severityNumber: 17,
  severityText: 'ERROR',
  body: 'disk full',
  attributes: { code: 12345678901234567n, ok: true, ratio: 0.5, list: ['a', 1n], map: { k: 'v' }, '': 'x' },
  traceId: '5b8efff798038103d269b633813fc60c',
  spanId: 'eee19b7ec3c1b174',
  eventName: 'disk',
};
const REQUEST = {
  resource: { 'k8s.namespace.name': 'demo', 'service.name': 'web' },
  scope: { name: 'app', version: '1.2' },
  logs: [LOG, { observedTimeUnixNano: 1629856405481000000n, body: { a: { b: [null, false] } } }],
};
const RECORDS = [
  '{"body":"disk full","severity_text":"ERROR","severity_number":17,"event_name":"disk",' +
    '"attributes":{"code":12345678901234567,"ok":true,"ratio":0.5,"list":["a",1],"map":{"k":"v"},"":"x"},' +
    '"resource":{"attributes":{"k8s.namespace.name":"demo","service.name":"web"}},' +
    '"scope":{"name":"app","version":"1.2"},' +
    '"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174"}',
  '{"body":{"a":{"b":[null,false]}},"resource":{"attributes":{"k8s.namespace.name":"demo","service.name":"web"}},' +
    '"scope":{"name":"app","version":"1.2"}}',
];

for (const [type, body] of [
  ['application/json', otlpJson(REQUEST)],
  ['application/x-protobuf', otlpProtobuf(REQUEST)],
] as const)
  test(`OTLP as ${type}: attributes of the resource, the scope and the log are fields`, () => {
    const posted = read(body, { 'content-type': type }, '/v1/logs');
    assert.deepEqual(texts(posted), RECORDS);
    assert.deepEqual(
      posted.map(({ timeMs }) => timeMs),
      [1629856405480, 1629856405481],
    );
  });

test('OTLP: what is no request, a log that is none, levels without end, names that mean something else', () => {
  const otlp = (body: string | Uint8Array, type = 'application/json') =>
    read(body, { 'content-type': type }, '/v1/logs');
  assert.deepEqual(otlp('{}'), []);
  assert.deepEqual(reasons(otlp('[]')), ['not a request of OTLP: it has no resourceLogs']);
  assert.deepEqual(reasons(otlp('garbage')), ['not a request of OTLP: it has no resourceLogs']);
  assert.deepEqual(reasons(otlp('{"resourceLogs":{}}')), ['resourceLogs is not an array']);
  const logs = (log: string) => `{"resourceLogs":[{"scopeLogs":[{"logRecords":[${log}]}]}]}`;
  assert.deepEqual(reasons(otlp(logs('5'))), ['not a log record of OTLP']);
  assert.match(
    reasons(otlp(logs('{"body":{"intValue":"x"}}')))[0]!,
    /^not a log record of OTLP: Cannot convert/,
  );
  const deep = `${'{"arrayValue":{"values":['.repeat(1000)}{}${']}}'.repeat(1000)}`;
  assert.deepEqual(reasons(otlp(logs(`{"body":${deep}}`))), [
    'not a log record of OTLP: more than 64 levels',
  ]);
  assert.deepEqual(reasons(otlp('\x0a\xff\x01', 'application/x-protobuf')), [
    'not a request of OTLP as protobuf: premature EOF',
  ]);
  let value = new BinaryWriter().finish();
  for (let level = 0; level < 1000; level++)
    value = new BinaryWriter().tag(5, 2).bytes(new BinaryWriter().tag(1, 2).bytes(value).finish()).finish();
  assert.match(
    reasons(otlp(otlpProtobuf({ ...REQUEST, logs: [{ rawBody: value }] }), 'application/x-protobuf'))[0]!,
    /64 levels/,
  );
  const named = otlp(logs('{"attributes":[{"key":"__proto__","value":{"stringValue":"x"}}]}'));
  assert.deepEqual(texts(named), ['{"attributes":{"__proto__":"x"}}']);
  for (const type of ['text/plain', ''])
    assert.match(
      String(formOf('/v1/logs', { 'content-type': type })),
      /send application\/json or application\/x-protobuf/,
    );
});

test('Loki as JSON and as protobuf: a line is `log`, its stream has labels', () => {
  const records = [
    '{"log":"GET / 500","labels":{"app":"web","path":"a\\"b"}}',
    '{"log":"GET / 200","labels":{"app":"web","path":"a\\"b"},"metadata":{"trace":"1"}}',
  ];
  const json = JSON.stringify({
    streams: [
      {
        stream: { app: 'web', path: 'a"b' },
        values: [
          ['1629856405480000000', 'GET / 500'],
          ['1629856405481000000', 'GET / 200', { trace: '1' }],
        ],
      },
    ],
  });
  const protobuf = lokiProtobuf('{app="web", path="a\\"b"}', [
    { timeMs: 1629856405480, line: 'GET / 500' },
    { timeMs: 1629856405481, line: 'GET / 200', metadata: { trace: '1' } },
  ]);
  for (const [type, body] of [
    ['application/json', json],
    ['application/x-protobuf', protobuf],
  ] as const) {
    const posted = read(body, { 'content-type': type }, '/loki/api/v1/push');
    assert.deepEqual(texts(posted), records);
    assert.deepEqual(
      posted.map(({ timeMs }) => timeMs),
      [1629856405480, 1629856405481],
    );
  }
  const poison = (body: string, type = 'application/json') =>
    reasons(read(body, { 'content-type': type }, '/loki/api/v1/push'));
  assert.deepEqual(poison('{}'), ['not a push of Loki: it has no streams']);
  assert.deepEqual(poison('{"streams":[{}]}'), ['a stream of Loki without values']);
  assert.deepEqual(poison('{"streams":[{"values":[["1"]]}]}'), [
    'a value of Loki that is not ["<nanoseconds>", "<line>"]',
  ]);
  assert.match(poison('x', 'application/x-protobuf')[0]!, /^not a push of Loki as protobuf with Snappy/);
});

/** Headers and a path that choose each form. */
const CHOICES: [path: string, headers: IncomingHttpHeaders][] = [
  ['/', {}],
  ['/', { 'content-type': 'application/x-ndjson' }],
  ['/', { 'ce-specversion': '1.0', 'ce-id': 'x' }],
  ['/', { 'content-type': 'application/cloudevents+json' }],
  ['/x', { __topic: 't', __offset: '1' }],
  ['/v1/logs', { 'content-type': 'application/json' }],
  ['/v1/logs', { 'content-type': 'application/x-protobuf' }],
  ['/loki/api/v1/push', { 'content-type': 'application/json' }],
  ['/loki/api/v1/push', { 'content-type': 'application/x-protobuf' }],
];

test('no body breaks a reader: what it returns are bytes, each with a reason where it knows one', () => {
  const bodies = [
    ...RECORDS,
    otlpJson(REQUEST),
    otlpProtobuf(REQUEST),
    lokiProtobuf('{a="b"}', [{ timeMs: 1, line: 'x' }]),
    '[{"a":1}]',
  ].map(body => Buffer.from(body as string));
  const broken = fc
    .tuple(fc.constantFrom(...bodies), fc.nat(), fc.uint8Array({ maxLength: 8 }), fc.nat(20))
    .map(([body, place, bytes, removed]) => {
      const at = place % (body.length + 1);
      return Buffer.concat([body.subarray(0, at), bytes, body.subarray(at + removed)]);
    });
  fc.assert(
    fc.property(
      fc.oneof(broken, fc.uint8Array({ maxLength: 200 })),
      fc.constantFrom(...CHOICES),
      (body, [path, headers]) => {
        for (const { bytes, timeMs } of read(body, headers, path)) {
          assert.ok(bytes instanceof Uint8Array);
          assert.ok(timeMs === undefined || timeMs === timeMs);
        }
      },
    ),
    { numRuns: 3000 },
  );
});
