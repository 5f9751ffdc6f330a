// Asks for the ids of topics. A topic that is deleted and created again has the same name and another id. kafkajs does
// not know ids: it uses Metadata version 6 at most, and ids came with version 10 (Kafka 2.8). This request is version 12.
//
//   request:  tags | [topic: id 16, name, tags] | auto creation bool | authorized operations bool | tags
//   answer:   tags | throttle ms i32 | [broker: id i32, host, port i32, rack, tags] | cluster id | controller i32
//             [topic: error i16, name, id 16, internal bool, partitions, authorized operations i32, tags] | tags
//             partition: error i16, index i32, leader i32, epoch i32, replicas, in sync, offline, tags
//
// Sizes of arrays and strings are unsigned varints, one more than the size, and 0 for null; tags are a count of 0 here.

import { Reader } from './bytes.ts';
import { request } from './request.ts';
import type { Request } from './request.ts';

const METADATA = 3;
const VERSION = 12;
const ID_SIZE = 16;
const NO_TAGS = 0;

/** Whether a broker that supports Metadata up to this version can be asked. */
export function hasTopicIds(maxVersion: number): boolean {
  return maxVersion >= VERSION;
}

/** Asks for the ids of the topics by name. Topics that do not exist are left out. */
export function topicIdRequest(topics: readonly string[]): Request<Map<string, string>> {
  return request([METADATA, VERSION, 'Metadata'], () => encode(topics), decode);
}

function encode(topics: readonly string[]): Buffer {
  const named = topics.map(topic => {
    const name = Buffer.from(topic);
    return Buffer.concat([Buffer.alloc(ID_SIZE), varint(name.length + 1), name, Buffer.from([NO_TAGS])]);
  });
  const [noCreation, noOperations] = [0, 0];
  return Buffer.concat([
    Buffer.from([NO_TAGS]),
    varint(topics.length + 1),
    ...named,
    Buffer.from([noCreation, noOperations, NO_TAGS]),
  ]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

function decode(bytes: Buffer): Map<string, string> {
  const reader = new Reader(bytes);
  const ids = new Map<string, string>();
  skipTags(reader);
  reader.i32(); // throttle ms
  each(reader, () => {
    reader.i32();
    text(reader);
    reader.i32();
    text(reader);
    skipTags(reader);
  });
  text(reader); // cluster id
  reader.i32(); // controller
  each(reader, () => {
    const error = reader.i16();
    const name = text(reader);
    const id = reader.slice(ID_SIZE).toString('base64url');
    reader.i8(); // internal
    each(reader, () => skipPartition(reader));
    reader.i32(); // authorized operations
    skipTags(reader);
    if (error === 0 && name !== null) ids.set(name, id);
  });
  return ids;
}

function skipPartition(reader: Reader): void {
  reader.i16(); // error
  reader.slice(12); // index, leader, epoch
  for (let list = 0; list < 3; list++) each(reader, () => reader.i32());
  skipTags(reader);
}

function each(reader: Reader, read: () => void): void {
  for (let left = reader.varint() - 1; left > 0; left--) read();
}

function text(reader: Reader): string | null {
  const size = reader.varint() - 1;
  return size < 0 ? null : reader.slice(size).toString();
}

function skipTags(reader: Reader): void {
  for (let left = reader.varint(); left > 0; left--) {
    reader.varint();
    reader.slice(reader.varint());
  }
}
