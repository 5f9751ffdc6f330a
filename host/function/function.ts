// The host function, in two roles (`--role`), each a consumer group of its own:
//
//   match: logs ─▶ matcher ─▶ hits topic                          count: hits topic ─▶ counter ─▶ sink, then a mark
//
// With `--listen` hits come from Fluent Bit as well, by HTTP (door.ts): into the hits topic, or without Kafka into a counter in
// memory.
//
// Its contract:
//
//   Every record at or below the committed offset of `match` did not match, or its hits are in the hits topic, or it is
//   in the dead-letter topic. Every hit at or below the committed offset of `count` was counted, and its alert was
//   accepted by the sink (2xx) or is in the dead-letter topic. "In a topic" means acknowledged by all in-sync replicas.
//
// So an alert can arrive twice (after a crash, a rebalance or a lost answer), and never zero times. The contract ends at
// the sink's 2xx: it does not cover what Notification Manager or Alertmanager does afterwards in memory. It does not
// cover records that retention deletes before they are read, and records that Kafka never acknowledged to the producer.
//
// How it is kept. A partition is read in order. `acknowledged` is the offset below which the sentence above holds, and
// only it is committed. When something cannot be delivered, the partition pauses and reads on from there. Matching
// remembers nothing, so a record that it reads twice has the same hits twice, with the same ids, and they are counted once.
// What counting remembers is in the hits topic (count.ts). When a group rebalances, what is not acknowledged is
// dropped, and the next owner of the partition reads it again.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDelivery } from './deliver.ts';
import type { Delivery } from './deliver.ts';
import { UserError } from '../error.ts';
import { countRole } from './count.ts';
import { openKafkaDoor, openMemoryDoor } from './door.ts';
import type { Door } from './door.ts';
import { healthRoutes } from './health.ts';
import type { Probes } from './health.ts';
import { openLog } from '../log.ts';
import type { Log } from '../log.ts';
import { matchRole } from './match.ts';
import { followMatching } from './matched.ts';
import type { Matched } from './matched.ts';
import type { MatcherModule } from '../matcher.ts';
import { openMetrics } from './metrics.ts';
import type { Metrics } from './metrics.ts';
import { openServers } from './servers.ts';
import { hasKafka, printableSettings, readSettings } from './settings.ts';
import type { KafkaSettings, Settings } from './settings.ts';
import { holdsOf } from '../sink/hold.ts';
import type { HoldOf } from '../sink/hold.ts';
import { openSink } from '../sink/open.ts';
import type { Sink } from '../sink/sink.ts';
import { openKafka, openProducer } from '../source/kafka.ts';
import type { KafkaOptions, Producer } from '../source/kafka.ts';
import { SourceEnd } from '../source/source.ts';
import type { Source } from '../source/source.ts';
import { checkTopics } from './topics.ts';
import { openWorker } from './worker.ts';
import type { Role } from './worker.ts';

/** How often an idle partition is told the time, for alerts that the clock tells. */
const TICK_MS = 1000;

/** The part of the time to finish that requests have for it. What is not done then is answered 503, and comes again. */
const REQUESTS_PART = 0.6;

/** How long the function tries to leave the group after a failure, and Kafka in any case. */
const FAREWELL_MS = 3000;

export interface Dependencies {
  /** Aborted: stop taking records, finish, commit, leave. */
  stop: AbortSignal;
  log?: Log;
  metrics?: Metrics;
  loadModule?: (bytes: Uint8Array) => Promise<MatcherModule>;
  openSink?: (settings: Settings, holdOf: HoldOf) => Promise<Sink>;
  openSource?: (options: KafkaOptions, log: Log) => Source;
  openProducer?: (options: Omit<KafkaOptions, 'topics'>, log: Log) => Producer;
}

/** `earshot function`: settings from the flags and the environment, stopped by a signal. The caller exits with the result. */
export async function runCommand(args: string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const controller = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => controller.abort());
  return runFunction(readSettings(args, environment), { stop: controller.signal });
}

