// `npm run bench:host`: the host function against a real Kafka, beside a bare kafkajs consumer that only counts and
// beside JSON.parse and RegExp in that same consumer. Each run is a process of its own, and reads the same topics: in
// one of them a record in a thousand is a hit, in the others one in a hundred, and each. Then the time from a matching
// record's produce to the sink's request, beside a consumer that matches and posts by itself. Earshot runs with the
// flags of its image, both roles in one process.
//
//   EARSHOT_BENCH_RECORDS=1000000   records in the topic
//   EARSHOT_BENCH_RSS=5             times the topic is read for the memory run
//   KAFKA_BROKERS=host:port         a broker that is there

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import { Pool } from 'undici';
import { runFunction } from '../../host/function/function.ts';
import type { Log } from '../../host/log.ts';
import { readSettings } from '../../host/function/settings.ts';
import { openKafka } from '../../host/source/kafka.ts';
import { startKafka, uniqueName } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { accessRecord } from './records.ts';

const RECORDS = Number(process.env.EARSHOT_BENCH_RECORDS ?? 1_000_000);
const RSS_ROUNDS = Number(process.env.EARSHOT_BENCH_RSS ?? 5);
const ROUNDS = 3;
const PARTITIONS = 4;
const RULE_COUNTS = [1, 1000];
/** One record in so many is a hit. */
const HIT_EVERY = [1000, 100, 1];
const LATENCY_POSTS = 800;
const LATENCY_EVERY_MS = 25;
const bundle = resolve(import.meta.dirname, '../../build/earshot.js');

interface Result {
  records: number;
  seconds: number;
  cpuSeconds: number;
  /** Resident memory in MB, sampled evenly over the run. */
  rss: number[];
  matches: number;
}

/** Rule `index` wants a 404 below its own path; of one rule, any path. */
function pattern(index: number, count: number): string {
  return count === 1
    ? '"([A-Z]+) (/\\S*) HTTP/[0-9.]+" 404 '
    : `"([A-Z]+) (/svc-${index}/\\S*) HTTP/[0-9.]+" 404 `;
}

function rules(count: number): string {
  const rule = (index: number) => `
      - alert: Not found ${index}
        match:
          all:
            - {field: kubernetes.namespace_name, eq: demo-project}
            - {field: log, regex: '${pattern(index, count)}'}
        labels: {severity: warning}`;
  return `groups:\n  - name: bench\n    rules:${Array.from({ length: count }, (_, index) => rule(index)).join('')}\n`;
}

// ---------------------------------------------------------------------------------------------- one run

async function child(
  mode: string,
  [brokers, topic, group, rounds, argument, sinkUrl]: string[],
): Promise<void> {
  const run = { brokers: brokers!, topic: topic!, group: group!, total: RECORDS * Number(rounds) };
  if (mode === 'direct') return direct(run, sinkUrl!);
  const result =
    mode === 'earshot' ? await earshot(run, argument!, sinkUrl!) : await bare(run, mode, Number(argument));
  process.stdout.write(JSON.stringify(result), () => process.exit(0));
}

interface Run {
  brokers: string;
  topic: string;
  group: string;
  total: number;
}

/** Counts from the first batch to the last. */
function counter(total: number) {
  let startedAt = 0;
  let cpu = process.cpuUsage();
  let count = 0;
  const rss: number[] = [];
  let finish: (result: Result) => void;
  return {
    done: new Promise<Result>(done => (finish = done)),
    begin() {
      if (startedAt) return;
      startedAt = performance.now();
      cpu = process.cpuUsage();
    },
    add(records: number, matches: number) {
      count += records;
      while (rss.length < Math.floor((count / total) * 20))
        rss.push(Math.round(process.memoryUsage.rss() / 1e6));
      if (count < total) return;
      const { user, system } = process.cpuUsage(cpu);
      finish({
        records: count,
        seconds: (performance.now() - startedAt) / 1000,
        cpuSeconds: (user + system) / 1e6,
        rss,
        matches,
      });
    },
  };
}

async function bare({ brokers, topic, group, total }: Run, mode: string, ruleCount: number): Promise<Result> {
  const { begin, add, done } = counter(total);
  const consumer = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING }).consumer({
    groupId: group,
    maxWaitTimeInMs: 500,
    maxBytesPerPartition: 1024 * 1024,
  });
  const patterns = Array.from({ length: ruleCount }, (_, index) => new RegExp(pattern(index, ruleCount)));
  let matches = 0;
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommitInterval: 1000,
    partitionsConsumedConcurrently: 16,
    eachBatch: async ({ batch }) => {
      begin();
      if (mode === 'regexp')
        for (const { value } of batch.messages) {
          const { log, kubernetes } = JSON.parse(value!.toString()) as {
            log: string;
            kubernetes: { namespace_name: string };
          };
          if (kubernetes.namespace_name === 'demo-project')
            for (const pattern of patterns) if (pattern.test(log)) matches++;
        }
      add(batch.messages.length, matches);
    },
  });
  return done;
}

