// CloudEvents 1.0 by HTTP, in their three modes: binary (the attributes are headers, the body is the record; KafkaSource sends
// these, and mostly without a Content-Type), structured (one JSON object) and batch (an array of them).
//
// An event is named by `source` and `id`. Its data is in the name, too: a topic that was created again has the same ids again.

import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { membersOf, parseJson, valuesOf } from '../json.ts';
import { readPlain } from './plain.ts';
import type { Posted } from './posted.ts';

/** The attributes that are read here. */
interface Attributes {
  id?: string;
  source?: string;
  time?: string;
}

export function readBinary(body: Uint8Array, headers: IncomingHttpHeaders): Generator<Posted> {
  const attribute = (name: string) => headers[`ce-${name}`] as string | undefined;
  const attributes = { id: attribute('id'), source: attribute('source'), time: attribute('time') };
  return recordsOf(body, attributes, headers['content-type']);
}

/** One event, or an array of them. */
export function* readStructured(body: Uint8Array): Generator<Posted> {
  const values = valuesOf(body);
  let next = values.next();
  for (; !next.done; next = values.next()) yield* readEvent(next.value);
  if (next.value) yield { bytes: next.value, poison: 'not a CloudEvent, or one without its end' };
}

function* readEvent(event: Uint8Array): Generator<Posted> {
  const members = new Map(membersOf(event));
  const text = (name: string) => {
    const value = members.get(name);
    const parsed = value && parseJson(value);
    return typeof parsed === 'string' ? parsed : undefined;
  };
  if (text('specversion') === undefined)
    return yield { bytes: event, poison: 'a CloudEvent without specversion' };
  const attributes = { id: text('id'), source: text('source'), time: text('time') };
  const encoded = text('data_base64');
  const data = members.get('data');
  // A record within a string is one whose content type was not JSON.
  const record =
    encoded !== undefined ? Buffer.from(encoded, 'base64') : Buffer.from(text('data') ?? data ?? '');
  if (record.length === 0) return yield { bytes: event, poison: 'a CloudEvent without data' };
  yield* recordsOf(record, attributes, text('datacontenttype'));
}

/** The data of an event is one record, or several. */
function* recordsOf(data: Uint8Array, attributes: Attributes, contentType?: string): Generator<Posted> {
  const { id, source = '', time } = attributes;
  const timeMs = time === undefined ? NaN : Date.parse(time);
  const name =
    id === undefined
      ? undefined
      : createHash('sha256').update(`${source}\0${id}\0`).update(data).digest('hex').slice(0, 32);
  let index = 0;
  for (const posted of readPlain(data, contentType))
    yield {
      ...posted,
      ...(!Number.isNaN(timeMs) && { timeMs }),
      ...(name !== undefined && { name: `${name}-${index++}` }),
    };
}
