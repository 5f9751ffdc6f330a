// Reads a topic without a group: a range of its time, for `earshot backtest`, or what comes, for `earshot tail`. Nothing is
// joined, nothing is committed: a reader is not seen by those who work on the topic.

import { UserError } from '../error.ts';
import type { FetchedPartition } from './cluster.ts';
import { isControl, piecesOf } from './records.ts';
import type { RecordBatch } from './records.ts';
import type { Reader } from './kafka.ts';
import type { Message, Position } from './source.ts';

const WAIT_MS = 500;
const OUT_OF_RANGE = 1;
const REFUSALS: Record<number, string> = {
  3: 'the topic is gone',
  29: 'this user may not read it (a Read right on the topic is needed, none on a group)',
};

/** Offsets of a partition, the end exclusive. */
export interface Range extends Position {
  end: number;
}

/** A message and its partition. */
export interface Placed {
  partition: number;
  message: Message;
}

/** The offsets of a time range; without `fromMs` from the first record on, without `toMs` up to the last of now. */
export async function rangeOf(
  reader: Reader,
  topic: string,
  fromMs: number | undefined,
  toMs: number | undefined,
): Promise<Range[]> {
  const bounds = await reader.bounds(topic);
  if (bounds === undefined)
    throw new UserError(`Kafka has no topic "${topic}" (is this user allowed to see it?)`);
  const from = fromMs === undefined ? undefined : await reader.offsetsAt(topic, fromMs);
  const to = toMs === undefined ? undefined : await reader.offsetsAt(topic, toMs);
  await reader.fetcher.partitionsOf(topic);
  return [...bounds].map(([partition, { low, high }]) => ({
    topic,
    partition,
    offset: Math.max(low, from?.get(partition) ?? low),
    end: Math.min(high, to?.get(partition) ?? high),
  }));
}

/** The end of every partition. */
export async function endOf(reader: Reader, topic: string): Promise<Range[]> {
  const all = await rangeOf(reader, topic, undefined, undefined);
  return all.map(range => ({ ...range, offset: range.end, end: Infinity }));
}

/** The messages of the ranges, those of all partitions in the order of their times. */
export async function* readRanges(reader: Reader, ranges: Range[]): AsyncGenerator<Placed> {
  const streams = ranges
    .filter(({ offset, end }) => offset < end)
    .map(range => ({ partition: range.partition, messages: messagesOf(reader, range) }));
  const heads = await Promise.all(
    streams.map(async stream => ({ ...stream, next: await stream.messages.next() })),
  );
  for (;;) {
    let first: (typeof heads)[number] | undefined;
    for (const head of heads)
      if (!head.next.done && (first === undefined || timeOf(head.next) < timeOf(first.next))) first = head;
    if (first === undefined) return;
    yield { partition: first.partition, message: first.next.value as Message };
    first.next = await first.messages.next();
  }
}

function timeOf({ value }: IteratorResult<Message, void>): number {
  return Number((value as Message).timestamp);
}

/** What comes from now on, a round of all partitions at a time, until `stop`. */
export async function* followRanges(
  reader: Reader,
  ranges: Range[],
  stop: AbortSignal,
): AsyncGenerator<Placed[]> {
  const places = ranges.map(range => ({ ...range }));
  while (!stop.aborted) {
    const rounds = await Promise.all(places.map(place => fetchPieces(reader, place)));
    const placed = rounds.flatMap((messages, index) =>
      (messages ?? []).map(message => ({ partition: places[index]!.partition, message })),
    );
    yield placed.sort((a, b) => Number(a.message.timestamp) - Number(b.message.timestamp));
  }
}

async function* messagesOf(reader: Reader, range: Range): AsyncGenerator<Message, void> {
  const place = { ...range };
  while (place.offset < place.end) {
    const messages = await fetchPieces(reader, place);
    if (messages === null) return;
    for (const message of messages) if (Number(message.offset) < range.end) yield message;
  }
}

/** The next messages of a partition, whose offset moves on; null: there are none before its end. */
async function fetchPieces(reader: Reader, place: Range): Promise<Message[] | null> {
  const fetched = await reader.fetcher.fetch(place, WAIT_MS);
  if (fetched === undefined) return [];
  if (fetched.errorCode === OUT_OF_RANGE) {
    // Retention was faster: what it left is read.
    place.offset = Math.max(place.offset, Number(fetched.lastStartOffset));
    if (Number(fetched.lastStartOffset) < 0) throw refusal(place, 'offset out of range');
    return [];
  }
  if (fetched.errorCode !== 0)
    throw refusal(place, REFUSALS[fetched.errorCode] ?? `the broker answers error ${fetched.errorCode}`);
  const batches = fetched.messages.map(({ batch }) => batch);
  const start = place.offset;
  const end = batches.reduce((last, batch) => Math.max(last, batch.lastOffset + 1), start);
  // Records of an open transaction are not there yet, and perhaps never.
  if (end === start) return place.end === Infinity ? [] : null;
  place.offset = end;
  const messages: Message[] = [];
  for await (const piece of piecesOf(committed(fetched), start, end)) messages.push(...piece.messages);
  return messages;
}

function refusal({ topic, partition }: Position, reason: string): UserError {
  return new UserError(`${topic}/${partition} cannot be read: ${reason}`);
}

const ABORT_KEY = Buffer.from([0, 0, 0, 0]);

/** Without the records of aborted transactions and without the markers of their ends. */
function committed({ messages, abortedTransactions }: FetchedPartition): RecordBatch[] {
  const waiting = [...(abortedTransactions ?? [])].sort((a, b) => Number(a.firstOffset) - Number(b.firstOffset)); // prettier-ignore
  const aborted = new Set<string>();
  const kept: RecordBatch[] = [];
  for (const { batch, key, batchContext } of messages) {
    while (waiting.length > 0 && Number(waiting[0]!.firstOffset) <= batch.lastOffset)
      aborted.add(waiting.shift()!.producerId);
    if (isControl(batch)) {
      if (key?.equals(ABORT_KEY)) aborted.delete(batchContext.producerId);
    } else if (!(batchContext.inTransaction && aborted.has(batchContext.producerId))) kept.push(batch);
  }
  return kept;
}
