// The records that `backtest` and `diff` run rules over: files, or a time range of a topic.
import { RECORD_SIZE_MAX } from '../../../assembly/layout.ts';
import { parseDuration } from '../../compiler/duration.ts';
import { UserError } from '../../error.ts';
import { Lines, isBlank, openFile } from '../../source/file.ts';
import { rangeOf, readRanges } from '../../source/range.ts';
import type { Io } from '../command.ts';
import { usage } from '../command.ts';
import { openProgress } from '../progress.ts';
import { textRecord } from '../text.ts';
import { openTopicReader } from '../topic.ts';

export const RECORD_OPTIONS = {
  brokers: { type: 'string' },
  topic: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  text: { type: 'boolean' },
} as const;

export const RECORD_HELP = `  --text          lines are plain text, not JSON: a line is the field "log"
  --brokers LIST  Kafka brokers, with --topic in place of FILE; TLS and the login are set as for \`earshot
                  function\`, by EARSHOT_TLS, EARSHOT_SASL_MECHANISM and so on
  --topic TOPIC   the topic; it is read without a group, and nothing is committed
  --from TIME     its first record: a time such as 2026-03-02T09:00:00Z, or how long ago, such as 2h (the
                  first that there is)
  --to TIME       one past its last record (now)
`;

export interface RecordValues {
  brokers?: string;
  topic?: string;
  from?: string;
  to?: string;
  text?: boolean;
}

/** `place` names the record; null for a line that is too long. Returns whether it was a record. */
export type Take = (record: Uint8Array | null, timeMs: number, place: Place) => boolean;

export interface Place {
  source: string;
  number: number;
}

export interface Source {
  /** What was read, in a few words. */
  name: string;
  read(take: Take): Promise<Reading>;
}

export interface Reading {
  recordCount: number;
  byteCount: number;
  unreadableCount: number;
  seconds: number;
}

/** Checks the options; nothing is opened yet. */
export function sourceOf(values: RecordValues, paths: string[], io: Io, command: string): Source {
  const { brokers, topic, from, to } = values;
  if ((brokers === undefined) !== (topic === undefined)) throw usage('--brokers and --topic go together');
  if (topic === undefined && (from !== undefined || to !== undefined))
    throw usage('--from and --to go with --topic');
  if (topic !== undefined && paths.length > 0) throw usage(`${command} reads files or a topic, not both`);
  if (topic !== undefined && brokers !== undefined) {
    const nowMs = Date.now();
    return topicSource(
      brokers,
      topic,
      readTime('--from', from, nowMs),
      readTime('--to', to, nowMs) ?? nowMs,
      io,
    );
  }
  const files = paths.length === 0 ? ['-'] : paths;
  if (paths.length === 0 && io.stdin.isTTY)
    throw usage(`${command} needs log files, a topic, or records on standard input`);
  return {
    name: files.map(path => (path === '-' ? 'standard input' : path)).join(', '),
    read: take => readFiles(files, values.text ?? false, take, io),
  };
}

function readTime(option: string, text: string | undefined, nowMs: number): number | undefined {
  if (text === undefined) return undefined;
  if (text === 'now') return nowMs;
  if (/^\d{4}-\d\d-\d\d(?:T.*)?$/.test(text) && !Number.isNaN(Date.parse(text))) return Date.parse(text);
  try {
    return nowMs - parseDuration(text);
  } catch {
    throw usage(
      `${option} is a time such as 2026-03-02T09:00:00Z, or how long ago, such as 2h, not "${text}"`,
    );
  }
}

/** Counts what was read, and shows it on a terminal. */
class Meter {
  readonly startedAt = performance.now();
  recordCount = 0;
  byteCount = 0;
  unreadableCount = 0;
  private readonly progress;

  constructor(io: Io) {
    this.progress = openProgress(io.stderr, () => `${this.recordCount} records, ${this.byteCount} bytes`);
  }

  add(isRecord: boolean): void {
    if (isRecord) this.recordCount++;
    else this.unreadableCount++;
  }

  show(): void {
    this.progress.show();
  }

  end(): Reading {
    this.progress.clear();
    const { recordCount, byteCount, unreadableCount } = this;
    return { recordCount, byteCount, unreadableCount, seconds: (performance.now() - this.startedAt) / 1000 };
  }
}

async function readFiles(paths: string[], isText: boolean, take: Take, io: Io): Promise<Reading> {
  const meter = new Meter(io);
  for (const path of paths) {
    const file = await openFile(path, io.stdin);
    const lines = new Lines(RECORD_SIZE_MAX);
    const takeLine = (bytes: Uint8Array | null, number: number) => {
      if (bytes !== null && isBlank(bytes)) return;
      const record = bytes !== null && isText ? textRecord(bytes) : bytes;
      meter.add(take(record, file.timeMs, { source: file.name, number }));
    };
    try {
      for await (const chunk of file.chunks) {
        meter.byteCount += chunk.length;
        for (const { bytes, number } of lines.push(chunk)) takeLine(bytes, number);
        meter.show();
      }
      for (const { bytes, number } of lines.end()) takeLine(bytes, number);
    } finally {
      file.close();
    }
  }
  return meter.end();
}

function topicSource(
  brokers: string,
  topic: string,
  fromMs: number | undefined,
  toMs: number,
  io: Io,
): Source {
  if (fromMs !== undefined && fromMs >= toMs) throw usage('--from must be before --to');
  return {
    name: topic,
    async read(take) {
      const reader = await openTopicReader(brokers, io);
      try {
        const ranges = await rangeOf(reader, topic, fromMs, toMs);
        const count = ranges.reduce((sum, { offset, end }) => sum + Math.max(0, end - offset), 0);
        if (count === 0) throw new UserError(`${topic} has no records in this time`);
        const meter = new Meter(io);
        for await (const { partition, message } of readRanges(reader, ranges)) {
          if (message.value === null && message.unreadable === undefined) continue;
          meter.byteCount += message.value?.length ?? 0;
          const place = { source: `${topic}/${partition}`, number: Number(message.offset) };
          meter.add(take(message.value, Number(message.timestamp), place));
          meter.show();
        }
        return meter.end();
      } finally {
        await reader.close();
      }
    },
  };
}
