// Why a rule never matched: of the sampled records, the test that failed last for most.
import { answersTo, showMiss, spanKey } from '../misses.ts';
import type { StepAnswer } from '../misses.ts';
import { nearestMiss } from '../explain.ts';
import type { Explainer } from '../explain.ts';

export interface NeverMatched {
  alert: string;
  /** Records that failed at this test last, of all that were looked at. */
  failedCount: number;
  recordCount: number;
  /** The test and what it found, as `explain` has it; empty when no record was looked at. */
  test: string;
}

export function whyNever(explainer: Explainer, rules: number[], sample: Buffer[]): NeverMatched[] {
  const found = rules.map(() => new Map<string, { count: number; test: string }>());
  const wanted = new Map(rules.map((rule, index) => [rule, index]));
  for (const record of rules.length === 0 ? [] : sample) {
    const byRule = new Map(rules.map(rule => [rule, [] as StepAnswer[]]));
    for (const answer of answersTo(explainer, record, rule => wanted.has(rule)) ?? [])
      byRule.get(answer.rule)!.push(answer);
    for (const [rule, index] of wanted) {
      const miss = nearestMiss(byRule.get(rule)!);
      const test = miss?.asked.at(-1)?.test;
      if (!miss || !test) continue;
      const key = spanKey(test.span);
      const known = found[index]!.get(key);
      if (known) known.count++;
      else found[index]!.set(key, { count: 1, test: showMiss(explainer, miss, record).trim() });
    }
  }
  return rules.map((rule, index) => {
    const [most] = [...found[index]!.values()].sort((a, b) => b.count - a.count);
    return {
      alert: explainer.rules.file.rules[rule]!.alert,
      failedCount: most?.count ?? 0,
      recordCount: sample.length,
      test: most?.test ?? '',
    };
  });
}
