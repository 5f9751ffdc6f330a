// A real Fluent Bit with a generated setup in a folder of its own, and a receiver that can be made to fail.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setupOf } from './module.ts';

export const version = spawnSync('fluent-bit', ['--version'], { encoding: 'utf8' }).stdout?.match(
  /v([\d.]+)/,
)?.[1];
/** For `test`'s options: says aloud why nothing runs. */
export const skip = version === undefined && 'there is no fluent-bit on the PATH';

export interface Request {
  path: string;
  body: string;
  accepted: boolean;
}

export interface Receiver {
  port: number;
  requests: Request[];
  /** Bodies that were answered 200. */
  accepted(): string[];
}

/** `answer` gives the status of the n-th request, or 'hang'. */
export async function startReceiver(
  context: TestContext,
  answer: (index: number, body: string) => number | 'hang' = () => 200,
): Promise<Receiver> {
  const requests: Request[] = [];
  const hanging: ServerResponse[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString();
      const status = answer(requests.length, body);
      requests.push({ path: request.url!, body, accepted: status === 200 });
      if (status === 'hang') return void hanging.push(response);
      response.writeHead(status).end('answer');
    });
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    accepted: () => requests.filter(request => request.accepted).map(request => request.body),
  };
}

export interface Options {
  rules: string;
  records: Array<object | string | Buffer>;
  /** The port of the receiver. */
  port: number;
  configuration?: 'fluent-bit.yaml' | 'fluent-bit.conf';
  /** In place of earshot.yaml. */
  include?: 'earshot-alertmanager.yaml' | 'earshot-processor.yaml';
  escapesUnicode?: boolean;
  maxChunksUp?: number;
}

/**
 * The generated setup with the changes that a test needs: everything is quicker, the receiver has a port of its own, the
 * logs go to a file, and tail remembers where it was.
 */
export class FluentBit {
  readonly folder: string;
  private readonly configuration: string;
  private child: ChildProcess | null = null;
  private output = '';

  constructor(context: TestContext, options: Options) {
    this.folder = mkdtempSync(join(tmpdir(), 'earshot-fluent-bit-'));
    this.configuration = options.configuration ?? 'fluent-bit.yaml';
    for (const { path, content } of setupOf(options.rules, this.folder).files) {
      const target = join(this.folder, path);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, typeof content === 'string' ? adapt(content, options, this.folder) : content);
    }
    mkdirSync(join(this.folder, 'logs'));
    this.append(options.records);
    context.after(async () => {
      await this.kill();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  append(records: Options['records']): void {
    const lines = records.map(record => {
      const line = Buffer.isBuffer(record)
        ? record
        : Buffer.from(typeof record === 'string' ? record : JSON.stringify(record));
      return Buffer.concat([line, Buffer.from('\n')]);
    });
    writeFileSync(join(this.folder, 'logs', 'test.ndjson'), Buffer.concat(lines), { flag: 'a' });
  }

  start(): this {
    const child = spawn('fluent-bit', ['-c', join(this.folder, this.configuration)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.on('data', data => (this.output += data));
    child.stderr.on('data', data => (this.output += data));
    this.child = child;
    return this;
  }

  /** What it wrote. */
  log(): string {
    return this.output;
  }

  /** The logs that came out at the end of their own way. */
  logs(): string[] {
    try {
      return readFileSync(join(this.folder, 'logs.out'), 'utf8')
        .split('\n')
        .filter(line => line !== '');
    } catch {
      return [];
    }
  }

  /** Resident bytes now. */
  memorySize(): number {
    const status = readFileSync(`/proc/${this.child!.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
  }

  async until(what: string, condition: () => boolean, timeoutMs = 30_000): Promise<void> {
    for (const end = Date.now() + timeoutMs; !condition(); await sleep(20)) {
      if (this.child?.exitCode !== null)
        throw new Error(`fluent-bit ended while waiting: ${what}\n${this.output}`);
      if (Date.now() > end) throw new Error(`not in ${timeoutMs} ms: ${what}\n${this.output.slice(-4000)}`);
    }
  }

  async kill(): Promise<void> {
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

function adapt(
  content: string,
  { port, include, escapesUnicode, maxChunksUp }: Options,
  folder: string,
): string {
  const changes: Array<[RegExp, string]> = [
    [/^( *port:? +)\d+/m, `$1${port}`],
    [/^( *flush:? +)1$/m, '$10.2'],
    [/^( *scheduler\.base:? +)\d+/m, '$11'],
    [/^( *scheduler\.cap:? +)\d+/m, '$12'],
    [/^( *net\.io_timeout:? +)30s/m, '$12s'],
    [/^( *)refresh_interval(:? +)5/m, `$1refresh_interval$21\n$1db$2${folder}/tail.db`],
    [/^( *(?:- )?name:? +)'?null'?$/m, '$1file'],
    [/^service:$/m, `service:\n  json.escape_unicode: ${escapesUnicode ?? true}`],
    [/^\[SERVICE\]$/m, `[SERVICE]\n    json.escape_unicode ${escapesUnicode ?? true}`],
    [/^( *storage\.max_chunks_up:? +)\d+/m, `$1${maxChunksUp ?? 2000}`],
  ];
  if (include !== undefined) changes.push([/^ {2}- earshot\.yaml$/m, `  - ${include}`]);
  let text = content;
  for (const [from, to] of changes) text = text.replace(from, to);
  // The output of the logs is the last section of the main configuration.
  if (/^service:/m.test(text)) text += `      path: ${folder}\n      file: logs.out\n      format: plain\n`;
  if (/^\[SERVICE\]/m.test(text))
    text += `    path                  ${folder}\n    file                  logs.out\n    format                plain\n`;
  return text;
}
