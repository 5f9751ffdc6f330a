// One rule set in one module, many records: does the module say what the oracle says? Whole records, and
// records that were damaged: cut, bytes changed, or bytes that never were a record.
import { readFileSync } from 'node:fs';
import type { Problem } from '../../host/error.ts';
import { formatProblem } from '../../host/error.ts';
import { compileRules } from '../../host/compiler/compile.ts';
import { parseRules } from '../../host/compiler/rules.ts';
import type { LoadedMatcher } from '../../host/matcher.ts';
import { ALERT, MALFORMED, NO_ALERT } from '../../host/matcher.ts';
import type { Body } from '../core.ts';
import { bodyText, load } from '../core.ts';
import type { Dice } from './dice.ts';
import { readRecord } from './json.ts';
import type { Rule } from './model.ts';
import { toYaml } from './model.ts';
import type { Expected } from './oracle.ts';
import { judge } from './oracle.ts';
import { makeRecord } from './records.ts';
import { makeRules, makeStock } from './rules.ts';

/** What a module does wrong with a record, in lines; null when module and oracle agree. */
export type Check = (matcher: LoadedMatcher, rules: readonly Rule[], record: Uint8Array) => string | null;

export interface Finding {
  what: string;
  rules: Rule[];
  record: Uint8Array;
  /** Finds it again. Null where the rules alone show it. */
  check: Check | null;
}

export interface MatchCounts {
  rules: number;
  refused: number;
  records: number;
  matches: number;
  damaged: number;
}

/** The module that ships. */
const core = readFileSync(new URL('../../build/core.wasm', import.meta.url));

export async function matchRound(
  dice: Dice,
  ruleCount: number,
  recordCount: number,
  counts: MatchCounts,
): Promise<Finding | null> {
  const stock = makeStock(dice);
  const made = makeRules(dice, stock, ruleCount);
  const set = await loadSet(made);
  if (typeof set === 'string') return { what: set, rules: made, record: new Uint8Array(), check: null };
  const { rules, matcher } = set;
  counts.rules += rules.length;
  counts.refused += made.length - rules.length;
  for (let i = 0; i < recordCount; i++) {
    const whole = makeRecord(dice, stock, rules);
    counts.records++;
    const tries: Array<[Check, Uint8Array]> = [
      [disagreement, whole],
      [prefixAlerts, whole],
      ...dice.times(2, (): [Check, Uint8Array] => [disagreement, damage(dice, whole)]),
    ];
    counts.damaged += 2;
    for (const [check, record] of tries) {
      const what = check(matcher, rules, record);
      if (what !== null) return { what, rules, record, check };
    }
  }
  counts.matches += matcher.matches().reduce((sum, count) => sum + count, 0);
  return null;
}

// ── From rules to a matcher ──

/** The one mistake that a random rule may have: the compiler finds it, the generator does not look for it. */
const MATCHES_EVERYTHING = 'this pattern matches every text';

/** The rules that are accepted, in a module; or what should not have been refused. */
export async function loadSet(
  made: readonly Rule[],
): Promise<{ rules: Rule[]; matcher: LoadedMatcher } | string> {
  let rules = [...made];
  for (;;) {
    const yaml = toYaml(rules);
    const problems: Problem[] = [];
    const report = (problem: Problem) => void (problem.severity === 'error' && problems.push(problem));
    const compiled = compileRules(parseRules(yaml, report), report);
    const wrong = problems.find(({ message }) => message !== MATCHES_EVERYTHING);
    if (wrong) return `a rule is refused:\n${formatProblem(wrong, 'rules.yaml', yaml)}`;
    if (problems.length === 0 && compiled !== null)
      return { rules, matcher: await load(compiled.bytes, core) };
    const refused = new Set(
      problems.map(({ span }) => yaml.slice(0, span.start).split('\n').length - RULES_LINE),
    );
    if (refused.size === 0) return 'the rules are refused, and no error says why';
    rules = rules.filter((_, index) => !refused.has(index));
    if (rules.length === 0) return 'every rule is refused';
  }
}

/** The line of the first rule in what `toYaml` writes: one rule a line. */
const RULES_LINE = 4;

// ── Comparing ──

