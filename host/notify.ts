// `earshot run --notify`: posts the bodies in order, each when the one before was accepted (2xx). A failure that may
// pass is tried again until the deadline. Any other failure ends the run, so that nothing is lost in silence.

import { setTimeout as sleep } from 'node:timers/promises';
import { splitBody } from './body.ts';
import { UserError } from './error.ts';
import { readAddress } from './sink/address.ts';
import type { HoldOf } from './sink/hold.ts';
import { openSink } from './sink/open.ts';
import { ALERTS_A_POST } from './sink/sink.ts';
import type { Fate } from './sink/sink.ts';

export const ENVELOPES = ['notification-manager', 'alertmanager'] as const;

export interface NotifyOptions {
  url: URL;
  envelope: (typeof ENVELOPES)[number];
  /** How long one body is tried. */
  deadlineMs: number;
  /** Alertmanager: how long an alert lasts. `alertHoldMs` is for every alert, in place of `holdOf`. */
  holdOf: HoldOf;
  alertHoldMs?: number;
  stop: AbortSignal;
  /** Called for each failure that is tried again. */
  onRetry(error: string, waitMs: number): void;
}

export interface Notifier {
  /** Throws a UserError when the body was not accepted. */
  send(body: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

const ALERTS_PATH = '/api/v2/alerts';
export const ANSWER_TIMEOUT_MS = 10_000;
const NO_CREDENTIALS =
  '`earshot run` has no credentials; post to a proxy on this machine that adds them, or use `earshot function`';
const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 10_000;

/** The address of a sink, as `--notify` has it. Throws a UserError. */
export function readNotifyAddress(text: string): URL {
  try {
    return readAddress(text, { password: NO_CREDENTIALS, token: NO_CREDENTIALS });
  } catch (error) {
    const shown = /[@?#]/.test(text) ? '' : ` "${text}"`; // Not what may hold a secret.
    throw new UserError(`--notify${shown} ${(error as Error).message}`, 2);
  }
}

export async function openNotifier(options: NotifyOptions): Promise<Notifier> {
  const { url, deadlineMs, stop, onRetry } = options;
  const address = new URL(url.pathname.replace(/\/$/, '') + ALERTS_PATH, url).href;
  const sink = await openSink(
    {
      sink: options.envelope,
      sinkUrl: url,
      sinkTimeoutMs: Math.min(ANSWER_TIMEOUT_MS, deadlineMs),
      sinkConnections: 1,
      strict: false,
      alertHoldMs: options.alertHoldMs,
    },
    options.holdOf,
  );
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
        throw new UserError(`${address} refused an alert: ${fate.error}${otherEnvelope(fate.error)}`);
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

/** Both sinks have the same path, and each says in Go's words that the other's envelope is of a wrong type. */
function otherEnvelope(error: string): string {
  const other = /PostableAlerts/.test(error)
    ? 'alertmanager'
    : /cannot unmarshal array into .*(?:template\.)?Data/.test(error)
      ? 'notification-manager'
      : undefined;
  return other === undefined ? '' : `\nThis is ${SINK_NAMES[other]}: use --envelope ${other}`;
}

const SINK_NAMES = { alertmanager: 'an Alertmanager', 'notification-manager': 'a Notification Manager' };

function backoffMs(failures: number, { retryAfterMs = 0 }: Extract<Fate, { kind: 'retry' }>): number {
  const capMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(failures, 20));
  return Math.max(retryAfterMs, capMs * (0.5 + Math.random() / 2));
}
