// Brokers behind a wire that can be cut and that can change what passes: kcat's mock cluster, or a real one. The mock
// of librdkafka 2.0.2 takes one setting from the command line, the number of its brokers; the wire stages the rest, on
// loopback: it passes frames on, changes the port in every address that a broker names, and asks the test what to do
// with a request and with its answer.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

export const LIST_OFFSETS = 2;
export const METADATA = 3;
export const OFFSET_COMMIT = 8;
export const FIND_COORDINATOR = 10;
export const JOIN_GROUP = 11;
export const HEARTBEAT = 12;

/** A request and its answer, without their sizes. Change them in place; answer false to cut the connection instead. */
export interface Wire {
  request(apiKey: number, frame: Buffer): boolean;
  response(apiKey: number, frame: Buffer): boolean;
  /** How long an answer takes; answers to other requests pass it. */
  delayMs?(apiKey: number): number;
}

export interface WiredKafka {
  /** Two lists of the same brokers: through the wire, and past it. */
  brokers: string;
  direct: string;
  wire: Wire;
  /** A broker cannot be reached for a while. */
  unplug(broker: number): Promise<void>;
  plug(broker: number): Promise<void>;
  stop(): Promise<void>;
}

export function kcatMissing(): string | undefined {
  try {
    execFileSync('kcat', ['-V'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'kcat is not on the PATH';
  }
}

export type MockKafka = WiredKafka;

export async function startMockKafka(brokerCount: number): Promise<MockKafka> {
  const options = ['-X', `test.mock.num.brokers=${brokerCount}`, '-d', 'mock'];
  const kcat = spawn('kcat', ['-P', '-t', 'x', '-b', 'x:1', ...options], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const reap = () => kcat.kill('SIGKILL');
  process.once('exit', reap);
  const direct = await new Promise<string>((done, fail) => {
    let text = '';
    kcat.once('exit', code => fail(new Error(`kcat ended with ${code}: ${text}`)));
    kcat.stderr.on('data', chunk => {
      if (text.length < 10_000) text += chunk;
      const found = /bootstrap\.servers=(\S+)/.exec(text);
      if (found) done(found[1]!);
    });
  });
  const wired = await openWire(direct);
  return {
    ...wired,
    async stop() {
      process.off('exit', reap);
      await wired.stop();
      kcat.kill('SIGKILL');
    },
  };
}

/** Puts a wire in front of the brokers at `direct`, all of them at 127.0.0.1. */
export async function openWire(direct: string): Promise<WiredKafka> {
  const wire: Wire = { request: () => true, response: () => true };
  const targets = direct.split(',').map(address => Number(address.split(':')[1]));
  const open = targets.map(() => new Set<Socket>());
  const servers: Server[] = targets.map((target, broker) => createServer(near => hand(near, target, broker)));
  for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening');
  const ports = servers.map(server => (server.address() as AddressInfo).port);

  function hand(near: Socket, target: number, broker: number): void {
    const far = connect(target, '127.0.0.1');
    const cut = () => (near.destroy(), far.destroy(), open[broker]!.delete(near));
    open[broker]!.add(near);
    for (const socket of [near, far]) socket.on('error', cut).on('close', cut);
    const asked = new Map<number, number>();
    near.on(
      'data',
      framed(frame => {
        const apiKey = frame.readInt16BE(0);
        asked.set(frame.readInt32BE(4), apiKey);
        if (wire.request(apiKey, frame)) far.write(sized(frame));
        else cut();
      }),
    );
    far.on(
      'data',
      framed(frame => {
        const correlation = frame.readInt32BE(0);
        const apiKey = asked.get(correlation)!;
        asked.delete(correlation);
        targets.forEach((port, index) => replace(frame, addressOf(port), addressOf(ports[index]!)));
        const delayMs = wire.delayMs?.(apiKey) ?? 0;
        if (!wire.response(apiKey, frame)) cut();
        else if (delayMs > 0) setTimeout(() => near.write(sized(frame)), delayMs);
        else near.write(sized(frame));
      }),
    );
  }

  const wired: WiredKafka = {
    brokers: ports.map(port => `127.0.0.1:${port}`).join(),
    direct,
    wire,
    async unplug(broker) {
      const closed = new Promise(done => servers[broker]!.close(done));
      for (const socket of open[broker]!) socket.destroy();
      await closed;
    },
    async plug(broker) {
      await once(servers[broker]!.listen(ports[broker], '127.0.0.1'), 'listening');
    },
    async stop() {
      await Promise.all(servers.map((server, broker) => server.listening && wired.unplug(broker)));
    },
  };
  return wired;
}

/** A string and a port, as Metadata and FindCoordinator have them. Both addresses are of one size. */
function addressOf(port: number): Buffer {
  const address = Buffer.from('\0\x09127.0.0.1\0\0\0\0', 'latin1');
  address.writeInt32BE(port, address.length - 4);
  return address;
}

function replace(frame: Buffer, from: Buffer, to: Buffer): void {
  for (let at = frame.indexOf(from); at >= 0; at = frame.indexOf(from, at + 1)) to.copy(frame, at);
}

function sized(frame: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeInt32BE(frame.length);
  return Buffer.concat([size, frame]);
}

function framed(each: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return chunk => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const end = 4 + rest.readInt32BE(0);
      const frame = Buffer.from(rest.subarray(4, end));
      rest = rest.subarray(end);
      each(frame);
    }
  };
}

/** OffsetCommit: the generation in a request, made wrong, so that the coordinator refuses it. */
export function spoilGeneration(frame: Buffer): void {
  const clientSize = Math.max(0, frame.readInt16BE(8));
  const groupAt = 10 + clientSize;
  const generationAt = groupAt + 2 + frame.readInt16BE(groupAt);
  frame.writeInt32BE(frame.readInt32BE(generationAt) + 1000, generationAt);
}
