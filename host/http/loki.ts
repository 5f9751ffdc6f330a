// Loki's push: `POST /loki/api/v1/push`, as JSON or as protobuf in one block of Snappy (pkg/push/push.proto). A line becomes
// one record:
//
//   {"log":"GET / 500","labels":{"namespace":"demo"},"metadata":{"trace_id":"5b8e…"}}

import { membersOf, parseJson } from '../json.ts';
import { decodeSnappy } from '../source/snappy.ts';
import { elementsOf, jsonOf, objectOf, timeOfNanoseconds } from './posted.ts';
import type { Posted } from './posted.ts';
import { lastOf, messagesOf, textOf } from './protobuf.ts';

export const LOKI_PATH = '/loki/api/v1/push';
/** Of a stream's labels, or of one line with its metadata, as JSON. */
const PART_SIZE_MAX = 4 * 1024 * 1024;

function postedOf(log: string, labels: unknown, metadata: unknown, timeNs: unknown): Posted {
  const timeMs = timeOfNanoseconds(timeNs);
  const bytes = Buffer.from(jsonOf({ log, labels, metadata }));
  return { bytes, ...(timeMs !== undefined && { timeMs }) };
}

export function* readLokiJson(body: Uint8Array): Generator<Posted> {
  const streams = new Map(membersOf(body)).get('streams');
  if (!streams) return yield { bytes: body, poison: 'not a push of Loki: it has no streams' };
  for (const stream of elementsOf(streams, 'streams'))
    if (stream.poison === undefined) yield* readJsonStream(stream.bytes);
    else yield stream;
}

function* readJsonStream(text: Uint8Array): Generator<Posted> {
  const members = new Map(membersOf(text));
  const labels = small(members.get('stream'));
  const values = members.get('values');
  if (!values) return yield { bytes: text, poison: 'a stream of Loki without values' };
  for (const value of elementsOf(values, 'values'))
    yield value.poison === undefined ? readJsonLine(value.bytes, labels) : value;
}

function readJsonLine(bytes: Uint8Array, labels: unknown): Posted {
  const value = small(bytes);
  if (!Array.isArray(value) || typeof value[1] !== 'string')
    return { bytes, poison: 'a value of Loki that is not ["<nanoseconds>", "<line>"]' };
  return postedOf(value[1], labels, value[2], value[0]);
}

function small(bytes: Uint8Array | undefined): unknown {
  return bytes && bytes.length < PART_SIZE_MAX ? parseJson(bytes) : undefined;
}

export function* readLokiProtobuf(body: Uint8Array): Generator<Posted> {
  try {
    for (const stream of messagesOf(decodeSnappy(Buffer.from(body)), 1)) {
      const labels = readLabels(textOf(lastOf(stream).get(1)) ?? '');
      for (const entry of messagesOf(stream, 2)) yield readEntry(entry, labels);
    }
  } catch (error) {
    yield { bytes: body, poison: `not a push of Loki as protobuf with Snappy: ${(error as Error).message}` };
  }
}

function readEntry(entry: Uint8Array, labels: unknown): Posted {
  const fields = lastOf(entry);
  const timestamp = fields.get(1);
  const time = timestamp instanceof Uint8Array ? lastOf(timestamp) : new Map<number, bigint>();
  const part = (number: number) => BigInt.asIntN(64, (time.get(number) as bigint | undefined) ?? 0n);
  const pairs = [...messagesOf(entry, 3)].map(lastOf);
  const metadata =
    pairs.length > 0
      ? objectOf(pairs.map(pair => [textOf(pair.get(1)) ?? '', textOf(pair.get(2)) ?? ''] as const))
      : undefined;
  return postedOf(textOf(fields.get(2)) ?? '', labels, metadata, part(1) * 1_000_000_000n + part(2));
}

/** Labels as Prometheus writes them: `{app="web", path="a\"b"}`. */
function readLabels(text: string): Record<string, unknown> {
  const pairs = text.matchAll(/([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*("(?:[^"\\]|\\.)*")/g);
  return objectOf([...pairs].map(([, name, quoted]) => [name!, unquoted(quoted!)] as const));
}

function unquoted(text: string): string {
  const value = parseJson(Buffer.from(text));
  return typeof value === 'string' ? value : text.slice(1, -1);
}
