// The certificate of a server, from files that may change at any time: cert-manager writes a new one weeks before the old one
// ends, and a Secret that is mounted changes without a signal. So the files are read again and again.

import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Certificate, HttpServer } from './server.ts';

const CHECK_MS = 10_000;

export interface CertificateFiles {
  certFile: string;
  keyFile: string;
}

/** Throws an Error that says which file is wrong. */
export function readCertificate({ certFile, keyFile }: CertificateFiles): Certificate {
  const certificate = { cert: read(certFile), key: read(keyFile) };
  try {
    createSecureContext(certificate);
  } catch (error) {
    throw new Error(`${certFile} and ${keyFile} are no certificate and its key: ${(error as Error).message}`);
  }
  return certificate;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/** Renews the certificate of the server when its files change. A pair that is wrong is not taken: the old one stays. */
export function followCertificate(
  files: CertificateFiles,
  server: Pick<HttpServer, 'renew'>,
  current: Certificate,
  { onRenewed, onError }: { onRenewed(): void; onError(error: Error): void },
  checkMs = CHECK_MS,
): { close(): void } {
  const timer = setInterval(check, checkMs).unref();
  return { close: () => clearInterval(timer) };

  function check(): void {
    try {
      const next = readCertificate(files);
      if (next.cert === current.cert && next.key === current.key) return;
      server.renew(next);
      current = next;
      onRenewed();
    } catch (error) {
      onError(error as Error);
    }
  }
}