async function earshot(
  { brokers, topic, group, total }: Run,
  module: string,
  sinkUrl: string,
): Promise<Result> {
  const { begin, add, done } = counter(total);
  const settings = readSettings([], {
    EARSHOT_MODULE: module,
    EARSHOT_BROKERS: brokers,
    EARSHOT_TOPICS: topic,
    EARSHOT_GROUP: group,
    EARSHOT_DEAD_LETTER_TOPIC: `${topic}-dlq`,
    EARSHOT_HITS_TOPIC: `${topic}-hits`,
    EARSHOT_SINK_URL: sinkUrl,
    EARSHOT_PORT: '0',
  });
  const silent = () => {};
  const log: Log = {
    debug: silent,
    info: silent,
    warn: silent,
    error: (fields, message) => console.error(message, fields),
  };
  void runFunction(settings, {
    stop: new AbortController().signal,
    log,
    openSource(settings, log) {
      const source = openKafka(settings, log);
      if (settings.topics[0] !== topic) return source;
      return {
        ...source,
        run: handler =>
          source.run({
            ...handler,
            async batch(batch) {
              begin();
              await handler.batch(batch);
              add(batch.messages.length, 0);
            },
          }),
      };
    },
  });
  return done;
}

// ------------------------------------------------------------------------------------------- all the runs

async function main(): Promise<void> {
  const kafka = await startKafka();
  const manager = await startNotificationManager();
  const folder = mkdtempSync(join(tmpdir(), 'earshot-bench-'));
  const run = (mode: string, argument: number | string, topic: string, rounds = 1) =>
    runChild([
      mode,
      kafka.brokers,
      topic,
      uniqueName('bench'),
      String(rounds),
      String(argument),
      manager.url,
    ]);
  try {
    const modules = new Map(RULE_COUNTS.map(count => [count, buildModule(folder, `${count}`, rules(count))]));
    const topics = new Map<number, string>();
    for (const hitEvery of HIT_EVERY) topics.set(hitEvery, await loadTopic(kafka.brokers, 1, hitEvery));
    await throughput(run, modules, topics);
    const long = await loadTopic(kafka.brokers, RSS_ROUNDS);
    const { rss, records } = await run('earshot', modules.get(1)!, long, RSS_ROUNDS);
    console.log(`\nresident memory over ${records.toLocaleString('en')} records, MB: ${rss.join(' ')}`);
    await latency(kafka.brokers, manager, buildModule(folder, 'latency', LATENCY_RULES));
    await coldStart(kafka.brokers, topics.get(HIT_EVERY[0]!)!, modules.get(1)!);
  } finally {
    rmSync(folder, { recursive: true });
    await manager.stop();
    await kafka.stop();
  }
}

type RunOnce = (mode: string, argument: number | string, topic: string) => Promise<Result>;

async function throughput(run: RunOnce, modules: Map<number, string>, topics: Map<number, string>) {
  console.log(
    `${RECORDS.toLocaleString('en')} records of ${accessRecord(12345).length} bytes, ${PARTITIONS} partitions, best of ${ROUNDS}\n`,
  );
  console.log('run                              records/s   of bare   µs CPU/record   RSS MB');
  const [few, some, all] = HIT_EVERY.map(hitEvery => topics.get(hitEvery)!) as [string, string, string];
  // The rounds alternate, so that a busy moment of the machine does not hit one of them only.
  const runs: [string, string, number | string, string][] = [
    ['bare kafkajs, counting', 'bare', 0, few],
    ['earshot, 1 rule, 0.1 % hits', 'earshot', modules.get(1)!, few],
    ['earshot, 1,000 rules, 0.1 %', 'earshot', modules.get(1000)!, few],
    ['earshot, 1 rule, 1 %', 'earshot', modules.get(1)!, some],
    ['earshot, 1 rule, 100 %', 'earshot', modules.get(1)!, all],
    ['JSON.parse + 1 RegExp', 'regexp', 1, few],
  ];
  const best = new Map<string, Result>();
  for (let round = 0; round < ROUNDS; round++)
    for (const [name, mode, argument, topic] of runs) {
      const result = await run(mode, argument, topic);
      if (!best.has(name) || result.seconds < best.get(name)!.seconds) best.set(name, result);
    }
  const bareRate = rate(best.get(runs[0]![0])!);
  for (const [name, result] of best) {
    const cpu = (result.cpuSeconds / result.records) * 1e6;
    console.log(
      `${name.padEnd(30)} ${Math.round(rate(result)).toLocaleString('en').padStart(11)} ${(rate(result) / bareRate).toFixed(2).padStart(8)}× ${cpu.toFixed(2).padStart(14)} ${String(Math.max(...result.rss)).padStart(8)}`,
    );
  }
}

