// Posts to an HTTP sink and reads its answer, straight or through Dapr.

import { Pool } from 'undici';
import type { IncomingHttpHeaders } from 'undici/types/header.js';
import { bindingBody, bindingHeaders, bindingPath, bindingReply } from './dapr.ts';
import type { Fate, SinkOptions } from './sink.ts';
import { openTurns } from './turns.ts';

const REFUSED = [400, 413, 422];
const MISCONFIGURED = [401, 403, 404, 405]; // And 3xx: a POST is not sent on to an address that a stranger names.
const ANSWER_SIZE_MAX = 64 * 1024; // Bytes of an answer that are read: it is a sentence, or it is not from a sink.
const ANSWER_SHOWN_MAX = 300; // Characters of an answer in a log line or a dead letter.
const RETRY_AFTER_MAX_MS = 3_600_000; // A sink that is down for longer is tried again earlier.

export interface Poster {
  /** A function as content is called when the post has a connection. */
  post(path: string, content: Uint8Array | (() => string), unwanted?: AbortSignal): Promise<Fate>;
  close(): Promise<void>;
}

/** An answer that took longer than `slowMs` is `slow`. */
export function openPoster(options: SinkOptions, slowMs = Infinity): Poster {
  const { dapr } = options;
  const url = options.sinkUrl ?? dapr!.url; // Set: readSettings requires one of them for every HTTP sink.
  const binding = options.sinkUrl ? undefined : dapr;
  const timeoutMs = options.sinkTimeoutMs;
  const pool = new Pool(url.origin, {
    connections: options.sinkConnections,
    connect: { timeout: timeoutMs, ca: options.sinkCaFile },
    // A sink behind a proxy closes idle connections; a POST on one that is just closing would be sent twice.
    keepAliveTimeout: 4000,
  });
  // One for each connection. The pool has a queue of its own, but in that queue the time of a post would already run.
  const turns = openTurns(options.sinkConnections);
  const credentials = binding ? bindingHeaders(binding) : authorization(options);
  const headers = { 'content-type': 'application/json', 'user-agent': 'earshot', ...credentials };
  const prefix = url.pathname.replace(/\/$/, '');
  return {
    async post(path, content, unwanted) {
      if (!(await turns.take(unwanted))) return { kind: 'retry', error: 'not sent: it is no longer wanted' };
      try {
        const body = typeof content === 'function' ? content() : content;
        // The address of the component has the path of the receiver.
        return await (binding
          ? exchange(bindingPath(binding), bindingBody(binding, body))
          : exchange(prefix + path, body));
      } finally {
        turns.giveBack();
      }
    },
    close: () => pool.destroy(),
  };

  async function exchange(path: string, body: Uint8Array | string): Promise<Fate> {
    const sentAt = performance.now();
    try {
      const signal = AbortSignal.timeout(timeoutMs); // Over the whole exchange: connecting, headers and body.
      const response = await pool.request({ method: 'POST', path, headers, body, signal });
      const text = await beginningOf(response.body);
      const fate = binding
        ? fateThroughDapr(response.statusCode, response.headers, text)
        : fateOf(response.statusCode, text, response.headers['retry-after']?.toString());
      const isSlow = performance.now() - sentAt > slowMs;
      return isSlow && fate.kind === 'accepted' ? { ...fate, slow: true } : fate;
    } catch (error) {
      return { kind: 'retry', error: describe(error as Error, timeoutMs) };
    }
  }
}

async function beginningOf(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= ANSWER_SIZE_MAX) break; // This closes the connection.
  }
  return Buffer.concat(chunks).toString();
}

/** What a status means for an alert. Whatever is not known to be final can be tried again. */
export function fateOf(status: number, text: string, retryAfter: string | undefined): Fate {
  if (status >= 200 && status < 300) return { kind: 'accepted' };
  const error = `${status} ${text.slice(0, ANSWER_SHOWN_MAX)}`.trim();
  if (REFUSED.includes(status)) return { kind: 'refused', error };
  return {
    kind: 'retry',
    error,
    retryAfterMs: retryAfterMs(retryAfter),
    misconfigured: MISCONFIGURED.includes(status) || (status >= 300 && status < 400),
  };
}

/** Dapr's own 500 is for a component that it does not have, too: somebody has to put that right. */
function fateThroughDapr(status: number, headers: IncomingHttpHeaders, text: string): Fate {
  const reply = bindingReply(status, headers);
  const fate = fateOf(reply.status, text, reply.retryAfter);
  if (fate.kind === 'retry' && reply.isOfDapr)
    return { ...fate, error: `Dapr: ${fate.error}`, misconfigured: true };
  return fate;
}

/** Retry-After (RFC 9110, 10.2.3) is a number of seconds or a date. */
function retryAfterMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return waitMs > 0 ? Math.min(waitMs, RETRY_AFTER_MAX_MS) : undefined;
}

function authorization({ sinkUsername, sinkPassword, sinkToken }: SinkOptions): Record<string, string> {
  if (sinkToken) return { authorization: `Bearer ${sinkToken}` };
  if (!sinkUsername) return {};
  return { authorization: `Basic ${Buffer.from(`${sinkUsername}:${sinkPassword}`).toString('base64')}` };
}

function describe(error: Error, timeoutMs: number): string {
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`;
  return error.message || (error as NodeJS.ErrnoException).code || error.name;
}
