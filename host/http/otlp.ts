// OTLP/HTTP logs: `POST /v1/logs`, as JSON or as protobuf (opentelemetry-proto v1, collector/logs/v1/logs_service.proto). A log
// record becomes one record, with the names of OTLP's own proto:
//
//   {"body":"disk full","severity_text":"ERROR","severity_number":17,"attributes":{"code":7},
//    "resource":{"attributes":{"k8s.namespace.name":"demo"}},"scope":{"name":"app"},"trace_id":"5b8e…","span_id":"eee1…"}
//
// A body that is a map has its members as fields: `body.status`. Both encodings are read as what JSON has: a map of fields by
// name. The times are the event's.

import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { membersOf, parseJson } from '../json.ts';
import { elementsOf, jsonOf, objectOf, timeOfNanoseconds } from './posted.ts';
import type { Posted } from './posted.ts';
import { doubleOf, fieldsOf, lastOf, messagesOf, textOf } from './protobuf.ts';
import type { FieldValue } from './protobuf.ts';

export const OTLP_PATH = '/v1/logs';
/** Values within values: of an attribute, or of a body that is a map. */
const LEVELS_MAX = 64;
/** A log record as JSON; texts of many small values cost memory to parse. */
const LOG_SIZE_MAX = 4 * 1024 * 1024;

interface Log {
  timeUnixNano?: unknown;
  observedTimeUnixNano?: unknown;
  severityNumber?: unknown;
  severityText?: unknown;
  body?: unknown;
  attributes?: unknown;
  traceId?: unknown;
  spanId?: unknown;
  eventName?: unknown;
}

function postedOf(log: Log, resource: unknown, scope: unknown): Posted {
  const record = {
    body: log.body,
    severity_text: log.severityText || undefined,
    severity_number: log.severityNumber || undefined,
    event_name: log.eventName || undefined,
    attributes: log.attributes,
    resource,
    scope,
    trace_id: log.traceId || undefined,
    span_id: log.spanId || undefined,
  };
  const timeMs = timeOfNanoseconds(log.timeUnixNano) ?? timeOfNanoseconds(log.observedTimeUnixNano);
  return { bytes: Buffer.from(jsonOf(record)), ...(timeMs !== undefined && { timeMs }) };
}

/** The answer that OTLP wants: what was rejected will never be accepted, and the sender must not send it again. */
export function otlpAnswer(rejected: number, isJson: boolean): { text: string | Uint8Array; type: string } {
  const why = `${rejected} log records could not be read`;
  if (isJson) {
    const partial = { partialSuccess: { rejectedLogRecords: String(rejected), errorMessage: why } };
    return { text: rejected > 0 ? JSON.stringify(partial) : '{}', type: 'application/json' };
  }
  const writer = new BinaryWriter();
  if (rejected > 0) writer.tag(1, 2).fork().tag(1, 0).int64(rejected).tag(2, 2).string(why).join();
  return { text: writer.finish(), type: 'application/x-protobuf' };
}

// JSON

export function* readOtlpJson(body: Uint8Array): Generator<Posted> {
  const logs = member(body, 'resourceLogs', 'resource_logs');
  if (!logs) return yield* unlessEmpty(body);
  for (const resourceLog of elementsOf(logs, 'resourceLogs'))
    if (resourceLog.poison === undefined) yield* readResourceLog(resourceLog.bytes);
    else yield resourceLog;
}

function* readResourceLog(text: Uint8Array): Generator<Posted> {
  const resource = attributesWithin(member(text, 'resource'));
  for (const scopeLog of elementsOf(member(text, 'scopeLogs', 'scope_logs'), 'scopeLogs'))
    if (scopeLog.poison === undefined) yield* readScopeLog(scopeLog.bytes, resource);
    else yield scopeLog;
}

function* readScopeLog(text: Uint8Array, resource: unknown): Generator<Posted> {
  const scope = scopeOf(member(text, 'scope'));
  for (const log of elementsOf(member(text, 'logRecords', 'log_records'), 'logRecords'))
    yield log.poison === undefined ? readJsonLog(log.bytes, resource, scope) : log;
}

/** `{}` is a request without logs. */
function* unlessEmpty(body: Uint8Array): Generator<Posted> {
  const parsed = body.length < LOG_SIZE_MAX ? parseJson(body) : undefined;
  if (JSON.stringify(parsed) !== '{}')
    yield { bytes: body, poison: 'not a request of OTLP: it has no resourceLogs' };
}

function readJsonLog(bytes: Uint8Array, resource: unknown, scope: unknown): Posted {
  if (bytes.length > LOG_SIZE_MAX) return { bytes, poison: `a log record of ${bytes.length} bytes` };
  const log = parseJson(bytes) as Record<string, unknown> | undefined;
  if (typeof log !== 'object' || log === null) return { bytes, poison: 'not a log record of OTLP' };
  const one = (name: string, other: string) => log[name] ?? log[other];
  try {
    return postedOf(
      {
        timeUnixNano: one('timeUnixNano', 'time_unix_nano'),
        observedTimeUnixNano: one('observedTimeUnixNano', 'observed_time_unix_nano'),
        severityNumber: one('severityNumber', 'severity_number'),
        severityText: one('severityText', 'severity_text'),
        body: jsonValue(log.body),
        attributes: jsonAttributes(log.attributes),
        traceId: one('traceId', 'trace_id'),
        spanId: one('spanId', 'span_id'),
        eventName: one('eventName', 'event_name'),
      },
      resource,
      scope,
    );
  } catch (error) {
    return { bytes, poison: `not a log record of OTLP: ${(error as Error).message}` };
  }
}

