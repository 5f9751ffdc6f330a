// Files and standard input as a source of records: bytes → lines. Gzip and zstd are detected by their first bytes.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { UserError } from '../error.ts';
import { ZstdError, ZstdStream } from './zstd.ts';

const CHUNK_SIZE = 1 << 20;

export interface LogFile {
  name: string;
  /** The time for records without a time: the last change of the file, or now for standard input. */
  timeMs: number;
  /** Throws a UserError when the file turns out to be damaged. */
  chunks: AsyncIterable<Uint8Array>;
  /** Ends `chunks`, also while it waits for the next one. */
  close(): void;
}

/** Opens a file, or standard input for "-". */
export async function openFile(path: string, stdin: Readable): Promise<LogFile> {
  const isStdin = path === '-';
  const name = isStdin ? 'stdin' : path;
  try {
    const timeMs = isStdin ? Date.now() : await timeOf(path);
    const raw = isStdin ? stdin : createReadStream(path, { highWaterMark: CHUNK_SIZE });
    return { name, timeMs, chunks: readChunks(raw, name), close: () => raw.destroy() };
  } catch (error) {
    throw unreadable(name, error);
  }
}

async function timeOf(path: string): Promise<number> {
  const stats = await stat(path);
  if (stats.isDirectory()) throw new Error('it is a directory');
  return Math.trunc(stats.mtimeMs);
}

async function* readChunks(raw: Readable, name: string): AsyncGenerator<Uint8Array> {
  try {
    yield* unzipped(raw);
  } catch (error) {
    // `close` was called: this is the end.
    if ((error as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE') return;
    throw error instanceof UserError ? error : unreadable(name, error);
  }
}

function unreadable(name: string, error: unknown): UserError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return new UserError(`${name} cannot be read: there is no such file`);
  if (error instanceof ZstdError)
    return new UserError(
      error.isCut ? `${name} is cut short: its zstd stream has no end` : `${name} is damaged: ${message}`,
    );
  if (code === 'Z_BUF_ERROR') return new UserError(`${name} is cut short: its gzip stream has no end`);
  if (code?.startsWith('Z_')) return new UserError(`${name} is damaged: ${message}`);
  return new UserError(`${name} cannot be read: ${message}`);
}

const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
const MAGIC_SIZE = 4;

async function* unzipped(raw: Readable): AsyncGenerator<Buffer> {
  const chunks = raw[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head: Buffer = Buffer.alloc(0);
  while (head.length < MAGIC_SIZE) {
    const { value, done } = await chunks.next();
    if (done) break;
    head = Buffer.concat([head, value]);
  }
  const whole = joined(head, chunks);
  if (head.subarray(0, ZSTD.length).equals(ZSTD)) return yield* unpacked(whole);
  if (!head.subarray(0, GZIP.length).equals(GZIP)) return yield* whole;
  // An error in the pipeline makes gunzip fail too, so the callback has nothing to do.
  yield* pipeline(Readable.from(whole), createGunzip({ chunkSize: CHUNK_SIZE }), () => {});
}

/** zstd, in slices: a small part of a file can stand for much, and only that much is in memory. */
async function* unpacked(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const stream = new ZstdStream();
  for await (const chunk of chunks)
    for (let at = 0; at < chunk.length; at += SLICE_SIZE)
      yield* stream.push(chunk.subarray(at, at + SLICE_SIZE));
  yield* stream.end();
}

const SLICE_SIZE = 8192;

async function* joined(head: Buffer, chunks: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
}

const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** One line without its newline; `bytes` is null when it is longer than allowed, and valid until the next line. */
export interface Line {
  bytes: Uint8Array | null;
  number: number;
}

/** Splits chunks into lines. A byte order mark at the start is not part of the first line. */
export class Lines {
  private readonly sizeMax: number;
  private parts: Uint8Array[] = [];
  private size = 0;
  private number = 1;

  constructor(sizeMax: number) {
    this.sizeMax = sizeMax;
  }

  *push(chunk: Uint8Array): Generator<Line> {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      yield this.take(bytes.subarray(start, end));
      start = end + 1;
    }
    if (start < bytes.length) this.keep(bytes.subarray(start));
  }

  /** The last line, if it has no newline. */
  *end(): Generator<Line> {
    if (this.size > 0) yield this.take(new Uint8Array());
  }

  private take(last: Uint8Array): Line {
    let bytes: Uint8Array | null = last;
    if (this.size > 0) {
      this.keep(last);
      bytes = this.size > this.sizeMax ? null : Buffer.concat(this.parts);
      this.parts = [];
      this.size = 0;
    }
    if (bytes !== null && bytes.length > this.sizeMax) bytes = null;
    if (this.number === 1 && bytes !== null) bytes = withoutMark(bytes);
    return { bytes, number: this.number++ };
  }

  /** For a line that is too long, only the size is kept. */
  private keep(part: Uint8Array): void {
    this.size += part.length;
    if (this.size <= this.sizeMax) this.parts.push(part);
    else this.parts = [];
  }
}

function withoutMark(bytes: Uint8Array): Uint8Array {
  const hasMark = BYTE_ORDER_MARK.every((byte, index) => bytes[index] === byte);
  return hasMark ? bytes.subarray(BYTE_ORDER_MARK.length) : bytes;
}

/** Whether a line holds nothing, or only space. */
export function isBlank(bytes: Uint8Array): boolean {
  return bytes.every(byte => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}
