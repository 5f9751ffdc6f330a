// A real Apache Kafka for the tests, in KRaft mode, on loopback, with its own data folders: one broker, or a cluster
// of three whose topics have three replicas. The jars come from Maven once and stay in .cache/kafka. `KAFKA_BROKERS`
// names a broker to use instead of one; it is shared, so tests name their topics and groups at random. Without jars,
// mvn or KAFKA_BROKERS there is no broker, and `kafkaMissing` says why.

import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const VERSION = '4.3.1'; // What Strimzi 1.2 installs; kafka-tools is not published for 4.4.0.
const CACHE = resolve(import.meta.dirname, '../.cache/kafka', VERSION);
const JARS = join(CACHE, 'jars');
const FORMATTED = join(CACHE, 'formatted');
// Quick to start rather than quick to run, and small: several brokers share a machine with the tests.
const JAVA = ['-Xms256m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', join(JARS, '*')];

export interface TestKafka {
  /** host:port */
  brokers: string;
  /** Whether this broker is the test's own, to restart or to configure. */
  own: boolean;
  /** Stops the broker at once (SIGKILL) and starts it again with the same data, after `downMs`. */
  restart(downMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** Three brokers: replication factor 3, and two replicas must have a record before it is acknowledged. */
export interface TestCluster {
  /** host:port of each, separated by commas. */
  brokers: string;
  /** Stops a broker at once (SIGKILL). Brokers are counted from 1, as their node ids are. */
  kill(node: number): Promise<void>;
  /** Stops a broker in order (SIGTERM): it hands its partitions over first. */
  shutDown(node: number): Promise<void>;
  start(node: number): Promise<void>;
  stop(): Promise<void>;
}

/** Why there can be no broker on this machine, or undefined. */
export function kafkaMissing(): string | undefined {
  if (process.env.KAFKA_BROKERS || existsSync(JARS)) return undefined;
  const missing = ['java', 'mvn'].filter(program => !onPath(program));
  return missing.length
    ? `no KAFKA_BROKERS, no ${JARS}, and no ${missing.join(' or ')} on the PATH`
    : undefined;
}

export function uniqueName(prefix: string): string {
  return `${prefix}-${randomUUID().slice(0, 8)}`;
}

export async function startKafka(properties: Record<string, string> = {}): Promise<TestKafka> {
  const given = process.env.KAFKA_BROKERS;
  if (given && Object.keys(properties).length === 0) {
    const refuse = async () => {
      throw new Error('the broker of KAFKA_BROKERS is not ours to restart');
    };
    return { brokers: given, own: false, restart: refuse, stop: async () => {} };
  }
  const [port, controllerPort] = await freePorts(2);
  const node = createNode(1, port!, [controllerPort!], properties);
  await node.start();
  return {
    brokers: `127.0.0.1:${port}`,
    own: true,
    async restart(downMs) {
      await node.end('SIGKILL');
      await sleep(downMs);
      await node.start();
    },
    stop: node.remove,
  };
}

const NODES = [1, 2, 3];

export async function startCluster(properties: Record<string, string> = {}): Promise<TestCluster> {
  const ports = await freePorts(2 * NODES.length);
  const [brokerPorts, controllerPorts] = [ports.slice(0, NODES.length), ports.slice(NODES.length)];
  const replicated = {
    'default.replication.factor': '3',
    'min.insync.replicas': '2',
    'offsets.topic.replication.factor': '3',
    'transaction.state.log.replication.factor': '3',
    'transaction.state.log.min.isr': '2',
    ...properties,
  };
  const nodes = NODES.map(id => createNode(id, brokerPorts[id - 1]!, controllerPorts, replicated));
  await Promise.all(nodes.map(node => node.start()));
  const of = (id: number) => nodes[id - 1]!;
  return {
    brokers: brokerPorts.map(port => `127.0.0.1:${port}`).join(),
    kill: id => of(id).end('SIGKILL'),
    shutDown: id => of(id).end('SIGTERM'),
    start: id => of(id).start(),
    stop: async () => void (await Promise.all(nodes.map(node => node.remove()))),
  };
}

/** One broker and controller, with a data folder that it keeps over its restarts. */
function createNode(id: number, port: number, controllerPorts: number[], properties: Record<string, string>) {
  prepare();
  const data = mkdtempSync(join(tmpdir(), 'earshot-kafka-'));
  const logs = join(data, 'log');
  cpSync(FORMATTED, logs, { recursive: true });
  const identity = join(logs, 'meta.properties');
  // The folder was formatted as node 1; no two nodes may have the same folder.
  writeFileSync(
    identity,
    readFileSync(identity, 'utf8')
      .replace(/^node\.id=.*$/m, `node.id=${id}`)
      .replace(/^directory\.id=.*$/m, `directory.id=${randomBytes(16).toString('base64url')}`),
  );
  const file = join(data, 'server.properties');
  writeFileSync(file, serverProperties(id, port, controllerPorts, logs, properties));
  let broker: ChildProcess | undefined;
  // A test that dies must not leave a broker behind.
  const reap = () => broker?.kill('SIGKILL');
  process.once('exit', reap);
  const node = {
    start: async () => void (broker = await run(file, port)),
    end: async (signal: NodeJS.Signals) => void (broker && (await end(broker, signal))),
    async remove() {
      process.off('exit', reap);
      await node.end('SIGKILL');
      rmSync(data, { recursive: true, force: true });
    },
  };
  return node;
}

function serverProperties(
  id: number,
  port: number,
  controllerPorts: number[],
  logs: string,
  more: Record<string, string>,
) {
  const advertised = `PLAINTEXT://127.0.0.1:${port}`;
  const listeners = `${advertised},CONTROLLER://127.0.0.1:${controllerPorts[id - 1]}`;
  const voters = controllerPorts.map((controller, index) => `${index + 1}@127.0.0.1:${controller}`);
  const properties: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': String(id),
    'controller.quorum.voters': voters.join(),
    listeners,
    'advertised.listeners': advertised,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': logs,
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'log.cleaner.dedupe.buffer.size': '16777216',
    // A broker that was killed may come back only when its old registration has run out.
    'broker.session.timeout.ms': '1500',
    'broker.heartbeat.interval.ms': '200',
    'auto.create.topics.enable': 'false',
    ...more,
  };
  // Further listeners stand beside ours.
  for (const key of ['listeners', 'advertised.listeners'])
    if (more[key]) properties[key] = `${key === 'listeners' ? listeners : advertised},${more[key]}`;
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}

/** Downloads the jars and formats an empty data folder, once for each machine. */
function prepare(): void {
  if (!existsSync(JARS)) {
    const missing = kafkaMissing();
    if (missing) throw new Error(missing);
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(join(CACHE, 'pom.xml'), pom());
    const partial = mkdtempSync(join(CACHE, 'jars-'));
    const args = ['-q', '-B', '-U', '-Dmaven.wagon.http.retryHandler.count=5', '-f', join(CACHE, 'pom.xml')];
    args.push('dependency:copy-dependencies', `-DoutputDirectory=${partial}`);
    try {
      execFileSync('mvn', args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: 600_000 });
    } catch (error) {
      rmSync(partial, { recursive: true });
      throw error;
    }
    moveInto(partial, JARS);
  }
  if (!existsSync(FORMATTED)) {
    const partial = mkdtempSync(join(CACHE, 'formatted-'));
    const file = join(partial, 'format.properties');
    writeFileSync(file, serverProperties(1, 1, [2], join(partial, 'log'), {}));
    const args = [...JAVA, 'kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qk', '-c', file];
    execFileSync('java', args, { stdio: 'ignore', timeout: 60_000 });
    moveInto(join(partial, 'log'), FORMATTED);
    rmSync(partial, { recursive: true });
  }
}

