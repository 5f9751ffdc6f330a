// Requests to the HTTP door of a function process, and what Fluent Bit would put into them.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hitKey } from '../../host/hit.ts';
import { HIT, linesOf, loadModule } from '../../host/matcher.ts';
import { until } from './harness.ts';
import { spawnFunction } from './process.ts';
import type { FunctionProcess } from './process.ts';

export interface DoorProcess extends FunctionProcess {
  url: string;
  port: number;
  post(body: string | Uint8Array, headers?: Record<string, string>): Promise<Answered>;
  /** The value of a line of /metrics, 0 without one. */
  metric(line: string): Promise<number>;
}

export interface Answered {
  status: number;
  text: string;
  headers: Headers;
}

/** Its probes are at the same port. */
export async function startDoor(
  file: string,
  environment: NodeJS.ProcessEnv,
  port: number,
): Promise<DoorProcess> {
  const listen = { EARSHOT_LISTEN: `127.0.0.1:${port}`, EARSHOT_PORT: String(port) };
  const started = spawnFunction(file, { ...environment, ...listen });
  const url = `http://127.0.0.1:${port}`;
  let isOver = false;
  void started.exited.then(() => (isOver = true));
  await until(() => isOver || started.log().includes('"listening"'), 'the door').catch(error => {
    throw new Error(`${(error as Error).message}\n${started.log()}`);
  });
  return Object.assign(started, {
    url,
    port,
    async post(body: string | Uint8Array, headers: Record<string, string> = {}) {
      const response = await fetch(`${url}/hits`, { method: 'POST', body: body as BodyInit, headers });
      return { status: response.status, text: await response.text(), headers: response.headers };
    },
    async metric(line: string) {
      const text = await (await fetch(`${url}/metrics`)).text();
      const found = text.split('\n').find(one => one.startsWith(`${line} `));
      return Number(found?.slice(line.length + 1) ?? 0);
    },
  });
}

let nextPort = 20_000 + ((process.pid * 16) % 9000);
/** Below the range of ports that the system hands out. */
export function somePort(): number {
  return nextPort++;
}

/** The hits of records, with ids as Fluent Bit's module has: a hash of the record. */
export async function hitsOf(modulePath: string, records: object[], timeMs = Date.now()): Promise<string[]> {
  const matcher = await (await loadModule(readFileSync(modulePath))).instantiate();
  return records.flatMap(record => {
    const bytes = Buffer.from(JSON.stringify(record));
    if (matcher.find(bytes, Math.floor(timeMs / 1000), 0) !== HIT) return [];
    const id = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
    return linesOf(matcher.hits(id)!).map(hit => Buffer.from(hit).toString());
  });
}

/** One element of a body. */
export function elementOf(hit: string): { key: string; hit: string } {
  return { key: hitKey(Buffer.from(hit)).toString(), hit };
}

export function bodyOf(hits: string[]): string {
  return JSON.stringify(hits.map(elementOf));
}

export function alertRecords(count: number, start = 0): object[] {
  return Array.from({ length: count }, (_, index) => ({ log: `ALERT ${start + index}`, id: start + index }));
}
