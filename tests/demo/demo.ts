// `npm run demo`: the blog's scenario on this machine, on loopback only. Kafka, the topics, the rules and the function are real.
// What is a cluster's is played here: KEDA, which starts and stops the function by the lag, and Notification Manager with
// Slack, which shows the message. host/deploy/blog/README.md walks through the same steps on Kubernetes.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import type { Admin } from 'kafkajs';
import { bakeModule, readRulesFile } from '../../host/command/rules-file.ts';
import { bundleFunction, spawnFunction } from '../function/process.ts';
import type { FunctionProcess } from '../function/process.ts';
import { kafkaMissing, startKafka } from '../kafka.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** KEDA's numbers, smaller here: the manifests have 10 s and 300 s. */
const POLLING_MS = 500;
const COOL_DOWN_MS = 4000;
const WAIT_MAX_MS = 60_000;
const TOPICS = ['logs', 'earshot-hits', 'logs-dlq'];

const startedMs = Date.now();
const say = (text: string) =>
  console.log(`${((Date.now() - startedMs) / 1000).toFixed(1).padStart(5)} s  ${text}`);
const step = (text: string) => console.log(`\n${text}`);

/** Records of WordPress, as KubeSphere's Fluent Bit writes them; the time is now. */
function records(): { page: string; missing: string } {
  const sample = readFileSync(join(ROOT, 'fluent-bit/logs/demo.ndjson'), 'utf8').split('\n');
  const now = (line: string) => line.replace(/"@timestamp":[\d.]+/, `"@timestamp":${Date.now() / 1000}`);
  const find = (part: string) => now(sample.find(line => line.includes(part) && line.endsWith('}'))!);
  return { page: find('GET / HTTP/1.1\\" 200'), missing: find('GET /notfound ') };
}

interface Slack {
  url: string;
  texts: string[];
  stop(): void;
}

/** Takes alerts as Notification Manager does, and shows what its Slack notifier would post. */
async function startSlack(): Promise<Slack> {
  const texts: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    for (const { labels, annotations } of JSON.parse(body).alerts) {
      texts.push(annotations.message);
      const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
      say(`Slack       │ ${annotations.message}`);
      say(`            │ ${pairs.join('  ')}`);
    }
    response.end('{"Status":200,"Message":"Notification request accepted"}');
  });
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, texts, stop: () => server.close() };
}

interface Keda {
  replicas(): number;
  stop(): Promise<void>;
}

/** One replica while there is lag, and none after a time without it: what KEDA's kafka scaler does from zero and back. */
function startKeda(admin: Admin, start: () => FunctionProcess): Keda {
  let running: FunctionProcess | undefined;
  let activeMs = 0;
  let isStopped = false;
  const loop = (async () => {
    while (!isStopped) {
      const lag = await lagOf(admin).catch(() => 0);
      if (lag > 0) activeMs = Date.now();
      if (lag > 0 && !running) {
        say(`KEDA        lag ${lag}: 0 → 1 replicas`);
        running = start();
      }
      if (running && Date.now() - activeMs > COOL_DOWN_MS) await end();
      await sleep(POLLING_MS);
    }
  })();

  async function end(): Promise<void> {
    const one = running!;
    one.child.kill('SIGTERM');
    const code = await one.exited;
    running = undefined;
    say(`KEDA        no lag for ${COOL_DOWN_MS / 1000} s: 1 → 0 replicas (exit ${code})`);
  }

  return {
    replicas: () => (running ? 1 : 0),
    async stop() {
      isStopped = true;
      await loop;
      if (running) await end();
    },
  };
}

