// The conditions of a rule: YAML → model.
import { isScalar, isSeq } from 'yaml';
import { formatCount, quote } from '../error.ts';
import type { Span } from '../error.ts';
import { readActive } from './active.ts';
import { captureProblem } from './captures.ts';
import type { StepCaptures } from './captures.ts';
import { resolveAlias, spanOf, writtenAs } from './document.ts';
import type { Node } from './document.ts';
import { kindHint } from './firing.ts';
import { isListFile, readItems, readLine } from './lists.ts';
import type { Item } from './lists.ts';
import { textConditionHint } from './foreign.ts';
import type { Condition, FieldPath, Scalar, Test } from './model.ts';
import { matchesEverything } from './nfa.ts';
import { isList } from './path.ts';
import { PatternError, parsePattern } from './pattern.ts';
import {
  fail,
  failSize,
  failType,
  readBoolean,
  readField,
  readList,
  readMap,
  readScalar,
  readText,
} from './reading.ts';
import type { Context, Entry, ReadMap } from './reading.ts';
import * as schema from './schema.ts';

/** A condition and the captures of its patterns: what a template can refer to. */
export interface Step extends StepCaptures {
  node: Node;
  condition: Condition | undefined;
  /** Where the text of each capture comes from. */
  capturePaths: Map<string, FieldPath>;
  /** Tests of captures, whose patterns may come after them. */
  captureTests: Array<{ name: string; node: Node; test: Condition & { kind: 'test' } }>;
  conditionCount: number;
}

export function readMatch(context: Context, entry: Entry | undefined): Step | undefined {
  return entry?.value && readStep(context, entry.value);
}

/** A step whose condition is not read yet. */
export function newStep(node: Node): Step {
  return {
    node,
    condition: undefined,
    captures: new Map(),
    capturePaths: new Map(),
    captureTests: [],
    capturesAreKnown: true,
    conditionCount: 0,
  };
}

export function readStep(context: Context, node: Node): Step {
  const step = newStep(node);
  step.condition = readCondition(context, node, step, { depth: 1, isUnderNot: false });
  for (const { name, node, test } of step.captureTests) {
    const path = capturePath(context, node, name, step);
    if (path) test.field = path;
  }
  return step;
}

/** The path of a capture that a test or "distinct" names. */
export function capturePath(context: Context, node: Node, name: string, step: Step): FieldPath | undefined {
  const given = context.given.get(name);
  if (given && !step.capturePaths.has(name)) return given;
  const problem = captureProblem(name, [step]);
  if (problem) return fail(context, node, problem.message, problem.hint);
  return step.capturePaths.get(name);
}

/** The place of a condition among the others. */
interface Nesting {
  depth: number;
  isUnderNot: boolean;
}

function readCondition(context: Context, node: Node, step: Step, nesting: Nesting): Condition | undefined {
  if (isTooMuch(context, node, step, nesting)) return undefined;
  const map = readMap(context, node, 'a condition', schema.CONDITION_KEYS, () =>
    conditionHint(context, node),
  );
  if (!map) return undefined;
  const groupings = ['all', 'any', 'not'].filter(name => map.get(name));
  const testKey = Object.keys(schema.TEST_KEYS).find(name => map.get(name));
  const time = map.get('active');
  const forms = [...groupings, ...(testKey === undefined ? [] : [testKey]), ...(time ? ['active'] : [])];
  const conditions = [
    ...groupings.map(name => readGrouping(context, map.get(name)!, step, nesting, map.span)),
    ...(testKey === undefined ? [] : [readTest(context, map, step, nesting)]),
    ...(time ? [readTime(context, time, map.span)] : []),
  ];
  if (forms.length === 1) return conditions[0];
  if (forms.length > 1) failTwoForms(context, map, forms);
  else if (map.unknownCount === 0) fail(context, node, 'empty condition', CONDITION_HINT);
  return undefined;
}

function readTime(context: Context, entry: Entry, span: Span): Condition | undefined {
  const active = readActive(context, entry);
  return active && { kind: 'test', field: [], op: 'active', ...active, span };
}

const CONDITION_HINT = 'write "all", "any", "not", or a test such as {field: log, contains: error}';

