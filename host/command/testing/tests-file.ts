// A file of tests for `earshot test`, in the shape of promtool's: rule files, records that come at their times, and the
// alerts that there must be at others. Every mistake is reported with its place, as in a rules file.
import { globSync } from './glob.ts';
import { dirname, isAbsolute, join } from 'node:path';
import { isMap, isScalar } from 'yaml';
import { readDocument } from '../../compiler/document.ts';
import type { Node } from '../../compiler/document.ts';
import { parseFieldPath } from '../../compiler/field.ts';
import { makeLists } from '../../compiler/list-file.ts';
import { isPlain } from '../../compiler/path.ts';
import { fail, failType, isNothing, makeContext, readCount, readDuration, readList, readMap, readName, readPairs, readText } from '../../compiler/reading.ts'; // prettier-ignore
import type { Context, Entry, ReadMap } from '../../compiler/reading.ts';
import type { Keys } from '../../compiler/schema.ts';
import { jsonOf, readRecord, readValues } from '../../compiler/tests.ts';
import { TextError, quote } from '../../error.ts';
import type { Problem, Source, Span } from '../../error.ts';

const FILE_KEYS = {
  rule_files: {
    kind: 'texts',
    required: true,
    description: 'The rules files, from the folder of this file.',
  },
  tests: { kind: 'tests', required: true, description: 'The tests.' },
  evaluation_interval: { kind: 'duration', description: 'Not used: a rule sees each record as it comes.' },
} satisfies Keys;

const TEST_KEYS = {
  name: { kind: 'name', description: 'What the test is about.' },
  start: { kind: 'name', description: 'The time 0 of the test, such as 2026-03-02T09:00:00Z.' },
  input_logs: { kind: 'tests', required: true, description: 'The records and when they come.' },
  alert_rule_test: { kind: 'tests', required: true, description: 'The alerts that there must be, and when.' },
  interval: { kind: 'duration', description: 'Not used: a rule sees each record as it comes.' },
} satisfies Keys;

const INPUT_KEYS = {
  at: { kind: 'duration', description: 'When the record comes, from the start of the test; the time of the one before if left out.' }, // prettier-ignore
  log: { kind: 'text', description: 'A line of a log: the record {log: LINE}.' },
  record: { kind: 'record', description: 'A record: a map, or JSON as a string.' },
  labels: { kind: 'values', description: 'Fields that the record has too, such as kubernetes.pod_name.' },
  times: { kind: 'count', description: 'How often it comes; 1 if left out.' },
  every: { kind: 'duration', description: 'The time between two of them.' },
} satisfies Keys;

const CHECK_KEYS = {
  eval_time: { kind: 'duration', required: true, description: 'When the alerts are looked at, from the start of the test.' }, // prettier-ignore
  since: { kind: 'duration', description: 'Only alerts that were sent after this time.' },
  alertname: { kind: 'name', required: true, description: 'The rule whose alerts are looked at.' },
  exp_alerts: { kind: 'tests', description: 'All alerts that there must be then; none if left out.' },
} satisfies Keys;

const ALERT_KEYS = {
  exp_labels: { kind: 'values', description: 'All labels of the alert but "alertname".' },
  exp_annotations: { kind: 'values', description: 'All annotations of the alert.' },
} satisfies Keys;

/** More records than this are a load test, and no longer a test that somebody reads. */
const TIMES_MAX = 1_000_000;
/** A Saturday, in the winter of the northern half. */
export const START_DEFAULT_MS = Date.UTC(2000, 0, 1);

export interface TestsFile {
  path: string;
  /** The one file. */
  sources: Source[];
  problems: Problem[];
  ruleFiles: string[];
  tests: Test[];
}

export interface Test {
  name: string;
  startMs: number;
  inputs: Input[];
  checks: Check[];
  span: Span;
}

export interface Input {
  /** From the start of the test; without `at` the record's own time counts. */
  atMs: number;
  isTimed: boolean;
  record: Buffer;
  /** Where it is in the list, from 1, and which of its repeats it is. */
  number: number;
  repeat: number;
}

export interface Check {
  evalMs: number;
  sinceMs: number | undefined;
  alertname: string;
  expected: ExpectedAlert[];
  span: Span;
}

