// The doors of Fluent Bit's filter, called as filter_wasm calls them. No Fluent Bit is needed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HIT, linesOf, loadModule } from '../../host/matcher.ts';
import { RUNS } from '../core.ts';
import type { Outcome } from './filter-wasm.ts';
import { FilterWasm, VERSIONS } from './filter-wasm.ts';
import { bakeRules } from './module.ts';

const LATEST = VERSIONS.at(-1)!;
const AT = 1_700_000_000_123;

/** Alerts with and without memory, of one record and of several. */
const RULES = `
- alert: Error
  match: {field: log, contains: 'ERROR'}
  realert: 60s
  labels: {message: '{{ $record.log }}', pod: '{{ $record.pod }}', ratio: '{{ $record.ratio }}'}
- alert: Every boom
  match: {field: log, contains: 'boom'}
  realert: 0s
  annotations: {message: '{{ $record.log }} in {{ $labels.alertname }}'}
- alert: Many
  match: {field: log, contains: 'many'}
  threshold: {count: 3, within: 30s, by: [pod]}
  realert: 0s
  labels: {pod: '{{ $record.pod }}'}
  annotations: {message: '{{ $value }} of {{ $record.pod }}'}
`;
const wasm = bakeRules(RULES);
const module = await WebAssembly.compile(wasm as BufferSource);

interface Line {
  record: string;
  ms: number;
}

const line = (record: object | string, ms = AT): Line => ({
  record: typeof record === 'string' ? record : JSON.stringify(record),
  ms,
});

function filter(door: string, chunk: Line[], instance = new FilterWasm(module, LATEST, door)): Outcome[] {
  return instance.filter('kube.a', chunk);
}

function recordOf(outcome: Outcome | undefined): Record<string, unknown> {
  assert.equal(outcome?.kind, 'replaced', JSON.stringify(outcome));
  return (outcome as Outcome & { kind: 'replaced' }).record;
}

interface Element {
  key: string;
  hit: string;
}

function elementsOf(outcome: Outcome | undefined): Element[] {
  const record = recordOf(outcome);
  return (record.hits ?? [record]) as Element[];
}

test('hits_only: the hits that the host writes of the same record, one by one', async () => {
  const matcher = await (await loadModule(wasm)).instantiate();
  for (const log of ['fine', 'ERROR <é> "x"\n \u2028', 'boom ERROR', 'many boom ERROR', '{"a":"\\\\"} ERROR']) {
    const text = JSON.stringify({ log, pod: 'web-1' });
    const [outcome] = filter('hits_only', [line(text)]);
    const isHit = matcher.find(Buffer.from(text), 1_700_000_000, 123_000_000) === HIT;
    if (!isHit) {
      assert.deepEqual(outcome, { kind: 'dropped' });
      continue;
    }
    const elements = elementsOf(outcome);
    const source = /"id":"([0-9a-f]{16})\//.exec(elements[0]!.hit)![1]!;
    const expected = linesOf(matcher.hits(source)!).map(hit => Buffer.from(hit).toString());
    assert.deepEqual(
      elements.map(({ hit }) => hit),
      expected,
    );
    for (const { key, hit } of elements) assert.equal((JSON.parse(hit) as { key: string }).key, key);
  }
});

test('hits_only: the id names the record, its time and its tag', () => {
  const idOf = (tag: string, { record, ms }: Line) =>
    (JSON.parse(elementsOf(new FilterWasm(module, LATEST, 'hits_only').filter(tag, [{ record, ms }])[0])[0]!.hit) as { id: string }).id;
  const one = line({ log: 'boom' });
  assert.equal(idOf('kube.a', one), idOf('kube.a', one));
  const others = [idOf('kube.b', one), idOf('kube.a', line({ log: 'boom' }, AT + 1)), idOf('kube.a', line({ log: 'boom ' }))];
  assert.equal(new Set([idOf('kube.a', one), ...others]).size, 4);
});

test('hits_only: a clock’s record makes nothing', () => {
  const clocked = new FilterWasm(module, LATEST, 'hits_only');
  assert.deepEqual(clocked.filter('earshot.tick', [line('{}')]), [{ kind: 'dropped' }]);
});

test('alert_objects_only: the alerts of the body, one by one', async () => {
  const matcher = await (await loadModule(wasm)).instantiate();
  for (const log of ['ERROR <é> "x"\n', 'boom', 'boom ERROR again']) {
    const text = JSON.stringify({ log, pod: 'web-1' });
    const record = recordOf(filter('alert_objects_only', [line(text)])[0]);
    assert.equal(matcher.match(Buffer.from(text), 1_700_000_000, 123_000_000), 1);
    const { alerts } = JSON.parse(Buffer.from(matcher.alert()).toString()) as { alerts: object[] };
    assert.deepEqual(alerts.length === 1 ? record : record.alerts, alerts.length === 1 ? alerts[0] : alerts);
  }
});

