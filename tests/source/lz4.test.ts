// LZ4 frames that are built by hand, byte by byte: what a match may reach, and what is refused. Frames of real
// producers are in codec.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeLz4 } from '../../host/source/lz4.ts';

const HEADER = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82]; // blocks of up to 64 KiB, each by itself, no checksums
const BLOCK_SIZE_MAX = 64 * 1024;

function frame(...blocks: number[][]): Buffer {
  const sized = blocks.flatMap(block => [...u32(block.length), ...block]);
  return Buffer.from([...HEADER, ...sized, ...u32(0)]);
}

function u32(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255];
}

/** Literals (fewer than 15), and a match of 4 bytes or more from `distance` back. */
function sequence(literals: string, distance: number, length: number): number[] {
  const more = length - 4;
  const lengthBytes = more < 15 ? [] : [...Array(Math.floor((more - 15) / 255)).fill(255), (more - 15) % 255];
  return [
    (literals.length << 4) | Math.min(more, 15),
    ...bytes(literals),
    distance & 255,
    distance >> 8,
    ...lengthBytes,
  ];
}

function last(literals: string): number[] {
  return [literals.length << 4, ...bytes(literals)];
}

const bytes = (text: string) => [...Buffer.from(text)];
const decoded = (...blocks: number[][]) => decodeLz4(frame(...blocks)).toString();

test('a match repeats what came before it, also what it is writing', () => {
  assert.equal(decoded([...sequence('abcd', 4, 4), ...last('!')]), 'abcdabcd!');
  assert.equal(decoded([...sequence('abc', 1, 7), ...last('!')]), 'abcccccccc!');
  assert.equal(decoded([...sequence('ab', 2, 300), ...last('')]), 'ab'.repeat(151));
});

test('a match may reach into the block before', () => {
  assert.equal(decoded(last('abcd'), [...sequence('', 4, 4), ...last('')]), 'abcdabcd');
});

test('a match that reaches back before the first byte is refused', () => {
  for (const distance of [5, 6, 100, 65_535]) {
    for (const length of [4, 5, 200]) {
      const block = [...sequence('abcd', distance, length), ...last('!')];
      assert.throws(
        () => decodeLz4(frame(block)),
        { message: 'lz4: a match leaves its frame' },
        `${distance}`,
      );
    }
  }
  assert.throws(() => decoded([...sequence('', 1, 4), ...last('!')]), {
    message: 'lz4: a match leaves its frame',
  });
});

test('a match from 0 back is refused', () => {
  assert.throws(() => decoded([...sequence('abcd', 0, 4), ...last('')]), /^Error: lz4: /);
});

test('a match that is longer than its block may be is refused', () => {
  assert.equal(decoded([...sequence('a', 1, BLOCK_SIZE_MAX - 1), ...last('')]).length, BLOCK_SIZE_MAX);
  // The block ends with the match: no literal after it would be noticed instead.
  assert.throws(() => decoded(sequence('a', 1, BLOCK_SIZE_MAX)), {
    message: 'lz4: a match leaves its frame',
  });
});

test('a literal that is longer than its block is refused', () => {
  assert.throws(() => decoded([0x50, ...bytes('abcd')]), { message: 'lz4: a literal leaves its block' });
});

test('a frame that is cut anywhere is an error', () => {
  const whole = frame([...sequence('abcd', 4, 20), ...last('end')], last('more'));
  assert.equal(decodeLz4(whole).toString(), `${'abcd'.repeat(6)}endmore`);
  for (let size = 0; size < whole.length; size++)
    assert.throws(() => decodeLz4(whole.subarray(0, size)), Error, `${size} bytes of ${whole.length}`);
});
