// What may follow a backslash in a string of a record: eight letters, and u with four hexadecimal digits. Every
// other byte makes the record malformed, wherever the escape stands in a word of eight bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MALFORMED, NO_ALERT } from '../host/matcher.ts';
import { loadRules } from './core.ts';

const matcher = await loadRules(
  'groups: [{name: g, rules: [{alert: a, realert: 0s, match: {field: log, eq: x}}]}]',
);
const LETTERS = [...Buffer.from('"\\/bfnrt')];
const HEXADECIMAL = [...Buffer.from('0123456789abcdefABCDEF')];

/** The bytes, of all 256, with which this record is accepted. */
function accepted(before: string, after: string): number[] {
  return Array.from({ length: 256 }, (_, byte) => byte).filter(byte => {
    const record = Buffer.concat([Buffer.from(before), Buffer.of(byte), Buffer.from(after)]);
    const answer = matcher.matchWhole(record, 0, 0);
    assert.ok(answer === NO_ALERT || answer === MALFORMED);
    return answer === NO_ALERT;
  });
}

const sorted = (bytes: number[]) => bytes.toSorted((a, b) => a - b);

test('eight letters may follow a backslash, in a value that is read, one that is skipped, and a key', () => {
  for (let size = 0; size < 8; size++) {
    const filler = 'x'.repeat(size);
    for (const [before, after] of [
      ['{"log":"', '"}'],
      ['{"other":"', '"}'],
      ['{"other":["', '"]}'],
      ['{"', '":1}'],
    ])
      assert.deepEqual(accepted(`${before}${filler}\\`, `${filler}${after}`), sorted(LETTERS));
  }
});

test('each of the four digits of \\u is hexadecimal', () => {
  for (let digit = 0; digit < 4; digit++) {
    const [before, after] = ['0'.repeat(digit), '0'.repeat(3 - digit)];
    for (const key of ['log', 'other'])
      assert.deepEqual(accepted(`{"${key}":"\\u${before}`, `${after}"}`), sorted(HEXADECIMAL));
  }
});
