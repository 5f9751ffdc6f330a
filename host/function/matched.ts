// How far matching has come, for the counter of absences: while the matchers are behind, a key may have been seen in
// a record that nobody has matched yet. So a silence counts up to the time until which everything was matched:
//
//   At some time the logs ended at these offsets. Once the matchers have committed them all, every hit of a record that
//   was in the logs at that time is in the hits topic, below the end that it has now.
//
// What Fluent Bit still has on a node is not known here.

import type { Log } from '../log.ts';
import type { Metrics } from './metrics.ts';
import type { Settings } from './settings.ts';
import type { Source } from '../source/source.ts';

const POLL_MS = 1000;
/** Ends of the logs that wait to be committed. When the matchers are further behind, fewer are kept. */
const WAITING_MAX = 60;
const BEHIND_LOG_MS = 60_000;

export interface Progress {
  /** What was in the logs then is matched. Milliseconds since 1970. */
  untilMs: number;
  /** Its hits are below this offset of the partition of the hits topic. */
  hitsEnd: number;
}

export interface Matched {
  /** Undefined: nothing is known yet. */
  progress(partition: number): Progress | undefined;
  close(): void;
}

interface Parts {
  settings: Settings;
  source: Source;
  metrics: Metrics;
  log: Log;
}

/** The end of each partition of the logs at a time. */
interface Ends {
  timeMs: number;
  offsets: Map<string, number>;
}

export function followMatching({ settings, source, metrics, log }: Parts): Matched {
  const waiting: Ends[] = [];
  let untilMs: number | undefined;
  let hitsEnds: number[] = [];
  let isPolling = false;
  let isClosed = false;
  const startedMs = Date.now();
  let loggedMs = startedMs;
  let trouble = 'nothing is known yet';

  const timer = setInterval(() => void poll(), POLL_MS);
  void poll();

  async function poll(): Promise<void> {
    if (isPolling || isClosed) return;
    isPolling = true;
    try {
      await look();
    } catch (error) {
      trouble = (error as Error).message;
    } finally {
      isPolling = false;
    }
    if (!isClosed) report();
  }

  async function look(): Promise<void> {
    const timeMs = Date.now();
    const standings = await source.progress(settings.group, settings.topics);
    // Without a topic there is nothing to match: hits come from elsewhere.
    const offsets = new Map(standings.map(({ topic, partition, end }) => [`${topic}/${partition}`, end]));
    if (waiting.length < WAITING_MAX) waiting.push({ timeMs, offsets });
    const committed = new Map(
      standings.map(({ topic, partition, offset, low }) => [`${topic}/${partition}`, Math.max(offset, low)]),
    );
    const behind = [...offsets].find(([place, end]) => committed.get(place)! < end);
    trouble = behind
      ? `${behind[0]} is matched up to offset ${committed.get(behind[0])} of ${behind[1]}`
      : '';
    // A partition that no longer exists has nothing left to match.
    const isMatched = ({ offsets: ends }: Ends) =>
      [...ends].every(([place, end]) => (committed.get(place) ?? Infinity) >= end);
    let reached: Ends | undefined;
    while (waiting.length > 0 && isMatched(waiting[0]!)) reached = waiting.shift();
    if (!reached) return;
    hitsEnds = await source.ends(settings.hitsTopic);
    untilMs = reached.timeMs;
  }

  function report(): void {
    const now = Date.now();
    const behindMs = now - (untilMs ?? startedMs);
    metrics.matchingBehind.set(behindMs / 1000);
    if (behindMs < BEHIND_LOG_MS || now - loggedMs < BEHIND_LOG_MS) return;
    loggedMs = now;
    log.warn(
      { group: settings.group, behindSeconds: Math.round(behindMs / 1000), reason: trouble },
      'absences wait: the matchers have not caught up with the logs',
    );
  }

  return {
    progress(partition) {
      const hitsEnd = hitsEnds[partition];
      return untilMs === undefined || hitsEnd === undefined ? undefined : { untilMs, hitsEnd };
    },
    close() {
      isClosed = true;
      clearInterval(timer);
    },
  };
}
