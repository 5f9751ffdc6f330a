// A real Apache Kafka for the tests: one broker in KRaft mode, on loopback, with its own data folder. The
// jars come from Maven once and stay in .cache/kafka. `KAFKA_BROKERS` names a cluster to use instead; it is
// then shared, so tests name their topics and groups at random. Without jars, mvn or KAFKA_BROKERS there is
// no broker, and `kafkaMissing` says why.

import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
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
  prepare();
  const data = mkdtempSync(join(tmpdir(), 'earshot-kafka-'));
  cpSync(FORMATTED, join(data, 'log'), { recursive: true });
  const [port, controllerPort] = await freePorts(2);
  const file = join(data, 'server.properties');
  writeFileSync(file, serverProperties(port!, controllerPort!, join(data, 'log'), properties));

  let broker = await run(file, port!);
  // A test that dies must not leave a broker behind.
  const reap = () => broker.kill('SIGKILL');
  process.once('exit', reap);
  return {
    brokers: `127.0.0.1:${port}`,
    own: true,
    async restart(downMs) {
      await kill(broker);
      await sleep(downMs);
      broker = await run(file, port!);
    },
    async stop() {
      process.off('exit', reap);
      await kill(broker);
      rmSync(data, { recursive: true, force: true });
    },
  };
}

function serverProperties(port: number, controllerPort: number, logs: string, more: Record<string, string>) {
  const advertised = `PLAINTEXT://127.0.0.1:${port}`;
  const listeners = `${advertised},CONTROLLER://127.0.0.1:${controllerPort}`;
  const properties: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
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
  // More listeners are told beside ours.
  for (const key of ['listeners', 'advertised.listeners'])
    if (more[key]) properties[key] = `${key === 'listeners' ? listeners : advertised},${more[key]}`;
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}

/** Brings the jars and a formatted, empty data folder, once a machine. */
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
    writeFileSync(file, serverProperties(1, 2, join(partial, 'log'), {}));
    const args = [...JAVA, 'kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qk', '-c', file];
    execFileSync('java', args, { stdio: 'ignore', timeout: 60_000 });
    moveInto(join(partial, 'log'), FORMATTED);
    rmSync(partial, { recursive: true });
  }
}

/** Several test files may prepare at once: the first to finish wins, whole. */
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

function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise(done => {
    child.once('exit', () => done());
    child.kill('SIGKILL');
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