function isTooMuch(context: Context, node: Node, step: Step, nesting: Nesting): boolean {
  if (nesting.depth > schema.CONDITION_DEPTH_MAX) {
    fail(context, node, `condition is nested too deeply, ${schema.CONDITION_DEPTH_MAX} levels allowed`);
    return true;
  }
  step.conditionCount++;
  if (step.conditionCount <= schema.CONDITIONS_MAX) return false;
  if (step.conditionCount === schema.CONDITIONS_MAX + 1) {
    const message = `more than ${formatCount(schema.CONDITIONS_MAX)} conditions in one`;
    fail(context, step.node, message, 'use "in" for a list of values, or make several rules');
  }
  return true;
}

function conditionHint(context: Context, node: Node): string | undefined {
  const resolved = resolveAlias(context.document, node, context.report);
  if (isSeq(resolved)) return 'put the list under "all" or "any"';
  const text = isScalar(resolved) ? textConditionHint(String(resolved.value)) : undefined;
  return text ?? CONDITION_HINT;
}

function failTwoForms(context: Context, map: ReadMap, forms: string[]): void {
  const [first, second] = forms as [string, string];
  const message = `"${second}" cannot be used with "${first}" in one condition`;
  fail(context, map.get(second)!.key, message, 'put both into the list of an "all"');
}

function readGrouping(context: Context, entry: Entry, step: Step, nesting: Nesting, span: Span) {
  const inner = { depth: nesting.depth + 1, isUnderNot: nesting.isUnderNot || entry.name === 'not' };
  if (entry.name === 'not') {
    const of = entry.value && readCondition(context, entry.value, step, inner);
    return of && ({ kind: 'not', of, span } as const);
  }
  const items = readList(context, entry, 'conditions', `"${entry.name}" has no conditions`) ?? [];
  const of = items.map(item => readCondition(context, item, step, inner)).filter(item => item !== undefined);
  return { kind: entry.name as 'all' | 'any', of, span };
}

type Operator = keyof typeof schema.OPERATOR_KEYS;
const OPERATORS = Object.keys(schema.OPERATOR_KEYS) as Operator[];

function readTest(context: Context, map: ReadMap, step: Step, nesting: Nesting): Condition | undefined {
  const subject = readSubject(context, map);
  const operators = OPERATORS.filter(name => map.get(name));
  const ignoreCase = readIgnoreCase(context, map.get('ignoreCase'), operators);
  const place = {
    step,
    nesting,
    ignoreCase,
    field: subject?.field,
    isOfCapture: map.get('capture') !== undefined,
  };
  const tests = operators.map(name => readOperator(context, name, map.get(name)!, place));
  if (operators.length > 1) failTwoOperators(context, map, operators);
  if (operators.length === 0 && map.unknownCount === 0) {
    const hint = `add one of ${OPERATORS.join(', ')}`;
    fail(context, map.place, 'the test has no operator', hint);
  }
  const [test] = tests;
  if (!subject || !test) return undefined;
  if (ignoreCase) checkLetters(context, map.get('ignoreCase')!, test);
  const { span } = map;
  const { field } = subject;
  const common = { kind: 'test' as const, field, span, ...(ignoreCase && { ignoreCase }) };
  if (!('allTexts' in test)) return noteCapture(step, subject, { ...common, ...test });
  if (isList(field)) return { ...common, op: 'containsAll', texts: test.allTexts };
  const of = test.allTexts.map((text): Condition => ({
    ...common,
    op: 'contains',
    texts: [text],
    ofAll: true,
  }));
  for (const one of of) noteCapture(step, subject, one as Condition & { kind: 'test' });
  return { kind: 'all', of, span };
}

/** What a test looks at. The path of a capture is known when the whole step has been read. */
interface Subject {
  field: FieldPath;
  capture?: { name: string; node: Node };
}

type SubjectKey = keyof typeof schema.SUBJECT_KEYS;
const SUBJECTS = Object.keys(schema.SUBJECT_KEYS) as SubjectKey[];

function readSubject(context: Context, map: ReadMap): Subject | undefined {
  const [name, other] = SUBJECTS.filter(key => map.get(key));
  if (name === undefined) {
    if (SUBJECTS.some(key => map.wasMeant(key))) return undefined;
    const hint = `field: ${schema.TEST_KEYS.field.description}`;
    return fail(context, map.place, 'missing key "field" in a test', hint);
  }
  const entry = map.get(name)!;
  if (other !== undefined) {
    const hint = 'a test looks at one of them: write two tests in an "all"';
    return fail(context, map.get(other)!.key, `"${other}" cannot be used with "${name}" in one test`, hint);
  }
  switch (name) {
    case 'field': {
      const field = readField(context, entry);
      return field && { field };
    }
    case 'capture': {
      const capture = readCaptureName(context, entry);
      return capture === undefined
        ? undefined
        : { field: [], capture: { name: capture, node: entry.value! } };
    }
    case 'anyField':
      return readAnyField(context, entry, map) ? { field: [{ every: 'string' }] } : undefined;
  }
}