/** Undefined: not compared. */
export interface ExpectedAlert {
  labels: Record<string, string> | undefined;
  annotations: Record<string, string> | undefined;
}

export function readTestsFile(path: string, source: string): TestsFile {
  const problems: Problem[] = [];
  const sources = [{ path, text: source, start: 0 }];
  const context = makeContext(
    readDocument(source, problem => problems.push(problem)),
    sources[0]!,
    makeLists(),
    problem => problems.push(withHint(problem)),
  );
  const file: TestsFile = { path, sources, problems, ruleFiles: [], tests: [] };
  const { root } = context.document;
  if (isNothing(root)) {
    if (problems.length === 0) fail(context, { start: 0, end: 0 }, 'the file is empty', FORM_HINT);
    return file;
  }
  const map = readMap(context, root, 'a file of tests', FILE_KEYS, () => FORM_HINT);
  file.ruleFiles = readRuleFiles(context, map?.get('rule_files'), dirname(path));
  for (const node of readList(context, map?.get('tests'), 'tests', '"tests" has no tests') ?? []) {
    const test = readTest(context, node, file.tests.length + 1);
    if (test) file.tests.push(test);
  }
  problems.sort((a, b) => a.span.start - b.span.start);
  return file;
}

/** What has another name here than in promtool, or none. */
const PROMTOOL_WORDS: Record<string, string> = {
  input_series: 'write input_logs: [{at: 0s, log: …}]: rules see records, not series',
  promql_expr_test: 'leave it out: nothing evaluates an expression here',
  external_labels: 'leave it out: an alert has the labels of its rule',
  external_url: 'leave it out: an alert has no address',
  group_eval_order: 'leave it out: rules do not depend on each other',
  fuzzy_compare: 'leave it out: alerts are compared exactly',
  values: 'write a record for each, or times: 20, every: 10s',
  series: 'write log: a line of text, or record: {…}',
};

function withHint(problem: Problem): Problem {
  const [, word = ''] = /^unknown key "(\w+)"/.exec(problem.message) ?? [];
  return Object.hasOwn(PROMTOOL_WORDS, word) ? { ...problem, hint: PROMTOOL_WORDS[word]! } : problem;
}

const FORM_HINT =
  'write rule_files: [rules.yaml] and tests: [{input_logs: [{at: 0s, log: …}], alert_rule_test: [{eval_time: 1m, alertname: …, exp_alerts: [{exp_labels: {…}}]}]}]';

/** From the folder of the tests, as promtool has them; `*` stands for any part of a name. */
function readRuleFiles(context: Context, entry: Entry | undefined, folder: string): string[] {
  return (readList(context, entry, 'texts', '"rule_files" names no file') ?? []).flatMap(node => {
    const name = readText(context, node, 'a name in "rule_files"');
    if (name === undefined) return [];
    const path = isAbsolute(name) ? name : join(folder, name);
    if (!/[*?]/.test(name)) return [path];
    const found = globSync(path);
    if (found.length === 0)
      fail(context, node, `no file is named ${quote(name)}`, `it is looked for in ${folder}`);
    return found;
  });
}

function readTest(context: Context, node: Node, number: number): Test | undefined {
  const map = readMap(context, node, 'a test', TEST_KEYS);
  if (!map) return undefined;
  const inputs: Input[] = [];
  let atMs = 0;
  for (const [index, item] of (readList(context, map.get('input_logs'), 'tests') ?? []).entries()) {
    const own = readInput(context, item, index + 1, atMs);
    inputs.push(...own);
    atMs = own[0]?.atMs ?? atMs;
  }
  const checks = (readList(context, map.get('alert_rule_test'), 'tests', '"alert_rule_test" has no checks') ?? []).flatMap(item => readCheck(context, item) ?? []); // prettier-ignore
  return {
    name: readName(context, map.get('name')) ?? `test ${number}`,
    startMs: readStart(context, map.get('start')),
    inputs: inputs.sort((a, b) => a.atMs - b.atMs),
    checks: checks.sort((a, b) => a.evalMs - b.evalMs),
    span: map.span,
  };
}

