// The HTTP servers of the function: the door (EARSHOT_LISTEN) and the probes (EARSHOT_PORT). With the same port they are one.

import type { Door } from './door.ts';
import { UserError } from '../error.ts';
import { followCertificate, readCertificate } from '../http/certificate.ts';
import type { CertificateFiles } from '../http/certificate.ts';
import { openServer } from '../http/server.ts';
import type { Certificate, HttpServer, Route } from '../http/server.ts';
import { sampled } from '../log.ts';
import type { Log } from '../log.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';

/** What a request has to be answered in when its time to finish is over. */
const FAREWELL_MS = 500;

interface Parts {
  settings: Pick<Settings, 'listen' | 'listenTlsCertFile' | 'listenTlsKeyFile' | 'port'>;
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
  let renewal: { close(): void } | undefined;
  const mistakes = sampled(fields =>
    log.error(fields, 'the new certificate cannot be taken, and the old one stays'),
  );
  if (door && listen) {
    const routes = [...door.routes, ...(isShared ? probes : [])];
    const remedy = 'set EARSHOT_LISTEN or --listen to another address';
    const files = certificateFiles(settings);
    const certificate = files && firstCertificate(files);
    const onAnswer = (path: string, status: number | undefined) =>
      metrics.listenRequests.inc({ path, status: status ?? 'aborted' });
    ofDoor = await open({ ...listen, certificate }, routes, remedy, onAnswer);
    if (files) renewal = follow(files, ofDoor, certificate!);
    const paths = [...new Set(routes.map(({ path }) => path ?? '/*'))];
    log.info({ host: listen.host, port: ofDoor.port, tls: Boolean(files), paths }, 'listening');
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
      renewal?.close();
      mistakes.flush();
      await Promise.all([ofDoor?.close(0), ofProbes?.close(0)]);
    },
  };

  function follow(files: CertificateFiles, server: HttpServer, certificate: Certificate): { close(): void } {
    const onRenewed = () => log.info({ file: files.certFile }, 'the certificate of the listener is renewed');
    const onError = ({ message }: Error) => mistakes.add(message, { error: message });
    return followCertificate(files, server, certificate, { onRenewed, onError });
  }

  async function open(
    { host, port, certificate }: { host?: string; port: number; certificate?: Certificate },
    routes: Route[],
    remedy: string,
    onAnswer?: (path: string, status: number | undefined) => void,
  ): Promise<HttpServer> {
    const onError = ({ message, stack }: Error) => log.error({ error: message, stack }, 'a request failed');
    try {
      return await openServer({ host, port, certificate, routes, onAnswer, onError });
    } catch (error) {
      throw new UserError(`${portError(port, error as NodeJS.ErrnoException)}; ${remedy}`);
    }
  }
}

function certificateFiles(settings: Parts['settings']): CertificateFiles | undefined {
  const { listenTlsCertFile: certFile, listenTlsKeyFile: keyFile } = settings;
  return certFile && keyFile ? { certFile, keyFile } : undefined;
}

function firstCertificate(files: CertificateFiles): Certificate {
  try {
    return readCertificate(files);
  } catch (error) {
    const names = 'EARSHOT_LISTEN_TLS_CERT_FILE and EARSHOT_LISTEN_TLS_KEY_FILE';
    throw new UserError(`${(error as Error).message}; ${names} name them, both as PEM`);
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
