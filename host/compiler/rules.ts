// The rules file: YAML text → the model that the compiler works on. Every mistake of the file is reported
// in one run, with its place; a rule with a mistake is left out of the result. Keys, their meaning and all
// limits are in schema.ts, YAML itself in document.ts, what is allowed but rarely meant in advice.ts.
import { isMap, isScalar, isSeq } from 'yaml';
import type { Scalar as YamlScalar } from 'yaml';
import { KEY_COUNT_DEFAULT, RATE_COUNT_DEFAULT } from '../../assembly/layout.ts';
import { adviseNames, adviseRule } from './advice.ts';
import {
  TEMPLATE_HINT,
  isDamaged,
  readDocument,
  resolveAlias,
  spanOf,
  spanWithin,
  writtenAs,
} from './document.ts';
import type { Document, Node } from './document.ts';
import { EXPONENT_MAX, formatDecimal, parseDecimal } from './decimal.ts';
import type { Decimal } from './decimal.ts';
import { TextError, formatCount, nearest, quote } from '../error.ts';
import type { Report, Span, TextProblem } from '../error.ts';
import { parseFieldPath } from './field.ts';
import { asTestHint, foreignFile, foreignHint, meantKey, textConditionHint } from './foreign.ts';
import { kindHint } from './firing.ts';
import type { Condition, FieldPath, Limits, Rule, RuleFile, Scalar, Template, Test } from './model.ts';
import { matchesEverything } from './nfa.ts';
import { PatternError, parsePattern } from './pattern.ts';
import * as schema from './schema.ts';
import type { Keys } from './schema.ts';
import { parseTemplate } from './template.ts';
import type { PlacedPart } from './template.ts';

export { formatFieldPath, parseFieldPath } from './field.ts';
export type * from './model.ts';

/** Never throws on bad input. */
export function parseRules(source: string, report: Report): RuleFile {
  const size = Buffer.byteLength(source);
  if (size > schema.FILE_SIZE_MAX) {
    const message = `the file has ${formatCount(size)} bytes, ${formatCount(schema.FILE_SIZE_MAX)} allowed`;
    report({ severity: 'error', message, span: { start: 0, end: 0 } });
    return { rules: [], limits: LIMITS_DEFAULT };
  }
  const document = readDocument(source, report);
  return readFile(makeContext(document, report));
}

interface Context {
  document: Document;
  report: Report;
  /** Errors so far: a rule has a mistake when the count grew while it was read. */
  errorCount: number;
}

function makeContext(document: Document, report: Report): Context {
  const seen = new Set<string>(); // a value under two aliases is read twice, its mistakes are reported once
  const context: Context = {
    document,
    errorCount: 0,
    report: problem => {
      if (problem.severity === 'error') context.errorCount++;
      const key = `${problem.span.start}:${problem.span.end}:${problem.message}`;
      if (!seen.has(key)) report(problem);
      seen.add(key);
    },
  };
  return context;
}

/** Where the YAML is broken, its own error is the one that helps; errors about the rest do not help. */
function quietIfDamaged(context: Context, node: Node): Context {
  return isDamaged(context.document, node) ? { ...context, report: () => {} } : context;
}

function fail(context: Context, place: Node | Span, message: string, hint?: string): undefined {
  const span = 'start' in place ? place : spanOf(context.document, place);
  context.report({ severity: 'error', message, ...(hint !== undefined && { hint }), span });
}

// ---------------------------------------------------------------------------------------- file and groups

const LIMITS_DEFAULT: Limits = { keyCount: KEY_COUNT_DEFAULT, alertsPerSecond: RATE_COUNT_DEFAULT };

function readFile(context: Context): RuleFile {
  const { root, damage } = context.document;
  if (isNothing(root)) {
    if (damage.length === 0) fail(context, { start: 0, end: 0 }, 'the file is empty', NO_RULES_HINT);
    return { rules: [], limits: LIMITS_DEFAULT };
  }
  const own = quietIfDamaged(context, root);
  const foreign = foreignFile(isMap(root) ? keysOf(root) : []);
  if (foreign) {
    fail(own, firstKeyOf(root), foreign.message, foreign.hint);
    return { rules: [], limits: LIMITS_DEFAULT };
  }
  const map = readMap(own, root, 'a rules file', schema.FILE_KEYS, () => NO_RULES_HINT);
  const groups = map?.get('groups');
  const names = new Set<string>();
  const rules: Rule[] = [];
  for (const group of readList(own, groups, 'groups', 'the file has no rules') ?? []) {
    readGroup(context, group, names, rules);
  }
  adviseNames(rules, context.report);
  return { rules, limits: readLimits(own, map?.get('limits')) };
}

function keysOf(map: Node): string[] {
  const keys = isMap<Node, Node | null>(map) ? map.items.map(({ key }) => key) : [];
  return keys.flatMap(key => (isScalar(key) ? [String(key.value)] : []));
}