/** A record is answered as the oracle answers it, with the same alerts, whether it is read to its end or not. */
export const disagreement: Check = (matcher, rules, bytes) => {
  const record = readRecord(bytes);
  const expected = record === null ? [] : judge(rules, record);
  const answer = record === null ? MALFORMED : expected.length > 0 ? ALERT : NO_ALERT;
  try {
    const whole = matcher.matchWhole(bytes, 0, 0);
    const body = whole === ALERT ? bodyText(matcher) : '';
    if (whole !== answer) return `matchWhole answers ${whole}, not ${answer}\n${namesText(body, expected)}`;
    const early = matcher.match(bytes, 0, 0);
    if (record === null) return null; // it may stop before what is malformed: that is for prefixAlerts
    if (early !== answer) return `match answers ${early}, not ${answer}`;
    if (answer === NO_ALERT) return null;
    if (bodyText(matcher) !== body) return 'match and matchWhole write different bodies';
    return bodyDifference(JSON.parse(body) as Body, expected);
  } catch (error) {
    return `the module throws: ${(error as Error).stack}`;
  }
};

/** `match` may answer before it has read all; but of a part it must not say what it does not say of the whole. */
const prefixAlerts: Check = (matcher, rules, whole) => {
  const record = readRecord(whole);
  const expected = record === null ? '' : namesOf(judge(rules, record));
  for (let size = 0; size < whole.length; size += whole.length > SIZE_OF_EVERY_PREFIX ? 7 : 1) {
    if (matcher.match(whole.subarray(0, size), 0, 0) !== ALERT) continue;
    const found = (JSON.parse(bodyText(matcher)) as Body).alerts
      .map(({ labels }) => labels.alertname)
      .join(' ');
    if (found !== expected)
      return `the first ${size} bytes alone alert\nmodule: ${found}\noracle: ${expected}`;
  }
  return null;
};

/** Of longer records only some prefixes are tried: each is a record of its own to read. */
const SIZE_OF_EVERY_PREFIX = 200;

function namesText(body: string, expected: Expected[]): string {
  const found = body === '' ? [] : (JSON.parse(body) as Body).alerts.map(({ labels }) => labels.alertname);
  return `module: ${found.join(' ')}\noracle: ${expected.map(({ labels }) => labels.alertname).join(' ')}`;
}

function bodyDifference(body: Body, expected: Expected[]): string | null {
  const found = body.alerts.map(({ labels, annotations }) => ({ labels, annotations }));
  const [module, oracle] = [namesOf(found), namesOf(expected)];
  if (module !== oracle) return `rules that match\nmodule: ${module}\noracle: ${oracle}`;
  const index = found.findIndex((alert, i) => textOf(alert) !== textOf(expected[i]!));
  if (index >= 0) return `an alert\nmodule: ${textOf(found[index]!)}\noracle: ${textOf(expected[index]!)}`;
  const shared = { labels: body.commonLabels, annotations: body.commonAnnotations };
  const common = commonOf(expected);
  return textOf(shared) === textOf(common)
    ? null
    : `in common\nmodule: ${textOf(shared)}\noracle: ${textOf(common)}`;
}

function namesOf(alerts: Expected[]): string {
  return alerts.map(({ labels }) => labels.alertname).join(' ');
}

function textOf({ labels, annotations }: Expected): string {
  const sorted = (pairs: Record<string, string>) =>
    Object.entries(pairs).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([sorted(labels), sorted(annotations)]);
}

/** What all alerts of a body have in common. */
function commonOf(alerts: Expected[]): Expected {
  const shared = (kind: 'labels' | 'annotations') =>
    Object.fromEntries(
      Object.entries(alerts[0]![kind]).filter(([name, value]) =>
        alerts.every(alert => alert[kind][name] === value),
      ),
    );
  return { labels: shared('labels'), annotations: shared('annotations') };
}

// ── Damage ──

const FRAGMENTS = [
  '"',
  '\\',
  '\\u',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '0',
  '-',
  '.',
  'e',
  'true',
  'nul',
  ' ',
  '\n',
  '\0',
  '/',
  '\xff',
];

/** A record that was cut, or in which bytes were taken out, put in or changed; or no record at all. */
function damage(dice: Dice, whole: Uint8Array): Uint8Array {
  if (dice.chance(0.05)) return Uint8Array.from(dice.times(dice.below(60), () => dice.below(256)));
  if (dice.chance(0.3)) return whole.subarray(0, dice.below(whole.length));
  let bytes = Buffer.from(whole);
  for (let i = dice.between(1, 3); i > 0; i--) {
    const at = dice.below(bytes.length + 1);
    const removed = dice.pick([0, 1, 1, dice.below(20)]);
    const inserted = Buffer.from(dice.pick(['', dice.pick(FRAGMENTS), dice.pick(FRAGMENTS)]), 'latin1');
    bytes = Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + removed)]);
  }
  return bytes;
}
