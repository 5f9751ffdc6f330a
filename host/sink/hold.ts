// How long an alert lasts at a sink that ends it when it hears nothing more of it, as Alertmanager does.

/** The part of a rule that decides it. */
export interface HoldRule {
  alert: string;
  /** The next alert of the same labels comes this much later, at the earliest. */
  realertMs: number;
  /** Earshot itself reports the end of its alerts. */
  resolves: boolean;
  /** So long after the last match. */
  resolveAfterMs?: number;
}

/** Milliseconds from the post of an alert with this `alertname` to its end. */
export type HoldOf = (alertname: string) => number;

/**
 * What may pass between the end of the cool-down and the next post of an alert that goes on: the wait for the next
 * match, and the lag of Kafka and of the sink. It is also more than group_wait and group_interval (30 s and 5 min by
 * default): Alertmanager never reports an alert that ends before its group's turn.
 */
const MARGIN_MS = 600_000;

/** A year: as good as no end, and a date that every sink can read. */
export const HOLD_MAX_MS = 365 * 86_400_000;

export function holdsOf(rules: readonly HoldRule[]): HoldOf {
  const holds = new Map<string, number>();
  for (const { alert, realertMs, resolves, resolveAfterMs } of rules) {
    // Earshot itself ends an absence; until then nothing else may. What it ends a time after the last match comes again
    // before that, when its cool-down is over.
    const isAbsence = resolves && resolveAfterMs === undefined;
    const holdMs = isAbsence
      ? HOLD_MAX_MS
      : Math.min(realertMs + (resolveAfterMs ?? 0) + MARGIN_MS, HOLD_MAX_MS);
    // Rules can share a name. An alert that lasts too long is better than one that ends too early.
    holds.set(alert, Math.max(holdMs, holds.get(alert) ?? 0));
  }
  return alertname => holds.get(alertname) ?? MARGIN_MS;
}
