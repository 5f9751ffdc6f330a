// Decodes one LZ4 frame: a batch that Kafka compresses with lz4 is one. Formats: lz4_Frame_format.md 1.6 and
// lz4_Block_format.md. Checksums are skipped, not checked.
//
//   magic 04 22 4d 18 | FLG | BD | [content size 8] | [dictionary id 4] | HC
//   { block size u32 | data | [block checksum 4] } … | 0 u32 | [content checksum 4]
//
// Integers are little-endian. A block whose size has the high bit set is stored, not compressed.

import { copyMatch, DECODED_SIZE_MAX, tooLarge } from './decode.ts';

const MAGIC = 0x184d2204;
const FLAG_DICTIONARY = 0x01;
const FLAG_CONTENT_SIZE = 0x08;
const FLAG_BLOCK_CHECKSUM = 0x10;
const BLOCK_STORED = 0x80000000;
const MATCH_LENGTH_MIN = 4;

export function decodeLz4(frame: Buffer): Buffer {
  if (frame.readUInt32LE(0) !== MAGIC) throw new Error('lz4: not a frame');
  const flags = frame.readUInt8(4);
  const blockSizeMax = 1 << (8 + 2 * ((frame.readUInt8(5) >> 4) & 7)); // 4: 64 KiB … 7: 4 MiB
  const checksumSize = flags & FLAG_BLOCK_CHECKSUM ? 4 : 0;
  const start = 7 + (flags & FLAG_CONTENT_SIZE ? 8 : 0) + (flags & FLAG_DICTIONARY ? 4 : 0);

  // Once over the headers for a bound of the size, once over the data.
  let sizeMax = 0;
  for (let at = start, header = 0; (header = frame.readUInt32LE(at)) !== 0;) {
    sizeMax += header & BLOCK_STORED ? header & ~BLOCK_STORED : blockSizeMax;
    at += 4 + (header & ~BLOCK_STORED) + checksumSize;
  }
  // For a frame of many small blocks that allows large ones, this bound is far too high.
  const target = Buffer.allocUnsafe(Math.min(sizeMax, DECODED_SIZE_MAX + blockSizeMax));
  let size = 0;
  for (let at = start, header = 0; (header = frame.readUInt32LE(at)) !== 0;) {
    const end = at + 4 + (header & ~BLOCK_STORED);
    if (end > frame.length) throw new Error('lz4: the frame is cut short');
    if (header & BLOCK_STORED) size += frame.copy(target, size, at + 4, end);
    else size = decodeBlock(frame, at + 4, end, target, size);
    if (size > DECODED_SIZE_MAX) throw tooLarge('lz4');
    at = end + checksumSize;
  }
  return target.subarray(0, size);
}

/** Decodes one block to `target` at `size`; matches may reach into the blocks before. Returns the new size. */
function decodeBlock(source: Buffer, start: number, end: number, target: Buffer, size: number): number {
  for (let at = start; at < end;) {
    const token = source[at++]!;
    let literalCount = token >> 4;
    if (literalCount === 15) {
      let more = 255;
      while (more === 255) literalCount += more = source[at++]!;
    }
    if (at + literalCount > end || size + literalCount > target.length)
      throw new Error('lz4: a literal leaves its block');
    size += source.copy(target, size, at, at + literalCount);
    at += literalCount;
    if (at === end) break; // The last sequence has no match.

    const distance = source[at]! | (source[at + 1]! << 8);
    at += 2;
    let matchLength = (token & 15) + MATCH_LENGTH_MIN;
    if ((token & 15) === 15) {
      let more = 255;
      while (more === 255) matchLength += more = source[at++]!;
    }
    if (distance === 0 || distance > size || !(size + matchLength <= target.length))
      throw new Error('lz4: a match leaves its frame');
    size = copyMatch(target, size, distance, matchLength);
  }
  return size;
}
