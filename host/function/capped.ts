// What the rate cap suppressed is reported by an alert later; the log and the metrics say it at once.

import type { Log } from '../log.ts';
import type { Matcher, MatcherModule } from '../matcher.ts';
import type { Metrics } from './metrics.ts';

interface Parts {
  counter: Matcher;
  module: MatcherModule;
  metrics: Metrics;
  log: Log;
  /** Where the counter is, for the log. */
  at?: object;
}

/** Reports what is new since `before`, and returns the counts as of now, by rule. */
export function reportCapped({ counter, module, metrics, log, at }: Parts, before: number[]): number[] {
  const capped = counter.capped();
  capped.forEach((count, rule) => {
    const more = count - (before[rule] ?? 0);
    if (more <= 0) return;
    const alert = module.info.alerts[rule]!;
    metrics.capped.inc({ rule: alert }, more);
    log.warn(
      { ...at, rule: alert, alerts: more },
      'the rate cap suppressed alerts; the next alert of the rule says how many',
    );
  });
  return capped;
}
