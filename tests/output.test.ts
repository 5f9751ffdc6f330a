// Strings in the alert, against Go's encoding/json: `<`, `>`, `&`, U+2028 and U+2029 are escaped, and control
// characters in its own way; everything else stands as it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ALERT, openDoors } from '../host/matcher.ts';
import type { Alert } from './core.ts';
import { RUNS, alertsOf, bakeInto, bodyText, compile, loadRules, shippedCore } from './core.ts';
import { decodeUtf8 } from './fuzz/json.ts';

const matcher = await loadRules(`
groups:
  - name: g
    rules:
      - alert: a
        realert: 0s
        match: {field: v, exists: true}
        annotations: {alone: '{{ $record.v }}', between: '<{{ $record.v }}>', twice: '{{ $record.v }}{{ $record.v }}'}
`);

const SHORT = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
]);

function quoteAsGo(text: string): string {
  const escape = (character: string) =>
    SHORT.get(character) ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `"${text.replace(/["\\\x00-\x1f<>&\u2028\u2029]/g, escape)}"`;
}

// What word tricks get wrong stands at every place of a word; more than 64 bytes are copied in another way.
const unitArbitrary = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', ' ', '!', '#', '~', '\x7f', 'A') },
  { weight: 2, arbitrary: fc.constantFrom('"', '\\', '<', '>', '&', '\n', '\0', '\x1f', '\x01', '/') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '\u2028',
      '\u2029',
      '\u2027',
      '\u202a',
      'â',
      'é',
      '€',
      '😀',
      '\u0080',
      '\u00a2',
      '\u3c3e',
    ),
  },
);
const textArbitrary = fc.oneof(
  fc.string({ unit: unitArbitrary, minLength: 1, maxLength: 24 }),
  fc.string({ unit: unitArbitrary, minLength: 60, maxLength: 300 }),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 100 }),
);

test('texts are written as Go writes them', () => {
  const property = fc.property(textArbitrary, text => {
    const value = Buffer.from(text).toString(); // half a surrogate pair is U+FFFD
    assert.equal(matcher.match(Buffer.from(JSON.stringify({ v: value })), 0, 0), ALERT);
    const annotations = `{"alone":${quoteAsGo(value)},"between":${quoteAsGo(`<${value}>`)},"twice":${quoteAsGo(value + value)}}`;
    const body = bodyText(matcher);
    assert.ok(body.includes(`"annotations":${annotations},`), body);
    assert.ok(body.endsWith(`"commonAnnotations":${annotations},"externalURL":""}`), body);
  });
  fc.assert(property, { numRuns: 3000 * RUNS });
});

test('bytes that are not UTF-8 never reach the alert', () => {
  const bytesArbitrary = fc
    .uint8Array({ minLength: 1, maxLength: 40 })
    .map(bytes => bytes.filter(byte => byte !== 0x22 && byte !== 0x5c))
    .filter(bytes => bytes.length > 0);
  const property = fc.property(bytesArbitrary, fc.constantFrom('"', '["'), (bytes, opening) => {
    const closing = opening === '"' ? '"' : '"]';
    const record = Buffer.concat([Buffer.from(`{"v":${opening}`), bytes, Buffer.from(`${closing}}`)]);
    assert.equal(matcher.match(record, 0, 0), ALERT);
    // Each byte that belongs to no sequence becomes U+FFFD, as in Go; WHATWG makes one of several.
    const text = decodeUtf8(bytes);
    const alone = opening === '"' ? text : `["${text}"]`;
    assert.equal(JSON.parse(bodyText(matcher)).alerts[0].annotations.alone, alone);
  });
  fc.assert(property, { numRuns: 3000 * RUNS });
});

const manyRules = (count: number, annotations: string) =>
  JSON.stringify({ groups: [{ name: 'g', rules: [] }] }).replace(
    '[]',
    `[${Array.from({ length: count }, (_, i) => `{"alert":"r${i}","realert":"0s","match":{"field":"v","exists":true},"annotations":{${annotations}}}`).join()}]`,
  );

test('alerts that a body has no room for are counted, in it and in the next alert', async () => {
  const matcher = await loadRules(manyRules(1500, ''));
  assert.equal(matcher.match(Buffer.from('{"v":1}'), 1, 0), ALERT);
  const body = JSON.parse(bodyText(matcher));
  assert.deepEqual(
    body.alerts.map((alert: Alert) => alert.labels.alertname),
    Array.from({ length: 1000 }, (_, i) => `r${i}`),
  );
  assert.equal(body.truncatedAlerts, 500);
  assert.equal(matcher.suppressed().others, 500);
  const [next] = alertsOf(matcher, '{"v":1}');
  assert.equal(next!.annotations.suppressed_others, '500');
  assert.ok(!('truncatedAlerts' in JSON.parse(await bodyOf(manyRules(1000, ''), '{"v":1}'))));
});

test('a body that would take hundreds of megabytes is cut, in every form', async () => {
  const long = Array.from({ length: 60 }, (_, i) => `"a${i}":"{{ $record.v }}"`).join();
  const yaml = manyRules(300, long);
  const record = Buffer.from(JSON.stringify({ v: '\u0001'.repeat(5000) }));
  const body = JSON.parse(await bodyOf(yaml, record));
  assert.ok(body.alerts.length > 5, `${body.alerts.length} alerts`);
  assert.equal(body.alerts.length + body.truncatedAlerts, 300);
  const module = await bakeInto(shippedCore(), compile(yaml).bytes);
  const doors = await openDoors(await WebAssembly.compile(module as BufferSource));
  for (const name of ['alerts_only', 'alert_arrays_only']) {
    const block = doors.malloc(record.length);
    new Uint8Array(doors.memory.buffer).set(record, block);
    const at = (doors[name] as (...values: number[]) => number)(0, 0, 1, 0, block, record.length);
    const bytes = new Uint8Array(doors.memory.buffer);
    const edge = JSON.parse(Buffer.from(bytes.subarray(at, bytes.indexOf(0, at))).toString());
    const inside = JSON.parse(edge.alert);
    assert.equal((name === 'alerts_only' ? inside.alerts : inside).length, body.alerts.length);
  }
  assert.ok(doors.memory.buffer.byteLength < 100_000_000, `${doors.memory.buffer.byteLength} bytes`);
});

async function bodyOf(yaml: string, record: string | Uint8Array): Promise<string> {
  const matcher = await loadRules(yaml);
  assert.equal(matcher.match(Buffer.from(record), 0, 0), ALERT);
  return bodyText(matcher);
}