export function readCaptureName(context: Context, entry: Entry): string | undefined {
  const name = readText(context, entry.value, '"capture"', schema.NAME_SIZE_MAX, 'captureName');
  if (!name?.startsWith('$')) return name;
  const own = name.replace(/^\$captures\./, '');
  return fail(context, entry.value!, '"capture" takes the name alone', `write capture: ${own}`);
}

/** Only texts are looked at, so only tests of texts are of use. */
function readAnyField(context: Context, entry: Entry, map: ReadMap): boolean {
  const value = readBoolean(context, entry);
  if (value === undefined) return false;
  if (!value) fail(context, entry.value!, '"anyField" can only be true', 'leave it out and name a "field"');
  const cased: readonly Operator[] = schema.CASED_OPERATORS;
  const other = OPERATORS.find(name => map.get(name) && !cased.includes(name));
  if (other !== undefined) {
    const hint = `it looks at every string of a record: use ${cased.join(', ')}`;
    fail(context, map.get(other)!.key, `"${other}" cannot be used with "anyField"`, hint);
  }
  return value && other === undefined;
}

function noteCapture<T extends Condition & { kind: 'test' }>(step: Step, { capture }: Subject, test: T): T {
  if (capture) step.captureTests.push({ ...capture, test });
  return test;
}

/** True when letter case does not count. */
function readIgnoreCase(context: Context, entry: Entry | undefined, operators: Operator[]): true | undefined {
  if (!entry || !readBoolean(context, entry)) return undefined;
  const cased: readonly Operator[] = schema.CASED_OPERATORS;
  const other = operators.find(name => !cased.includes(name));
  if (other === undefined) return true;
  return fail(
    context,
    entry.key,
    `"ignoreCase" cannot be used with "${other}"`,
    `it is for tests of text: ${cased.join(', ')}`,
  );
}

/** Numbers, booleans and null have no letter case. */
function checkLetters(context: Context, { key }: Entry, test: Operation): void {
  if (!('op' in test) || (test.op !== 'eq' && test.op !== 'in')) return;
  const values = test.op === 'eq' ? [test.value] : test.values;
  if (values.length === 0 || values.some(({ type }) => type === 'string')) return;
  const hint = 'leave it out, or put the value in quotes if it is a string in the records';
  fail(context, key, `"ignoreCase" is for text, and "${test.op}" has none`, hint);
}

/** A test without its field; `containsAll` becomes several. */
type Operation = Test | { allTexts: string[] };

function failTwoOperators(context: Context, map: ReadMap, operators: Operator[]): void {
  const [first, second] = operators as [Operator, Operator];
  const field = map.get('field')?.value;
  const name = field ? writtenAs(context.document, field) : 'log';
  const both = `write all: [{field: ${name}, ${first}: …}, {field: ${name}, ${second}: …}]`;
  const hint = kindHint(first, second) ?? both;
  fail(context, map.get(second)!.key, `"${second}" cannot be used with "${first}" in one test`, hint);
}

/** Where an operator stands. */
interface OperatorPlace {
  step: Step;
  nesting: Nesting;
  ignoreCase: true | undefined;
  /** Undefined when it could not be read. */
  field: FieldPath | undefined;
  isOfCapture: boolean;
}

function readOperator(
  context: Context,
  op: Operator,
  entry: Entry,
  place: OperatorPlace,
): Operation | undefined {
  switch (op) {
    case 'eq': {
      const value = readScalar(context, entry.value, '"eq"', 'scalar');
      return value && { op, value };
    }
    case 'in':
      return { op, values: readValues(context, entry) };
    case 'exists': {
      const value = readBoolean(context, entry);
      return value === undefined ? undefined : { op, value };
    }
    case 'contains':
    case 'startsWith':
    case 'endsWith': {
      const texts =
        isSeq(entry.value) || isListFile(entry)
          ? readTexts(context, entry, 'texts', schema.TEXTS_MAX)
          : [readText(context, entry.value, `"${op}"`, schema.TEXT_SIZE_MAX, 'texts')];
      return { op, texts: texts.filter(text => text !== undefined) };
    }
    case 'containsAll':
      return { allTexts: readTexts(context, entry, 'allTexts', schema.ALL_TEXTS_MAX) };
    case 'regex':
      return readPattern(context, entry, place);
    default: {
      const value = readScalar(context, entry.value, `"${op}"`, 'number');
      return value?.type === 'number' ? { op, value: value.value } : undefined;
    }
  }
}

