// Where the alerts of `run` and `tail` go: to a stream, as JSON for programs or as text for people, or to a sink.
import { once } from 'node:events';
import { alertName, alertsOf } from '../body.ts';
import type { MatcherModule } from '../matcher.ts';
import { openNotifier } from '../notify.ts';
import type { Notifier, NotifyOptions } from '../notify.ts';
import { alertText } from './alert-text.ts';
import type { Io } from './command.ts';
import { matchedText } from './spans.ts';
import { paintFor } from './style.ts';

export interface AlertOutput {
  /** A body as it is sent: a copy. `record` is the one that made the alert; null: the time did. */
  form(body: Uint8Array, record: Uint8Array | null): Uint8Array;
  /** Throws a UserError when a body cannot be delivered. `onDelivered` is called for each that is. */
  send(bodies: Uint8Array[], onDelivered: (index: number) => void): Promise<void>;
  /** True when nobody reads the output any more. */
  isClosed(): boolean;
  close(): Promise<void>;
}

const NEWLINE = Buffer.from('\n');

/** One body a line, for programs. */
export function jsonOutput(stream: NodeJS.WriteStream): AlertOutput {
  return streamOutput(stream, body => Buffer.concat([body, NEWLINE]));
}

/** For people. */
export async function textOutput(module: MatcherModule, { stdout, env }: Io): Promise<AlertOutput> {
  const doors = await module.doors();
  const paint = paintFor(stdout, env);
  const rulesOf = (name: string) => module.info.alerts.flatMap((one, rule) => (one === name ? [rule] : []));
  return streamOutput(stdout, (body, record) => {
    const lines = alertsOf(body).map(alert => {
      const matched = record && matchedText(doors, rulesOf(alertName(alert)), record);
      return alertText(alert, matched, paint, stdout.columns);
    });
    return Buffer.from(lines.join(''));
  });
}

function streamOutput(stream: NodeJS.WriteStream, form: AlertOutput['form']): AlertOutput {
  let closed = false;
  stream.once('error', () => (closed = true));
  return {
    form,
    async send(bodies, onDelivered) {
      const isTaken = closed || stream.write(Buffer.concat(bodies));
      // An error is `closed`.
      if (!isTaken) await once(stream, 'drain').catch(() => {});
      for (const index of bodies.keys()) onDelivered(index);
    },
    isClosed: () => closed,
    async close() {},
  };
}

export async function notifierOutput(options: Omit<NotifyOptions, 'onRetry'>, io: Io): Promise<AlertOutput> {
  const notifier: Notifier = await openNotifier({
    ...options,
    onRetry(error, waitMs) {
      io.stderr.write(
        `earshot: an alert is not accepted yet: ${error}; trying again in ${(waitMs / 1000).toFixed(1)} s\n`,
      );
    },
  });
  return {
    form: body => Buffer.from(body),
    async send(bodies, onDelivered) {
      for (const [index, body] of bodies.entries()) {
        await notifier.send(body);
        onDelivered(index);
      }
    },
    isClosed: () => false,
    close: () => notifier.close(),
  };
}
