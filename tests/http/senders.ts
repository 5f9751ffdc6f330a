// Requests as OpenTelemetry's and Loki's clients write them, for both encodings.

import { BinaryWriter } from '@bufbuild/protobuf/wire';

export interface OtlpLog {
  timeUnixNano?: bigint;
  observedTimeUnixNano?: bigint;
  severityNumber?: number;
  severityText?: string;
  body?: unknown;
  /** In protobuf only: the bytes of an AnyValue. */
  rawBody?: Uint8Array;
  attributes?: Record<string, unknown>;
  traceId?: string;
  spanId?: string;
  eventName?: string;
}

export interface OtlpRequest {
  resource: Record<string, unknown>;
  scope: { name: string; version: string };
  logs: OtlpLog[];
}

export function otlpJson({ resource, scope, logs }: OtlpRequest): string {
  const logRecords = logs.map(
    ({ body, attributes, timeUnixNano, observedTimeUnixNano, rawBody: _, ...rest }) => ({
      ...rest,
      ...(timeUnixNano && { timeUnixNano: String(timeUnixNano) }),
      ...(observedTimeUnixNano && { observedTimeUnixNano: String(observedTimeUnixNano) }),
      body: anyJson(body),
      ...(attributes && { attributes: pairsJson(attributes) }),
    }),
  );
  return JSON.stringify({
    resourceLogs: [{ resource: { attributes: pairsJson(resource) }, scopeLogs: [{ scope, logRecords }] }],
  });
}

function pairsJson(map: Record<string, unknown>): object[] {
  return Object.entries(map).map(([key, value]) => ({ key, value: anyJson(value) }));
}

function anyJson(value: unknown): object {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'bigint') return { intValue: String(value) };
  if (typeof value === 'number') return { doubleValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { arrayValue: { values: value.map(anyJson) } };
  return value ? { kvlistValue: { values: pairsJson(value as Record<string, unknown>) } } : {};
}

type Write = (writer: BinaryWriter) => BinaryWriter;
const message = (number: number, write: Write): Write => {
  return writer => write(writer.tag(number, 2).fork()).join();
};
const all =
  (...writes: Write[]): Write =>
  writer =>
    writes.reduce((to, write) => write(to), writer);

export function otlpProtobuf({ resource, scope, logs }: OtlpRequest): Uint8Array {
  const scoped = all(
    message(1, writer => writer.tag(1, 2).string(scope.name).tag(2, 2).string(scope.version)),
    ...logs.map(log => message(2, logWrite(log))),
  );
  const request = message(1, all(message(1, pairs(1, resource)), message(2, scoped)));
  return request(new BinaryWriter()).finish();
}

function logWrite(log: OtlpLog): Write {
  return writer => {
    if (log.timeUnixNano) writer.tag(1, 1).fixed64(log.timeUnixNano);
    if (log.severityNumber) writer.tag(2, 0).int32(log.severityNumber);
    if (log.severityText) writer.tag(3, 2).string(log.severityText);
    if (log.rawBody) writer.tag(5, 2).bytes(log.rawBody);
    else message(5, any(log.body))(writer);
    if (log.attributes) pairs(6, log.attributes)(writer);
    if (log.traceId) writer.tag(9, 2).bytes(Buffer.from(log.traceId, 'hex'));
    if (log.spanId) writer.tag(10, 2).bytes(Buffer.from(log.spanId, 'hex'));
    if (log.observedTimeUnixNano) writer.tag(11, 1).fixed64(log.observedTimeUnixNano);
    if (log.eventName) writer.tag(12, 2).string(log.eventName);
    return writer;
  };
}

function pairs(number: number, map: Record<string, unknown>): Write {
  return all(
    ...Object.entries(map).map(([key, value]) =>
      message(number, writer => message(2, any(value))(writer.tag(1, 2).string(key))),
    ),
  );
}

function any(value: unknown): Write {
  return writer => {
    if (typeof value === 'string') return writer.tag(1, 2).string(value);
    if (typeof value === 'boolean') return writer.tag(2, 0).bool(value);
    if (typeof value === 'bigint') return writer.tag(3, 0).int64(value);
    if (typeof value === 'number') return writer.tag(4, 1).double(value);
    if (Array.isArray(value)) return message(5, all(...value.map(item => message(1, any(item)))))(writer);
    return value ? message(6, pairs(1, value as Record<string, unknown>))(writer) : writer;
  };
}

export interface LokiEntry {
  timeMs: number;
  line: string;
  metadata?: Record<string, string>;
}

export function lokiProtobuf(labels: string, entries: LokiEntry[]): Uint8Array {
  const entry = ({ timeMs, line, metadata = {} }: LokiEntry): Write =>
    all(
      message(1, writer =>
        writer
          .tag(1, 0)
          .int64(Math.floor(timeMs / 1000))
          .tag(2, 0)
          .int32((timeMs % 1000) * 1_000_000),
      ),
      writer => writer.tag(2, 2).string(line),
      ...Object.entries(metadata).map(([name, value]) =>
        message(3, writer => writer.tag(1, 2).string(name).tag(2, 2).string(value)),
      ),
    );
  const stream = all(
    writer => writer.tag(1, 2).string(labels),
    ...entries.map(one => message(2, entry(one))),
  );
  return snappyBlock(message(1, stream)(new BinaryWriter()).finish());
}

/** A block of Snappy that compresses nothing: literals of up to 60 bytes. */
export function snappyBlock(bytes: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [new BinaryWriter().uint32(bytes.length).finish()];
  for (let at = 0; at < bytes.length; at += 60) {
    const part = bytes.subarray(at, at + 60);
    parts.push(Uint8Array.of((part.length - 1) << 2), part);
  }
  return Buffer.concat(parts);
}
