// Runs files of tests and the tests in rules, and says of each check whether it holds, and if not why.
import { UserError, formatDuration, nearest, quote, placeOf as locationOf } from '../../error.ts';
import { loadModule } from '../../matcher.ts';
import type { MatcherModule } from '../../matcher.ts';
import { nearestMiss } from '../explain.ts';
import type { Explainer } from '../explain.ts';
import { readInput } from '../input.ts';
import { answersTo, openExplainer, showAnswers, showMiss } from '../misses.ts';
import { bakeModule, problemTexts, readRulesFile } from '../rules-file.ts';
import type { RulesFile } from '../rules-file.ts';
import { filesAt, looksLikeTests } from '../rules-paths.ts';
import { whyNone } from '../runner.ts';
import { compare, sideBySide } from './compare.ts';
import type { Comparison } from './compare.ts';
import type { Coverage } from './coverage.ts';
import { runRuleTests } from './rule-tests.ts';
import { firingAt, simulate } from './simulate.ts';
import type { SentAlert } from './simulate.ts';
import { readTestsFile } from './tests-file.ts';
import type { Check, Input, Test, TestsFile } from './tests-file.ts';

export interface Outcome {
  /** The file that the check is in, and its line there. */
  file: string;
  line: number;
  name: string;
  /** Undefined: passed. */
  failure?: { message: string; details: string[] };
}

export interface SuiteResult {
  outcomes: Outcome[];
  /** Mistakes that make files unusable, as they are printed. */
  mistakes: string[];
  /** All files that were read, for --watch. */
  files: Set<string>;
}

/** A rules file that is ready to be tried. */
interface Subject {
  rules: RulesFile;
  module: MatcherModule;
  explainer: Explainer;
}

export async function runSuite(paths: string[], coverage: Coverage | undefined): Promise<SuiteResult> {
  const result: SuiteResult = { outcomes: [], mistakes: [], files: new Set() };
  const subjects = new Map<string, Subject | null>();
  const files: string[] = [];
  for (const path of paths) files.push(...((await attempt(result, () => filesAt(path, 'all'))) ?? []));
  for (const path of new Set(files)) await runFile(path, subjects, result, coverage);
  return result;
}

async function runFile(
  path: string,
  subjects: Map<string, Subject | null>,
  result: SuiteResult,
  coverage: Coverage | undefined,
): Promise<void> {
  result.files.add(path);
  const source = await attempt(result, async () => String(await readInput(path)));
  if (source === undefined) return;
  if (!looksLikeTests(source)) {
    await subjectOf(path, subjects, result, coverage);
    return;
  }
  const file = readTestsFile(path, source);
  for (const text of problemTexts(file)) result.mistakes.push(text);
  const wrong = file.problems.some(({ severity }) => severity === 'error');
  const own: Subject[] = [];
  let isUsable = !wrong;
  for (const rulesPath of file.ruleFiles) {
    const subject = await subjectOf(rulesPath, subjects, result, coverage);
    if (subject) own.push(subject);
    else isUsable = false;
  }
  if (!isUsable) return;
  for (const test of file.tests) await runTest(file, test, own, result, coverage);
}

async function attempt<T>(result: SuiteResult, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    result.mistakes.push(`earshot: ${error.message}`);
    return undefined;
  }
}

/** A rules file is compiled and its own tests are run once, however many files of tests name it. */
async function subjectOf(
  path: string,
  subjects: Map<string, Subject | null>,
  result: SuiteResult,
  coverage: Coverage | undefined,
): Promise<Subject | null> {
  const known = subjects.get(path);
  if (known !== undefined) return known;
  subjects.set(path, null);
  const rules = await attempt(result, () => readRulesFile(path));
  if (rules === undefined) result.files.add(path);
  for (const source of rules?.sources ?? []) result.files.add(source.path);
  if (rules === undefined) return null;
  if (rules.ruleset === null) {
    const errors = rules.problems.filter(({ severity }) => severity === 'error');
    result.mistakes.push(...problemTexts({ ...rules, problems: errors }));
    return null;
  }
  const bytes = await bakeModule(rules.ruleset);
  const explainer = await openExplainer(rules, rules.ruleset, bytes);
  coverage?.begin(explainer);
  const subject = { rules, module: await loadModule(bytes), explainer };
  subjects.set(path, subject);
  for (const { rule, test, failure } of await runRuleTests(rules, coverage))
    result.outcomes.push({
      ...locationOf(rules.sources, test.span.start),
      name: `${rule.alert}: ${test.name ?? `a record ${test.expect === 'match' ? 'to match' : 'not to match'}`}`,
      ...(failure && {
        failure: {
          message: `expected ${test.expect}, and ${failure.message}`,
          details: failure.hint === undefined ? [] : failure.hint.split('\n'),
        },
      }),
    });
  return subject;
}