const step = fc.record({
  log: fc.constantFrom('ERROR', 'boom', 'many', 'many boom ERROR', 'fine'),
  pod: fc.constantFrom('a', 'b'),
  afterMs: fc.integer({ min: 1, max: 20_000 }),
});

test('a chunk that comes again has the same alerts again, and counts nothing twice', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ steps: fc.array(step, { minLength: 1, maxLength: 8 }), again: fc.nat({ max: 3 }) }), {
        maxLength: 8,
      }),
      chunks => {
        let ms = AT;
        const lines = chunks.map(({ steps }) =>
          steps.map(({ afterMs, ...record }) => line({ ...record, n: ms }, (ms += afterMs))),
        );
        const once = new FilterWasm(module, LATEST, 'alert_objects_only');
        const expected = lines.map(chunk => filter('', chunk, once));
        const instance = new FilterWasm(module, LATEST, 'alert_objects_only');
        chunks.forEach(({ again }, i) => {
          const found = filter('', lines[i]!, instance);
          assert.deepEqual(found, expected[i]);
          // Also a chunk that has waited while others went on.
          assert.deepEqual(filter('', lines[Math.max(0, i - again)]!, instance), expected[Math.max(0, i - again)]);
        });
      },
    ),
    { numRuns: 300 * RUNS },
  );
});

test('an absence that a tick told is told again with it', () => {
  const quiet = bakeRules("- {alert: Quiet, match: {field: log, contains: beat}, absence: {for: 1m}}");
  const instance = new FilterWasm(new WebAssembly.Module(quiet as BufferSource), LATEST, 'alert_objects_only');
  instance.filter('kube.a', [line({ log: 'beat' })]);
  const tick = (ms: number) => instance.filter('earshot.tick', [line('{}', ms)])[0];
  const told = recordOf(tick(AT + 61_000));
  assert.deepEqual(tick(AT + 62_000), { kind: 'dropped' });
  assert.deepEqual(recordOf(tick(AT + 61_000)), told);
});

test('of more alerts than it remembers it still knows which were told: they are told again', () => {
  const instance = new FilterWasm(module, LATEST, 'alert_objects_only');
  // Of each label set one is told, and one is suppressed.
  const chunk = (n: number) =>
    Array.from({ length: 1000 }, (_, i) =>
      line({ log: `ERROR ${n} ${i >> 1}`, n: i }, AT + n * 1_000_000 + i * 500),
    );
  const first = filter('', chunk(0), instance);
  assert.equal(first.filter(({ kind }) => kind === 'replaced').length, 500);
  for (let n = 1; n < 60; n++) filter('', chunk(n), instance);
  const again = filter('', chunk(0), instance);
  const lost = first.filter((outcome, i) => outcome.kind === 'replaced' && again[i]!.kind === 'dropped');
  assert.equal(lost.length, 0);
  // An id that was only counted may be forgotten.
  const more = first.filter((outcome, i) => outcome.kind === 'dropped' && again[i]!.kind === 'replaced');
  assert.ok(more.length < 25, `${more.length} of 500`);
});

test('memory stays within bounds, however many alerts come', () => {
  const instance = new FilterWasm(module, LATEST, 'alert_objects_only');
  const round = (n: number) =>
    instance.filter('kube.a', Array.from({ length: 1000 }, (_, i) => line({ log: `boom ${n} ${i} ${'x'.repeat(900)}` }, AT + n)));
  for (let n = 0; n < 12; n++) assert.ok(round(n).every(({ kind }) => kind === 'replaced'));
  const size = instance.memorySize;
  assert.ok(size < 16_000_000, `${size}`);
  for (let n = 12; n < 24; n++) assert.ok(round(n).every(({ kind }) => kind === 'replaced'));
  assert.equal(instance.memorySize, size);
});

// ── What Fluent Bit writes and JSON does not have ───────────────────────────────────────────────────

/** What Fluent Bit writes, and the same as JSON. */
const DIALECT: [string, string][] = [
  ['{"log":"boom","ratio":nan}', '{"log":"boom","ratio":"nan"}'],
  ['{"ratio":-inf,"log":"boom ERROR"}', '{"ratio":"-inf","log":"boom ERROR"}'],
  ['{"list":[nan,[inf,-nan],{"a":inf}],"log":"boom"}', '{"list":["nan",["inf","-nan"],{"a":"inf"}],"log":"boom"}'],
  ['{5:1,-1.5:2,null:3,true:4,false:5,nan:6,"log":"boom"}', '{"5":1,"-1.5":2,"null":3,"true":4,"false":5,"nan":6,"log":"boom"}'],
  ['{{"a":{"b":"}:"}}:{"x":nan},"log":"boom"}', '{"{\\"a\\":{\\"b\\":\\"}:\\"}}":{"x":"nan"},"log":"boom"}'],
  ['{[1,2]:[],"log":"boom"}', '{"[1,2]":[],"log":"boom"}'],
  ['{"ext":"\\x61\\xffffff80","log":"boom"}', '{"ext":"\\\\x61\\\\xffffff80","log":"boom"}'],
  ['{"log":"boom \\xff ERROR"}', '{"log":"boom \\\\xff ERROR"}'],
  ['{"log":"boom nan, inf: \\\\x61 \\" ","x":inf}', '{"log":"boom nan, inf: \\\\x61 \\" ","x":"inf"}'],
  ['{"log":"boom","a":{},"b":[],"c":{1:{}},"x":null,"y":nan}', '{"log":"boom","a":{},"b":[],"c":{"1":{}},"x":null,"y":"nan"}'],
];

