// Reads the body of a request, within limits: of one body, and of all bodies that are in memory.

import type { IncomingMessage } from 'node:http';
import { createGunzip } from 'node:zlib';
import { decodeZstd } from '../source/zstd.ts';

/** Fluent Bit's chunks have some 2 MB, and JSON within JSON can be several times as much. */
export const BODY_SIZE_MAX = 32 * 1024 * 1024;
/** Of all bodies together. Of each, the texts made of it take as much again, and more. */
export const BODIES_SIZE_MAX = 64 * 1024 * 1024;

export interface Body {
  bytes: Uint8Array;
  /** Why `bytes` is only the beginning. */
  cut?: string;
}

/** Why a body is not read. */
export type Refusal = 'crowded' | 'encoding';

const ENCODINGS = ['identity', 'gzip', 'x-gzip', 'zstd'];

export interface Budget {
  /** False: too much is in memory; nothing is reserved. */
  reserve(size: number): boolean;
  release(size: number): void;
  readonly used: number;
}

export function openBudget(sizeMax = BODIES_SIZE_MAX): Budget {
  let used = 0;
  return {
    reserve(size) {
      if (used + size > sizeMax) return false;
      used += size;
      return true;
    },
    release: size => void (used -= size),
    get used() {
      return used;
    },
  };
}

export interface Reading {
  /** Rejects when the client goes away. */
  body: Promise<Body | Refusal>;
  /** Call when the body is no longer needed. */
  release(): void;
}

/** What does not fit into `sizeMax` is not read into memory. */
export function readBody(request: IncomingMessage, budget: Budget, sizeMax = BODY_SIZE_MAX): Reading {
  let reserved = 0;
  const reserve = (size: number): boolean => {
    if (!budget.reserve(size)) return false;
    reserved += size;
    return true;
  };
  return {
    body: read(),
    release() {
      budget.release(reserved);
      reserved = 0;
    },
  };

  async function read(): Promise<Body | Refusal> {
    const encoding = request.headers['content-encoding'] ?? 'identity';
    if (!ENCODINGS.includes(encoding)) return 'encoding';
    // In advance, so that a crowd is refused before it is read. No length: reserved as it comes.
    const announced = Math.min(Number(request.headers['content-length'] ?? 0), sizeMax);
    if (!reserve(announced)) return 'crowded';
    const stored = await receive(request, announced);
    if (stored === 'crowded' || encoding === 'identity') return stored;
    if (encoding === 'zstd') return decoded(stored);
    const gunzip = createGunzip();
    gunzip.end(stored.bytes);
    const body = await collect(gunzip as AsyncIterable<Buffer>, 0);
    if (body === 'crowded') return body;
    const cut = body.cut ?? stored.cut;
    // Nothing was decoded: perhaps it is not compressed.
    return { bytes: body.bytes.length === 0 ? stored.bytes : body.bytes, cut };
  }

  /** The decoder says beforehand how much memory it takes at most, but not how much it will need. */
  function decoded(stored: Body): Body | 'crowded' {
    if (!reserve(sizeMax)) return 'crowded';
    const giveBack = (unused: number) => {
      budget.release(unused);
      reserved -= unused;
    };
    try {
      const bytes = decodeZstd(Buffer.from(stored.bytes), sizeMax);
      giveBack(sizeMax - bytes.length);
      return { bytes, cut: stored.cut };
    } catch (error) {
      giveBack(sizeMax);
      return { bytes: stored.bytes, cut: `zstd: ${(error as Error).message.replace(/^zstd: /, '')}` };
    }
  }

  /** By events: an iterator would cost as much as all the rest of a small request. */
  function receive(request: IncomingMessage, announced: number): Promise<Body | 'crowded'> {
    return new Promise((resolve, reject) => {
      const parts = openParts(announced);
      let isSettled = false;
      const settle = (body: Body | 'crowded') => {
        isSettled = true;
        request.off('data', take);
        resolve(body);
      };
      const take = (chunk: Buffer) => {
        const end = parts.add(chunk);
        if (end) settle(end === 'crowded' ? end : parts.body(end.cut));
      };
      request.on('data', take);
      request.on('end', () => isSettled || settle(parts.body()));
      request.on('error', reject);
      // Each request ends with it: an error has a stack, and costs as much as the rest of a small request.
      request.on('close', () => isSettled || reject(new Error('the client went away')));
    });
  }

  async function collect(chunks: AsyncIterable<Buffer>, announced: number): Promise<Body | 'crowded'> {
    const parts = openParts(announced);
    try {
      for await (const chunk of chunks) {
        const end = parts.add(chunk);
        if (end) return end === 'crowded' ? end : parts.body(end.cut);
      }
    } catch (error) {
      if (!(error as NodeJS.ErrnoException).code?.startsWith('Z_')) throw error;
      return parts.body(`gzip: ${(error as Error).message}`);
    }
    return parts.body();
  }

  function openParts(announced: number) {
    const parts: Buffer[] = [];
    let size = 0;
    return {
      /** Why no more is read. */
      add(chunk: Buffer): 'crowded' | { cut: string } | undefined {
        const part = chunk.subarray(0, sizeMax - size);
        if (!reserve(Math.max(0, size + part.length - Math.max(size, announced)))) return 'crowded';
        parts.push(part);
        size += part.length;
        return part.length < chunk.length ? { cut: `larger than ${sizeMax} bytes` } : undefined;
      },
      body: (cut?: string): Body => ({
        bytes: Buffer.concat(parts),
        ...(cut !== undefined && { cut }),
      }),
    };
  }
}