async function runTest(
  file: TestsFile,
  test: Test,
  subjects: Subject[],
  result: SuiteResult,
  coverage: Coverage | undefined,
): Promise<void> {
  const sent: SentAlert[] = [];
  for (const { module, explainer } of subjects) {
    sent.push(...(await simulate(module, test)));
    if (coverage) for (const { record } of distinct(test.inputs)) coverage.look(explainer, record);
  }
  for (const check of test.checks) {
    const known = subjects.filter(({ module }) => module.info.alerts.includes(check.alertname));
    const got = firingAt(sent, check.alertname, check.evalMs, check.sinceMs);
    const comparison = compare(check.expected, got);
    const isUnknown = known.length === 0;
    result.outcomes.push({
      ...locationOf(file.sources, check.span.start),
      name: `${test.name}: ${check.alertname} at ${formatDuration(check.evalMs)}`,
      ...((isUnknown || !comparison.isEqual) && {
        failure: {
          message: isUnknown ? unknownRule(check.alertname, subjects) : messageOf(comparison),
          details: isUnknown ? [] : detailsOf(test, check, comparison, got, sent, known),
        },
      }),
    });
  }
}

function unknownRule(name: string, subjects: Subject[]): string {
  const near = nearest(
    name,
    subjects.flatMap(({ module }) => module.info.alerts),
  );
  return `no rule is named ${quote(name)}${near === undefined ? '' : `; did you mean ${quote(near)}?`}`;
}

/** Each item of `input_logs` once, however often it comes. */
function distinct(inputs: Input[]): Input[] {
  return inputs.filter(({ repeat }) => repeat === 0).sort((a, b) => a.number - b.number);
}

function messageOf({ missing, extra }: Comparison): string {
  const parts: string[] = [];
  if (missing.length > 0) parts.push(`${missing.length} expected and not there`);
  if (extra.length > 0) parts.push(`${extra.length} there and not expected`);
  return parts.join(', ');
}

function detailsOf(
  test: Test,
  check: Check,
  comparison: Comparison,
  got: SentAlert[],
  sent: SentAlert[],
  subjects: Subject[],
): string[] {
  const lines = sideBySide(check.expected, got);
  const own = sent.filter(({ labels }) => labels.alertname === check.alertname);
  const shown = own.slice(0, ALERTS_SHOWN).map(({ atMs, status }) => `${status} at ${formatDuration(atMs)}`);
  if (own.length > 0)
    lines.push(`sent in this test: ${shown.join(', ')}${own.length > ALERTS_SHOWN ? ', …' : ''}`);
  if (comparison.missing.length > 0)
    for (const subject of subjects) lines.push(...whyMissing(test, check, subject, own.length > 0));
  const made = comparison.extra.find(({ input }) => input !== null);
  if (made) for (const subject of subjects) lines.push(...whyMade(made.input!, check.alertname, subject));
  return lines;
}

const ALERTS_SHOWN = 5;
const INPUTS_SHOWN = 3;

/** For the records up to then: which condition kept each out, and how many matched. */
function whyMissing(
  test: Test,
  check: Check,
  { explainer, rules, module }: Subject,
  isSent: boolean,
): string[] {
  const inputs = distinct(test.inputs).filter(({ atMs }) => atMs <= check.evalMs);
  const isWanted = (rule: number) => rules.file.rules[rule]!.alert === check.alertname;
  const lines: string[] = [];
  let matchedCount = 0;
  let shownCount = 0;
  for (const input of inputs) {
    const answers = answersTo(explainer, input.record, isWanted);
    if (answers === null) lines.push(`${placeOf(input)}: not a JSON object`);
    else if (answers.some(({ isMet }) => isMet))
      matchedCount += test.inputs.filter(({ number, atMs }) => number === input.number && atMs <= check.evalMs).length; // prettier-ignore
    else if (shownCount++ < INPUTS_SHOWN) {
      const miss = nearestMiss(answers);
      lines.push(`${placeOf(input)} does not match:`);
      if (miss) lines.push(...indented(showMiss(explainer, miss, input.record)));
    }
  }
  if (shownCount > INPUTS_SHOWN) lines.push(`and ${shownCount - INPUTS_SHOWN} more that do not match`);
  if (inputs.length === 0) lines.push('no record has come by then');
  if (matchedCount > 0) {
    const rule = module.info.rules.find(({ alert }) => alert === check.alertname)!;
    const records = `${matchedCount} ${matchedCount === 1 ? 'record matches' : 'records match'} by then`;
    lines.push(isSent ? records : `${records}, and no alert is sent${whyNone(rule)}`);
  }
  return lines;
}

/** The tests that hold for the record that made an alert. */
function whyMade(input: Input, alertname: string, { explainer, rules }: Subject): string[] {
  const isWanted = (rule: number) => rules.file.rules[rule]!.alert === alertname;
  const met = (answersTo(explainer, input.record, isWanted) ?? []).find(({ isMet }) => isMet);
  return met ? [`${placeOf(input)} matches:`, ...indented(showAnswers(explainer, met, input.record))] : [];
}

function placeOf({ number, atMs }: Input): string {
  return `record ${number} of input_logs, at ${formatDuration(atMs)},`;
}

function indented(text: string): string[] {
  return text.trimEnd().split('\n').map(line => line.replace(/^ {2}/, '')); // prettier-ignore
}