function firstKeyOf(map: Node): Node {
  return (isMap<Node, Node | null>(map) && map.items[0]?.key) || map;
}

function readLimits(context: Context, entry: Entry | undefined): Limits {
  const map = entry?.value && readMap(context, entry.value, '"limits"', schema.LIMITS_KEYS);
  const keyCount = map && readCount(context, map.get('keys'), schema.KEYS_MIN, schema.KEYS_MAX);
  const rate = map && readCount(context, map.get('alertsPerSecond'), 0, schema.ALERTS_PER_SECOND_MAX);
  return {
    keyCount: keyCount ?? LIMITS_DEFAULT.keyCount,
    alertsPerSecond: rate ?? LIMITS_DEFAULT.alertsPerSecond,
  };
}

const NO_RULES_HINT = 'a rules file starts with `groups:`, a list of groups with a name and rules';

function readGroup(context: Context, node: Node, names: Set<string>, rules: Rule[]): void {
  const own = quietIfDamaged(context, node);
  const map = readMap(own, node, 'a group', schema.GROUP_KEYS);
  const name = readName(own, map?.get('name'));
  if (name !== undefined && names.has(name)) {
    fail(own, map!.get('name')!.value!, `second group ${quote(name)}`, 'give each group its own name');
  }
  if (name !== undefined) names.add(name);
  for (const item of readList(own, map?.get('rules'), 'rules', 'the group has no rules') ?? []) {
    if (!mayAddRule(context, item, rules)) return;
    const rule = readRule(context, item, name ?? '');
    if (rule) rules.push(rule);
  }
}

function mayAddRule(context: Context, node: Node, rules: Rule[]): boolean {
  if (rules.length < schema.RULES_MAX) return true;
  fail(context, node, `more than ${formatCount(schema.RULES_MAX)} rules in the file`, 'split the file');
  return false;
}

// ---------------------------------------------------------------------------------------------- one rule

function readRule(context: Context, node: Node, group: string): Rule | undefined {
  if (isDamaged(context.document, node)) return undefined;
  const errorsBefore = context.errorCount;
  const map = readMap(context, node, 'a rule', schema.RULE_KEYS);
  if (!map) return undefined;
  checkKindOfRule(context, map);
  const alert = readName(context, map.get('alert'));
  const sequence = readSequence(context, map.get('sequence'));
  const match = readMatch(context, map.get('match'));
  const steps = sequence?.steps ?? (match ? [match] : []);
  const labels = readTemplates(context, map.get('labels'), 'label');
  const annotations = readTemplates(context, map.get('annotations'), 'annotation');
  const labelNames = labels.map(label => label.name).filter(isOwnLabel);
  for (const label of labels) checkReferences(context, label, steps);
  for (const annotation of annotations) checkReferences(context, annotation, steps, labelNames);
  const realertMs = readDuration(context, map.get('realert'), 0) ?? schema.REALERT_DEFAULT_MS;
  const threshold = readThreshold(context, map.get('threshold'), labelNames);
  const absence = readAbsence(context, map.get('absence'), labelNames);
  const tied = sequence && tieSteps(context, sequence, labels);
  if (context.errorCount > errorsBefore) return undefined;
  const rule: Rule = {
    alert: alert!, // required: had it been missing, an error would have been counted
    group,
    span: spanOf(context.document, resolveAlias(context.document, node, context.report)!),
    steps: steps.map(step => step.condition!),
    labels: labels.map(toTemplate),
    annotations: annotations.map(toTemplate),
    realertMs,
    ...(threshold && { threshold }),
    ...(tied && { sequence: tied }),
    ...(absence && { absence }),
  };
  const watched = ['threshold', 'sequence', 'absence'].flatMap(name => namedInBy(map.get(name)?.value, rule));
  adviseRule(rule, new Set(watched), context.report);
  return rule;
}

/** The labels that are watched on their own because the rule says so; without "by" all are, but nobody said so. */
function namedInBy(node: Node | undefined, { threshold, sequence, absence }: Rule): string[] {
  return isMap(node) && node.has('by') ? (threshold ?? sequence ?? absence)!.by : [];
}

/** A rule has either match or sequence; threshold and absence need match, and exclude each other. */
function checkKindOfRule(context: Context, map: ReadMap): void {
  const apart = (name: string, other: string, hint: string) => {
    const entry = map.get(name);
    if (!entry || !map.get(other)) return;
    fail(context, entry.key, `"${name}" cannot be used with "${other}"`, hint);
  };
  if (!map.get('match') && !map.get('sequence') && !map.wasMeant('match') && !map.wasMeant('sequence')) {
    const hint = `match: ${schema.RULE_KEYS.match.description}`;
    fail(context, map.place, 'missing key "match" in a rule', hint);
  }
  apart('sequence', 'match', 'a sequence has its conditions under "steps"');
  apart('threshold', 'sequence', 'make them two rules');
  apart('absence', 'sequence', 'make them two rules');
  apart('absence', 'threshold', 'make them two rules');
}

