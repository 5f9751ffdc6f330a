// The conditions of a rule: YAML → model.
import { isScalar, isSeq } from 'yaml';
import { formatCount, quote } from '../error.ts';
import type { Span } from '../error.ts';
import { resolveAlias, spanOf, writtenAs } from './document.ts';
import type { Node } from './document.ts';
import { kindHint } from './firing.ts';
import { isListFile, readItems, readLine } from './lists.ts';
import type { Item } from './lists.ts';
import { textConditionHint } from './foreign.ts';
import type { Condition, Scalar, Test } from './model.ts';
import { matchesEverything } from './nfa.ts';
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
export interface Step {
  node: Node;
  condition: Condition | undefined;
  captures: Map<string, 'found' | 'underNot'>;
  /** False if a pattern was refused: any name could have been one of its captures. */
  capturesAreKnown: boolean;
  conditionCount: number;
}

export function readMatch(context: Context, entry: Entry | undefined): Step | undefined {
  return entry?.value && readStep(context, entry.value);
}

export function readStep(context: Context, node: Node): Step {
  const step: Step = {
    node,
    condition: undefined,
    captures: new Map(),
    capturesAreKnown: true,
    conditionCount: 0,
  };
  step.condition = readCondition(context, node, step, { depth: 1, isUnderNot: false });
  return step;
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
  const forms = [...groupings, ...(testKey === undefined ? [] : [testKey])];
  const conditions = [
    ...groupings.map(name => readGrouping(context, map.get(name)!, step, nesting, map.span)),
    ...(testKey === undefined ? [] : [readTest(context, map, step, nesting)]),
  ];
  if (forms.length === 1) return conditions[0];
  if (forms.length > 1) failTwoForms(context, map, forms);
  else if (map.unknownCount === 0) fail(context, node, 'empty condition', CONDITION_HINT);
  return undefined;
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
  const field = readField(context, map.get('field'));
  if (!map.get('field') && !map.wasMeant('field')) {
    fail(context, map.place, 'missing key "field" in a test', `field: ${schema.TEST_KEYS.field.description}`);
  }
  const operators = OPERATORS.filter(name => map.get(name));
  const ignoreCase = readIgnoreCase(context, map.get('ignoreCase'), operators);
  const tests = operators.map(name => readOperator(context, name, map.get(name)!, step, nesting, ignoreCase));
  if (operators.length > 1) failTwoOperators(context, map, operators);
  if (operators.length === 0 && map.unknownCount === 0) {
    const hint = `add one of ${OPERATORS.join(', ')}`;
    fail(context, map.place, 'the test has no operator', hint);
  }
  const [test] = tests;
  if (!field || !test) return undefined;
  if (ignoreCase) checkLetters(context, map.get('ignoreCase')!, test);
  const { span } = map;
  const common = { kind: 'test', field, span, ...(ignoreCase && { ignoreCase }) } as const;
  if (!('allTexts' in test)) return { ...common, ...test };
  const of = test.allTexts.map((text): Condition => ({
    ...common,
    op: 'contains',
    texts: [text],
    ofAll: true,
  }));
  return { kind: 'all', of, span };
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

function readOperator(
  context: Context,
  op: Operator,
  entry: Entry,
  step: Step,
  nesting: Nesting,
  ignoreCase: true | undefined,
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
      return readPattern(context, entry, step, nesting, ignoreCase);
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
  step: Step,
  nesting: Nesting,
  ignoreCase: true | undefined,
): Test | undefined {
  const source = isSeq(entry.value)
    ? failType(context, entry.value, '"regex"', 'pattern')
    : readText(context, entry.value, '"regex"', Infinity); // parsePattern has its own limit
  const parsed = source === undefined ? undefined : tryPattern(context, entry.value!, source, ignoreCase);
  if (source === undefined || !parsed) {
    step.capturesAreKnown = false;
    return undefined;
  }
  for (const name of parsed.captures) {
    if (step.captures.has(name)) {
      const hint = 'rename one: a template would not know which is meant';
      fail(context, entry.value!, `capture ${quote(name)} is in two patterns`, hint);
    }
    step.captures.set(name, nesting.isUnderNot ? 'underNot' : 'found');
  }
  return { op: 'regex', source, ...parsed };
}

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
