// Posts through an output binding of Dapr: `POST /v1.0/bindings/<component>`. The component has the address and the
// credentials of the receiver. (Seen with daprd 1.14; the code of 1.18 reads the same.)
//
// - Dapr decodes the body and encodes it again: its keys are sorted, and numbers may change. All that an alert says is text,
//   so its meaning stays.
// - It answers 500 for whatever the receiver refused. The receiver's own status is in `Metadata.statuscode` only.
// - It has no timeout of its own, and takes 4 MiB: what is larger is 400, and goes in smaller parts.

import type { IncomingHttpHeaders } from 'undici/types/header.js';
import type { DaprOutput } from './sink.ts';

export interface Reply {
  status: number;
  retryAfter?: string;
  /** The status is Dapr's own: the receiver has seen nothing. */
  isOfDapr?: true;
}

export function bindingPath({ component }: DaprOutput): string {
  return `/v1.0/bindings/${encodeURIComponent(component)}`;
}

export function bindingHeaders({ token }: DaprOutput): Record<string, string> {
  return token === undefined ? {} : { 'dapr-api-token': token };
}

export function bindingBody({ operation }: DaprOutput, content: Uint8Array | string): Buffer {
  const head = `{"operation":${JSON.stringify(operation)},"metadata":{"Content-Type":"application/json"},"data":`;
  return Buffer.concat([Buffer.from(head), Buffer.from(content as string), Buffer.from('}')]);
}

/** What the receiver answered, as Dapr tells it. */
export function bindingReply(status: number, headers: IncomingHttpHeaders): Reply {
  const told = Number(headers['metadata.statuscode']);
  const retryAfter = (headers['metadata.retry-after'] ?? headers['retry-after'])?.toString();
  return Number.isInteger(told) && told >= 100 && told <= 599
    ? { status: told, retryAfter }
    : { status, retryAfter, isOfDapr: true };
}
