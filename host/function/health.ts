// /healthz, /readyz and /metrics. Healthy means that Kafka has recently answered a heartbeat, and accepted a commit if
// there was something to commit. A sink that is down is no reason for a restart; a consumer that has died, or whose
// commits are all refused, is one.

import type { Registry } from 'prom-client';
import type { Answer, Route } from '../http/server.ts';

export interface Probes {
  /** A reason not to be healthy or ready, or undefined. */
  unhealthy(): string | undefined;
  unready(): string | undefined;
}

export function healthRoutes(probes: Probes, registry: Registry): Route[] {
  const probe = (reason: string | undefined): Answer => ({
    status: reason ? 503 : 200,
    text: reason ?? 'ok',
  });
  return [
    { path: '/healthz', answer: () => probe(probes.unhealthy()) },
    { path: '/readyz', answer: () => probe(probes.unready()) },
    {
      path: '/metrics',
      answer: async () => ({
        status: 200,
        text: (await registry.metrics()).trimEnd(),
        headers: { 'content-type': registry.contentType },
      }),
    },
  ];
}
