// `earshot run --notify`: posts one body after the other and goes on when it was accepted (2xx). What may
// pass is tried again until the deadline; whatever else happens ends the run, so that nothing is lost in silence.
import { setTimeout as sleep } from 'node:timers/promises';
import { splitBody } from './body.ts';
import { UserError } from './error.ts';
import { openSink } from './sink/open.ts';
import { ALERTS_A_POST } from './sink/sink.ts';
import type { Fate } from './sink/sink.ts';

export const ENVELOPES = ['notification-manager', 'alertmanager'] as const;

export interface NotifyOptions {
  url: string;
  envelope: (typeof ENVELOPES)[number];
  /** How long one body is tried. */
  deadlineMs: number;
  stop: AbortSignal;
  /** Hears of each failure that is tried again. */
  onRetry(error: string, waitMs: number): void;
}

export interface Notifier {
  /** Throws a UserError when the body was not accepted. */
  send(body: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

const ALERTS_PATH = '/api/v2/alerts';
const ANSWER_TIMEOUT_MS = 10_000;
const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 10_000;

export async function openNotifier({
  url,
  envelope,
  deadlineMs,
  stop,
  onRetry,
}: NotifyOptions): Promise<Notifier> {
  const sinkUrl = sinkAddress(url);
  const address = new URL(sinkUrl.pathname.replace(/\/$/, '') + ALERTS_PATH, sinkUrl).href;
  const sink = await openSink({
    sink: envelope,
    sinkUrl,
    sinkTimeoutMs: Math.min(ANSWER_TIMEOUT_MS, deadlineMs),
    sinkConnections: 1,
    strict: false,
    alertHoldMs: 0,
  });
  return {
    async send(body) {
      for (const part of splitBody(body, ALERTS_A_POST)) await sendOne(part);
    },
    close: () => sink.close(),
  };

  async function sendOne(body: Uint8Array): Promise<void> {
    const endsAt = performance.now() + deadlineMs;
    for (let failures = 0; ; failures++) {
      const fate = await sink.send(body);
      if (fate.kind === 'accepted') return;
      if (fate.kind === 'refused' || fate.misconfigured)
        throw new UserError(`${address} refused an alert: ${fate.error}`);
      const waitMs = backoffMs(failures, fate);
      if (stop.aborted || performance.now() + waitMs > endsAt) throw gaveUp(fate.error);
      onRetry(fate.error, waitMs);
      await sleep(waitMs, undefined, { signal: stop }).catch(() => {});
    }
  }

  function gaveUp(error: string): UserError {
    const when = stop.aborted ? 'when interrupted' : `within ${deadlineMs / 1000} s`;
    return new UserError(`${address} did not take an alert ${when}: ${error}`);
  }
}

function backoffMs(failures: number, { retryAfterMs = 0 }: Extract<Fate, { kind: 'retry' }>): number {
  const capMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(failures, 20));
  return Math.max(retryAfterMs, capMs * (0.5 + Math.random() / 2));
}

/** The sink adds its path; someone who gave it in full meant the same. */
function sinkAddress(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new UserError(`--notify "${text}" is not an http:// or https:// address`, 2);
  }
  if (url.username || url.password) throw new UserError('--notify cannot hold a user or password', 2);
  url.pathname = url.pathname.replace(/\/api\/v2\/alerts\/?$/, '/');
  return url;
}
