// `npm run bench:doors`: the HTTP door beside a bare node:http server that reads each body and answers 200, and beside
// `earshot run` with the same records in a file. Everything is a process of its own; the door counts in memory and writes
// alerts to standard output. One record in a thousand matches. Rates are for a second of the server's processor time: what
// else runs on the machine, the client too, does not change them much.
//
//   EARSHOT_BENCH_SECONDS=8       of each run with single records
//   EARSHOT_BENCH_RECORDS=200000  of the batches

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { accessRecord } from './records.ts';

const SECONDS = Number(process.env.EARSHOT_BENCH_SECONDS ?? 8);
const RECORDS = Number(process.env.EARSHOT_BENCH_RECORDS ?? 200_000);
const CONNECTIONS = 20;
const BATCH_RECORDS = 5000;
const ROUNDS = 3;
const PORTS = { echo: 21_801, door: 21_802 };
const bundle = resolve(import.meta.dirname, '../../build/earshot.js');
const ECHO = `
  require('node:http').createServer((request, response) => {
    const parts = [];
    request.on('data', part => parts.push(part));
    request.on('end', () => response.writeHead(200, { 'content-type': 'text/plain' }).end(String(Buffer.concat(parts).length)));
  }).listen(${PORTS.echo}, '127.0.0.1')`;

const folder = mkdtempSync(join(tmpdir(), 'earshot-doors-'));
const rules = join(folder, 'rules.yaml');
const module = join(folder, 'earshot.wasm');
const file = join(folder, 'records.ndjson');
const lines = Array.from({ length: RECORDS }, (_, id) => accessRecord(id));
writeFileSync(file, `${lines.join('\n')}\n`);
writeFileSync(
  rules,
  `groups: [{name: bench, rules: [{alert: Not found, match: {field: log, regex: '"([A-Z]+) (/\\S*) HTTP/[0-9.]+" 404 '}, labels: {severity: warning}}]}]\n`,
);
execFileSync(process.execPath, [bundle, 'build', rules, '-o', module], { stdio: 'ignore' });

const children: ChildProcess[] = [];
const start = (args: string[]) => {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { PATH: process.env.PATH },
  });
  children.push(child);
  return child.pid!;
};
const echoPid = start(['-e', ECHO]);
const doorPid = start([
  ...['--max-semi-space-size=32', bundle, 'function', module, '--sink', 'stdout', '--port', '0'],
  ...['--listen', `127.0.0.1:${PORTS.door}`],
]);

const TICKS_PER_SECOND = 100;
/** Seconds of the processor that a process has used. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** What the work returns, for each second that the process computed. */
async function perCpuSecond(pid: number, work: () => number | Promise<number>): Promise<number> {
  const before = cpuSeconds(pid);
  const count = await work();
  return count / (cpuSeconds(pid) - before);
}

async function ready(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++, await sleep(100))
    if (await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: '' }).catch(() => undefined)) return;
  throw new Error(`nothing listens at ${port}`);
}

/** Requests of one record each. */
function single(port: number): number {
  const output = execFileSync(
    resolve(import.meta.dirname, '../../node_modules/.bin/autocannon'),
    [
      ...['--json', '--no-progress', '--method', 'POST', '--body', lines[1]!],
      ...['--connections', String(CONNECTIONS), '--duration', String(SECONDS), `http://127.0.0.1:${port}/`],
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const { non2xx, errors, requests } = JSON.parse(output);
  if (non2xx > 0 || errors > 0) throw new Error(`${non2xx} bad answers, ${errors} errors`);
  return requests.total;
}

/** Records in batches, two at a time. */
async function batches(
  port: number,
  headers: Record<string, string>,
  joiner: (some: string[]) => string,
): Promise<number> {
  const bodies: Buffer[] = [];
  for (let at = 0; at < RECORDS; at += BATCH_RECORDS)
    bodies.push(Buffer.from(joiner(lines.slice(at, at + BATCH_RECORDS))));
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 2 });
  const sendAll = async () => {
    for (let body = bodies.pop(); body; body = bodies.pop()) {
      const response = await pool.request({ method: 'POST', path: '/', body, headers });
      await response.body.dump();
      if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`);
    }
  };
  await Promise.all([sendAll(), sendAll()]);
  await pool.close();
  return RECORDS;
}

/** Records of `earshot run` for a second of the processor, without its start. */
async function run(): Promise<number> {
  const time = async (path: string) => {
    const args = ['--max-semi-space-size=32', bundle, 'run', module, path];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    let seconds = 0;
    const timer = setInterval(() => (seconds = cpuSeconds(child.pid!)), 10);
    await once(child, 'exit');
    clearInterval(timer);
    return seconds;
  };
  const empty = join(folder, 'empty.ndjson');
  writeFileSync(empty, '');
  return RECORDS / ((await time(file)) - (await time(empty)));
}

const best = async (measure: () => number | Promise<number>) => {
  let most = 0;
  for (let round = 0; round < ROUNDS; round++) most = Math.max(most, await measure());
  return most;
};
const show = (what: string, rate: number, of?: number) =>
  console.log(
    `${what.padEnd(44)} ${Math.round(rate).toLocaleString('en')}${of === undefined ? '' : `  ${(rate / of).toFixed(2)}×`}`,
  );

try {
  await Promise.all(Object.values(PORTS).map(ready));
  const echo = await best(() => perCpuSecond(echoPid, () => single(PORTS.echo)));
  show('requests/s, a bare node:http server', echo);
  show(
    'requests/s, the door, one record each',
    await best(() => perCpuSecond(doorPid, () => single(PORTS.door))),
    echo,
  );
  const ofRun = await best(run);
  show('records/s, `earshot run`', ofRun);
  const ndjson = { 'content-type': 'application/x-ndjson' };
  show(
    'records/s, the door, one a line',
    await best(() => perCpuSecond(doorPid, () => batches(PORTS.door, ndjson, some => some.join('\n')))),
    ofRun,
  );
  const json = { 'content-type': 'application/json' };
  show(
    'records/s, the door, an array',
    await best(() => perCpuSecond(doorPid, () => batches(PORTS.door, json, some => `[${some.join()}]`))),
    ofRun,
  );
} finally {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
