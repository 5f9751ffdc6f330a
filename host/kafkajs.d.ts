// The checksum of Kafka's record batches, over bytes: kafkajs has it, but no types for it.
declare module 'kafkajs/src/protocol/recordBatch/crc32C/index.js' {
  export default function crc32C(bytes: Uint8Array): number;
}