/** Not a name that was refused. */
function isOwnLabel(name: string): boolean {
  return schema.LABEL_NAME.test(name) && !Object.hasOwn(schema.RESERVED_LABELS, name);
}

function toTemplate(draft: TemplateDraft): Template {
  return { name: draft.name, parts: draft.parts.map(placed => placed.part), span: draft.span };
}

// -------------------------------------------------------------------------------------------- conditions

/** A condition and the captures of its patterns: what a template can refer to. */
interface Step {
  node: Node;
  condition: Condition | undefined;
  captures: Map<string, 'found' | 'underNot'>;
  /** False if a pattern was refused: any name could have been one of its captures. */
  capturesAreKnown: boolean;
  conditionCount: number;
}

function readMatch(context: Context, entry: Entry | undefined): Step | undefined {
  return entry?.value && readStep(context, entry.value);
}

function readStep(context: Context, node: Node): Step {
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
      const texts = isSeq(entry.value)
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
  const items = readList(context, entry, 'scalars', '"in" has no values') ?? [];
  if (items.length > schema.IN_VALUES_MAX) {
    const allowed = `${formatCount(schema.IN_VALUES_MAX)} allowed`;
    fail(context, entry.key, `"in" has ${formatCount(items.length)} values, ${allowed}`);
    return [];
  }
  return items
    .map(item => readScalar(context, item, 'a value of "in"', 'scalar'))
    .filter(value => value !== undefined);
}

