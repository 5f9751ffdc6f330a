// Fields that are derived from others: their limits, and that a record is taken apart no oftener than it has to be. What
// they mean is in tests/cases (captures, lists, any-field, parse), and the fuzz compares them with the oracle.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIST_COUNT_MAX } from '../assembly/layout.ts';
import { ALERT, MALFORMED, NO_ALERT, TOO_LARGE } from '../host/matcher.ts';
import { loadRules, namesOf } from './core.ts';

const rulesOf = (...rules: string[]) =>
  `groups: [{name: g, rules: [${rules.map((rule, i) => `{alert: r${i}, realert: 0s, ${rule}}`).join(', ')}]}]`;
const bytesOf = (record: unknown) => Buffer.from(JSON.stringify(record));

test('a record with more values than all lists may have is too large, and the next one is not', async () => {
  const matcher = await loadRules(rulesOf("match: {field: 'a[*]', eq: x}", 'match: {anyField: true, eq: y}'));
  const values = (count: number) => Array.from({ length: count }, () => 'x');
  // Each value is one of the list, and a string.
  const most = LIST_COUNT_MAX / 2;
  assert.equal(matcher.match(bytesOf({ a: values(most) }), 0, 0), ALERT);
  assert.equal(matcher.match(bytesOf({ a: values(most), b: 'x' }), 0, 0), TOO_LARGE);
  assert.deepEqual(namesOf(matcher, bytesOf({ a: values(3), b: ['y'] })), ['r0', 'r1']);
});

test('a list is not read by rules that have no list', async () => {
  const matcher = await loadRules(rulesOf('match: {field: b, eq: x}'));
  const many = Array.from({ length: LIST_COUNT_MAX + 1 }, () => 'x');
  assert.equal(matcher.match(bytesOf({ a: many, b: 'x' }), 0, 0), ALERT);
});

test('a large text is parsed once for all rules', async () => {
  const rules = Array.from({ length: 500 }, (_, i) => `parse: {log: json}, match: {field: log.k${i}, eq: x}`);
  const matcher = await loadRules(rulesOf(...rules));
  const log = JSON.stringify({ filler: Array.from({ length: 300_000 }, () => 'a text\n'), k499: 'x' });
  // 4 MB, parsed for each rule, would be more work than a record may take.
  assert.deepEqual(namesOf(matcher, bytesOf({ log })), ['r499']);
});

test('texts that promise much and hold nothing are read in time', async () => {
  const matcher = await loadRules(
    rulesOf(
      'parse: {log: json}, match: {field: log.a, eq: x}',
      'parse: {log: logfmt}, match: {field: log.a, eq: x}',
      "match: {all: [{field: log, regex: '(?P<a>(?:x+)+y)'}, {capture: a, eq: x}]}",
    ),
  );
  for (const log of [
    '{"a":'.repeat(200_000),
    '['.repeat(1e6),
    'a="\\'.repeat(300_000),
    '='.repeat(1e6),
    'x'.repeat(1e6),
  ])
    assert.equal(matcher.match(bytesOf({ log }), 0, 0), NO_ALERT, log.slice(0, 10));
});

test('a record that is cut is malformed, whatever was found in it', async () => {
  const matcher = await loadRules(
    rulesOf('match: {anyField: true, eq: x}', 'match: {not: {anyField: true, eq: z}}'),
  );
  const whole = bytesOf({ a: 'x', b: ['y', { c: 'x' }] });
  for (let size = 1; size < whole.length; size++)
    assert.equal(matcher.match(whole.subarray(0, size), 0, 0), MALFORMED, String(whole.subarray(0, size)));
  assert.deepEqual(namesOf(matcher, whole), ['r0', 'r1']);
});
