// The host function: Kafka → matcher → sink. Its contract:
//
//   Every record at or below the committed offset did not match, or its alert was accepted by the sink (2xx),
//   or it is acknowledged by the dead-letter topic.
//
// So an alert can arrive twice (after a crash, a rebalance or a lost answer), and never zero times. The contract ends at
// the sink's 2xx: it does not cover what Notification Manager or Alertmanager does afterwards in memory. It does not
// cover records that retention deletes before they are read, and records that Kafka never acknowledged to the producer.
//
// How it is kept. A partition is read in order. `acknowledged` is the offset below which the sentence above holds;
// the read position never rests beyond it, and only it is committed. The matcher's state is a function of the records
// below an offset and moves with the read position (host/function/stream.ts). When an alert cannot be delivered, the partition
// goes back to its record, state and all, and pauses. When the group rebalances, what is not acknowledged is dropped,
// and its next owner reads it again.

import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDelivery } from './deliver.ts';
import { UserError } from '../error.ts';
import { serveHealth } from './health.ts';
import { openLog } from '../log.ts';
import type { Log } from '../log.ts';
import type { MatcherModule } from '../matcher.ts';
import { openMetrics } from './metrics.ts';
import type { Metrics } from './metrics.ts';
import { printableSettings, readSettings } from './settings.ts';
import type { Settings } from './settings.ts';
import { openSink } from '../sink/open.ts';
import type { Sink } from '../sink/sink.ts';
import { openKafka } from '../source/kafka.ts';
import { SourceEnd } from '../source/source.ts';
import type { Source } from '../source/source.ts';
import { openWorker } from './worker.ts';

/** How often an idle partition is told the time, for rules about absence. */
const TICK_MS = 1000;

/** How long the function tries to leave the group after a failure. */
const FAREWELL_MS = 3000;

export interface Dependencies {
  /** Aborted: stop taking records, finish, commit, leave. */
  stop: AbortSignal;
  log?: Log;
  metrics?: Metrics;
  loadModule?: (bytes: Uint8Array) => Promise<MatcherModule>;
  openSink?: (settings: Settings) => Promise<Sink>;
  openSource?: (settings: Settings, log: Log) => Source;
}

/** `earshot function`: settings from the flags and the environment, stopped by a signal. The caller exits with the answer. */
export async function runCommand(args: string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const controller = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => controller.abort());
  return runFunction(readSettings(args, environment), { stop: controller.signal });
}

/** Runs until stopped: 0. Or until something is wrong that only a fresh process or a person can mend: 1. */
export async function runFunction(settings: Settings, dependencies: Dependencies): Promise<number> {
  const log = dependencies.log ?? openLog(settings.logLevel);
  const metrics = dependencies.metrics ?? openMetrics();
  log.info({ settings: printableSettings(settings) }, 'starting');
  const loadModule = dependencies.loadModule ?? (await import('../matcher.ts')).loadModule;
  const module = await loadModule(await readModule(settings.module));
  log.info({ rules: module.info.alerts.length, hash: module.info.hash }, 'module loaded');

  const source = (dependencies.openSource ?? openKafka)(settings, log);
  const sink = await (dependencies.openSink ?? openSink)(settings);
  const delivery = openDelivery({ settings, sink, source, metrics, log });
  const worker = openWorker({ settings, module, source, delivery, metrics, log });
  const health = settings.port ? await serveHealth(settings.port, worker, metrics.registry) : undefined;
  const commits = setInterval(() => void worker.commit(), settings.commitIntervalMs);
  const ticks = setInterval(() => void worker.tick(), TICK_MS);

  try {
    const running = source.run(worker.handler);
    void requireTopic(settings.deadLetterTopic).catch(() => {});
    await Promise.race([running, whenAborted(dependencies.stop)]);
    await stop();
    return 0;
  } catch (error) {
    // Leaving the group spares the others the wait for our session to end.
    source.drain();
    await Promise.race([source.stop().catch(() => {}), sleep(FAREWELL_MS, undefined, { ref: false })]);
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
    health?.close();
    await sink.close();
  }

  async function stop(): Promise<void> {
    log.info({}, 'stopping: no new records');
    source.drain();
    const late = sleep(settings.shutdownMs, 'late', { ref: false });
    const left = worker.commit().then(() => source.stop()); // Each of them may wait for a broker that hangs.
    if ((await Promise.race([left, late])) === 'late')
      throw new Error(`not stopped after ${settings.shutdownMs} ms`);
    log.info({}, 'stopped');
  }

  async function requireTopic(topic: string): Promise<void> {
    if (!(await source.exists(topic)))
      log.error(
        { topic },
        'the dead-letter topic does not exist: a poison record will stop its partition; create the topic',
      );
  }
}

async function readModule(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${(error as Error).message}; \`earshot build\` writes it`);
  }
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve =>
    signal.aborted ? resolve() : signal.addEventListener('abort', () => resolve(), { once: true }),
  );
}