function readTexts(context: Context, entry: Entry, kind: 'texts' | 'allTexts', countMax: number): string[] {
  const items = readList(context, entry, kind, `"${entry.name}" has no texts`) ?? [];
  if (items.length > countMax) {
    const message = `"${entry.name}" has ${formatCount(items.length)} texts, ${formatCount(countMax)} allowed`;
    fail(context, entry.key, message);
    return [];
  }
  const texts = items
    .map(item => readText(context, item, `a text of "${entry.name}"`))
    .filter(text => text !== undefined);
  const size = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  if (size > schema.TEXTS_SIZE_MAX)
    failSize(context, entry.key, `"${entry.name}"`, size, schema.TEXTS_SIZE_MAX);
  return texts;
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

// ------------------------------------------------------------------------------- labels and annotations

interface TemplateDraft {
  name: string;
  parts: PlacedPart[];
  span: Span;
  node: YamlScalar;
}

/** Sorted by name. Names are ASCII, so comparing UTF-16 units is comparing bytes. */
function readTemplates(
  context: Context,
  entry: Entry | undefined,
  noun: 'label' | 'annotation',
): TemplateDraft[] {
  const node = entry?.value;
  if (!node) return [];
  if (!isMap(node)) {
    failType(context, node, `"${entry.name}"`, `${noun}s`);
    return [];
  }
  const entries = readPairs(context, node);
  const limit = noun === 'label' ? schema.LABELS_MAX : schema.ANNOTATIONS_MAX;
  if (entries.length > limit) fail(context, entry.key, `${entries.length} ${noun}s, ${limit} allowed`);
  return entries
    .map(item => readTemplate(context, item, noun))
    .filter(draft => draft !== undefined)
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

function readTemplate(
  context: Context,
  entry: Entry,
  noun: 'label' | 'annotation',
): TemplateDraft | undefined {
  const { name, key, value } = entry;
  checkTemplateName(context, name, key, noun);
  if (!value) return undefined;
  const draft: TemplateDraft = {
    name,
    parts: [],
    span: spanOf(context.document, value),
    node: value as YamlScalar,
  };
  if (!isScalar(value) || typeof value.value !== 'string') {
    failType(context, value, `${noun} ${quote(name)}`, 'text');
    return draft; // its name is still one that others can refer to
  }
  if (!isSound(context, value, value.value)) return draft;
  draft.parts = parseTemplate(value.value, problem => failInText(context, value, problem));
  const size = draft.parts.reduce(
    (sum, { part }) => sum + (part.kind === 'text' ? Buffer.byteLength(part.text) : 0),
    0,
  );
  if (size > schema.TEXT_SIZE_MAX)
    failSize(context, value, `${noun} ${quote(name)}`, size, schema.TEXT_SIZE_MAX);
  return draft;
}

function checkTemplateName(context: Context, name: string, key: Node, noun: 'label' | 'annotation'): void {
  const reserved = noun === 'label' ? schema.RESERVED_LABELS : schema.RESERVED_ANNOTATIONS;
  if (!schema.LABEL_NAME.test(name)) {
    const hint = 'a name is made of letters, digits and _, and starts with no digit';
    fail(
      context,
      key,
      `${quote(name)} is not a name for ${noun === 'label' ? 'a label' : 'an annotation'}`,
      hint,
    );
  } else if (name.length > schema.NAME_SIZE_MAX) {
    failSize(context, key, `the name of the ${noun}`, name.length, schema.NAME_SIZE_MAX);
  } else if (Object.hasOwn(reserved, name)) {
    fail(context, key, `${noun} "${name}" is reserved`, `${reserved[name]!}: leave it out`);
  }
}

/** An annotation can refer to labels (`labelNames`), a label cannot. */
function checkReferences(context: Context, draft: TemplateDraft, steps: Step[], labelNames?: string[]): void {
  for (const { part, span } of draft.parts) {
    const problem =
      part.kind === 'capture'
        ? captureProblem(part.name, steps)
        : part.kind === 'label'
          ? labelProblem(part.name, labelNames)
          : part.kind === 'value' && !labelNames
            ? VALUE_IN_LABEL
            : undefined;
    if (problem) failInText(context, draft.node, { ...problem, span });
  }
}

/** An alert is filled in from the record of the last step. */
function captureProblem(name: string, steps: Step[]): { message: string; hint?: string } | undefined {
  const last = steps.at(-1);
  if (!last?.capturesAreKnown || last.captures.get(name) === 'found') return undefined;
  if (last.captures.has(name)) {
    return {
      message: `capture ${quote(name)} is under "not"`,
      hint: 'a record that matches has no text for it',
    };
  }
  if (steps.some(step => step.captures.get(name) === 'found')) {
    const hint = 'an alert is filled in from the record of the last step';
    return { message: `capture ${quote(name)} is not of the last step`, hint };
  }
  const known = [...last.captures].filter(([, state]) => state === 'found').map(([known]) => known);
  const none = `no pattern of the rule has a named group: (?P<${name}>…)`;
  return unknownName('capture', name, known, none);
}

const VALUE_IN_LABEL = {
  message: 'a label cannot refer to $value',
  hint: 'put it in an annotation: each new number would be a new label set, with a cool-down of its own',
};

function labelProblem(
  name: string,
  labelNames: string[] | undefined,
): { message: string; hint?: string } | undefined {
  if (!labelNames) {
    const hint = 'labels are filled in from the record alone: use $record or $captures';
    return { message: `a label cannot refer to label ${quote(name)}`, hint };
  }
  const known = ['alertname', ...labelNames];
  return known.includes(name) ? undefined : unknownName('label', name, known, '');
}

function unknownName(
  noun: string,
  name: string,
  known: string[],
  none: string,
): { message: string; hint: string } {
  const near = nearest(name, known);
  const message = `unknown ${noun} ${quote(name)}${near === undefined ? '' : `; did you mean "${near}"?`}`;
  return { message, hint: known.length > 0 ? `known ${noun}s: ${known.join(', ')}` : none };
}

// ------------------------------------------------------------------- threshold, sequence and absence

function readThreshold(context: Context, entry: Entry | undefined, labelNames: string[]): Rule['threshold'] {
  const map = entry?.value && readMap(context, entry.value, '"threshold"', schema.THRESHOLD_KEYS);
  if (!map) return undefined;
  const most = map.get('distinct') ? schema.DISTINCT_MAX : schema.COUNT_MAX;
  const count = readCount(context, map.get('count'), 1, most);
  const withinMs = readDuration(context, map.get('within'), 1_000);
  const by = readBy(context, map.get('by'), labelNames);
  const distinct = readField(context, map.get('distinct'));
  if (count === undefined || withinMs === undefined) return undefined;
  return { count, withinMs, by, ...(distinct && { distinct }), span: map.span };
}

function readAbsence(context: Context, entry: Entry | undefined, labelNames: string[]): Rule['absence'] {
  const map = entry?.value && readMap(context, entry.value, '"absence"', schema.ABSENCE_KEYS);
  if (!map) return undefined;
  const forMs = readDuration(context, map.get('for'), schema.ABSENCE_MIN_MS);
  const by = readBy(context, map.get('by'), labelNames);
  return forMs === undefined ? undefined : { forMs, by, span: map.span };
}

interface SequenceDraft {
  steps: Step[];
  withinMs: number | undefined;
  by: Entry | undefined;
  place: Node;
  span: Span;
}

function readSequence(context: Context, entry: Entry | undefined): SequenceDraft | undefined {
  const map = entry?.value && readMap(context, entry.value, '"sequence"', schema.SEQUENCE_KEYS);
  if (!map) return undefined;
  const items = readList(context, map.get('steps'), 'steps', '"steps" has no conditions') ?? [];
  const steps = items.map(item => readStep(context, item));
  if (items.length > 0 && (items.length < schema.STEPS_MIN || items.length > schema.STEPS_MAX)) {
    const message = `sequence of ${items.length}, ${schema.STEPS_MIN} to ${schema.STEPS_MAX} steps allowed`;
    fail(
      context,
      map.get('steps')!.key,
      message,
      items.length === 1 ? 'for one condition use "match"' : undefined,
    );
  }
  const withinMs = readDuration(context, map.get('within'), 1);
  return { steps, withinMs, by: map.get('by'), place: map.get('by')?.key ?? entry.key, span: map.span };
}

/** Steps belong together when the labels in `by` are the same, so every step must have them. */
function tieSteps(context: Context, sequence: SequenceDraft, labels: TemplateDraft[]): Rule['sequence'] {
  const by = readBy(context, sequence.by, labels.map(label => label.name)); // prettier-ignore
  const untied = labels.map(label => ({ label, missing: missingCapture(label, sequence.steps) }));
  const tying = untied.filter(({ missing }) => !missing).map(({ label }) => label.name);
  for (const { label, missing } of untied) {
    if (!missing || !by.includes(label.name)) continue;
    const message = `label "${label.name}" cannot tie the steps: step ${missing.step} has no capture "${missing.name}"`;
    fail(context, sequence.place, message, `write by: [${tying.join(', ')}]; every step has these`);
  }
  return sequence.withinMs === undefined
    ? undefined
    : { withinMs: sequence.withinMs, by, span: sequence.span };
}

function missingCapture(label: TemplateDraft, steps: Step[]): { name: string; step: number } | undefined {
  for (const { part } of label.parts) {
    if (part.kind !== 'capture' || captureProblem(part.name, steps)) continue; // the latter is reported already
    const index = steps.findIndex(step => step.capturesAreKnown && step.captures.get(part.name) !== 'found');
    if (index >= 0) return { name: part.name, step: index + 1 };
  }
  return undefined;
}

/** Sorted, as it is a set; all labels if it is left out. */
function readBy(context: Context, entry: Entry | undefined, labelNames: string[]): string[] {
  if (!entry) return labelNames;
  const names = new Set<string>();
  for (const item of readList(context, entry, 'labelNames') ?? []) {
    const name = readText(context, item, 'a name in "by"');
    if (name === undefined) continue;
    if (name === 'alertname')
      fail(context, item, '"by" cannot name "alertname"', 'a rule is watched on its own in any case');
    else if (names.has(name)) fail(context, item, `label ${quote(name)} is named twice in "by"`);
    else if (!labelNames.includes(name)) failUnknownLabel(context, item, name, labelNames);
    names.add(name);
  }
  return [...names].sort();
}

function failUnknownLabel(context: Context, node: Node, name: string, labelNames: string[]): void {
  const own =
    name
      .split(/[.[\]"']+/)
      .filter(Boolean)
      .at(-1) ?? name;
  const isPath = own !== name;
  const none = `give the rule this label: "by" names labels, not fields${isPath ? `; write ${own}: '{{ $record.${name} }}'` : ''}`;
  const { message, hint } = unknownName('label', name, labelNames, none);
  fail(context, node, message, isPath ? none : hint);
}

// ------------------------------------------------------------------------------------------- durations

const UNITS_MS = [365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1_000, 1];

/** `1h30m` → milliseconds. Throws a TextError. */
export function parseDuration(text: string): number {
  const span = { start: 0, end: text.length };
  const [whole, ...amounts] = schema.DURATION.exec(text) ?? [];
  if (whole === undefined) throw new TextError(`${quote(text)} is not a duration`, span, durationHint(text));
  const durationMs = UNITS_MS.reduce((sum, unit, index) => sum + unit * Number(amounts[index] ?? 0), 0);
  if (durationMs <= schema.DURATION_MAX_MS) return durationMs;
  const longest = `${schema.DURATION_MAX_MS / 86_400_000}d`;
  throw new TextError(`${quote(text)} is too long a time, ${longest} allowed`, span);
}

function durationHint(text: string): string {
  if (/^\d+$/.test(text)) return `add the unit: ${text}s, ${text}m or ${text}ms`;
  const [, amount, unit] = /^P?T?(\d+)\s*([a-z])[a-z]*\.?$/i.exec(text) ?? [];
  if (unit && 'smhdw'.includes(unit.toLowerCase()) && !/^\d+ms$/.test(text)) {
    const milliseconds = /^\d+\s*mil/i.test(text) ? 'ms' : unit.toLowerCase();
    return `write ${amount}${milliseconds}`;
  }
  if (/^\d+\.\d+/.test(text)) return 'write whole numbers: 1h30m, not 1.5h';
  if (/^(\d+(ms|[ywdhms]))+$/.test(text)) return 'name each unit once, the largest first: 1h30m';
  return 'write it as 15m, 1h30m, 500ms or 1d';
}

function readDuration(context: Context, entry: Entry | undefined, leastMs: number): number | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  const isNumber = isScalar(node) && (typeof node.value === 'bigint' || typeof node.value === 'number');
  if (!isNumber && !(isScalar(node) && typeof node.value === 'string')) {
    return failType(context, node, `"${entry.name}"`, 'duration');
  }
  const durationMs = parseInText(
    context,
    node,
    isNumber ? writtenAs(context.document, node) : String(node.value),
    parseDuration,
  );
  if (durationMs === undefined || durationMs >= leastMs) return durationMs;
  return fail(context, node, `"${entry.name}" must be at least ${leastMs === 1 ? '1ms' : '1s'}`);
}

// ----------------------------------------------------------------------------------- reading YAML nodes

/** A key of a map and its value; no value where an alias is broken or nothing was written: both are reported. */
interface Entry {
  name: string;
  key: Node;
  value: Node | undefined;
}

interface ReadMap {
  get(name: string): Entry | undefined;
  /** Whether an unknown key was taken for a misspelt `name`, so that it need not be reported as missing. */
  wasMeant(name: string): boolean;
  unknownCount: number;
  /** Where to point for what concerns the whole map: its first key. */
  place: Node;
  span: Span;
}

function readMap(
  context: Context,
  node: Node,
  what: string,
  keys: Keys,
  hint?: () => string | undefined,
): ReadMap | undefined {
  const map = resolveAlias(context.document, node, context.report);
  if (!map) return undefined;
  if (!isMap(map)) {
    const found = describe(context, map);
    const kind = what.replaceAll('"', '');
    const form = kind === 'threshold' || kind === 'absence' || kind === 'sequence' ? kind : 'limits';
    const message = `${what} must be a map, found ${found}`;
    return fail(context, map, message, hint?.() ?? typeHint(context, map, form));
  }
  const entries = readPairs(context, map);
  const known = new Map(
    entries.filter(entry => Object.hasOwn(keys, entry.name)).map(entry => [entry.name, entry]),
  );
  const meant = new Set<string | undefined>();
  for (const entry of entries)
    if (!known.has(entry.name)) meant.add(failUnknownKey(context, entry, keys, known, entries.length));
  const place = entries[0]?.key ?? map;
  for (const [name, key] of Object.entries(keys)) {
    // A condition need not be a test: its own reader requires `field`.
    if (!key.required || known.has(name) || meant.has(name) || keys === schema.CONDITION_KEYS) continue;
    fail(context, place, `missing key "${name}" in ${what}`, `${name}: ${key.description}`);
  }
  const unknownCount = entries.length - known.size;
  const span = spanOf(context.document, map);
  return { get: name => known.get(name), wasMeant: name => meant.has(name), unknownCount, place, span };
}

function failUnknownKey(
  context: Context,
  entry: Entry,
  keys: Keys,
  present: Map<string, Entry>,
  entryCount: number,
): string | undefined {
  const message = `unknown key ${quote(entry.name)}`;
  const candidates = Object.keys(keys).filter(name => !present.has(name));
  const asTest =
    keys === schema.CONDITION_KEYS ? asTestHint(entry.name, isSeq(entry.value), present.size > 0) : undefined;
  const foreign = foreignHint(entry.name, keys, entryCount === 1) ?? asTest;
  const near = foreign === undefined ? nearest(entry.name, candidates) : undefined;
  if (near !== undefined) fail(context, entry.key, `${message}; did you mean "${near}"?`);
  else fail(context, entry.key, message, foreign ?? `known keys: ${Object.keys(keys).join(', ')}`);
  return near ?? meantKey(foreign);
}

/** The entries of a map, duplicate keys and keys that are not strings left out. */
function readPairs(context: Context, map: Node): Entry[] {
  const entries = new Map<string, Entry>();
  for (const { key, value } of isMap<Node, Node | null>(map) ? map.items : []) {
    const name = isScalar(key) && typeof key.value === 'string' ? key.value : undefined;
    if (name === undefined) fail(context, key, 'a key must be a string', keyHint(context, key));
    else if (entries.has(name)) fail(context, key, `duplicate key ${quote(name)}`);
    else entries.set(name, { name, key, value: readValue(context, name, key, value) });
  }
  return [...entries.values()];
}

function keyHint(context: Context, key: Node): string | undefined {
  if (writtenAs(context.document, key).startsWith('{')) return TEMPLATE_HINT;
  return isScalar(key) ? 'put it in quotes' : undefined;
}

/** Keys that hold other keys. */
const HOLDERS = new Set(
  [schema.FILE_KEYS, schema.GROUP_KEYS, schema.RULE_KEYS, schema.GROUPING_KEYS].flatMap(keys =>
    Object.entries(keys).flatMap(([name, { kind }]) =>
      kind === 'name' || kind === 'duration' ? [] : [name],
    ),
  ),
);
const INDENT_HINT = 'indent the lines below that belong to it';

function readValue(context: Context, name: string, key: Node, value: Node | null): Node | undefined {
  if (!isNothing(value)) return resolveAlias(context.document, value, context.report);
  const hint =
    name === 'eq' ? 'write null to compare with null' : HOLDERS.has(name) ? INDENT_HINT : undefined;
  return fail(context, key, `${quote(name)} has no value`, hint);
}

/** Nothing was written: unlike `null` and `~`, which are values. */
function isNothing(node: Node | null): node is null {
  return node === null || (isScalar(node) && node.value === null && (node.source ?? '') === '');
}

/** The items with their aliases resolved. `emptyMessage`: the error for an empty list, if that is one. */
function readList(
  context: Context,
  entry: Entry | undefined,
  kind: keyof typeof schema.KINDS,
  emptyMessage?: string,
): Node[] | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  if (!isSeq<Node | null>(node)) return failType(context, node, `"${entry.name}"`, kind);
  if (node.items.length === 0 && emptyMessage !== undefined) fail(context, node, emptyMessage);
  const items: Node[] = [];
  for (const item of node.items) {
    if (isNothing(item))
      fail(context, item ?? node, `empty item in "${entry.name}"`, 'leave out the dash or comma');
    else items.push(resolveAlias(context.document, item, context.report) ?? node);
  }
  return items;
}

function readName(context: Context, entry: Entry | undefined): string | undefined {
  return entry && readText(context, entry.value, `"${entry.name}"`, schema.NAME_SIZE_MAX);
}

function readText(
  context: Context,
  node: Node | undefined,
  subject: string,
  sizeMax = schema.TEXT_SIZE_MAX,
  kind: 'text' | 'texts' = 'text',
): string | undefined {
  if (!node) return undefined;
  if (!isScalar(node) || typeof node.value !== 'string') return failType(context, node, subject, kind);
  if (node.value === '') return fail(context, node, `${subject} is empty`);
  const size = Buffer.byteLength(node.value);
  if (size > sizeMax) return failSize(context, node, subject, size, sizeMax);
  return isSound(context, node, node.value) ? node.value : undefined;
}

/** YAML's "\ud800" is no character: it has no bytes in UTF-8. */
function isSound(context: Context, node: Node, text: string): boolean {
  if (!/\p{Surrogate}/u.test(text)) return true;
  fail(context, node, 'the text holds half a surrogate pair', 'write both halves, or \\U and eight digits');
  return false;
}

function readField(context: Context, entry: Entry | undefined): FieldPath | undefined {
  if (!entry?.value) return undefined;
  if (!isScalar(entry.value) || typeof entry.value.value !== 'string') {
    return failType(context, entry.value, `"${entry.name}"`, 'field');
  }
  const text = readText(context, entry.value, `"${entry.name}"`);
  return text === undefined ? undefined : parseInText(context, entry.value, text, parseFieldPath);
}

function readBoolean(context: Context, { name, value }: Entry): boolean | undefined {
  if (!value) return undefined;
  if (isScalar(value) && typeof value.value === 'boolean') return value.value;
  return failType(context, value, `"${name}"`, 'boolean');
}

function readCount(
  context: Context,
  entry: Entry | undefined,
  least: number,
  most: number,
): number | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  const isNumber = isScalar(node) && (typeof node.value === 'bigint' || typeof node.value === 'number');
  const number = isNumber ? decimalOf(node) : null;
  if (number === null || number.digits.length > number.exponent)
    return failType(context, node, `"${entry.name}"`, 'count');
  const count = Number(formatDecimal(number));
  if (count >= least && count <= most) return count;
  return fail(context, node, `"${entry.name}" must be from ${formatCount(least)} to ${formatCount(most)}`);
}

function readScalar(
  context: Context,
  node: Node | undefined,
  subject: string,
  kind: 'scalar' | 'number',
): Scalar | undefined {
  if (!node) return undefined;
  if (!isScalar(node)) return failType(context, node, subject, kind);
  const { value } = node;
  if (typeof value === 'bigint' || typeof value === 'number') return readNumber(context, node, subject);
  if (kind === 'number') return failType(context, node, subject, kind);
  if (value === null) return { type: 'null' };
  if (typeof value === 'boolean') return { type: 'boolean', value };
  const size = Buffer.byteLength(String(value));
  if (size > schema.TEXT_SIZE_MAX) return failSize(context, node, subject, size, schema.TEXT_SIZE_MAX);
  return isSound(context, node, String(value)) ? { type: 'string', value: String(value) } : undefined;
}

/** Numbers are exact, whatever their length. */
function readNumber(context: Context, node: YamlScalar, subject: string): Scalar | undefined {
  const written = writtenAs(context.document, node);
  if (written.length > schema.TEXT_SIZE_MAX)
    return failSize(context, node, subject, written.length, schema.TEXT_SIZE_MAX);
  const number = decimalOf(node);
  if (number === null) {
    const hint = 'JSON has no such number, so that no record has it: leave the test out';
    return fail(
      context,
      node,
      `${subject} must be a number that JSON can hold, found ${quote(written)}`,
      hint,
    );
  }
  if (Math.abs(number.exponent) <= EXPONENT_MAX) return { type: 'number', value: formatDecimal(number) };
  const message = `the exponent of ${quote(written)} is too large, ${formatCount(EXPONENT_MAX)} allowed`;
  return fail(context, node, message, 'leave the test out: no record has a number of that size');
}

/** From the text, where YAML's value is a double; null for infinities and NaN. */
function decimalOf({ value, source }: YamlScalar): Decimal | null {
  return parseDecimal(typeof value === 'bigint' ? String(value) : (source ?? String(value)));
}

// ------------------------------------------------------------------------------------- what went wrong

function failType(context: Context, node: Node, subject: string, kind: keyof typeof schema.KINDS): undefined {
  const { expected } = schema.KINDS[kind];
  const message = `${subject} must be ${expected}, found ${describe(context, node)}`;
  fail(context, node, message, typeHint(context, node, kind));
}

function typeHint(context: Context, node: Node, kind: keyof typeof schema.KINDS): string | undefined {
  const written = writtenAs(context.document, node);
  if (isMap(node) && written.startsWith('{{')) return TEMPLATE_HINT;
  if (isMap(node) && LISTS.has(kind)) return 'begin each item with "- "';
  if (isMap(node)) return kind === 'duration' ? 'write it as 15m, 1h30m, 500ms or 1d' : undefined;
  if (isSeq(node)) return LIST_HINTS[kind];
  return isScalar(node) ? scalarHint(node, written, kind) : undefined;
}

const LISTS = new Set<keyof typeof schema.KINDS>(['groups', 'rules', 'conditions', 'steps']);

/** For lists where something else is expected. */
const LIST_HINTS: Partial<Record<keyof typeof schema.KINDS, string>> = {
  scalar: 'use "in" for a list of values',
  pattern: 'write one pattern, such as a|b, or put tests under "any"',
  field: 'a test looks at one field: write a test for each under "any"',
  sequence: 'write {steps: […], within: 5m}',
  labels: 'write a map: {severity: warning}',
  annotations: "write a map: {message: '{{ $record.log }}'}",
};

function scalarHint(node: YamlScalar, written: string, kind: keyof typeof schema.KINDS): string | undefined {
  const isCount = /^\d+$/.test(String(node.value));
  switch (kind) {
    case 'text':
    case 'texts':
      return node.value === null ? undefined : `put it in quotes: '${written}'`;
    case 'number':
      return /^['"]?-?\d/.test(written) ? 'leave out the quotes and the unit' : undefined;
    case 'count':
    case 'keyCount':
    case 'rate':
      return isCount ? 'leave out the quotes' : undefined;
    case 'boolean':
      return /^(yes|on|no|off|true|false)$/i.test(String(node.value))
        ? `write ${/^(yes|on|true)$/i.test(String(node.value))}`
        : undefined;
    case 'threshold':
      return `write {count: ${isCount ? written : 20}, within: ${isDuration(String(node.value)) ? written : '5m'}}`;
    case 'absence':
      return `write {for: ${isDuration(String(node.value)) ? written : '10m'}}`;
    case 'labelNames':
    case 'scalars':
    case 'allTexts':
      return `write [${written}]`;
    default:
      return undefined;
  }
}

function isDuration(text: string): boolean {
  return schema.DURATION.test(text) && text !== '0';
}

function describe(context: Context, node: Node): string {
  if (isSeq(node)) return 'a list';
  if (!isScalar(node)) return 'a map';
  if (typeof node.value === 'string') return `the string ${quote(node.value)}`;
  const isNumber = typeof node.value === 'bigint' || typeof node.value === 'number';
  return isNumber
    ? `the number ${quote(writtenAs(context.document, node)).slice(1, -1)}`
    : String(node.value);
}

function failSize(context: Context, node: Node, subject: string, size: number, sizeMax: number): undefined {
  fail(context, node, `${subject} has ${formatCount(size)} bytes, ${formatCount(sizeMax)} allowed`);
}

function parseInText<T>(
  context: Context,
  node: YamlScalar,
  text: string,
  parse: (text: string) => T,
): T | undefined {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    failInText(context, node, error);
    return undefined;
  }
}

/** Points at the part of the scalar where its position is known, else at all of it with the text below. */
function failInText(context: Context, node: YamlScalar, { message, hint, span: part }: TextProblem): void {
  const exact = spanWithin(context.document, node, part);
  if (exact) return fail(context, exact, message, hint);
  const span = spanOf(context.document, node);
  const pattern = { source: String(node.value), span: part, note: '' };
  context.report({ severity: 'error', message, ...(hint !== undefined && { hint }), span, pattern });
}