// ----------------------------------------------------------------------------------------------- latency

const LATENCY_RULES = `groups:
  - name: bench
    rules:
      - alert: Found
        match: {field: log, regex: 'FIND (?P<id>[0-9]+)'}
        realert: 0s
        labels: {id: '{{ $captures.id }}'}
`;

/** The time from the produce of a matching record to the sink's request, of Earshot and of a consumer that posts itself. */
async function latency(
  brokers: string,
  manager: Awaited<ReturnType<typeof startNotificationManager>>,
  module: string,
): Promise<void> {
  const times = new Map<string, number[]>([
    ['direct', []],
    ['earshot', []],
  ]);
  const arrivals = new Map<string, number>();
  manager.intercept = (_, response, body) => {
    for (const [, id] of body.matchAll(/"id":"(\d+)"/g))
      if (!arrivals.has(id!)) arrivals.set(id!, performance.now());
    response.writeHead(200).end('{}');
    return true;
  };
  // Half of each, in turns.
  for (let round = 0; round < 4; round++)
    for (const [mode, found] of times)
      found.push(...(await latencies(brokers, manager.url, mode, module, arrivals)));
  manager.intercept = undefined;
  const quantile = (all: number[], share: number) =>
    all.toSorted((a, b) => a - b)[Math.floor(all.length * share)]!;
  const [direct, earshot] = ['direct', 'earshot'].map(mode => times.get(mode)!) as [number[], number[]];
  console.log('\nproduce to sink, ms        p50      p99');
  for (const [name, all] of [
    ['one consumer, no hits', direct],
    ['earshot', earshot],
  ] as const)
    console.log(
      `${name.padEnd(22)} ${quantile(all, 0.5).toFixed(1).padStart(7)} ${quantile(all, 0.99).toFixed(1).padStart(8)}`,
    );
  console.log(`ratio of p99: ${(quantile(earshot, 0.99) / quantile(direct, 0.99)).toFixed(1)}×`);
}

async function latencies(
  brokers: string,
  sinkUrl: string,
  mode: string,
  module: string,
  arrivals: Map<string, number>,
): Promise<number[]> {
  const topic = await createTopics(brokers);
  const client = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING });
  const producer = client.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await producer.connect();
  const child = spawnRun([mode, brokers, topic, uniqueName('bench'), 'Infinity', module, sinkUrl]);
  const ended = new Promise(done => child.once('exit', done));
  arrivals.clear();
  const sent = new Map<string, number>();
  const send = (id: string) => {
    sent.set(id, performance.now());
    return producer.send({ topic, acks: 1, messages: [{ value: JSON.stringify({ log: `FIND ${id}` }) }] });
  };
  try {
    // It has joined when the first one has arrived.
    await send('0');
    while (!arrivals.has('0')) await sleep(50);
    const count = LATENCY_POSTS / 4;
    for (let id = 1; id <= count; id++) {
      await Promise.all([send(String(id)), sleep(LATENCY_EVERY_MS)]);
    }
    while (arrivals.size <= count) await sleep(50);
    return Array.from({ length: count }, (_, i) => arrivals.get(String(i + 1))! - sent.get(String(i + 1))!);
  } finally {
    child.kill('SIGKILL');
    await ended;
    await producer.disconnect();
  }
}

/** The peer: a consumer that matches with JSON.parse and RegExp, and posts what it finds. */
async function direct({ brokers, topic, group }: Run, sinkUrl: string): Promise<never> {
  const consumer = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING }).consumer({
    groupId: group,
    maxWaitTimeInMs: 500,
  });
  const pool = new Pool(sinkUrl);
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    partitionsConsumedConcurrently: 16,
    eachMessage: async ({ message }) => {
      const [, id] =
        /FIND ([0-9]+)/.exec((JSON.parse(message.value!.toString()) as { log: string }).log) ?? [];
      if (id === undefined) return;
      const body = JSON.stringify({ alerts: [{ status: 'firing', labels: { id } }] });
      const answer = await pool.request({ path: '/api/v2/alerts', method: 'POST', body });
      await answer.body.dump();
    },
  });
  return new Promise(() => {});
}

