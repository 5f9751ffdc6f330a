// Structured logs: one JSON object a line, on standard error, because the stdout sink writes to standard output.

import { pino } from 'pino';

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export function openLog(level: string): Log {
  const options = {
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  // Synchronous: the last lines before an exit are the ones that matter.
  return pino(options, pino.destination({ fd: 2, sync: true }));
}

/** Long enough to stop a flood of lines; short enough that somebody who watches the log sees the count grow. */
const SAMPLE_MS = 10_000;

export interface Sampler {
  /** Something of this kind happened `count` times; `fields` describe the last of them. */
  add(kind: string, fields: object, count?: number): void;
  /** Writes what is counted but not written yet. */
  flush(): void;
}

/**
 * For lines that can come by the thousand. The first of a kind is written at once. Those of the next `intervalMs` are
 * counted, and one line has their count and the fields of the last.
 */
export function sampled(write: (fields: object) => void, intervalMs = SAMPLE_MS): Sampler {
  const kinds = new Map<string, { fields: object; count: number; timer: NodeJS.Timeout }>();
  return {
    add(kind, fields, count = 1) {
      const known = kinds.get(kind);
      if (known) {
        known.fields = fields;
        known.count += count;
        return;
      }
      write({ ...fields, count });
      kinds.set(kind, { fields, count: 0, timer: setInterval(() => writeKind(kind), intervalMs).unref() });
    },
    flush() {
      for (const kind of [...kinds.keys()]) {
        writeKind(kind);
        forget(kind);
      }
    },
  };

  /** A kind that was quiet for an interval is forgotten: the next one is written at once. */
  function writeKind(kind: string): void {
    const { fields, count } = kinds.get(kind)!;
    if (count === 0) return forget(kind);
    write({ ...fields, count });
    kinds.get(kind)!.count = 0;
  }

  function forget(kind: string): void {
    clearInterval(kinds.get(kind)?.timer);
    kinds.delete(kind);
  }
}
