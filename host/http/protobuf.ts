// Reads the fields of protobuf messages, one after the other, without a schema: @bufbuild/protobuf reads the bytes, and who
// calls knows the numbers. Throws a RangeError or an Error where the bytes are no message.

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** Bytes of a field with a length: a string, bytes or a message. Of a number: its bits. */
export type FieldValue = Uint8Array | bigint;

export function* fieldsOf(message: Uint8Array): Generator<[number: number, value: FieldValue]> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.Varint) yield [number, BigInt(reader.int64())];
    else if (type === WireType.Bit64) yield [number, BigInt(reader.fixed64())];
    else if (type === WireType.Bit32) yield [number, BigInt(reader.fixed32())];
    else if (type === WireType.LengthDelimited) yield [number, reader.bytes()];
    else reader.skip(type, number);
  }
}

/** The messages in the field of this number. */
export function* messagesOf(message: Uint8Array, wanted: number): Generator<Uint8Array> {
  for (const [number, value] of fieldsOf(message))
    if (number === wanted && value instanceof Uint8Array) yield value;
}

/** The last value of each field; a field that is not repeated has one. */
export function lastOf(message: Uint8Array): Map<number, FieldValue> {
  return new Map(fieldsOf(message));
}

export function textOf(value: FieldValue | undefined): string | undefined {
  return value instanceof Uint8Array
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()
    : undefined;
}

const double = new DataView(new ArrayBuffer(8));
/** A double from the bits of its field. */
export function doubleOf(bits: bigint): number {
  double.setBigUint64(0, bits);
  return double.getFloat64(0);
}
