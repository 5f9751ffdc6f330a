// One matcher for all that matches in this process: nothing of a record stays in it. A matcher that traps may be broken in
// any way, so a fresh one takes over after the record.

import type { Matcher, MatcherModule } from '../matcher.ts';
import type { Metrics } from './metrics.ts';

export interface Matching {
  /** Calls `each` with every item. When the matcher traps, `broken` is called for the item instead. */
  forEach<T>(
    items: readonly T[],
    each: (matcher: Matcher, item: T) => void,
    broken: (item: T, why: string) => void,
  ): Promise<void>;
}

export async function openMatching(module: MatcherModule, metrics: Metrics): Promise<Matching> {
  let matcher = await module.instantiate();
  /** While a fresh matcher is made. */
  let renewing: Promise<void> | undefined;
  const past = module.info.alerts.map(() => 0);
  const matches = () => matcher.matches().map((count, rule) => count + past[rule]!);
  metrics.countMatchesBy(() => matches().map((count, rule) => ({ rule: module.info.alerts[rule]!, count })));

  async function renew(): Promise<void> {
    matches().forEach((count, rule) => (past[rule] = count));
    matcher = await module.instantiate();
    renewing = undefined;
  }

  return {
    async forEach(items, each, broken) {
      for (let at = 0; at < items.length; at++) {
        await renewing;
        try {
          for (; at < items.length; at++) each(matcher, items[at]!);
        } catch (error) {
          if (!(error instanceof WebAssembly.RuntimeError)) throw error;
          metrics.traps.inc();
          broken(items[at]!, `the matcher broke: ${error.message}`);
          await (renewing = renew());
        }
      }
    },
  };
}
