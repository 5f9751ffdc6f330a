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
import type { Target } from '../../host/fluent-bit/pipeline.ts';
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
  /** Notification Manager: the bodies that it gets are the host's. */
  target?: Target;
  /** In place of earshot.yaml: the module on every record, in an output that posts its bodies one by one. */
  isBare?: boolean;
  emitterStorage?: 'memory' | 'filesystem';
  escapesUnicode?: boolean;
  maxChunksUp?: number;
  /** The brokers, and the hits topic. */
  address?: string;
  topic?: string;
  /** In place of `storage.total_limit_size`. */
  storageLimit?: string;
  isThreaded?: boolean;
  /** Without Earshot. */
  isAlone?: boolean;
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
    this.write(options);
    mkdirSync(join(this.folder, 'logs'));
    this.append(options.records);
    context.after(async () => {
      await this.kill();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  /** Writes the setup; its files that other rules made before stay. */
  write(options: Omit<Options, 'records'>): void {
    const { target = 'notification-manager', emitterStorage = 'memory', address } = options;
    const { files } = setupOf(options.rules, this.folder, { target, emitterStorage, address });
    for (const { path, content } of files) {
      const target = join(this.folder, path);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, typeof content === 'string' ? adapt(content, options, this.folder) : content);
    }
    if (options.isBare === true)
      writeFileSync(join(this.folder, 'earshot.yaml'), bare(join(this.folder, files[0]!.path), options.port));
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

  signal(signal: NodeJS.Signals): void {
    this.child!.kill(signal);
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }
}

function adapt(content: string, options: Omit<Options, 'records'>, folder: string): string {
  const { port, escapesUnicode = true, maxChunksUp = 2000 } = options;
  const changes: Array<[RegExp, string]> = [
    [/^( *port:? +)\d+/m, `$1${port}`],
    [/^( *flush:? +)1$/m, '$10.2'],
    [/^( *grace:? +)20$/m, '$15'],
    [/^( *scheduler\.base:? +)\d+/m, '$11'],
    [/^( *scheduler\.cap:? +)\d+/m, '$12'],
    [/^( *net\.io_timeout:? +)30s/m, '$12s'],
    [/^( *refresh_interval:? +)5/m, '$11'],
    [/^service:$/m, `service:\n  json.escape_unicode: ${escapesUnicode}`],
    [/^\[SERVICE\]$/m, `[SERVICE]\n    json.escape_unicode ${escapesUnicode}`],
    [/^( *storage\.max_chunks_up:? +)\d+/m, `$1${maxChunksUp}`],
    // Where the logs go.
    [
      /^ {4}- name: 'null'$/m,
      `    - name: file\n      path: ${folder}\n      file: logs.out\n      format: plain`,
    ],
    [/^ {4}name +null$/m, `    name file\n    path ${folder}\n    file logs.out\n    format plain`],
  ];
  const { topic, storageLimit, isThreaded = false, isAlone = false } = options;
  if (topic !== undefined) changes.push([/^( *topics:? +)\S+/m, `$1${topic}`]);
  if (storageLimit !== undefined)
    changes.push([/^( *storage\.total_limit_size:? +)\S+/m, `$1${storageLimit}`]);
  if (isThreaded) changes.push([/^( *)- name: tail$/m, '$1- name: tail\n$1  threaded: true']);
  if (isAlone) changes.push([/^includes:\n.*\n/m, '']);
  return changes.reduce((text, [from, to]) => text.replace(from, to), content);
}

function bare(modulePath: string, port: number): string {
  const wasm = { name: 'wasm', event_format: 'json', wasm_path: modulePath, function_name: 'alerts_only' };
  const output = {
    ...{ name: 'http', match: '*', workers: '0', host: '127.0.0.1', port: String(port) },
    ...{ format: 'json', body_key: '$alert', headers_key: '$headers', retry_limit: 'no_limits' },
    processors: { logs: [{ ...wasm, accessible_paths: '.' }] },
  };
  return JSON.stringify({ pipeline: { outputs: [output] } }); // JSON is YAML
}
