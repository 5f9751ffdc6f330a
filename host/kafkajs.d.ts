// The checksum of Kafka's record batches, of the bytes in hand: kafkajs has it, and no types for it.
declare module 'kafkajs/src/protocol/recordBatch/crc32C/index.js' {
  export default function crc32C(bytes: Uint8Array): number;
}
