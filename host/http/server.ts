// An HTTP server with limits, with or without TLS. What it serves is a list of routes; a handler returns its answer. A client
// that is slow, or sends more headers than anybody needs, is cut off. Two ways to read one request (a length twice, a length
// beside chunks) are 400: Node's parser is strict.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface Answer {
  status: number;
  /** Empty: no body. Bytes stay as they are, and have their type in `headers`. */
  text: string | Uint8Array;
  headers?: Record<string, string>;
}

export interface Route {
  /** Undefined: any. */
  method?: string;
  /** Undefined: each that no other route has. */
  path?: string;
  answer(request: IncomingMessage): Answer | Promise<Answer>;
}

export interface ServerLimits {
  headersTimeoutMs: number;
  /** Time for the whole request to arrive. */
  requestTimeoutMs: number;
}

export const SERVER_LIMITS: ServerLimits = { headersTimeoutMs: 10_000, requestTimeoutMs: 60_000 };

const HEADERS_SIZE_MAX = 16 * 1024; // Bytes.
const CONNECTIONS_MAX = 2000; // A node has a few. Beyond it a new connection is closed at once.
/** Fluent Bit keeps an idle connection for 30 s. If the server closed it first, a request could cross the close. */
const KEEP_ALIVE_MS = 75_000;
const CHECK_MS = 1000; // How often it looks for slow clients.

/** PEM. */
export interface Certificate {
  cert: string;
  key: string;
}

interface Options {
  host: string | undefined;
  port: number;
  /** Undefined: without TLS. */
  certificate?: Certificate;
  routes: readonly Route[];
  limits?: ServerLimits;
  /** Called with the path of the route for each request; no status when the client went away before the answer. */
  onAnswer?(path: string, status: number | undefined): void;
  /** A handler threw: a bug. */
  onError(error: Error): void;
}

export interface HttpServer {
  port: number;
  /** For the connections to come. Throws when the two are no pair. */
  renew(certificate: Certificate): void;
  /** Accepts no more, and settles when all requests are answered, or after `graceMs`, when it cuts those that are left. */
  close(graceMs: number): Promise<void>;
}

/** Rejects when the port cannot be opened. */
export async function openServer(options: Options): Promise<HttpServer> {
  const { routes, certificate, limits = SERVER_LIMITS, onAnswer, onError } = options;
  let isClosing = false;
  const timing = {
    maxHeaderSize: HEADERS_SIZE_MAX,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: Math.min(CHECK_MS, limits.requestTimeoutMs),
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse) => void handle(request, response);
  const tlsServer =
    certificate &&
    createTlsServer({ ...timing, ...certificate, handshakeTimeout: limits.headersTimeoutMs }, onRequest);
  const server = tlsServer ?? createServer(timing, onRequest);
  server.maxConnections = CONNECTIONS_MAX;
  await once(server.listen(options.port, options.host), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    renew: next => tlsServer?.setSecureContext(next),
    async close(graceMs) {
      isClosing = true;
      const closed = new Promise<void>(done => server.close(() => done()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(timer);
    },
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.split('?', 1)[0]!;
    const named = routes.filter(route => route.path === path);
    const others = routes.filter(
      route => route.path === undefined && (route.method === undefined || route.method === request.method),
    );
    const found = named.length > 0 ? named : others;
    const route = found.find(({ method }) => method === undefined || method === request.method);
    let answer: Answer;
    try {
      answer = route ? await route.answer(request) : noRoute(found);
    } catch (error) {
      // A client that goes away breaks the reading of its body.
      if (!request.destroyed || request.complete) onError(error as Error);
      answer = { status: 500, text: 'a bug in Earshot; its log has the error' };
    }
    const isGone = response.destroyed || response.socket === null || response.socket.destroyed;
    onAnswer?.(found.length > 0 ? (found[0]!.path ?? '/*') : 'other', isGone ? undefined : answer.status);
    if (isGone) return;
    if (isClosing) response.setHeader('connection', 'close');
    const { status, text, headers } = answer;
    // A text with its length is one write together with the headers.
    const content = typeof text === 'string' && text !== '' ? `${text}\n` : text;
    if (content.length === 0) response.writeHead(status, headers).end();
    else
      response
        .writeHead(status, {
          'content-type': 'text/plain; charset=utf-8',
          ...headers,
          'content-length': Buffer.byteLength(content),
        })
        .end(content);
    // What is left of the body: a client that reads its answer only when it has sent everything would wait for ever.
    request.resume();
  }

  function noRoute(found: readonly Route[]): Answer {
    if (found.length > 0) {
      const allow = found.map(({ method }) => method).join(', ');
      return { status: 405, text: `${found[0]!.path} takes ${allow}`, headers: { allow } };
    }
    const paths = routes.map(({ method, path }) => path ?? `${method} to any path`);
    return { status: 404, text: `there is ${paths.join(', ')}` };
  }
}
