// Reads Kafka's wire format, big-endian, from the start of the bytes to their end. A read beyond the end throws.

export class Reader {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  i8(): number {
    return this.bytes.readInt8(this.move(1));
  }

  i16(): number {
    return this.bytes.readInt16BE(this.move(2));
  }

  i32(): number {
    return this.bytes.readInt32BE(this.move(4));
  }

  i64(): bigint {
    return this.bytes.readBigInt64BE(this.move(8));
  }

  /** An i64 that is an offset or a time: exact up to 2^53. */
  number(): number {
    return Number(this.i64());
  }

  slice(size: number): Buffer {
    return this.bytes.subarray(this.move(size), this.at);
  }

  string(): string {
    return this.slice(this.i16()).toString();
  }

  array<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let left = this.i32(); left > 0; left--) items.push(read());
    return items;
  }

  /** An unsigned varint: the sizes in flexible versions of Kafka's messages. */
  varint(): number {
    let value = 0;
    for (let factor = 1, byte = 0x80; byte & 0x80; factor *= 128) {
      byte = this.bytes.readUInt8(this.move(1));
      value += (byte & 0x7f) * factor;
    }
    return value;
  }

  /** A zigzag varint, as in records: 0, −1, 1, −2, … */
  zigzag(): number {
    const first = this.bytes[this.at];
    if (first !== undefined && first < 0x80) {
      this.at++;
      return (first >>> 1) ^ -(first & 1);
    }
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  private move(size: number): number {
    const start = this.at;
    this.at += size;
    if (size < 0 || this.at > this.bytes.length) throw new Error('the bytes are cut short');
    return start;
  }
}
