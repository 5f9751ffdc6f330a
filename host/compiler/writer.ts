// Bytes that grow, little-endian. A record is written by the names that assembly/layout.ts has for its fields,
// so writer and reader use the same constants.
import type { ByteString } from './literals.ts';

/** The fields of a record: offset in the record → value. A bigint is 8 bytes. */
export type Fields = Record<number, number | bigint>;

/** The offsets of those fields of a record that are not a u32. */
export interface Widths {
  u8?: readonly number[];
  u16?: readonly number[];
  u64?: readonly number[];
}

const U64 = 0xffffffffffffffffn;
const SIZE_AT_FIRST = 4_096;

export class Writer {
  private bytes = new Uint8Array(SIZE_AT_FIRST);
  private view = new DataView(this.bytes.buffer);
  private readonly known = new Map<string, number>();
  size = 0;

  /** Writes zeros; returns their offset. */
  allocate(size: number, align = 8): number {
    const offset = Math.ceil(this.size / align) * align;
    this.size = offset + size;
    if (this.size > this.bytes.length) {
      const larger = new Uint8Array(2 ** Math.ceil(Math.log2(this.size)));
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return offset;
  }

  /** Writes the fields of one record; fields that are not named stay 0. */
  record(at: number, fields: Fields, widths: Widths = {}): void {
    writeRecord(this.view, at, fields, widths);
  }

  /** Writes records one after the other into a new table; returns its offset. */
  records(size: number, all: Fields[], widths?: Widths): number {
    const table = this.allocate(all.length * size);
    all.forEach((fields, i) => this.record(table + i * size, fields, widths));
    return table;
  }

  /** Like `records`, for tables that nobody changes any more: equal tables are stored once. */
  sharedRecords(size: number, all: Fields[], widths: Widths = {}): number {
    const bytes = new Uint8Array(all.length * size);
    const view = new DataView(bytes.buffer);
    all.forEach((fields, i) => writeRecord(view, i * size, fields, widths));
    return this.shared(bytes, 4);
  }

  /** A table of u32 that nobody changes any more. */
  sharedNumbers(values: number[]): number {
    const bytes = new Uint8Array(values.length * 4);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => view.setUint32(i * 4, value, true));
    return this.shared(bytes, 4);
  }

  /** Bytes that are stored once, however often they are needed. */
  shared(bytes: Uint8Array, align = 1): number {
    const key = `${align} ${Buffer.from(bytes).toString('latin1')}`;
    let offset = this.known.get(key);
    if (offset === undefined) {
      offset = this.allocate(bytes.length, align);
      this.bytes.set(bytes, offset);
      this.known.set(key, offset);
    }
    return offset;
  }

  /** A table of numbers of 1, 2 or 4 bytes. */
  numbers(at: number, width: 1 | 2 | 4, values: Iterable<number>): void {
    for (const value of values) {
      setNumber(this.view, at, width, value);
      at += width;
    }
  }

  readU16(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  readU32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  slice(): Uint8Array {
    return this.bytes.slice(0, this.size);
  }

  section(from: number): Uint8Array {
    return this.bytes.subarray(from, this.size);
  }
}

function writeRecord(view: DataView, at: number, fields: Fields, widths: Widths): void {
  for (const [key, value] of Object.entries(fields)) {
    const offset = Number(key);
    const width = widthOf(offset, widths);
    if ((width === 8) !== (typeof value === 'bigint'))
      throw new Error(`field ${offset} has ${width} bytes and gets the ${typeof value} ${value}`);
    if (typeof value === 'bigint') view.setBigUint64(at + offset, value & U64, true);
    else setNumber(view, at + offset, width, value);
  }
}

function widthOf(offset: number, { u8, u16, u64 }: Widths): number {
  if (u64?.includes(offset)) return 8;
  if (u16?.includes(offset)) return 2;
  return u8?.includes(offset) ? 1 : 4;
}

function setNumber(view: DataView, at: number, width: number, value: number): void {
  if (width === 4) view.setUint32(at, value, true);
  else if (width === 2) view.setUint16(at, value, true);
  else view.setUint8(at, value);
}

/** The first 8 bytes as one number, as the core loads them. */
export function firstWord(bytes: Uint8Array): bigint {
  return bytes.subarray(0, 8).reduceRight((word, byte) => (word << 8n) | BigInt(byte), 0n);
}

export function bytesOf(text: ByteString): Uint8Array {
  return Buffer.from(text, 'latin1');
}
