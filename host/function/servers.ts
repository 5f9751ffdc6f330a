// The HTTP servers of the function: the door (EARSHOT_LISTEN) and the probes (EARSHOT_PORT). With the same port they are one.

import type { Door } from './door.ts';
import { UserError } from '../error.ts';
import { openServer } from '../http/server.ts';
import type { HttpServer, Route } from '../http/server.ts';
import type { Log } from '../log.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';

/** What a request has to be answered in when its time to finish is over. */
const FAREWELL_MS = 500;

interface Parts {
  settings: Pick<Settings, 'listen' | 'port'>;
  door: Door | undefined;
  probes: Route[];
  metrics: Metrics;
  log: Log;
}

export interface Servers {
  /** The door takes no more requests. Settles when all are answered: after `graceMs` with 503. */
  finishRequests(graceMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Throws a UserError when a port cannot be opened. */
export async function openServers({ settings, door, probes, metrics, log }: Parts): Promise<Servers> {
  const { listen, port } = settings;
  const isShared = listen?.port === port;
  let ofDoor: HttpServer | undefined;
  let ofProbes: HttpServer | undefined;
  if (door && listen) {
    const routes = [...door.routes, ...(isShared ? probes : [])];
    const remedy = 'set EARSHOT_LISTEN or --listen to another address';
    ofDoor = await open(listen, routes, remedy, (path, status) =>
      metrics.listenRequests.inc({ path, status: status ?? 'aborted' }),
    );
    const paths = routes.map(({ path }) => path);
    log.info({ host: listen.host, port: ofDoor.port, paths }, 'listening');
  }
  if (port && !isShared) {
    const remedy = 'set EARSHOT_PORT or --port to another port, or to 0 for no /healthz and /metrics';
    ofProbes = await open({ port }, probes, remedy);
  }
  return {
    async finishRequests(graceMs) {
      const timer = setTimeout(() => door?.giveUp(), graceMs);
      await ofDoor?.close(graceMs + FAREWELL_MS);
      clearTimeout(timer);
    },
    async close() {
      await Promise.all([ofDoor?.close(0), ofProbes?.close(0)]);
    },
  };

  async function open(
    { host, port }: { host?: string; port: number },
    routes: Route[],
    remedy: string,
    onAnswer?: (path: string, status: number | undefined) => void,
  ): Promise<HttpServer> {
    const onError = ({ message, stack }: Error) => log.error({ error: message, stack }, 'a request failed');
    try {
      return await openServer({ host, port, routes, onAnswer, onError });
    } catch (error) {
      throw new UserError(`${portError(port, error as NodeJS.ErrnoException)}; ${remedy}`);
    }
  }
}

function portError(port: number, { code, message }: NodeJS.ErrnoException): string {
  const reason =
    code === 'EADDRINUSE'
      ? 'is in use by another program'
      : code === 'EACCES'
        ? 'is not open to this user'
        : `cannot be opened (${message})`;
  return `port ${port} ${reason}`;
}
