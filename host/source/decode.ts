// What the decoders of compressed batches share.

/**
 * Bytes of one decoded batch. A usual batch has about 1 MiB and the largest record 32 MiB. A batch of more than twice
 * that is an attack or a mistake; it could use up the memory of the process.
 */
export const DECODED_SIZE_MAX = 64 * 1024 * 1024;

export function tooLarge(codec: string, size?: number, sizeMax = DECODED_SIZE_MAX): Error {
  const found = size === undefined ? `more than ${sizeMax}` : String(size);
  return new Error(`${codec}: ${found} bytes once decoded, ${sizeMax} allowed`);
}

/** Repeats `length` bytes from `distance` back. They may overlap what is written, hence byte by byte. */
export function copyMatch(target: Buffer, size: number, distance: number, length: number): number {
  if (distance >= length) {
    target.copyWithin(size, size - distance, size - distance + length);
    return size + length;
  }
  for (const end = size + length; size < end; size++) target[size] = target[size - distance]!;
  return size;
}
