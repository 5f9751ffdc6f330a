// Which form the records of a request have. Its path and its headers say it:
//
//   /v1/logs                     OTLP, as JSON or protobuf
//   /loki/api/v1/push            Loki, as JSON or protobuf
//   any other, with ce-… or application/cloudevents…     CloudEvents: Knative
//   any other, with __topic and __offset                 a binding of Dapr for Kafka
//   any other                                            plain records
//
// The path of a binding of Dapr is the name of its component, which OpenFunction makes up, and Knative's is `/`.

import type { IncomingHttpHeaders } from 'node:http';
import { readBinary, readStructured } from './cloud-event.ts';
import { isKafkaBinding, readKafkaBinding } from './dapr.ts';
import { LOKI_PATH, readLokiJson, readLokiProtobuf } from './loki.ts';
import { OTLP_PATH, otlpAnswer, readOtlpJson, readOtlpProtobuf } from './otlp.ts';
import { readPlain } from './plain.ts';
import type { Posted } from './posted.ts';
import type { Answer } from './server.ts';

export interface Form {
  /** For the log, the metrics and dead letters. */
  name: 'plain' | 'dapr' | 'cloudevents' | 'otlp' | 'loki';
  read(body: Uint8Array): Iterable<Posted>;
  /** What the sender wants to hear when everything is kept. */
  accepted(counts: Counts): Answer;
  /** Its sender can put what is no record elsewhere, when it is told. */
  hasDeadLetters?: true;
}

export interface Counts {
  records: number;
  hits: number;
  poison: number;
}

const NOTHING = { status: 200, text: '' };
const JSON_TYPE = /^application\/json\b/;
const PROTOBUF_TYPE = /^application\/(?:x-)?protobuf\b/;
const EVENT_TYPE = /^application\/cloudevents/;
const EVENT_JSON_TYPE = /^application\/cloudevents(?:-batch)?\+json\b/;

/** The form; a sentence when a person has to change something first. */
export function formOf(path: string, headers: IncomingHttpHeaders): Form | string {
  const type = (headers['content-type'] ?? '').toLowerCase();
  if (path === OTLP_PATH) return otlp(type);
  if (path === LOKI_PATH) return loki(type);
  if (headers['ce-specversion'] !== undefined) return cloudEvents(body => readBinary(body, headers));
  if (EVENT_JSON_TYPE.test(type)) return cloudEvents(readStructured);
  if (EVENT_TYPE.test(type))
    return `the content-type ${type} is not read here: send CloudEvents as JSON, or binary`;
  if (isKafkaBinding(headers))
    return { name: 'dapr', read: body => readKafkaBinding(body, headers), accepted: () => NOTHING };
  return {
    name: 'plain',
    read: body => readPlain(body, type),
    accepted: ({ records, hits, poison }) => ({
      status: 200,
      text: `${records} records, ${hits} hits, ${poison} others`,
    }),
  };
}

/** Knative's dispatcher takes an answer with a body for an event, and sends the record again when it is none. */
function cloudEvents(read: Form['read']): Form {
  return { name: 'cloudevents', read, accepted: () => NOTHING, hasDeadLetters: true };
}

function otlp(type: string): Form | string {
  const isJson = JSON_TYPE.test(type);
  if (!isJson && !PROTOBUF_TYPE.test(type)) return wrongType(OTLP_PATH, type);
  return {
    name: 'otlp',
    read: isJson ? readOtlpJson : readOtlpProtobuf,
    accepted({ poison }) {
      const { text, type } = otlpAnswer(poison, isJson);
      return { status: 200, text, headers: { 'content-type': type } };
    },
  };
}

function loki(type: string): Form | string {
  const isJson = JSON_TYPE.test(type);
  if (!isJson && !PROTOBUF_TYPE.test(type)) return wrongType(LOKI_PATH, type);
  return {
    name: 'loki',
    read: isJson ? readLokiJson : readLokiProtobuf,
    accepted: () => ({ status: 204, text: '' }),
  };
}

function wrongType(path: string, type: string): string {
  const found = type === '' ? 'there is no content-type' : `the content-type ${type} is not read at ${path}`;
  return `${found}: send application/json or application/x-protobuf`;
}
