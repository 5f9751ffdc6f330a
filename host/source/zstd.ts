// Decodes zstd with fzstd. fzstd has no limit: it allocates whatever window and content size a header names, and every
// block after it. So the headers are read first. Format: RFC 8878.
//
//   frame: magic 28 b5 2f fd | descriptor | [window] | [dictionary id] | [content size] | blocks | [checksum 4]
//   block: u24, little-endian: last, 1 bit; type, 2 bits; size, 21 bits | data
//   skippable frame: magic 5x 2a 4d 18 | size u32 | data

import { decompress, Decompress, ZstdErrorCode } from 'fzstd';
import { DECODED_SIZE_MAX, tooLarge } from './decode.ts';

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50; // The low four bits are free.
const BLOCK_SIZE_MAX = 128 * 1024;
const BLOCK_RAW = 0;
const BLOCK_REPEATED = 1;

export function decodeZstd(source: Buffer, sizeMax = DECODED_SIZE_MAX): Buffer {
  const decoded = sizeBound(source, sizeMax) <= sizeMax ? decompress(source) : decodeBounded(source, sizeMax);
  return Buffer.from(decoded.buffer, decoded.byteOffset, decoded.byteLength);
}

/** What is wrong with a stream; `isCut`: it ends too early. */
export class ZstdError extends Error {
  readonly isCut: boolean;
  constructor(message: string, isCut: boolean) {
    super(message);
    this.isCut = isCut;
  }
}

// zstd itself refuses to decode a file with a larger window, unless it is told to.
const WINDOW_SIZE_MAX = 128 * 1024 * 1024;
const FRAME_HEADER_SIZE_MAX = 18;

/** Decodes a file of any length, block by block. */
export class ZstdStream {
  private blocks: Buffer[] = [];
  private head: Buffer | null = Buffer.alloc(0);
  private readonly decoder = new Decompress(block => {
    if (block.length > 0) this.blocks.push(Buffer.from(block.buffer, block.byteOffset, block.byteLength));
  });

  /** The blocks that are whole with this part of the file. */
  push(part: Buffer): Buffer[] {
    return this.head === null ? this.decode(part, false) : this.begin(part);
  }

  end(): Buffer[] {
    const rest = this.head ?? Buffer.alloc(0);
    this.head = null;
    return this.decode(rest, true);
  }

  /** The window is allocated at once, so the first header is read before. */
  private begin(part: Buffer): Buffer[] {
    const head = Buffer.concat([this.head!, part]);
    this.head = head.length < FRAME_HEADER_SIZE_MAX ? head : null;
    if (this.head !== null) return [];
    const isFrame = head.readUInt32LE(0) === MAGIC;
    const window = isFrame ? frameWindow(head, 0).window : 0;
    if (window > WINDOW_SIZE_MAX)
      throw new ZstdError(`its window has ${window} bytes, ${WINDOW_SIZE_MAX} are allowed`, false);
    return this.decode(head, false);
  }

  private decode(part: Buffer, isLast: boolean): Buffer[] {
    try {
      this.decoder.push(part, isLast);
    } catch (error) {
      const isCut = (error as { code?: number }).code === ZstdErrorCode.UnexpectedEOF;
      throw new ZstdError((error as Error).message, isCut);
    }
    const { blocks } = this;
    this.blocks = [];
    return blocks;
  }
}

/** Decodes block by block up to the limit, for frames whose headers do not say how large they are. */
function decodeBounded(source: Buffer, sizeMax: number): Buffer {
  const blocks: Uint8Array[] = [];
  let size = 0;
  const decoder = new Decompress(block => {
    size += block.length;
    if (size > sizeMax) throw tooLarge('zstd', undefined, sizeMax);
    blocks.push(block);
  });
  decoder.push(source, true);
  return Buffer.concat(blocks, size);
}

/** The largest size that the frames can have once decoded. */
function sizeBound(source: Buffer, sizeMax: number): number {
  let bound = 0;
  for (let at = 0; at < source.length;) {
    const magic = source.readUInt32LE(at);
    if (magic >>> 4 === SKIPPABLE_MAGIC >>> 4) {
      at += 8 + source.readUInt32LE(at + 4);
      continue;
    }
    if (magic !== MAGIC) throw new Error('zstd: not a frame');
    const frame = frameBound(source, at, sizeMax);
    bound += frame.bound;
    at = frame.end;
  }
  return bound;
}

function frameBound(source: Buffer, start: number, sizeMax: number): { bound: number; end: number } {
  const { descriptor, window, content, blocksAt } = frameWindow(source, start);
  // fzstd allocates both before it decodes a byte.
  const allocated = Math.max(window, content ?? 0);
  if (allocated > sizeMax) throw tooLarge('zstd', allocated, sizeMax);

  let bound = 0;
  let at = blocksAt;
  for (let isLast = false; !isLast;) {
    const header = source.readUIntLE(at, 3);
    const [type, size] = [(header >> 1) & 3, header >> 3];
    isLast = (header & 1) === 1;
    bound += type === BLOCK_RAW || type === BLOCK_REPEATED ? size : BLOCK_SIZE_MAX;
    at += 3 + (type === BLOCK_REPEATED ? 1 : size);
  }
  // fzstd takes a content size of 0 for an unknown one.
  return { bound: content || bound, end: at + (descriptor & 0x04 ? 4 : 0) };
}

function frameWindow(source: Buffer, start: number) {
  const descriptor = source.readUInt8(start + 4);
  const isSingle = (descriptor & 0x20) !== 0;
  const dictionarySize = [0, 1, 2, 4][descriptor & 3]!;
  const contentFlag = descriptor >> 6;
  const contentSize = contentFlag ? 1 << contentFlag : isSingle ? 1 : 0;
  const windowAt = start + 5;
  const contentAt = windowAt + (isSingle ? 0 : 1) + dictionarySize;
  const content = contentSize === 0 ? undefined : readContentSize(source, contentAt, contentSize);
  const window = isSingle ? content! : windowSize(source.readUInt8(windowAt));
  return { descriptor, window, content, blocksAt: contentAt + contentSize };
}

function readContentSize(source: Buffer, at: number, size: number): number {
  if (size === 8) return Number(source.readBigUInt64LE(at));
  return source.readUIntLE(at, size) + (size === 2 ? 256 : 0);
}

function windowSize(byte: number): number {
  const base = 2 ** (10 + (byte >> 3));
  return base + (base / 8) * (byte & 7);
}
