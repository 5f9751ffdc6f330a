// /healthz, /readyz and /metrics. Healthy means that Kafka has recently answered a heartbeat, and accepted a commit if
// there was something to commit. A sink that is down is no reason for a restart; a consumer that has died, or whose
// commits are all refused, is one.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { Registry } from 'prom-client';
import { UserError } from '../error.ts';

export interface Probes {
  /** A reason not to be healthy or ready, or undefined. */
  unhealthy(): string | undefined;
  unready(): string | undefined;
}

export async function serveHealth(port: number, probes: Probes, registry: Registry): Promise<Server> {
  const server = createServer(async (request, response) => {
    const answer = (status: number, text: string, type = 'text/plain; charset=utf-8') => {
      response.writeHead(status, { 'content-type': type }).end(text);
    };
    const probe = (reason: string | undefined) => answer(reason ? 503 : 200, `${reason ?? 'ok'}\n`);
    if (request.url === '/healthz') probe(probes.unhealthy());
    else if (request.url === '/readyz') probe(probes.unready());
    else if (request.url === '/metrics') answer(200, await registry.metrics(), registry.contentType);
    else answer(404, 'there is /healthz, /readyz and /metrics\n');
  });
  try {
    await once(server.listen(port), 'listening');
  } catch (error) {
    throw new UserError(portError(port, error as NodeJS.ErrnoException));
  }
  server.unref();
  return server;
}

function portError(port: number, { code, message }: NodeJS.ErrnoException): string {
  const reason =
    code === 'EADDRINUSE'
      ? 'is in use by another program'
      : code === 'EACCES'
        ? 'is not open to this user'
        : `cannot be opened (${message})`;
  return `port ${port} ${reason}; set EARSHOT_PORT or --port to another port, or to 0 for no /healthz and /metrics`;
}