/** Records that are not committed: of the matchers, and of the counters. */
async function lagOf(admin: Admin): Promise<number> {
  let lag = 0;
  for (const [groupId, topic] of [
    ['earshot', 'logs'],
    ['earshot-count', 'earshot-hits'],
  ] as const) {
    const ends = await admin.fetchTopicOffsets(topic);
    const [reached] = await admin.fetchOffsets({ groupId, topics: [topic] });
    for (const { partition, high, low } of ends) {
      const offset = Number(reached!.partitions.find(one => one.partition === partition)!.offset);
      lag += Number(high) - Math.max(offset, Number(low));
    }
  }
  return lag;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const endsAt = Date.now() + WAIT_MAX_MS; !condition(); await sleep(50))
    if (Date.now() > endsAt) throw new Error(`waited ${WAIT_MAX_MS / 1000} s for: ${what}`);
}

async function demo(): Promise<void> {
  step('1. Kafka and its topics. In the cluster: Strimzi, host/deploy/kafka.yaml.');
  const kafka = await startKafka();
  const client = new kafkajs.Kafka({ brokers: kafka.brokers.split(','), logLevel: kafkajs.logLevel.NOTHING });
  const [admin, producer] = [client.admin(), client.producer()];
  await Promise.all([admin.connect(), producer.connect()]);
  const topics = TOPICS.map(topic => ({ topic, numPartitions: 3 }));
  await admin.createTopics({ topics, waitForLeaders: false });
  say(`Kafka       ${kafka.brokers}: ${TOPICS.join(', ')}`);

  step('2. The rules become one module. In the cluster it is in the image, host/deploy/Dockerfile.');
  const folder = mkdtempSync(join(tmpdir(), 'earshot-demo-'));
  const { ruleset } = await readRulesFile(join(ROOT, 'fluent-bit/rules.yaml'));
  const module = join(folder, 'earshot.wasm');
  writeFileSync(module, await bakeModule(ruleset!));
  say('earshot     fluent-bit/rules.yaml → earshot.wasm');

  step('3. The function is off: nothing is in the topic. In the cluster: KEDA, minReplicaCount 0.');
  const slack = await startSlack();
  const file = await bundleFunction();
  const keda = startKeda(admin, () =>
    spawnFunction(file, {
      EARSHOT_MODULE: module,
      EARSHOT_BROKERS: kafka.brokers,
      EARSHOT_TOPICS: 'logs',
      EARSHOT_DEAD_LETTER_TOPIC: 'logs-dlq',
      EARSHOT_SINK_URL: slack.url,
      EARSHOT_PORT: '0',
    }),
  );
  const send = (value: string) => producer.send({ topic: 'logs', messages: [{ value }] });
  try {
    await sleep(2 * POLLING_MS);
    say(`KEDA        ${keda.replicas()} replicas`);

    step(
      '4. Somebody reads a page of WordPress, which answers 200. The function wakes, and Slack hears nothing.',
    );
    await send(records().page);
    await until(() => keda.replicas() === 1, 'the function wakes');
    await until(() => keda.replicas() === 0, 'the function sleeps again');
    say(`Slack       ${slack.texts.length} messages`);

    step('5. curl http://<wordpress>/notfound: WordPress answers 404.');
    const sentMs = Date.now();
    await send(records().missing);
    await until(() => slack.texts.length === 1, 'the message');
    say(`            from zero replicas to the message: ${((Date.now() - sentMs) / 1000).toFixed(1)} s`);

    step('6. The same twice more. Within the cool-down of 5 minutes Slack hears nothing new.');
    await send(records().missing);
    await send(records().missing);
    await until(() => keda.replicas() === 0, 'the function sleeps again');
    say(`Slack       ${slack.texts.length} message`);
    step(
      slack.texts.length === 1 ? 'Done: one 404 storm, one message.' : 'This is not what the blog promises.',
    );
    process.exitCode = slack.texts.length === 1 ? 0 : 1;
  } finally {
    await keda.stop();
    slack.stop();
    await Promise.all([admin.disconnect(), producer.disconnect()]);
    await kafka.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

const missing = kafkaMissing();
if (missing) {
  console.error(`the demo needs Kafka, and there is ${missing}`);
  process.exitCode = 1;
} else await demo();
