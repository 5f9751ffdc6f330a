// The batches that are produced: kafkajs' partitioner and the reader of batches are the oracles.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import kafkajs from 'kafkajs';
import crc32C from 'kafkajs/src/protocol/recordBatch/crc32C/index.js';
import { encodeBatches, partitionOfKey } from '../../host/source/produce.ts';
import { piecesOf, splitBatches } from '../../host/source/records.ts';
import type { Letter } from '../../host/source/source.ts';

const bytes = fc.uint8Array({ maxLength: 300 }).map(Buffer.from);
const letter: fc.Arbitrary<Letter> = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), { maxKeys: 3 }),
});

test('a key has the partition that kafkajs gives it', () => {
  const partitioner = kafkajs.Partitioners.DefaultPartitioner();
  fc.assert(
    fc.property(bytes, fc.integer({ min: 1, max: 300 }), (key, count) => {
      const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({ partitionId })) as never;
      const message = { key, value: null };
      assert.equal(partitionOfKey(key, count), partitioner({ topic: 'any', partitionMetadata, message }));
    }),
    { numRuns: 2000 },
  );
});

test('what is written is read again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(letter, { minLength: 1, maxLength: 300 }), async letters => {
      const [batch, ...others] = encodeBatches(letters, 1_700_000_000_123);
      assert.deepEqual(others, []);
      assert.equal(batch!.readUInt32BE(17), crc32C(batch!.subarray(21)), 'the checksum');
      const read = await messagesOf(batch!);
      assert.deepEqual(
        read,
        letters.map(({ key, value }, offset) => ({ offset, time: 1_700_000_000_123, key, value })),
      );
      for (const { headers } of letters)
        for (const [name, value] of Object.entries(headers))
          assert.ok(batch!.includes(Buffer.from(name)) && batch!.includes(Buffer.from(value)));
    }),
    { numRuns: 300 },
  );
});

test('a batch stays below what a broker takes, unless one message is larger', async () => {
  const letters = [10, 400_000, 600_000, 2_000_000, 5, 5].map((size): Letter => ({
    key: null,
    value: Buffer.alloc(size, 'x'),
    headers: {},
  }));
  const batches = encodeBatches(letters, 1);
  assert.deepEqual(
    await Promise.all(
      batches.map(async batch => (await messagesOf(batch)).map(({ value }) => value!.length)),
    ),
    [[10, 400_000], [600_000], [2_000_000], [5, 5]],
  );
});

async function messagesOf(batch: Buffer) {
  const messages = [];
  for await (const { messages: some } of piecesOf(splitBatches(batch), 0, 1_000_000))
    for (const { offset, timestamp, key, value } of some)
      messages.push({
        offset: Number(offset),
        time: Number(timestamp),
        key,
        value: value && Buffer.from(value),
      });
  return messages;
}