for (const [written, json] of DIALECT) {
  test(`read as JSON: ${written}`, () => {
    JSON.parse(json);
    const hitsOf = (text: string) =>
      elementsOf(filter('hits_only', [line(text)])[0]).map(({ hit }) => hit.replace(/"id":"[^"]*"/, ''));
    assert.deepEqual(hitsOf(written), hitsOf(json));
  });
}

test('whatever is a record of Fluent Bit’s with such values is read, and what is not makes a notice', () => {
  const leaf = fc.oneof(
    fc.constantFrom('nan', '-nan', 'inf', '-inf', 'null', 'true', '1', '-2.5e3', '"\\x00\\xfffffff0"'),
    fc.string({ unit: 'binary' }).map(text => JSON.stringify(text)),
  );
  const key = fc.oneof(fc.string().map(text => JSON.stringify(`k${text}`)), fc.constantFrom('1', 'nan', '{"a":1}', '[nan]', 'null'));
  const { value } = fc.letrec<{ value: string }>(tie => ({
    value: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('value'), { maxLength: 3 }).map(items => `[${items.join(',')}]`),
      fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map(members => `{${members.map(pair => pair.join(':')).join(',')}}`),
    ),
  }));
  const instance = new FilterWasm(module, LATEST, 'hits_only');
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value), { maxLength: 4 }), members => {
      const text = `{"log":"boom"${members.map(pair => `,${pair.join(':')}`).join('')}}`;
      assert.match(elementsOf(filter('', [line(text)], instance)[0])[0]!.hit, /"alert":"Every boom"/);
    }),
    { numRuns: 1000 * RUNS },
  );
});

// ── What can't be read ──────────────────────────────────────────────────────────────────────────────

const BROKEN = ['{', 'x', '{"log":"boom', '{"log":"boom"}}', '{"log":boom}', '{"a":1,}', '{"log":"boom" "x":1}', '[1]'];

test('records that cannot be read make a notice: the 1st, the 2nd, the 4th, the 8th', () => {
  const notices = filter('hits_only', BROKEN.map(text => line(text))).map((outcome, i) => {
    if (outcome.kind === 'dropped') return undefined;
    const [{ key, hit }] = elementsOf(outcome) as [Element];
    assert.equal(key, 'unreadable');
    const notice = JSON.parse(hit) as Record<string, unknown>;
    assert.deepEqual(notice, {
      earshot: 1,
      unreadable: i + 1,
      tag: 'kube.a',
      time: '2023-11-14T22:13:20.123Z',
      why: 'not JSON',
      record: BROKEN[i],
    });
    return notice.unreadable;
  });
  assert.deepEqual(notices, [1, 2, undefined, 4, undefined, undefined, undefined, 8]);
});

test('the notice as an alert: for Alertmanager, in a body, in an array', () => {
  const record = `${'é'.repeat(2000)} no JSON`;
  const alert = recordOf(filter('alert_objects_only', [line(record)])[0]);
  assert.deepEqual(alert, {
    status: 'firing',
    labels: { alertname: 'Earshot cannot read records', tag: 'kube.a' },
    annotations: { message: 'Records that could not be read so far: 1. The last one is not JSON', record: 'é'.repeat(512) },
    startsAt: '2023-11-14T22:13:20.123Z',
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: '',
    fingerprint: 'af98eb0aac6b325f',
  });
  const body = JSON.parse(recordOf(filter('alerts_only', [line(record)])[0]).alert as string) as Record<string, unknown>;
  assert.deepEqual(body.alerts, [alert]);
  assert.deepEqual(body.commonLabels, alert.labels);
  assert.deepEqual(body.commonAnnotations, alert.annotations);
  assert.deepEqual(JSON.parse(recordOf(filter('alert_arrays_only', [line(record)])[0]).alert as string), [alert]);
});

test('a record that is too large makes a notice, and bytes that are not UTF-8 are replaced in it', () => {
  const large = Buffer.alloc(33 * 1024 * 1024, 0x20);
  large.write('{"log":"boom', 0, 'latin1');
  large[12] = 0xff;
  const instance = new FilterWasm(module, LATEST, 'hits_only');
  const [outcome] = instance.filter('kube.a', [{ record: large, ms: AT }]);
  const notice = JSON.parse(elementsOf(outcome)[0]!.hit) as { why: string; record: string };
  assert.match(notice.why, /^larger than 32 MiB/);
  assert.ok(notice.record.startsWith('{"log":"boom\ufffd '));
});