/** Runs until it is stopped: 0. Or until something fails that only a fresh process or a person can repair: 1. */
export async function runFunction(settings: Settings, dependencies: Dependencies): Promise<number> {
  const log = dependencies.log ?? openLog(settings.logLevel);
  const metrics = dependencies.metrics ?? openMetrics();
  log.info({ settings: printableSettings(settings) }, 'starting');
  const loadModule = dependencies.loadModule ?? (await import('../matcher.ts')).loadModule;
  const module = await loadModule(await readModule(settings.module));
  log.info({ rules: module.info.alerts.length, hash: module.info.hash }, 'module loaded');

  const openSource = dependencies.openSource ?? openKafka;
  // Matching sends no alerts, and knows no address to send them to.
  const sinkSettings = settings.role === 'match' ? { ...settings, sink: 'stdout' as const } : settings;
  const sink = await (dependencies.openSink ?? openSink)(sinkSettings, holdsOf(module.info.rules));
  let matched: Matched | undefined;
  const roles = await Promise.all(rolesOf(settings).map(name => openRole(name)));
  const workers = roles.map(role => openWorker({ settings, role, metrics, log }));
  const door = settings.listen && (await openDoor());
  const probes = healthRoutes(probesOf(door ? [...workers, door] : workers), metrics.registry);
  const servers = await openServers({ settings, door, probes, metrics, log });
  const commits = setInterval(() => void commitAll(), settings.commitIntervalMs);
  const ticks = setInterval(() => void Promise.all([...workers, door].map(one => one?.tick())), TICK_MS);

  try {
    const running = Promise.race(roles.map(({ source }, i) => source.run(workers[i]!.handler)));
    const wrong = door ? door.failed : wrongTopic();
    await Promise.race([running, wrong, whenAborted(dependencies.stop)]);
    await stop();
    return 0;
  } catch (error) {
    // Leaving the group spares the others the wait for our session to end.
    for (const { source } of roles) source.drain();
    const left = Promise.all(roles.map(({ source }) => source.stop().catch(() => {})));
    await Promise.race([left, sleep(FAREWELL_MS, undefined, { ref: false })]);
    if (error instanceof UserError) throw error;
    const { message, stack } = error as Error;
    log.error(
      { error: message, ...(!(error instanceof SourceEnd) && { stack }) },
      'the function ends; a fresh process goes on from the committed offsets',
    );
    return 1;
  } finally {
    clearInterval(commits);
    clearInterval(ticks);
    matched?.close();
    for (const worker of workers) worker.close();
    await servers.close();
    await Promise.race([door?.close(), sleep(FAREWELL_MS, undefined, { ref: false })]);
    for (const { delivery } of roles) delivery.close();
    await sink.close();
  }

  /** Each role is a group of its own: it keeps its offsets, however the roles are spread over processes. */
  async function openRole(name: 'match' | 'count'): Promise<Role & { delivery: Delivery }> {
    const isCount = name === 'count';
    const source = openSource(
      {
        ...(settings as KafkaSettings), // There are no roles without Kafka.
        topics: isCount ? [settings.hitsTopic] : settings.topics!,
        group: isCount ? `${settings.group}-count` : settings.group,
      },
      log,
    );
    const delivery = openDelivery({ settings, sink, source, metrics, log });
    if (isCount && module.info.rules.some(({ isToldByClock }) => isToldByClock))
      matched = followMatching({ settings, source, metrics, log });
    const parts = { settings, module, source, delivery, metrics, log, matched };
    return { ...(isCount ? countRole(parts) : await matchRole(parts)), delivery };
  }

  async function openDoor(): Promise<Door> {
    const parts = { settings, module, sink, metrics, log };
    if (!hasKafka(settings)) return openMemoryDoor(parts);
    const producer = (dependencies.openProducer ?? openProducer)(settings, log);
    return openKafkaDoor({ ...parts, settings, producer });
  }

  /** Rejects when a topic is not as it must be. A broker that does not answer is left to the consumers. */
  async function wrongTopic(): Promise<void> {
    if (hasKafka(settings))
      await checkTopics(roles[0]!.source, { settings, module, log }).catch(error => {
        if (error instanceof UserError) throw error;
      });
    return new Promise(() => {});
  }

  async function commitAll(): Promise<void> {
    await Promise.all(workers.map(worker => worker.commit()));
  }

  async function stop(): Promise<void> {
    log.info({}, 'stopping: no new records');
    for (const { source } of roles) source.drain();
    const late = sleep(settings.shutdownMs, 'late', { ref: false });
    // Each of them may wait for a broker that hangs.
    const left = Promise.all([
      servers.finishRequests(settings.shutdownMs * REQUESTS_PART),
      commitAll().then(() => Promise.all(roles.map(({ source }) => source.stop()))),
    ]);
    if ((await Promise.race([left, late])) === 'late')
      throw new Error(`not stopped after ${settings.shutdownMs} ms`);
    log.info({}, 'stopped');
  }
}

/** Without topics of logs there is nothing to match: hits come through the door. */
function rolesOf(settings: Settings): ('match' | 'count')[] {
  if (!hasKafka(settings)) return [];
  const { role, topics } = settings;
  return (['match', 'count'] as const).filter(
    name => (role === 'all' || role === name) && (name === 'count' || topics),
  );
}

/** The first reason of any worker, or of the door. */
function probesOf(parts: (Pick<Probes, 'unready'> & Partial<Probes>)[]): Probes {
  const first = (ask: (part: Partial<Probes>) => string | undefined) => () =>
    parts.map(ask).find(reason => reason !== undefined);
  return { unhealthy: first(part => part.unhealthy?.()), unready: first(part => part.unready?.()) };
}

const WASM = Buffer.from('\0asm');

async function readModule(path: string): Promise<Uint8Array> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${(error as Error).message}; \`earshot build\` writes it`);
  }
  if (bytes.subarray(0, WASM.length).equals(WASM)) return bytes;
  throw new UserError(
    `${path} is not a module; build it first: \`earshot build rules.yaml -o earshot.wasm\`, then pass earshot.wasm`,
  );
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve =>
    signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
  );
}