function readStart(context: Context, entry: Entry | undefined): number {
  const text = readText(context, entry?.value, '"start"');
  if (text === undefined) return START_DEFAULT_MS;
  const startMs = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[-+]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : NaN;
  if (startMs >= 0) return startMs;
  fail(context, entry!.value!, `"start" must be a time with its zone, found ${quote(text)}`, 'write it as 2026-03-02T09:00:00Z'); // prettier-ignore
  return START_DEFAULT_MS;
}

function readInput(context: Context, node: Node, number: number, lastMs: number): Input[] {
  const map = readMap(context, node, 'a record of "input_logs"', INPUT_KEYS);
  if (!map) return [];
  const json = readRecord(context, map, 'an item of "input_logs"');
  const fields = readFields(context, map.get('labels'));
  const atMs = readDuration(context, map.get('at'), 0);
  const times = readCount(context, map.get('times'), 1, TIMES_MAX) ?? 1;
  const everyMs = readDuration(context, map.get('every'), 0) ?? 0;
  if (map.get('every') && !map.get('times'))
    fail(context, map.get('every')!.key, '"every" goes with "times"', 'write times: 20, every: 10s');
  if (json === undefined) return [];
  const record = withFields(context, map, json, fields);
  return Array.from({ length: times }, (_, repeat) => ({
    atMs: (atMs ?? lastMs) + repeat * everyMs,
    isTimed: map.get('at') !== undefined || times > 1,
    record,
    number,
    repeat,
  }));
}

type PlainPath = readonly (string | number)[];

/** Paths of fields and their values. */
function readFields(context: Context, entry: Entry | undefined): { path: PlainPath; json: string }[] {
  const node = entry?.value;
  if (!node) return [];
  if (!isMap(node)) return failType(context, node, '"labels"', 'values') ?? [];
  return readPairs(context, node).flatMap(({ name, key, value }) => {
    const json = jsonOf(context, value ?? null);
    try {
      const path = parseFieldPath(name);
      if (isPlain(path)) return json === undefined ? [] : { path, json };
      return fail(context, key, `${quote(name)} stands for several fields`, 'name one of them') ?? [];
    } catch (error) {
      if (!(error instanceof TextError)) throw error;
      fail(context, key, error.message, error.hint);
      return [];
    }
  });
}

/** The record with these fields in it, whatever it had in their place. */
function withFields(
  context: Context,
  map: ReadMap,
  json: string,
  fields: { path: PlainPath; json: string }[],
): Buffer {
  if (fields.length === 0) return Buffer.from(json);
  let record: unknown;
  try {
    record = JSON.parse(json);
  } catch {
    fail(context, map.get('labels')!.key, '"labels" cannot be put into a record that is no JSON', 'put the fields into the record'); // prettier-ignore
    return Buffer.from(json);
  }
  for (const { path, json: value } of fields)
    setField(record as Record<string, unknown>, path, JSON.parse(value));
  return Buffer.from(JSON.stringify(record));
}

function setField(record: Record<string, unknown>, path: PlainPath, value: unknown): void {
  let at: Record<string | number, unknown> = record;
  for (const [index, step] of path.slice(0, -1).entries()) {
    if (typeof at[step] !== 'object' || at[step] === null)
      at[step] = typeof path[index + 1] === 'number' ? [] : {};
    at = at[step] as Record<string | number, unknown>;
  }
  at[path.at(-1)!] = value;
}

function readCheck(context: Context, node: Node): Check | undefined {
  const map = readMap(context, node, 'a check of "alert_rule_test"', CHECK_KEYS);
  const evalMs = map && readDuration(context, map.get('eval_time'), 0);
  const alertname = map && readName(context, map.get('alertname'));
  if (!map || evalMs === undefined || alertname === undefined) return undefined;
  const expected = (readList(context, map.get('exp_alerts'), 'tests') ?? []).flatMap(
    item => readExpected(context, item) ?? [],
  );
  const sinceMs = readDuration(context, map.get('since'), 0);
  return { evalMs, sinceMs, alertname, expected, span: map.span };
}

function readExpected(context: Context, node: Node): ExpectedAlert | undefined {
  if (isScalar(node)) return failType(context, node, 'an item of "exp_alerts"', 'values');
  const map = readMap(context, node, 'an item of "exp_alerts"', ALERT_KEYS);
  return (
    map && {
      labels: readValues(context, map.get('exp_labels')),
      annotations: readValues(context, map.get('exp_annotations')),
    }
  );
}
