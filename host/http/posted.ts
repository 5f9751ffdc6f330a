// What the forms of a request have in common: each makes records of a body, one after the other, so that a large body is
// never in memory twice.

import { isArray, valuesOf } from '../json.ts';

/** A record of a request, or what is in the place of one. */
export interface Posted {
  /** JSON as it came, where it came as JSON. */
  bytes: Uint8Array;
  /** When it happened, for a record that does not say it itself. Milliseconds since 1970. */
  timeMs?: number;
  /** Names it among all records. Without a name it is its place in its body, and the body. */
  name?: string;
  /** Why this is no record. */
  poison?: string;
}

/** The elements of an array; what is no array, and what comes after the last element that can be read, is poison. */
export function* elementsOf(text: Uint8Array | undefined, name: string): Generator<Posted> {
  if (!text) return;
  if (!isArray(text)) return yield { bytes: text, poison: `${name} is not an array` };
  const values = valuesOf(text);
  let next = values.next();
  for (; !next.done; next = values.next()) yield { bytes: next.value };
  if (next.value) yield { bytes: next.value, poison: `the rest of ${name}, which is not JSON` };
}

/** The JSON text of a value. Integers of any length stay what they are; what JSON cannot say is a string. */
export function jsonOf(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && !Number.isFinite(value)) return JSON.stringify(String(value));
  if (Array.isArray(value)) return `[${value.map(jsonOf).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${jsonOf(member)}`).join()}}`;
}

/** Names and values that a sender chose: also `__proto__` is only a name here. */
export function objectOf(entries: Iterable<readonly [string, unknown]>): Record<string, unknown> {
  return Object.assign(Object.create(null), Object.fromEntries(entries));
}

const NANOSECONDS = 1_000_000n;

/** Nanoseconds since 1970 as milliseconds; undefined when there are none. */
export function timeOfNanoseconds(value: unknown): number | undefined {
  if (typeof value !== 'bigint' && !/^\d{1,20}$/.test(String(value))) return undefined;
  const timeMs = Number(BigInt(value as string) / NANOSECONDS);
  return timeMs > 0 ? timeMs : undefined;
}
