// What each rule costs: the time that a module with this rule alone needs for the sample, above a module whose one rule
// looks at nothing. In a module with all rules they share the reading of the record and the search for literals, so the
// shares say which rules are dear, and not what one would save.
import { compileRules } from '../../compiler/compile.ts';
import type { CompiledRuleset } from '../../compiler/compile.ts';
import type { RuleFile } from '../../compiler/model.ts';
import { parseRules } from '../../compiler/rules.ts';
import { loadModule } from '../../matcher.ts';
import { bakeModule } from '../rules-file.ts';

/** A module for each rule takes its time: above this many, the cost is left out. */
export const COST_RULES_MAX = 50;
const ROUNDS = 5;
const BASE = 'groups: [{name: b, rules: [{alert: b, match: {field: earshot_none, eq: x}, annotations: {message: x}}]}]'; // prettier-ignore

/** The share of each rule, which add up to 1; null when there is nothing to measure. */
export async function costShares(file: RuleFile, sample: Buffer[]): Promise<number[] | null> {
  if (file.rules.length > COST_RULES_MAX || file.rules.length < 2 || sample.length === 0) return null;
  const base = await timeOf(
    compileRules(
      parseRules(BASE, () => {}),
      () => {},
    )!,
    sample,
  );
  const times: number[] = [];
  for (const rule of file.rules) {
    const ruleset = compileRules({ ...file, rules: [rule] }, () => {});
    times.push(ruleset === null ? 0 : Math.max(0, (await timeOf(ruleset, sample)) - base));
  }
  const total = times.reduce((sum, time) => sum + time, 0);
  return total > 0 ? times.map(time => time / total) : null;
}

/** The quickest of a few rounds: others were disturbed. */
async function timeOf(ruleset: CompiledRuleset, sample: Buffer[]): Promise<number> {
  const matcher = await (await loadModule(await bakeModule(ruleset))).instantiate();
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = performance.now();
    for (const record of sample) matcher.find(record, 0, 0);
    best = Math.min(best, performance.now() - startedAt);
  }
  return best;
}
