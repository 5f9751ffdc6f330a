// How much the state costs, and what happens when it is full or flooded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as layout from '../../assembly/layout.ts';
import { measureState } from '../bench/state.ts';
import { START_MS, Teller, toldBy } from './teller.ts';
import type { Alert } from './teller.ts';

test('a storm of 1,000,000 matches of one rule sends a handful of alerts whose counts add up', async () => {
  const teller = await Teller.of(`- {alert: storm, match: {field: log, eq: x}, realert: 15m}`);
  const record = Buffer.from('{"log":"x"}');
  const sent: Alert[] = [];
  const count = 1_000_000;
  for (let i = 0; i < count; i++) {
    const ms = i * 4; // over an hour and some minutes, 250 a second
    const answer = teller.matcher.match(
      record,
      1_700_000_000 + Math.floor(ms / 1000),
      (ms % 1000) * 1_000_000,
    );
    if (answer === 1) sent.push(...JSON.parse(Buffer.from(teller.matcher.alert()).toString()).alerts);
  }
  assert.deepEqual(
    sent.map(({ annotations }) => annotations.suppressed ?? '0'),
    ['0', '224999', '224999', '224999', '224999'],
  );
  assert.equal(sent.length + toldBy(sent) + teller.suppressed(), count);
});

test('a storm of 1,000,000 matches in 100,000 label sets sends no more than the cap, and counts the rest', async () => {
  const teller = await Teller.of(
    `limits: {keys: 20000, alertsPerSecond: 1}\ngroups:\n- name: g\n  rules:\n` +
      `  - {alert: storm, match: {field: log, eq: x}, realert: 15m, labels: {key: '{{ $record.key }}'}}`,
  );
  let sentCount = 0;
  let toldCount = 0;
  const count = 1_000_000;
  for (let i = 0; i < count; i++) {
    const answer = teller.matcher.match(
      Buffer.from(`{"log":"x","key":${(i * 7919) % 100_000}}`),
      1_700_000_000 + Math.floor(i / 100_000),
      0,
    );
    if (answer !== 1) continue;
    const { alerts } = JSON.parse(Buffer.from(teller.matcher.alert()).toString());
    sentCount += alerts.length;
    toldCount += toldBy(alerts);
  }
  assert.equal(sentCount, 10);
  assert.equal(sentCount + toldCount + teller.suppressed(), count);
  // An alert with the labels of the first one that was held reports them all, itself not counted.
  const notices = teller.tick(START_MS + 60_000);
  assert.deepEqual(
    notices.map(({ name }) => name),
    ['storm'],
  );
  assert.equal(sentCount + toldCount + notices.length + toldBy(notices) + teller.suppressed(), count);
});

test('a key takes 64 bytes, and 100,000 of them lie in 8 MB', async () => {
  const teller = await Teller.of(
    `limits: {keys: 100000, alertsPerSecond: 0}\ngroups:\n- name: g\n  rules:\n` +
      `  - {alert: cool, match: {field: log, eq: x}, labels: {key: '{{ $record.key }}'}}`,
  );
  const empty = teller.matcher.snapshot().length;
  for (let i = 0; i < 100_000; i++)
    teller.matcher.match(Buffer.from(`{"log":"x","key":${i}}`), 1_700_000_000, 0);
  const full = teller.matcher.snapshot().length;
  assert.equal(full - empty, 100_000 * 64);
  assert.ok(full <= 8_000_000, `${full} bytes`);
  assert.equal(teller.matcher.suppressed().evictedKeys, 0);
  teller.matcher.match(Buffer.from('{"log":"x","key":"one more"}'), 1_700_000_000, 0);
  assert.equal(teller.matcher.snapshot().length, full);
  assert.equal(teller.matcher.suppressed().evictedKeys, 1);
});

test('a full table gives up exactly the key that was seen longest ago, and counts it', async () => {
  const keyCount = 1_000;
  const teller = await Teller.of(
    `limits: {keys: ${keyCount}, alertsPerSecond: 0}\ngroups:\n- name: g\n  rules:\n` +
      `  - {alert: cool, match: {field: log, eq: x}, labels: {key: '{{ $record.key }}'}}`,
  );
  // The oracle: a Map keeps the order in which keys were put into it. All at one time, so that all but the first is suppressed.
  const oracle = new Map<string, number>();
  let evicted = 0;
  let others = 0;
  let seed = 1;
  const random = (below: number) => (seed = (seed * 48271) % 0x7fffffff) % below;
  for (let i = 0; i < 100_000; i++) {
    const key = `k${random(i % 7 === 0 ? 3_000 : 1_050)}`;
    const held = oracle.get(key);
    let freed = 0; // reported by the alert after this one
    if (held === undefined && oracle.size === keyCount) {
      const [oldest, count] = oracle.entries().next().value!;
      oracle.delete(oldest);
      evicted++;
      freed = count;
    }
    oracle.delete(key);
    oracle.set(key, held === undefined ? 0 : held + 1);
    const alerts = teller.match({ log: 'x', key }, START_MS);
    assert.deepEqual(
      alerts.map(({ labels, annotations }) => [labels.key, annotations.suppressed_others ?? '0']),
      held === undefined ? [[key, String(others)]] : [],
    );
    if (held === undefined) others = freed;
  }
  const suppressed = [...oracle.values()].reduce((sum, count) => sum + count, 0);
  assert.deepEqual(teller.matcher.suppressed(), { byRule: [suppressed], others, evictedKeys: evicted });
  assert.ok(evicted > 1_000);
});

