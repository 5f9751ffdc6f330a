// Durations as Prometheus writes them: `1h30m`.
import { TextError, quote } from '../error.ts';
import * as schema from './schema.ts';

const UNITS_MS = [365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000, 1];

/** `1h30m` → milliseconds. Throws a TextError. */
export function parseDuration(text: string): number {
  const span = { start: 0, end: text.length };
  const [whole, ...amounts] = schema.DURATION.exec(text) ?? [];
  if (whole === undefined) throw new TextError(`${quote(text)} is not a duration`, span, durationHint(text));
  const durationMs = UNITS_MS.reduce((sum, unit, index) => sum + unit * Number(amounts[index] ?? 0), 0);
  if (durationMs <= schema.DURATION_MAX_MS) return durationMs;
  const longest = `${schema.DURATION_MAX_MS / 86_400_000}d`;
  throw new TextError(`${quote(text)} is too long a time, ${longest} allowed`, span);
}

function durationHint(text: string): string {
  if (/^\d+$/.test(text)) return `add the unit: ${text}s, ${text}m or ${text}ms`;
  const [, amount, unit] = /^P?T?(\d+)\s*([a-z])[a-z]*\.?$/i.exec(text) ?? [];
  if (unit && 'smhdw'.includes(unit.toLowerCase()) && !/^\d+ms$/.test(text)) {
    const milliseconds = /^\d+\s*mil/i.test(text) ? 'ms' : unit.toLowerCase();
    return `write ${amount}${milliseconds}`;
  }
  if (/^\d+\.\d+/.test(text)) return 'write whole numbers: 1h30m, not 1.5h';
  if (/^(\d+(ms|[ywdhms]))+$/.test(text)) return 'name each unit once, the largest first: 1h30m';
  return 'write it as 15m, 1h30m, 500ms or 1d';
}
