// Record batches, byte by byte: what is whole is read, and what is not becomes one message that says where it was.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { decodeFetch } from '../../host/source/fetch.ts';
import { piecesOf, splitBatches } from '../../host/source/records.ts';
import type { Piece } from '../../host/source/records.ts';

interface Parts {
  baseOffset?: number;
  attributes?: number;
  magic?: number;
  count?: number;
  lastDelta?: number;
  pack?: (records: Buffer) => Buffer;
  records?: Buffer[];
}

const MAX_TIMESTAMP = 1_700_000_009_000;

function batch(values: string[], parts: Parts = {}): Buffer {
  const records = parts.records ?? values.map((value, delta) => record(delta, value));
  const body = (parts.pack ?? (bytes => bytes))(Buffer.concat(records));
  const header = Buffer.alloc(61);
  header.writeBigInt64BE(BigInt(parts.baseOffset ?? 0), 0);
  header.writeInt32BE(49 + body.length, 8);
  header.writeInt8(parts.magic ?? 2, 16);
  header.writeInt16BE(parts.attributes ?? 0, 21);
  header.writeInt32BE(parts.lastDelta ?? records.length - 1, 23);
  header.writeBigInt64BE(1_700_000_000_000n, 27);
  header.writeBigInt64BE(BigInt(MAX_TIMESTAMP), 35);
  header.writeBigInt64BE(-1n, 43);
  header.writeInt32BE(parts.count ?? records.length, 57);
  return Buffer.concat([header, body]);
}

function record(delta: number, value: string | null, key: string | null = null): Buffer {
  const text = (bytes: string | null) =>
    bytes === null ? zigzag(-1) : Buffer.concat([zigzag(Buffer.byteLength(bytes)), Buffer.from(bytes)]);
  const parts = [Buffer.from([0]), zigzag(delta * 1000), zigzag(delta), text(key), text(value), zigzag(0)];
  const body = Buffer.concat(parts);
  return Buffer.concat([zigzag(body.length), body]);
}