function rate({ records, seconds }: Result): number {
  return records / seconds;
}

function buildModule(folder: string, name: string, yaml: string): string {
  const [source, module] = [join(folder, `${name}.yaml`), join(folder, `${name}.wasm`)];
  writeFileSync(source, yaml);
  execFileSync(process.execPath, [bundle, 'build', source, '-o', module], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return module;
}

async function createTopics(brokers: string): Promise<string> {
  const topic = uniqueName('bench');
  const admin = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({
    topics: [
      { topic, numPartitions: PARTITIONS },
      { topic: `${topic}-dlq`, numPartitions: 1 },
      { topic: `${topic}-hits`, numPartitions: PARTITIONS },
    ],
  });
  await admin.disconnect();
  return topic;
}

async function loadTopic(brokers: string, rounds: number, hitEvery?: number): Promise<string> {
  const topic = await createTopics(brokers);
  const client = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING });
  const producer = client.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
  await producer.connect();
  const size = 2000;
  for (let at = 0; at < RECORDS * rounds; at += size) {
    const messages = Array.from({ length: Math.min(size, RECORDS * rounds - at) }, (_, index) => ({
      value: accessRecord(at + index, hitEvery),
      partition: (at / size) % PARTITIONS,
    }));
    await producer.send({ topic, messages, acks: 1 });
  }
  await producer.disconnect();
  return topic;
}

/** What the image gives to Node. */
function imageFlags(): string[] {
  const dockerfile = readFileSync(resolve(import.meta.dirname, '../../host/deploy/Dockerfile'), 'utf8');
  const command = JSON.parse(/^CMD (.*)$/m.exec(dockerfile)![1]!) as string[];
  return command.filter(argument => argument.startsWith('--'));
}

function spawnRun(args: string[]) {
  const flags = args[0] === 'earshot' ? imageFlags() : [];
  return spawn(process.execPath, [...flags, '--import', 'tsx', import.meta.filename, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

function runChild(args: string[]): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawnRun(args);
    let output = '';
    child.stdout.on('data', chunk => (output += chunk));
    child.once('exit', code =>
      code === 0 ? resolve(JSON.parse(output) as Result) : reject(new Error(`the run ended with ${code}`)),
    );
  });
}

/** From the start of the process to the first JoinGroup sent and to the first alert at the sink. */
async function coldStart(brokers: string, topic: string, module: string): Promise<void> {
  const [empty, join, first]: number[][] = [[], [], []];
  for (let round = 0; round < 10; round++) {
    empty!.push(
      await timed(
        started =>
          new Promise(done =>
            spawn(process.execPath, ['-e', '0']).once('exit', () => done(Date.now() - started)),
          ),
      ),
    );
    const environment = {
      PATH: process.env.PATH,
      EARSHOT_BROKERS: brokers,
      EARSHOT_TOPICS: topic,
      EARSHOT_GROUP: uniqueName('cold'),
      EARSHOT_DEAD_LETTER_TOPIC: `${topic}-dlq`,
      EARSHOT_HITS_TOPIC: `${topic}-hits`,
      EARSHOT_SINK: 'stdout',
      EARSHOT_LOG_LEVEL: 'debug',
      EARSHOT_PORT: '0',
    };
    await timed(
      started =>
        new Promise(done => {
          const child = spawn(process.execPath, [bundle, 'function', module], {
            env: environment,
            stdio: ['ignore', 'pipe', 'pipe'],
          });
          let log = '';
          child.stderr.on('data', chunk => (log += chunk));
          child.stdout.once('data', () => {
            first!.push(Date.now() - started);
            const sentAt = Number(/"sentAt":(\d+)/.exec(log)![1]);
            join!.push(sentAt - started);
            child.kill('SIGKILL');
            child.once('exit', () => done(0));
          });
        }),
    );
  }
  const median = (times: number[]) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
  const ratio = median(join!) / median(empty!);
  console.log(
    `\ncold start, median of 10: empty Node ${median(empty!)} ms; first JoinGroup sent ${median(join!)} ms (${ratio.toFixed(1)}×); first alert out ${median(first!)} ms`,
  );
}

function timed(work: (started: number) => Promise<number>): Promise<number> {
  return work(Date.now());
}

const [, , mode, ...rest] = process.argv;
if (mode === undefined) await main();
else await child(mode, rest);