test('absences share a full table with others: a key gives way before its labels do', async () => {
  const teller = await Teller.of(
    `limits: {keys: 1000, alertsPerSecond: 0}\ngroups:\n- name: g\n  rules:\n` +
      `  - {alert: silent, match: {field: log, eq: x}, absence: {for: 60s, by: [key]}, labels: {key: '{{ $record.key }}', text: '{{ $record.text }}'}}\n` +
      `  - {alert: cool, match: {field: log, eq: y}, labels: {key: '{{ $record.key }}'}}`,
  );
  // Three slots a key: 900 of 1,000.
  for (let i = 0; i < 300; i++) teller.match({ log: 'x', key: `k${i}`, text: 'a'.repeat(50) }, START_MS);
  for (let i = 0; i < 400; i++) teller.match({ log: 'y', key: `k${i}` }, START_MS);
  const { evictedKeys } = teller.matcher.suppressed();
  assert.equal(evictedKeys, 300);
  const told = teller
    .tick(START_MS + 60_000)
    .filter(({ name }) => name === 'silent')
    .map(({ labels }) => labels);
  assert.deepEqual(
    told,
    Array.from({ length: 200 }, (_, i) => ({ key: `k${i + 100}`, text: 'a'.repeat(50) })),
  );
});

test('a sequence that counts 200 matches takes 67 slots a key, and one more for each 40 bytes of a sample', async () => {
  const teller = await Teller.of(
    `- {alert: long, sequence: {steps: [{match: {field: log, eq: x}, count: 199}, {field: log, eq: y}], within: 60s, by: [key]}, ` +
      `samples: {text: '{{ $record.text }}'}, labels: {key: '{{ $record.key }}'}, annotations: {message: '{{ $samples }}'}}`,
  );
  for (let i = 0; i < 300; i++) teller.match({ log: 'x', key: 'a' }, START_MS + i);
  assert.equal(teller.matcher.keyCount(), 67 + 1);
  teller.match({ log: 'x', key: 'a', text: 'x'.repeat(1_000) }, START_MS + 300);
  assert.equal(teller.matcher.keyCount(), 67 + 7);
  const [alert] = teller.match({ log: 'y', key: 'a', text: 'end' }, START_MS + 301);
  assert.equal(alert!.annotations.message, `${'x'.repeat(253)}…\nend`);
});

test('sequences, sets and samples share a full table: what is lost is counted, and what comes anew is right', async () => {
  const rule = (name: string, sequence: string) =>
    `  - {alert: ${name}, sequence: {${sequence}, within: 60s, by: [key]}, samples: {text: '{{ $record.text }}'}, realert: 0s, ` +
    `labels: {key: '{{ $record.key }}'}, annotations: {message: '{{ $samples }}'}}\n`;
  const teller = await Teller.of(
    `limits: {keys: 1000, alertsPerSecond: 0}\ngroups:\n- name: g\n  rules:\n` +
      rule(
        'given',
        'steps: [{match: {field: log, eq: a}, count: 4}, {unless: {field: log, eq: c}}, {field: log, eq: b}]',
      ) +
      rule('any', 'order: any, steps: [{match: {field: log, eq: a}, count: 4}, {field: log, eq: b}]') +
      rule('waits', 'steps: [{field: log, eq: a}, {unless: {field: log, eq: b}}]'),
  );
  let seed = 1;
  const random = (below: number) => (seed = (seed * 48271) % 0x7fffffff) % below;
  for (let i = 0; i < 20_000; i++) {
    const text = 'x'.repeat(random(300));
    teller.match({ log: 'abc'[random(3)], key: `k${random(500)}`, text }, START_MS + i * 10);
    assert.ok(teller.matcher.keyCount() <= 1_000);
  }
  assert.ok(teller.matcher.suppressed().evictedKeys > 10_000);
  const later = START_MS + 1_000_000;
  teller.tick(later);
  const told = ['a', 'a', 'a', 'a', 'b'].flatMap((log, i) =>
    teller.match({ log, key: 'new', text: `${log}${i}` }, later + i),
  );
  assert.deepEqual(
    told.map(({ name, annotations }) => [name, annotations.message]),
    [
      ['given', 'a3\nb4'],
      ['any', 'a3\nb4'],
    ],
  );
});

