// The tests that stand in rules, run against the module: does the rule match the record, and with which labels and
// annotations? Counting is left out: one record is one match. Files of tests have time (simulate.ts).
import type { Rule, RuleTest } from '../../compiler/model.ts';
import { formatCount, quote } from '../../error.ts';
import type { Problem } from '../../error.ts';
import { HIT, loadModule } from '../../matcher.ts';
import { nearestMiss } from '../explain.ts';
import type { Explainer } from '../explain.ts';
import { answersTo, openExplainer, showMiss } from '../misses.ts';
import type { RulesFile } from '../rules-file.ts';
import { bakeModule } from '../rules-file.ts';
import type { Coverage } from './coverage.ts';

export interface RuleTestResult {
  rule: Rule;
  test: RuleTest;
  /** What went wrong; undefined: passed. */
  failure?: { message: string; hint?: string };
}

/** A hit, as far as it is compared (assembly/layout.ts). An array is the texts around the count. */
interface Hit {
  rule: string;
  labels: Record<string, string>;
  annotations: Record<string, string | string[]>;
}

/** The module must be without mistakes. */
export async function runRuleTests(rules: RulesFile, coverage?: Coverage): Promise<RuleTestResult[]> {
  const { ruleset } = rules;
  if (ruleset === null || rules.file.rules.every(rule => !rule.tests?.length)) return [];
  const module = await bakeModule(ruleset);
  const matcher = await (await loadModule(module)).instantiate();
  const explainer = await openExplainer(rules, ruleset, module);
  return rules.file.rules.flatMap((rule, index) =>
    (rule.tests ?? []).map(test => {
      const record = Buffer.from(test.record);
      const found = matcher.find(record, 0, 0) === HIT ? Buffer.from(matcher.hits('test')!) : null;
      const hits = found === null ? [] : found.toString().trim().split('\n').map(line => JSON.parse(line) as Hit); // prettier-ignore
      const fingerprint = ruleset.compiled.rules[index]!.fingerprint.toString(16).padStart(16, '0');
      coverage?.look(explainer, record);
      const hit = hits.find(one => one.rule === fingerprint);
      const failure = failureOf(explainer, index, test, record, hit);
      return { rule, test, ...(failure && { failure }) };
    }),
  );
}

function failureOf(
  explainer: Explainer,
  index: number,
  test: RuleTest,
  record: Uint8Array,
  hit: Hit | undefined,
): { message: string; hint?: string } | undefined {
  if (!hit)
    return test.expect === 'none'
      ? undefined
      : { message: 'the rule does not match it', ...missHint(explainer, index, record) };
  if (test.expect === 'none') return { message: 'the rule matches it', ...matchHint(hit) };
  const value = valueOf(explainer.rules.file.rules[index]!);
  const annotations = Object.fromEntries(
    Object.entries(hit.annotations).map(([name, text]) => [name, annotationText(text, value)]),
  );
  const wrong = [
    ...differences('label', test.labels, hit.labels),
    ...differences('annotation', test.annotations, annotations),
  ];
  return wrong.length === 0 ? undefined : { message: wrong.join('; ') };
}

/** `$value` in the first alert: the count that makes it. */
function valueOf({ threshold }: Rule): string {
  return String(threshold?.count ?? 1);
}

function annotationText(text: string | string[], value: string): string {
  return Array.isArray(text) ? text.join(value) : text;
}

function differences(what: string, expected: Record<string, string>, got: Record<string, string>): string[] {
  return Object.entries(expected).flatMap(([name, value]) => {
    if (got[name] === value) return [];
    const found = got[name] === undefined ? 'it has none' : `it is ${quote(got[name])}`;
    return `${what} ${name} is to be ${quote(value)}, ${found}`;
  });
}

/** The condition that failed last. */
function missHint(explainer: Explainer, index: number, record: Uint8Array): { hint?: string } {
  const answers = answersTo(explainer, record, rule => rule === index);
  if (answers === null) return { hint: 'the record is not a JSON object' };
  const miss = nearestMiss(answers);
  return miss ? { hint: showMiss(explainer, miss, record).trim() } : {};
}

function matchHint({ labels }: Hit): { hint: string } {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return { hint: `its labels are {${pairs.join(', ')}}; \`earshot explain\` shows which tests hold` };
}

/** As mistakes of the rules file, for `check` and for editors. */
export function testProblems(results: RuleTestResult[]): Problem[] {
  return results.flatMap(({ rule, test, failure }) => {
    if (!failure) return [];
    const name = test.name === undefined ? '' : ` ${quote(test.name)}`;
    return {
      severity: 'error' as const,
      message: `a test${name} of rule ${quote(rule.alert)} fails: expected ${test.expect}, and ${failure.message}`,
      ...(failure.hint !== undefined && { hint: failure.hint }),
      span: test.span,
    };
  });
}

export function countTests({ file }: RulesFile): string {
  const count = file.rules.flatMap(rule => rule.tests ?? []).length;
  return count === 0 ? '' : `, ${formatCount(count)} ${count === 1 ? 'test' : 'tests'}`;
}
