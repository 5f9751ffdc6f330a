// The hashes of keys, values and whole rulesets. The core computes the same ones: assembly/bytes.ts has those of
// keys and values, assembly/ruleset.ts has the checksum, and a test compares both sides.
import { firstWord } from './writer.ts';

const HASH_FACTOR = 0x9e3779b97f4a7c15n;
const U64 = 0xffffffffffffffffn;

export function hashKey(bytes: Uint8Array): bigint {
  const prefix = firstWord(bytes);
  return ((prefix ^ (BigInt(bytes.length) << 56n)) * HASH_FACTOR) & U64;
}

export function hashText(bytes: Uint8Array): bigint {
  const word = (at: number) =>
    bytes.subarray(at, at + 8).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  let hash = BigInt(bytes.length);
  let at = 0;
  for (; bytes.length - at > 8; at += 8) {
    hash = ((hash ^ word(at)) * HASH_FACTOR) & U64;
    hash ^= hash >> 32n;
  }
  hash = ((hash ^ word(at)) * HASH_FACTOR) & U64;
  hash ^= hash >> 32n;
  return (hash * HASH_FACTOR) & U64;
}

export function hashValue(bytes: Uint8Array): bigint {
  if (bytes.length < 8) return hashKey(bytes);
  if (bytes.length > 16) return hashText(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const last = view.getBigUint64(bytes.length - 8, true);
  const word = view.getBigUint64(0, true) ^ ((last << 29n) & U64) ^ (last >> 35n);
  return ((word ^ (BigInt(bytes.length) << 56n)) * HASH_FACTOR) & U64;
}

/** `bytes` is whole words. */
export function checksum(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let sum = 0xcbf29ce484222325n;
  for (let at = 0; at < bytes.length; at += 8) {
    sum = ((sum ^ view.getBigUint64(at, true)) * HASH_FACTOR) & U64;
    sum ^= sum >> 29n;
  }
  return sum;
}