function member(text: Uint8Array | undefined, ...names: string[]): Uint8Array | undefined {
  if (text) for (const [name, value] of membersOf(text)) if (names.includes(name)) return value;
  return undefined;
}

function attributesWithin(resource: Uint8Array | undefined): unknown {
  const text = member(resource, 'attributes');
  return text && text.length < LOG_SIZE_MAX ? { attributes: jsonAttributes(parseJson(text)) } : undefined;
}

function scopeOf(text: Uint8Array | undefined): unknown {
  const scope = text && text.length < LOG_SIZE_MAX ? (parseJson(text) as Record<string, unknown>) : undefined;
  if (!scope) return undefined;
  const { name, version, attributes } = scope;
  return { name, version, attributes: jsonAttributes(attributes) };
}

function jsonAttributes(list: unknown, level = 0): Record<string, unknown> | undefined {
  if (!Array.isArray(list)) return undefined;
  return objectOf(list.map(one => [String(one?.key), jsonValue(one?.value, level)] as const));
}

/** An AnyValue: an object with one member that says its type. */
function jsonValue(value: unknown, level = 0): unknown {
  checkLevel(level);
  const any = (value ?? {}) as Record<string, any>;
  const one = (name: string, other: string) => any[name] ?? any[other];
  const integer = one('intValue', 'int_value');
  if (integer !== undefined) return BigInt(integer);
  const array = one('arrayValue', 'array_value');
  if (array) return list(array.values).map(item => jsonValue(item, level + 1));
  const map = one('kvlistValue', 'kvlist_value');
  if (map) return jsonAttributes(list(map.values), level + 1);
  return (
    one('stringValue', 'string_value') ??
    one('boolValue', 'bool_value') ??
    one('doubleValue', 'double_value') ??
    one('bytesValue', 'bytes_value')
  );
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function checkLevel(level: number): void {
  if (level > LEVELS_MAX) throw new Error(`more than ${LEVELS_MAX} levels`);
}

// Protobuf: the numbers are those of logs.proto, common.proto and resource.proto.

export function* readOtlpProtobuf(body: Uint8Array): Generator<Posted> {
  try {
    for (const resourceLog of messagesOf(body, 1)) {
      const resource = first(messagesOf(resourceLog, 1), attributesIn(1));
      for (const scopeLog of messagesOf(resourceLog, 2)) {
        const scope = first(messagesOf(scopeLog, 1), readScope);
        for (const log of messagesOf(scopeLog, 2)) yield readLog(log, resource, scope);
      }
    }
  } catch (error) {
    yield { bytes: body, poison: `not a request of OTLP as protobuf: ${(error as Error).message}` };
  }
}

function first<T>(messages: Iterable<Uint8Array>, read: (message: Uint8Array) => T): T | undefined {
  for (const message of messages) return read(message);
  return undefined;
}

function attributesIn(field: number) {
  return (message: Uint8Array) => ({ attributes: readAttributes(message, field) });
}

function readScope(message: Uint8Array): unknown {
  const fields = lastOf(message);
  return {
    name: textOf(fields.get(1)),
    version: textOf(fields.get(2)),
    attributes: readAttributes(message, 3),
  };
}

function readLog(message: Uint8Array, resource: unknown, scope: unknown): Posted {
  const fields = lastOf(message);
  const body = fields.get(5);
  return postedOf(
    {
      timeUnixNano: fields.get(1),
      severityNumber: fields.get(2),
      severityText: textOf(fields.get(3)),
      body: body instanceof Uint8Array ? readValue(body) : undefined,
      attributes: readAttributes(message, 6),
      traceId: hexOf(fields.get(9)),
      spanId: hexOf(fields.get(10)),
      observedTimeUnixNano: fields.get(11),
      eventName: textOf(fields.get(12)),
    },
    resource,
    scope,
  );
}

function hexOf(value: FieldValue | undefined): string | undefined {
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : undefined;
}

/** The KeyValue messages of a field; undefined when there are none. */
function readAttributes(message: Uint8Array, field: number, level = 0): Record<string, unknown> | undefined {
  const entries: [string, unknown][] = [];
  for (const pair of messagesOf(message, field)) {
    const fields = lastOf(pair);
    const value = fields.get(2);
    entries.push([
      textOf(fields.get(1)) ?? '',
      value instanceof Uint8Array ? readValue(value, level) : undefined,
    ]);
  }
  return entries.length > 0 ? objectOf(entries) : undefined;
}

function readValue(message: Uint8Array, level = 0): unknown {
  checkLevel(level);
  for (const [number, value] of fieldsOf(message)) {
    if (value instanceof Uint8Array) {
      if (number === 1) return textOf(value);
      if (number === 5) return [...messagesOf(value, 1)].map(item => readValue(item, level + 1));
      if (number === 6) return readAttributes(value, 1, level + 1) ?? {};
      if (number === 7) return Buffer.from(value).toString('base64');
    } else {
      if (number === 2) return value !== 0n;
      if (number === 3) return value;
      if (number === 4) return doubleOf(value);
    }
  }
  return undefined;
}
