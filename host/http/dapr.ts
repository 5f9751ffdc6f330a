// An input binding of Dapr: `POST /<name of the component>` with the bytes of one message. Its Content-Type is always
// application/json. What the component knows of the message is in headers: Kafka's has `__topic`, `__partition`, `__offset`
// and `__timestamp`. A message is named by these and its bytes: a topic that was created again has the same offsets again.

import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { readPlain } from './plain.ts';
import type { Posted } from './posted.ts';

export function isKafkaBinding(headers: IncomingHttpHeaders): boolean {
  return headers.__topic !== undefined && headers.__offset !== undefined;
}

export function* readKafkaBinding(body: Uint8Array, headers: IncomingHttpHeaders): Generator<Posted> {
  const { __topic: topic, __partition: partition, __offset: offset, __timestamp: timestamp } = headers;
  const place = [topic, partition, offset, timestamp].join('\0');
  const name = createHash('sha256').update(`${place}\0`).update(body).digest('hex').slice(0, 32);
  const timeMs = Number(timestamp ?? NaN);
  let index = 0;
  for (const posted of readPlain(body))
    yield { ...posted, ...(timeMs > 0 && { timeMs }), name: `${name}-${index++}` };
}
