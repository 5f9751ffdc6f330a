// Which hits were there before: of a Kafka partition by their offsets, of others by their hashes.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Seen } from '../../host/function/seen.ts';

const cases: [title: string, ids: string[], before: boolean[]][] = [
  ['an offset is new once', ['logs@x/0/5/100/0/r/0', 'logs@x/0/5/100/0/r/0'], [false, true]],
  ['lower offsets were there', ['logs@x/0/5/100/0/r/0', 'logs@x/0/4/99/0/r/0'], [false, true]],
  [
    'rules, steps and elements of an offset differ',
    ['l/0/5/9/0/r/0', 'l/0/5/9/0/s/0', 'l/0/5/9/1/r/0', 'l/0/5/9/0/r/1'],
    [false, false, false, false],
  ],
  ['partitions are apart', ['l/0/5/9/0/r/0', 'l/1/5/9/0/r/0', 'm/0/5/9/0/r/0'], [false, false, false]],
  ['a topic made anew is another', ['l@a/0/5/9/0/r/0', 'l@b/0/5/9/0/r/0'], [false, false]],
  [
    'without ids, later timestamps say so',
    ['l/0/5/9/0/r/0', 'l/0/0/10/0/r/0', 'l/0/0/10/0/r/0'],
    [false, false, true],
  ],
  ['no timestamp', ['l/0/5/-1/0/r/0', 'l/0/6/-1/0/r/0', 'l/0/6/-1/0/r/0'], [false, false, true]],
  [
    'what is no offset is a hash',
    ['edge/abc/1', 'edge/abc/1', 'edge/abd/1', 'l/0//9/x', 'l/0//8/x', '/0/1/2/x', ''],
    [false, true, false, false, false, false, false],
  ],
];
for (const [title, ids, before] of cases)
  test(title, () => {
    const seen = new Seen();
    assert.deepEqual(
      ids.map(id => seen.add(id)),
      before,
    );
  });

test('of hashes the last hundred thousand are known', () => {
  const seen = new Seen();
  for (let i = 0; i < 100_001; i++) assert.equal(seen.add(`edge/${i}`), false);
  assert.deepEqual([seen.add('edge/100000'), seen.add('edge/1'), seen.add('edge/0')], [true, true, false]);
});

test('offsets in order, and read again from anywhere: each is new once', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 40 }), { maxLength: 10 }), rewinds => {
      const seen = new Seen();
      const counted: number[] = [];
      let end = 0;
      for (const rewind of [0, ...rewinds]) {
        for (let offset = Math.max(0, end - rewind); offset < end + 5; offset++)
          if (!seen.add(`l@a/3/${offset}/${1000 + offset}/0/r/0`)) counted.push(offset);
        end += 5;
      }
      assert.deepEqual(
        counted,
        Array.from({ length: end }, (_, offset) => offset),
      );
    }),
  );
});

test('what is written down is known again, and nothing is forgotten for it', () => {
  const [seen, other] = [new Seen(), new Seen()];
  for (const id of ['l@a/0/7/100/0/r/0', 'l@a/0/7/100/0/s/0', 'l@a/1/3/90/0/r/0', 'edge/x']) seen.add(id);
  for (const id of ['l@a/0/2/50/0/r/0', 'l@a/1/9/99/0/r/0']) other.add(id);
  other.load(JSON.parse(seen.save()));
  const asked = [
    'l@a/0/7/100/0/r/0',
    'l@a/0/7/100/0/s/0',
    'l@a/0/7/100/0/t/0',
    'l@a/0/6/99/0/t/0',
    'l@a/1/9/99/0/r/0',
    'edge/x',
  ];
  assert.deepEqual(
    asked.map(id => other.add(id)),
    [true, true, false, true, true, false],
  );
});
