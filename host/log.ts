// Structured logs: one JSON object a line, on standard error, so that the stdout sink stays clean.

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
