// Runs the records of a test through a module, with a clock of its own: each record at its time, and between them a tick a
// second, as a counter has it, so that absences and what else waits for the time are due when they would be.
import type { Matcher, MatcherModule } from '../../matcher.ts';
import { ALERT, MARKS, rulesToExpect } from '../../matcher.ts';
import { alertsOf } from '../../body.ts';
import { timeParts } from '../runner.ts';
import type { Input, Test } from './tests-file.ts';

/** An alert, and when it was sent: milliseconds from the start of the test. */
export interface SentAlert {
  atMs: number;
  status: 'firing' | 'resolved';
  labels: Record<string, string>;
  annotations: Record<string, string>;
  fingerprint: string;
  /** The record that made it, or null: the time did. */
  input: Input | null;
}

const TICK_MS = 1000;
/** A longer gap, of weeks, is passed in longer steps. */
const TICKS_MAX = 1_000_000;

/** All alerts up to the last check, in the order in which they were sent. */
export async function simulate(module: MatcherModule, test: Test): Promise<SentAlert[]> {
  const matcher = await module.instantiate();
  const sent: SentAlert[] = [];
  const take = (atMs: number, input: Input | null) => {
    for (const bytes of alertsOf(Buffer.from(matcher.alert())))
      sent.push({ ...(JSON.parse(bytes.toString()) as Omit<SentAlert, 'atMs' | 'input'>), atMs, input });
  };
  expectAll(module, matcher, test.startMs);
  const end = Math.max(0, ...test.checks.map(({ evalMs }) => evalMs));
  let nowMs = 0;
  const pass = (untilMs: number) => {
    const step = TICK_MS * Math.ceil((untilMs - nowMs) / TICK_MS / TICKS_MAX);
    // Ticks are at whole seconds, as the times of tests are.
    while (nowMs < untilMs) {
      nowMs = Math.min(nowMs - (nowMs % TICK_MS) + step, untilMs);
      while (matcher.tick(...timeParts(test.startMs + nowMs)) === ALERT) take(nowMs, null);
    }
  };
  for (const input of test.inputs) {
    if (input.atMs > end) break;
    pass(input.atMs);
    const time = timeParts(test.startMs + input.atMs);
    const answer = input.isTimed
      ? matcher.matchAt(input.record, ...time)
      : matcher.matchWhole(input.record, ...time);
    if (answer === ALERT) take(nowMs, input);
  }
  pass(end);
  return sent;
}

/** As a counter does at its start. */
function expectAll({ info }: MatcherModule, matcher: Matcher, startMs: number): void {
  for (const rule of rulesToExpect(info))
    if (matcher.expect(rule, ...timeParts(startMs)) === MARKS) matcher.told();
}

/**
 * The alerts that are firing at a time: of each label set the last one that was sent by then, if it is not resolved. With
 * `sinceMs`, only those that were sent after it.
 */
export function firingAt(
  sent: SentAlert[],
  alertname: string,
  evalMs: number,
  sinceMs: number | undefined,
): SentAlert[] {
  const last = new Map<string, SentAlert>();
  for (const alert of sent) {
    if (alert.labels.alertname !== alertname || alert.atMs > evalMs) continue;
    if (sinceMs !== undefined && alert.atMs <= sinceMs) continue;
    // The map keeps the order of the last alerts.
    last.delete(alert.fingerprint);
    if (alert.status === 'firing') last.set(alert.fingerprint, alert);
  }
  return [...last.values()];
}
