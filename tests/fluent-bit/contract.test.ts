// The module as Fluent Bit's wasm filter sees it, in every version that has one. No Fluent Bit is needed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModule } from '../../host/matcher.ts';
import { featuresOf } from './features.ts';
import type { Outcome } from './filter-wasm.ts';
import { FilterWasm, VERSIONS } from './filter-wasm.ts';
import { bakeRules } from './module.ts';

const RULES = `
- alert: Error
  match: {field: log, contains: 'ERROR'}
  realert: 0s
  labels: {message: '{{ $record.log }}'}
- alert: Quiet
  match: {field: log, contains: 'heartbeat'}
  absence: {for: 1m}
`;
const wasm = bakeRules(RULES);
const module = await WebAssembly.compile(wasm as BufferSource);
const record = (log: string) => JSON.stringify({ log });
const at = 1_700_000_000_123;

function alertOf(outcome: Outcome | undefined): { id: string; body: string } {
  assert.equal(outcome?.kind, 'replaced', JSON.stringify(outcome));
  const { id, headers, alert, ...rest } = (outcome as Outcome & { kind: 'replaced' }).record;
  assert.deepEqual(headers, { 'content-type': 'application/json' });
  assert.deepEqual(rest, {});
  assert.match(id as string, /^[0-9a-f-]+$/);
  return { id: id as string, body: alert as string };
}

test('the module needs nothing that WAMR’s fast interpreter lacks', () => {
  const understood = ['bulk-memory', 'mutable-globals', 'nontrapping-fptoint', 'sign-extension'];
  assert.deepEqual(
    [...featuresOf(wasm)].filter(feature => !understood.includes(feature)),
    [],
  );
});

test('records that the filter cannot read are counted, and no others', () => {
  type Door = (...args: number[]) => number;
  const doors = new WebAssembly.Instance(module, {}).exports as unknown as Record<string, Door>;
  const memory = doors.memory as unknown as WebAssembly.Memory;
  const filter = (text: string) => {
    const block = doors.malloc!(text.length + 1) >>> 0;
    new Uint8Array(memory.buffer).set(Buffer.from(`${text}\0`), block);
    doors.alerts_only!(0, 0, 1_700_000_000, 0, block, text.length);
    doors.free!(block);
  };
  assert.equal(doors.unreadableCount!(), 0);
  for (const text of [record('fine'), record('ERROR'), '{}']) filter(text);
  assert.equal(doors.unreadableCount!(), 0);
  for (const text of ['x', '[1]', '{"log":"ERROR']) filter(text);
  assert.equal(doors.unreadableCount!(), 3);
});

