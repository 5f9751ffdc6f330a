// The HTTP door for records: they are matched here, and their hits go where those of `POST /hits` go. Its promise is the same:
// an answer of 200 says that every hit is kept, and that what is no record is a dead letter (or told, without Kafka).
//
// A record has the same hits, with the same ids, when its body comes again: they are counted once. So a body may be refused
// at any point. Its hits are kept part by part: a small body can have many.

import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import zlib from 'node:zlib';
import type { Delivered, Parcel, Streak } from './deliver.ts';
import { hitKey } from '../hit.ts';
import { POISON_MAX, poisonOf } from './hits.ts';
import type { Body } from '../http/body.ts';
import { formOf } from '../http/form.ts';
import type { Counts, Form } from '../http/form.ts';
import { LOKI_PATH } from '../http/loki.ts';
import { OTLP_PATH } from '../http/otlp.ts';
import type { Posted } from '../http/posted.ts';
import type { Answer, Route } from '../http/server.ts';
import type { Keeper } from './keeper.ts';
import { sampled } from '../log.ts';
import type { Log } from '../log.ts';
import { HIT, MALFORMED, NO_ALERT, linesOf } from '../matcher.ts';
import type { Matcher } from '../matcher.ts';
import type { Matching } from './matching.ts';
import type { Metrics } from './metrics.ts';
import type { Reception, Taken } from './reception.ts';
import type { Settings } from './settings.ts';
import type { Lease } from '../source/source.ts';