function zigzag(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value < 0 ? -2 * value - 1 : 2 * value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

async function read(bytes: Buffer, start = 0): Promise<Piece[]> {
  const batches = splitBatches(bytes);
  const pieces: Piece[] = [];
  for await (const piece of piecesOf(batches, start, (batches.at(-1)?.lastOffset ?? -1) + 1))
    pieces.push(piece);
  return pieces;
}

const shown = (pieces: Piece[]) =>
  pieces.flatMap(({ messages }) =>
    messages.map(
      ({ offset, value, unreadable }) => `${offset} ${unreadable ?? Buffer.from(value!).toString()}`,
    ),
  );

test('a record has its offset, its time, its key and its value', async () => {
  const bytes = batch([], { baseOffset: 7, records: [record(0, 'a', 'k'), record(3, null)], lastDelta: 3 });
  const [{ messages, end } = assert.fail()] = await read(bytes);
  assert.deepEqual(messages, [
    { offset: '7', timestamp: '1700000000000', key: Buffer.from('k'), value: Buffer.from('a') },
    { offset: '10', timestamp: '1700000003000', key: null, value: null },
  ]);
  assert.equal(end, 11);
});

test("the time of a topic that appends its own is the batch's", async () => {
  const [{ messages } = assert.fail()] = await read(batch(['a', 'b'], { attributes: 0x08 }));
  assert.deepEqual(
    messages.map(({ timestamp }) => timestamp),
    [String(MAX_TIMESTAMP), String(MAX_TIMESTAMP)],
  );
});

test('records below the offset that was asked for are left out, and a batch that is cut off waits', async () => {
  const bytes = Buffer.concat([
    batch(['a', 'b', 'c']),
    batch(['d'], { baseOffset: 3 }),
    batch(['e']).subarray(0, 66),
  ]);
  assert.deepEqual(shown(await read(bytes, 1)), ['1 b', '2 c', '3 d']);
});

test('many records come in pieces, each from the end of the one before', async () => {
  const values = Array.from({ length: 12_000 }, (_, id) => String(id));
  const pieces = await read(batch(values, { attributes: 1, pack: gzipSync }));
  assert.deepEqual(
    pieces.map(({ messages, end }) => [messages.length, end]),
    [
      [5000, 5000],
      [5000, 10_000],
      [2000, 12_000],
    ],
  );
  assert.deepEqual(
    shown(pieces),
    values.map(value => `${value} ${value}`),
  );
});

const place = (range: string) => `the record batch cannot be decoded (${range}, still in the topic): `;
for (const [name, parts, expected] of [
  ['an unknown codec', { attributes: 5 }, `${place('offsets 10 to 11')}codec 5 is not known`],
  ['a damaged gzip', { attributes: 1 }, `${place('offsets 10 to 11')}incorrect header check`],
  ['message format 1', { magic: 1 }, `${place('offset 10')}message format 1`],
  ['too few records', { count: 3, lastDelta: 2 }, `${place('offset 12')}the bytes are cut short`],
] as [string, Parts, string][])
  test(`${name} is one message in place of its records, and the next batch is read`, async () => {
    const bytes = Buffer.concat([
      batch(['a', 'b'], { baseOffset: 10, ...parts }),
      batch(['c'], { baseOffset: 13 }),
    ]);
    const lines = shown(await read(bytes));
    const whole = parts.count ? ['10 a', '11 b'] : [];
    assert.deepEqual(lines, [...whole, `${parts.count ? 12 : 10} ${expected}`, '13 c']);
  });

test('any bytes in place of a batch are read without an exception', async () => {
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  const good = Buffer.concat([
    batch(['abc', 'def']),
    batch(['ghi'], { baseOffset: 2, attributes: 1, pack: gzipSync }),
  ]);
  const second = batch(['abc', 'def']).length;
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(good);
    for (let flips = 1 + random() * 4; flips > 0; flips--)
      bytes[12 + Math.floor(random() * (bytes.length - 12))] = Math.floor(random() * 256);
    // The length comes first: where it is wrong the broker is no broker, and kafkajs asks again.
    bytes.writeInt32BE(good.readInt32BE(second + 8), second + 8);
    for (const { messages } of await read(bytes)) assert.ok(messages.length > 0);
  }
});

test('the answer to a fetch is read without its records, and a partition that moves is empty', () => {
  const records = batch(['a'], { baseOffset: 4 });
  const partition = (id: number, error: number, bytes: Buffer) => {
    const header = Buffer.alloc(42);
    header.writeInt32BE(id, 0);
    header.writeInt16BE(error, 4);
    header.writeBigInt64BE(9n, 6);
    header.writeInt32BE(0, 30);
    header.writeInt32BE(-1, 34);
    header.writeInt32BE(bytes.length, 38);
    return Buffer.concat([header, bytes]);
  };
  const head = Buffer.alloc(14);
  head.writeInt32BE(1, 10);
  const topic = Buffer.concat([Buffer.from([0, 1]), Buffer.from('t'), Buffer.from([0, 0, 0, 2])]);
  const answer = decodeFetch(
    Buffer.concat([head, topic, partition(0, 0, records), partition(1, 6, Buffer.alloc(0))]),
  );
  assert.equal(answer.leadersMove, true);
  const [{ topicName, partitions } = assert.fail()] = answer.responses;
  assert.equal(topicName, 't');
  assert.deepEqual(
    (
      partitions as {
        partition: number;
        errorCode: number;
        highWatermark: string;
        messages: { offset: string }[];
      }[]
    ).map(({ partition, errorCode, highWatermark, messages }) => [
      partition,
      errorCode,
      highWatermark,
      messages.map(({ offset }) => offset),
    ]),
    [
      [0, 0, '9', ['4']],
      [1, 0, '9', []],
    ],
  );
});