for (const version of VERSIONS) {
  test(`Fluent Bit ${version.name}: only alerts leave, the same as behind Kafka`, async () => {
    const filter = new FilterWasm(module, version);
    const [quiet, loud] = filter.filter('earshot.candidate', [
      { record: record('fine'), ms: at },
      { record: record('ERROR <é> "x"\n'), ms: at },
    ]);
    assert.deepEqual(quiet, { kind: 'dropped' });
    const matcher = await (await loadModule(wasm)).instantiate();
    assert.equal(matcher.match(Buffer.from(record('ERROR <é> "x"\n')), 1_700_000_000, 123_000_000), 1);
    assert.equal(alertOf(loud).body, Buffer.from(matcher.alert()).toString());
  });

  test(`Fluent Bit ${version.name}: records that cannot be read make notices, and nothing else happens`, () => {
    const filter = new FilterWasm(module, version);
    const bad = ['', '{', '[1]', 'x', '{"log":"ERROR', '\0\0'];
    const outcomes = filter.filter(
      'earshot.candidate',
      bad.map(text => ({ record: text })),
    );
    const notices = outcomes.filter(outcome => outcome.kind !== 'dropped');
    assert.equal(notices.length, 3); // the 1st, 2nd and 4th
    for (const notice of notices) assert.match(alertOf(notice).body, /Earshot cannot read records/);
    alertOf(filter.filter('earshot.candidate', [{ record: record('ERROR') }])[0]);
  });

  test(`Fluent Bit ${version.name}: a malloc that fails costs one record at most`, () => {
    for (const failing of [1, 2]) {
      const filter = new FilterWasm(module, version);
      filter.filter('earshot.candidate', [{ record: record('fine') }]);
      filter.failingMalloc = failing;
      const [outcome] = filter.filter('earshot.candidate', [{ record: record('ERROR') }]);
      // Without its record it makes a notice.
      assert.match(alertOf(outcome).body, failing === 2 ? /cannot read/ : /"message":"ERROR"/);
      alertOf(filter.filter('earshot.candidate', [{ record: record('ERROR 2') }])[0]);
    }
  });

  test(`Fluent Bit ${version.name}: records of 8 MB, and memory that grows no further`, () => {
    const filter = new FilterWasm(module, version);
    const large = { record: record(`${'x'.repeat(8_000_000)} ERROR`), ms: at };
    alertOf(filter.filter('earshot.candidate', [large])[0]);
    alertOf(filter.filter('earshot.candidate', [large])[0]);
    const size = filter.memorySize;
    for (let i = 0; i < 20; i++) alertOf(filter.filter('earshot.candidate', [{ ...large, ms: at + i }])[0]);
    assert.equal(filter.memorySize, size);
  });

  test(`Fluent Bit ${version.name}: no two alerts have the same id`, () => {
    const filter = new FilterWasm(module, version);
    const records = Array.from({ length: 1000 }, (_, i) => ({
      record: record(`ERROR ${i % 10}`),
      ms: at + Math.floor(i / 20) * 1000,
    }));
    const outcomes = [
      ...filter.filter('earshot.candidate', records),
      ...filter.filter('earshot.candidate', [{ record: record('ERROR') }]),
    ];
    const ids = outcomes.filter(({ kind }) => kind === 'replaced').map(outcome => alertOf(outcome).id);
    assert.ok(ids.length > 100);
    assert.equal(new Set(ids).size, ids.length);
  });

  test(`Fluent Bit ${version.name}: a hundred thousand records leave no trace in memory`, () => {
    const filter = new FilterWasm(module, version);
    const chunk = Array.from({ length: 1000 }, (_, i) => ({ record: record(`fine ${i}`), ms: at }));
    filter.filter('earshot.candidate', chunk);
    const size = filter.memorySize;
    for (let i = 0; i < 100; i++) filter.filter('earshot.candidate', chunk);
    assert.equal(filter.memorySize, size);
  });
}

test('where the instance lives on, a clock’s record raises an absence', () => {
  const filter = new FilterWasm(module, VERSIONS[2]!);
  filter.filter('earshot.candidate', [{ record: record('heartbeat'), ms: at }]);
  const tick = (ms: number) => filter.filter('earshot.tick', [{ record: '{}', ms }])[0];
  assert.deepEqual(tick(at + 59_000), { kind: 'dropped' });
  const { alerts } = JSON.parse(alertOf(tick(at + 61_000)).body);
  assert.equal(alerts[0].labels.alertname, 'Quiet');
  assert.deepEqual(tick(at + 62_000), { kind: 'dropped' });
});

test('Alertmanager’s door writes the body’s array of alerts', () => {
  const chunk = [{ record: record('ERROR <é>'), ms: at }];
  const { body } = alertOf(new FilterWasm(module, VERSIONS[2]!).filter('earshot.candidate', chunk)[0]);
  const array = alertOf(
    new FilterWasm(module, VERSIONS[2]!, 'alert_arrays_only').filter('earshot.candidate', chunk)[0],
  ).body;
  assert.ok(body.includes(`"alerts":${array},"groupLabels"`));
  assert.equal(JSON.parse(array).length, 1);
});