/** Of the records that are matched before anything else is done: some milliseconds of work. */
const SLICE_SIZE_MAX = 512 * 1024;
const SLICE_RECORDS_MAX = 2000;
/** The end of what was read of a body that goes on: where it was cut. */
const CUT_SIZE = 1024;
const DELIVERED: Delivered = { kind: 'delivered' };
/** What a record begins with that is a hit, sent to the wrong path. */
const HIT_ELEMENT = /^\{"(?:hits":\[\{")?key":"[0-9a-f]{16}","hit":"\{\\"earshot\\":/;

const KEY_START = 0x6b; // k
const HITS_START = 0x68; // h

interface Parts {
  settings: Settings;
  matching: Matching;
  keeper: Keeper;
  reception: Reception;
  metrics: Metrics;
  log: Log;
}

/** What a slice of records has, and what is to be kept of it. */
interface Findings {
  hits: Parcel[];
  poison: Parcel[];
}

export function recordRoutes({ settings, matching, keeper, reception, metrics, log }: Parts): Route[] {
  const streak: Streak = { failures: 0 };
  const refusals = sampled(fields => log.error(fields, 'an event is refused: its sender has a place for it'));

  async function answer(request: IncomingMessage): Promise<Answer> {
    const form = formOf(request.url!.split('?', 1)[0]!, request.headers);
    if (typeof form === 'string') return reception.refuse(form);
    return reception.take(request, `POST ${form.name}`, (body, lease) => takeBody(form, body, lease));
  }

  async function takeBody(form: Form, body: Body, lease: Lease): Promise<Taken> {
    const counts: Counts = { records: 0, hits: 0, poison: 0 };
    const isRefusing = form.hasDeadLetters && settings.poisonStatus !== 200;
    let why = '';
    for (const slice of slicesOf(form, body)) {
      if (counts.records > 0) await setImmediate();
      if (form.name === 'plain' && counts.records === 0 && isHit(slice[0]!))
        return reception.refuse('these are hits, not records: send them to /hits');
      const found = await match(slice, counts.records, body);
      counts.records += slice.length;
      counts.hits += found.hits.length;
      counts.poison += found.poison.length;
      why ||= found.poison[0]?.poison ?? '';
      if (isRefusing) found.poison = [];
      const kept = await keep(found, lease);
      if (kept.kind === 'held') return kept;
    }
    metrics.records.inc({ topic: lease.topic }, counts.records);
    if (counts.hits > 0) metrics.listenHits.inc(counts.hits);
    if (!isRefusing || counts.poison === 0) return form.accepted(counts);
    refusals.add(form.name, { why, status: settings.poisonStatus });
    return { status: settings.poisonStatus, text: why };
  }

  /** Hits first: they must not wait for a dead-letter topic that is not there. */
  async function keep({ hits, poison }: Findings, lease: Lease): Promise<Delivered> {
    // Nothing to keep: such a body need not wait for the sink.
    if (hits.length === 0 && poison.length === 0) return DELIVERED;
    if (!lease.live()) return { kind: 'held', pauseMs: 0 };
    const kept = await keeper.keep(hits, lease);
    return kept.kind === 'held' || poison.length === 0 ? kept : keeper.delivery.bury(poison, lease, streak);
  }

  async function match(slice: Posted[], start: number, body: Body): Promise<Findings> {
    const found: Findings = { hits: [], poison: [] };
    const nowMs = Date.now();
    let offset = start;
    await matching.forEach(
      slice,
      (matcher, posted) => {
        matchOne(matcher, posted, nowMs, offset, body, found);
        offset++;
      },
      (posted, why) => found.poison.push(poisonOf(posted.bytes, offset++, why)),
    );
    return found;
  }

  return [
    { method: 'POST', path: OTLP_PATH, answer },
    { method: 'POST', path: LOKI_PATH, answer },
    { method: 'POST', answer },
    // Dapr asks whether its binding is wanted; without an answer of 2xx it never sends anything.
    { method: 'OPTIONS', answer: () => ({ status: 200, text: '' }) },
  ];
}

function matchOne(
  matcher: Matcher,
  { bytes, timeMs, name, poison }: Posted,
  nowMs: number,
  offset: number,
  body: Body,
  found: Findings,
): void {
  if (poison !== undefined) {
    found.poison.push(poisonOf(bytes, offset, poison));
    return;
  }
  // What is ahead of the wall clock counts as now, as in Kafka.
  const at = timeMs === undefined || timeMs > nowMs ? nowMs : timeMs;
  const sec = Math.floor(at / 1000);
  const answer = matcher.find(bytes, sec, Math.round((at - sec * 1000) * 1_000_000));
  if (answer === NO_ALERT) return;
  const lines = answer === HIT ? matcher.hits(name ?? nameIn(body, offset, bytes)) : undefined;
  if (lines) for (const hit of linesOf(lines)) found.hits.push({ offset, key: hitKey(hit), bytes: hit });
  else {
    const why = answer === MALFORMED ? 'not a JSON object' : `too large: ${bytes.length} bytes`;
    found.poison.push(poisonOf(bytes, offset, why));
  }
}

/**
 * Names a record that has no name: by its bytes, its place, and the content of its whole body. The same body, sent again, has
 * the same records. A checksum will do for the body: it tells bodies apart that came by chance, and a cryptographic hash of
 * some megabytes would cost as much as matching them.
 */
function nameIn(body: Body, offset: number, record: Uint8Array): string {
  let sum = checksums.get(body);
  if (sum === undefined) checksums.set(body, (sum = `${body.bytes.length} ${checksum(body.bytes)}`));
  return createHash('sha256').update(`${sum} ${offset} `).update(record).digest('hex').slice(0, 32);
}

const checksums = new WeakMap<Body, string>();

/** Node has crc32 since 20.15. */
function checksum(bytes: Uint8Array): string {
  return zlib.crc32 ? String(zlib.crc32(bytes)) : createHash('sha1').update(bytes).digest('hex');
}

function isHit({ bytes }: Posted): boolean {
  if (bytes[2] !== KEY_START && bytes[2] !== HITS_START) return false;
  return HIT_ELEMENT.test(
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', 0, 100),
  );
}

/**
 * The records of a body, some at a time. After too many that are none, and where the body is cut, what is left is one that
 * is none.
 */
function* slicesOf(form: Form, { bytes, cut }: Body): Generator<Posted[]> {
  let slice: Posted[] = [];
  let size = 0;
  let poisonCount = 0;
  for (let posted of form.read(bytes)) {
    const isPoison = posted.poison !== undefined && ++poisonCount > POISON_MAX;
    if (isPoison)
      posted = { ...posted, poison: `the rest of a body with ${POISON_MAX} elements that are no records` };
    slice.push(posted);
    size += posted.bytes.length;
    if (isPoison) return yield slice;
    if (size < SLICE_SIZE_MAX && slice.length < SLICE_RECORDS_MAX) continue;
    yield slice;
    slice = [];
    size = 0;
  }
  if (cut !== undefined) slice.push({ bytes: bytes.slice(-CUT_SIZE), poison: `the rest of a body: ${cut}` });
  if (slice.length > 0) yield slice;
}