/** Several test files may prepare at the same time: the first one that is complete is used. */
function moveInto(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
    rmSync(from, { recursive: true, force: true });
  }
}

function pom(): string {
  const dependency = (name: string) =>
    `<dependency><groupId>org.apache.kafka</groupId><artifactId>${name}</artifactId><version>${VERSION}</version></dependency>`;
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>earshot</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies>${dependency('kafka_2.13')}${dependency('kafka-tools')}</dependencies></project>
`;
}

async function run(file: string, port: number): Promise<ChildProcess> {
  const broker = spawn('java', [...JAVA, 'kafka.Kafka', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  broker.stderr!.on('data', chunk => (complaints += chunk));
  for (let tries = 0; tries < 300; tries++) {
    if (broker.exitCode !== null) throw new Error(`the broker ended with ${broker.exitCode}: ${complaints}`);
    if (await accepts(port)) return broker;
    await sleep(100);
  }
  broker.kill('SIGKILL');
  throw new Error(`the broker did not listen within 30 s: ${complaints}`);
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise(done => {
    child.once('exit', () => done());
    child.kill(signal);
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise(done => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), done(true)));
    socket.once('error', () => done(false));
  });
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await new Promise(done => server.once('listening', done));
      return server;
    }),
  );
  const ports = servers.map(server => (server.address() as AddressInfo).port);
  await Promise.all(servers.map(server => new Promise(done => server.close(done))));
  return ports;
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some(folder => existsSync(join(folder, program)));
}

/** Runs a class of Kafka's own tools (`ConsoleProducer`, …) with `input` on its standard input. */
export function kafkaTool(name: string, args: string[], input = ''): string {
  prepare();
  return execFileSync(
    'java',
    [...JAVA, name.includes('.') ? name : `org.apache.kafka.tools.${name}`, ...args],
    {
      input,
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: 60_000,
      encoding: 'utf8',
    },
  );
}
