// Teaches kafkajs the codecs that it leaves out, and gzip with a limit. Without all of them, one batch in lz4, snappy or zstd on any
// partition ends the whole consumer. Only decoding: what we produce (dead letters) is not compressed. A codec is
// loaded when the first batch needs it, so that the cold start does not pay for it.

import kafkajs from 'kafkajs';

export function registerCodecs(): void {
  const { CompressionCodecs, CompressionTypes } = kafkajs;
  // kafkajs' own has no limit: 1 MiB of zeros compressed is 1 GiB.
  CompressionCodecs[CompressionTypes.GZIP] = decoder(async () => {
    const [{ gunzipSync }, { DECODED_SIZE_MAX }] = await Promise.all([
      import('node:zlib'),
      import('./decode.ts'),
    ]);
    return source => gunzipSync(source, { maxOutputLength: DECODED_SIZE_MAX });
  });
  CompressionCodecs[CompressionTypes.Snappy] = decoder(
    async () => (await import('./snappy.ts')).decodeSnappy,
  );
  CompressionCodecs[CompressionTypes.LZ4] = decoder(async () => (await import('./lz4.ts')).decodeLz4);
  CompressionCodecs[CompressionTypes.ZSTD] = decoder(async () => {
    const { decompress } = await import('fzstd');
    return source => {
      const { buffer, byteOffset, byteLength } = decompress(source);
      return Buffer.from(buffer, byteOffset, byteLength);
    };
  });
}

function decoder(load: () => Promise<(source: Buffer) => Buffer>) {
  return () => ({
    compress: async () => {
      throw new Error('earshot only decodes');
    },
    decompress: async (source: Buffer) => (await load())(source),
  });
}
