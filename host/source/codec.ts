// Decoders for the codecs of record batches, each with the limit of decode.ts: 16 KiB of zstd can become 512 MiB. There
// are no encoders, because nothing that we produce is compressed. A decoder is loaded when the first batch needs it, to
// keep the cold start short.

import { DECODED_SIZE_MAX, tooLarge } from './decode.ts';

export type Decode = (source: Buffer) => Buffer;

/** The key is the number of the codec in the attributes of a batch. */
const CODECS: Record<number, () => Promise<Decode>> = {
  1: async () => {
    const { gunzipSync } = await import('node:zlib');
    return source => {
      try {
        return gunzipSync(source, { maxOutputLength: DECODED_SIZE_MAX });
      } catch (error) {
        throw (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge('gzip') : error;
      }
    };
  },
  2: async () => (await import('./snappy.ts')).decodeSnappy,
  3: async () => (await import('./lz4.ts')).decodeLz4,
  4: async () => (await import('./zstd.ts')).decodeZstd,
};

const loaded = new Map<number, Promise<Decode>>();

export function codecOf(id: number): Promise<Decode> {
  const load = CODECS[id];
  if (!load) throw new Error(`codec ${id} is not known`);
  let codec = loaded.get(id);
  if (!codec) loaded.set(id, (codec = load()));
  return codec;
}