test('more distinct values than are kept are told as that many or more', async () => {
  const teller = await Teller.of(
    `- {alert: spread, match: {field: log, eq: x}, threshold: {count: 249, within: 60s, by: [], distinct: user}, realert: 0s, annotations: {value: '{{ $value }}'}}`,
  );
  const told = Array.from({ length: 300 }, (_, i) => teller.match({ log: 'x', user: i }, START_MS)).flat();
  assert.deepEqual(
    told.slice(0, 3).map(({ annotations }) => annotations.value),
    ['249', '250+', '250+'],
  );
  assert.equal(told.length, 52);
});

test('a count that no longer fits its slice says so', async () => {
  const teller = await Teller.of(
    `- {alert: many, match: {field: log, eq: x}, threshold: {count: 65534, within: 60s}, realert: 0s, annotations: {value: '{{ $value }}'}}`,
  );
  const record = Buffer.from('{"log":"x"}');
  for (let i = 0; i < 65_533; i++) assert.equal(teller.matcher.match(record, 1_700_000_000, 0), 0);
  const told = Array.from({ length: 4 }, () => teller.match({ log: 'x' }, START_MS)).flat();
  assert.deepEqual(
    told.map(({ annotations }) => annotations.value),
    ['65534', '65535+', '65535+', '65535+'],
  );
});

test('1,000 absences come due in bodies of 50', async () => {
  const teller = await Teller.of(
    `- {alert: silent, match: {field: log, eq: x}, absence: {for: 60s, by: [key]}, realert: 0s, labels: {key: '{{ $record.key }}'}}`,
  );
  for (let i = 0; i < 1_000; i++) teller.match({ log: 'x', key: `k${i}` }, START_MS);
  assert.equal(teller.match({ log: 'y' }, START_MS + 60_000).length, layout.DUE_COUNT_MAX);
  const rest = teller.tick(START_MS + 60_000);
  assert.equal(new Set(rest.map(({ labels }) => labels.key)).size, 950);
  assert.deepEqual(teller.tick(START_MS + 600_000), []);
});

test('1,000 sequences whose end does not come are told one by one, or counted by the rate cap', async () => {
  const rule = (realert: string) =>
    `- {alert: hangs, sequence: {steps: [{field: log, eq: x}, {unless: {field: log, eq: y}}], within: 60s, by: [key]}, ` +
    `realert: ${realert}, labels: {key: '{{ $record.key }}'}}`;
  const run = async (realert: string) => {
    const teller = await Teller.of(rule(realert));
    for (let i = 0; i < 1_000; i++) teller.match({ log: 'x', key: `k${i}` }, START_MS);
    return teller.tick(START_MS + 60_000);
  };
  const all = await run('0s');
  assert.equal(new Set(all.map(({ labels }) => labels.key)).size, 1_000);
  assert.ok(all.every(({ startsMs }) => startsMs === START_MS + 60_000));
  const capped = await run('5m');
  assert.equal(capped.length, layout.RATE_COUNT_DEFAULT);
});

test('a snapshot of other rules, cut or of another size is refused, and changes nothing', async () => {
  const rule = (name: string) =>
    `- {alert: ${name}, match: {field: log, eq: x}, labels: {key: '{{ $record.key }}'}}`;
  const teller = await Teller.of(rule('one'));
  const other = await Teller.of(rule('two'));
  for (const key of ['a', 'b']) {
    teller.match({ log: 'x', key }, START_MS);
    other.match({ log: 'x', key }, START_MS);
  }
  const before = teller.matcher.snapshot();
  const bad = [
    other.matcher.snapshot(),
    before.slice(0, -1),
    before.slice(0, 100),
    new Uint8Array(before.length),
    new Uint8Array(0),
  ];
  for (const snapshot of bad) assert.throws(() => teller.matcher.restore(snapshot), /the state is unchanged/);
  assert.deepEqual(teller.matcher.snapshot(), before);
});

test('a matching record costs at most twice as much with a threshold as without', async () => {
  // A few tries: what makes a ratio worse is a neighbour, and he goes away.
  let worst: string[] = [];
  for (let attempt = 0; attempt < 4; attempt++) {
    const costs = await measureState(8, 2_000, [1, 1_000]);
    worst = costs
      .filter(({ construct, ratio }) => construct.startsWith('threshold') && ratio > 2)
      .map(cost => JSON.stringify(cost));
    if (worst.length === 0) return;
  }
  assert.deepEqual(worst, []);
});
