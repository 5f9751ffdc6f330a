// Decodes Snappy as Kafka's producers write it: Java in the frame of xerial's snappy-java, librdkafka as one raw block.
// Format: google/snappy format_description.txt.
//
//   xerial: 82 53 4e 41 50 50 59 00 | version u32 | compatible u32 | { block size u32 | block } …   (big-endian)
//   block:  decoded size varint | elements; an element's low two bits say literal, or a copy with 1, 2 or 4 bytes of distance

import { copyMatch, DECODED_SIZE_MAX, tooLarge } from './decode.ts';

const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEADER_SIZE = 16;

export function decodeSnappy(source: Buffer): Buffer {
  if (!source.subarray(0, 8).equals(XERIAL_MAGIC)) return decodeBlock(source);
  const blocks: Buffer[] = [];
  let total = 0;
  for (let at = XERIAL_HEADER_SIZE; at < source.length;) {
    const end = at + 4 + source.readUInt32BE(at);
    if (end > source.length) throw new Error('snappy: the batch is cut short');
    const block = decodeBlock(source.subarray(at + 4, end));
    if ((total += block.length) > DECODED_SIZE_MAX) throw tooLarge('snappy', total);
    blocks.push(block);
    at = end;
  }
  return Buffer.concat(blocks, total);
}

function decodeBlock(source: Buffer): Buffer {
  let at = 0;
  let decodedSize = 0;
  for (let factor = 1, byte = 0x80; byte & 0x80; factor *= 128) {
    byte = source.readUInt8(at++);
    decodedSize += (byte & 0x7f) * factor;
  }
  if (decodedSize > DECODED_SIZE_MAX) throw tooLarge('snappy', decodedSize);

  const target = Buffer.allocUnsafe(decodedSize);
  let size = 0;
  while (at < source.length) {
    const tag = source[at++]!;
    if ((tag & 3) === 0) {
      let length = tag >> 2;
      if (length >= 60) {
        const lengthSize = length - 59;
        length = source.readUIntLE(at, lengthSize);
        at += lengthSize;
      }
      length++;
      if (at + length > source.length || size + length > decodedSize)
        throw new Error('snappy: a literal leaves its block');
      size += source.copy(target, size, at, at + length);
      at += length;
    } else {
      const distanceSize = [0, 1, 2, 4][tag & 3]!;
      const length = distanceSize === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
      const high = distanceSize === 1 ? (tag >> 5) << 8 : 0;
      const distance = high + source.readUIntLE(at, distanceSize);
      at += distanceSize;
      if (distance === 0 || distance > size || size + length > decodedSize)
        throw new Error('snappy: a copy leaves its block');
      size = copyMatch(target, size, distance, length);
    }
  }
  if (size !== decodedSize) throw new Error('snappy: the block is cut short');
  return target;
}
