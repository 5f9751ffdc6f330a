// What the decoders of compressed batches share.

/** Bytes of one decoded batch. A producer's batch is about 1 MiB; this is what a hostile one may make us allocate. */
export const DECODED_SIZE_MAX = 256 * 1024 * 1024;

/** Repeats `length` bytes from `distance` back. They may overlap what is written, hence byte by byte. */
export function copyMatch(target: Buffer, size: number, distance: number, length: number): number {
  if (distance >= length) {
    target.copyWithin(size, size - distance, size - distance + length);
    return size + length;
  }
  for (const end = size + length; size < end; size++) target[size] = target[size - distance]!;
  return size;
}
