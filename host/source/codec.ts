// Teaches kafkajs the codecs that it leaves out. Without all of them, one batch in lz4, snappy or zstd on any
// partition ends the whole consumer. Only decoding: what we produce (dead letters) is not compressed. A codec is
// loaded when the first batch needs it, so that the cold start does not pay for it.

import kafkajs from 'kafkajs';

export function registerCodecs(): void {
  const { CompressionCodecs, CompressionTypes } = kafkajs;
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