function readValues(context: Context, entry: Entry): Scalar[] {
  const items = readItems(context, entry, 'scalars', '"in" has no values');
  if (items.length > schema.IN_VALUES_MAX) {
    const allowed = `${formatCount(schema.IN_VALUES_MAX)} allowed`;
    fail(context, entry.key, `"in" has ${formatCount(items.length)} values, ${allowed}`);
    return [];
  }
  return items.map(item => readValue(context, entry, item)).filter(value => value !== undefined);
}

function readValue(context: Context, entry: Entry, item: Item): Scalar | undefined {
  const subject = 'a value of "in"';
  if ('node' in item) return readScalar(context, item.node, subject, 'scalar');
  const value = readLine(context, entry, item, subject);
  return value === undefined ? undefined : { type: 'string', value };
}

function readTexts(context: Context, entry: Entry, kind: 'texts' | 'allTexts', countMax: number): string[] {
  const items = readItems(context, entry, kind, `"${entry.name}" has no texts`);
  if (items.length > countMax) {
    const message = `"${entry.name}" has ${formatCount(items.length)} texts, ${formatCount(countMax)} allowed`;
    fail(context, entry.key, message);
    return [];
  }
  const texts = items
    .map(item => readItem(context, entry, item, `a text of "${entry.name}"`))
    .filter(text => text !== undefined);
  const size = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (size > schema.TEXTS_SIZE_MAX)
    failSize(context, entry.key, `"${entry.name}"`, size, schema.TEXTS_SIZE_MAX);
  return texts;
}

function readItem(context: Context, entry: Entry, item: Item, subject: string): string | undefined {
  return 'node' in item ? readText(context, item.node, subject) : readLine(context, entry, item, subject);
}

function readPattern(
  context: Context,
  entry: Entry,
  { step, nesting, ignoreCase, field, isOfCapture }: OperatorPlace,
): Test | undefined {
  const source = isSeq(entry.value)
    ? failType(context, entry.value, '"regex"', 'pattern')
    : readText(context, entry.value, '"regex"', Infinity); // parsePattern has its own limit
  const parsed = source === undefined ? undefined : tryPattern(context, entry.value!, source, ignoreCase);
  if (source === undefined || !parsed) {
    step.capturesAreKnown = false;
    return undefined;
  }
  if (isOfCapture && parsed.captures.length > 0)
    fail(context, entry.value!, 'a pattern over a capture has no captures of its own', OF_CAPTURE_HINT);
  for (const name of parsed.captures) {
    if (step.captures.has(name)) {
      const hint = 'rename one: a template would not know which is meant';
      fail(context, entry.value!, `capture ${quote(name)} is in two patterns`, hint);
    }
    step.captures.set(name, nesting.isUnderNot ? 'underNot' : 'found');
    const captured = { capture: name, regex: source, ...(ignoreCase && { ignoreCase }) };
    if (!nesting.isUnderNot) step.capturePaths.set(name, [...(field ?? []), captured]);
  }
  return { op: 'regex', source, ...parsed };
}

const OF_CAPTURE_HINT = 'name the group in the pattern that finds the capture';

function tryPattern(context: Context, node: Node, source: string, ignoreCase: true | undefined) {
  try {
    const { pattern, captures } = parsePattern(source, ignoreCase);
    if (matchesEverything(pattern)) {
      fail(
        context,
        node,
        'this pattern matches every text',
        'to ask only that the field is there, write `exists: true`',
      );
    }
    return { pattern, captures };
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    const { message, hint, span, note } = error;
    const place = spanOf(context.document, node);
    const problem = {
      message,
      ...(hint !== undefined && { hint }),
      span: place,
      pattern: { source, span, note },
    };
    context.report({ severity: 'error', ...problem });
    return undefined;
  }
}
