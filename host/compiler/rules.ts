// The rules file: YAML text → the model that the compiler works on. Every mistake of the file is reported
// in one run, with its place; a rule with a mistake is left out of the result. Keys, their meaning and all
// limits are in schema.ts, YAML itself in document.ts, what is allowed but rarely meant in advice.ts.
import { isMap, isScalar } from 'yaml';
import { KEY_COUNT_DEFAULT, RATE_COUNT_DEFAULT } from '../../assembly/layout.ts';
import { formatCount, lineAt, quote, sourceAt } from '../error.ts';
import type { Report, Source, Span } from '../error.ts';
import { adviseNames, adviseParse, adviseRule } from './advice.ts';
import { readMatch } from './conditions.ts';
import {
  anyOf,
  filledFrom,
  readAbsence,
  readFirstSeen,
  readRatio,
  readResolveAfter,
  readSamples,
  readSequence,
  readThreshold,
  tieSteps,
} from './counting.ts';
import type { SamplesDraft } from './counting.ts';
import { isDamaged, placed, readDocument, resolveAlias, spanOf } from './document.ts';
import type { Node } from './document.ts';
import { foreignFile } from './foreign.ts';
import { checkScope, joinLabels, joinScope, readScope } from './group.ts';
import type { Scope } from './group.ts';
import { makeLists } from './list-file.ts';
import type { ReadListFile } from './list-file.ts';
import type { Limits, Rule, RuleFile, Samples, Template, TimeField } from './model.ts';
import { parsesOf, readParse } from './parses.ts';
import { TIME_FIELDS, readTimestamp } from './timestamp.ts';
import {
  fail,
  isNothing,
  makeContext,
  quietIfDamaged,
  readCount,
  readDuration,
  readList,
  readMap,
  readName,
} from './reading.ts';
import type { Context, Entry, ReadMap } from './reading.ts';
import * as schema from './schema.ts';
import { readRuleTests } from './tests.ts';
import { checkReferences, checkSamples, readTemplates } from './texts.ts';
import type { TemplateDraft } from './texts.ts';

export { formatFieldPath, parseFieldPath } from './field.ts';
export type * from './model.ts';

/** Never throws on bad input. */
export function parseRules(source: string, report: Report): RuleFile {
  return parseSources([{ path: 'rules.yaml', text: source, start: 0 }], report);
}

/**
 * Several files are read as one. Their groups come in the order of their names, so that neither the files' names nor
 * what is in which file makes a difference; the groups of a single file keep their order.
 */
export function parseSources(sources: Source[], report: Report, readListFile?: ReadListFile): RuleFile {
  const lists = makeLists(readListFile);
  const draft: FileDraft = { sources, groups: new Map(), ruleCount: 0 };
  const size = sources.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  if (size > schema.FILE_SIZE_MAX) failFileSize(sources, size, report);
  else
    for (const source of sources) {
      const document = readDocument(source.text, report, source.start);
      readFile(makeContext(document, source, lists, report), draft);
    }
  const groups = [...draft.groups.values()];
  if (sources.length > 1) groups.sort((left, right) => (left.name < right.name ? -1 : 1));
  const rules = groups.flatMap(group => group.rules);
  adviseNames(rules, report);
  return {
    rules,
    limits: draft.limits?.value ?? LIMITS_DEFAULT,
    times: draft.times?.value ?? TIME_FIELDS,
  };
}

function failFileSize(sources: Source[], size: number, report: Report): void {
  const what = sources.length > 1 ? 'the files have' : 'the file has';
  const message = `${what} ${formatCount(size)} bytes, ${formatCount(schema.FILE_SIZE_MAX)} allowed`;
  report({ severity: 'error', message, span: { start: 0, end: 0 } });
}

/** What the files have said so far. */
interface FileDraft {
  sources: Source[];
  /** By name. */
  groups: Map<string, GroupDraft>;
  ruleCount: number;
  limits?: Setting<Limits>;
  times?: Setting<TimeField[]>;
}

interface GroupDraft {
  name: string;
  rules: Rule[];
  span: Span;
}

/** What a file sets for all files, and where. */
interface Setting<T> {
  value: T;
  span: Span;
}

// ---------------------------------------------------------------------------------------- file and groups

const LIMITS_DEFAULT: Limits = { keyCount: KEY_COUNT_DEFAULT, alertsPerSecond: RATE_COUNT_DEFAULT };

function readFile(context: Context, draft: FileDraft): void {
  const { root, damage } = context.document;
  if (isNothing(root)) {
    const start = placed(context.document, { start: 0, end: 0 });
    if (damage.length === 0) fail(context, start, 'the file is empty', NO_RULES_HINT);
    return;
  }
  const own = quietIfDamaged(context, root);
  const top = isManifest(root) ? readManifest(own, root) : root;
  const foreign = foreignFile(isMap(top) ? keysOf(top) : []);
  if (foreign) fail(own, firstKeyOf(root), foreign.message, foreign.hint);
  if (foreign || !top) return;
  const map = readMap(own, top, 'a rules file', schema.FILE_KEYS, () => NO_RULES_HINT);
  const timestamp = map?.get('timestamp'); // before the groups: what they parse is for their rules
  const times = timestamp && readTimestamp(own, timestamp);
  if (times) draft.times = agreed(own, timestamp, times, draft.times, draft.sources);
  const groups = map?.get('groups');
  for (const group of readList(own, groups, 'groups', 'the file has no rules') ?? []) {
    readGroup(context, group, draft);
  }
  const limits = map?.get('limits');
  if (limits) draft.limits = agreed(own, limits, readLimits(own, limits), draft.limits, draft.sources);
}

/** What holds for all files is said by one of them, or by several in the same way. */
function agreed<T>(
  context: Context,
  { name, key }: Entry,
  value: T,
  before: Setting<T> | undefined,
  sources: Source[],
): Setting<T> {
  const span = spanOf(context.document, key);
  if (!before) return { value, span };
  if (JSON.stringify(before.value) !== JSON.stringify(value)) {
    const message = `"${name}" differs from that in ${lineAt(sources, before.span.start)}`;
    fail(context, key, message, 'it is for all files together: say it in one of them');
  }
  return before;
}

/** A PrometheusRule or the like: all but what is under "spec" is for Kubernetes. */
function isManifest(root: Node): boolean {
  if (!isMap<Node, Node | null>(root) || !['apiVersion', 'kind'].every(key => root.has(key))) return false;
  const spec = root.get('spec', true);
  return isMap(spec) && spec.has('groups');
}

function readManifest(context: Context, root: Node): Node | undefined {
  return readMap(context, root, 'a manifest', schema.MANIFEST_KEYS)?.get('spec')?.value;
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

function readGroup(context: Context, node: Node, draft: FileDraft): void {
  const own = quietIfDamaged(context, node);
  const map = readMap(own, node, 'a group', schema.GROUP_KEYS);
  const name = readName(own, map?.get('name'));
  const group = draftGroup(own, name, map?.get('name')?.value ?? node, draft);
  const errorsBefore = context.errorCount;
  const scope = readScope(own, map);
  const items = readList(own, map?.get('rules'), 'rules', 'the group has no rules') ?? [];
  checkScope(own, scope, items.length);
  const isSound = own.errorCount === errorsBefore;
  for (const item of items) {
    if (!mayAddRule(context, item, draft)) return;
    const rule = readRule(context, item, group.name, scope);
    if (!rule || !isSound) continue;
    group.rules.push(rule);
    draft.ruleCount++;
  }
}

/** A second group of a name is an error, and what is in it is checked with the first. */
function draftGroup(context: Context, name: string | undefined, place: Node, draft: FileDraft): GroupDraft {
  const before = draft.groups.get(name ?? '');
  if (before && name !== undefined) {
    const other = sourceAt(draft.sources, before.span.start).start !== context.document.start;
    const where = other ? `; the first is in ${lineAt(draft.sources, before.span.start)}` : '';
    fail(context, place, `second group ${quote(name)}${where}`, 'give each group its own name');
  }
  const group = before ?? { name: name ?? '', rules: [], span: spanOf(context.document, place) };
  draft.groups.set(group.name, group);
  return group;
}

function mayAddRule(context: Context, node: Node, draft: FileDraft): boolean {
  if (draft.ruleCount < schema.RULES_MAX) return true;
  const [where, hint] =
    draft.sources.length > 1 ? ['files', 'make several modules'] : ['file', 'split the file'];
  fail(context, node, `more than ${formatCount(schema.RULES_MAX)} rules in the ${where}`, hint);
  return false;
}

// ---------------------------------------------------------------------------------------------- one rule

function readRule(context: Context, node: Node, group: string, scope: Scope): Rule | undefined {
  if (isDamaged(context.document, node)) return undefined;
  const errorsBefore = context.errorCount;
  const map = readMap(context, node, 'a rule', schema.RULE_KEYS);
  if (!map) return undefined;
  checkKindOfRule(context, map);
  const parsed = readParse(context, map.get('parse'));
  context.parses = parsesOf([...scope.parsed, ...parsed]);
  context.given = scope.match?.capturePaths ?? new Map();
  const alert = readName(context, map.get('alert'));
  const sequence = readSequence(context, map.get('sequence'));
  const match = readMatch(context, map.get('match'));
  for (const step of sequence?.steps ?? (match ? [match] : [])) joinScope(context, step, scope);
  const labels = joinLabels(context, map.place, readTemplates(context, map.get('labels'), 'label'), scope);
  const ratio = readRatio(context, map.get('ratio'), match, labels.filter(({ name }) => isOwnLabel(name))); // prettier-ignore
  const steps = sequence?.steps ?? ratio?.steps ?? (match ? [match] : []);
  const annotations = readTemplates(context, map.get('annotations'), 'annotation');
  const labelNames = labels.map(label => label.name).filter(isOwnLabel);
  const filled = sequence ? filledFrom(sequence) : steps;
  for (const label of labels) checkReferences(context, label, filled);
  for (const annotation of annotations) checkReferences(context, annotation, filled, labelNames);
  const samples = readSamples(context, map.get('samples'), sequence !== undefined);
  if (samples?.text && steps.length > 0) checkReferences(context, samples.text, [anyOf(steps)], labelNames);
  checkSamples(context, annotations, samples?.text, map.get('samples') !== undefined);
  const realertMs = readDuration(context, map.get('realert'), 0) ?? scope.realertMs;
  const { threshold, absence = readAbsence(context, map.get('absence'), labelNames) } = readThreshold(
    context,
    map.get('threshold'),
    labelNames,
    steps,
  );
  const resolveAfterMs = readResolveAfter(context, map.get('resolveAfter'), absence !== undefined, sequence);
  const firstSeen = readFirstSeen(context, map.get('firstSeen'), labelNames);
  const tied = sequence && tieSteps(context, sequence, labels);
  const tests = readRuleTests(context, map.get('tests'));
  if (context.errorCount > errorsBefore) return undefined;
  const rule: Rule = {
    alert: alert!, // required: had it been missing, an error would have been counted
    group,
    span: spanOf(context.document, resolveAlias(context.document, node, context.report)!),
    steps: steps.map(step => step.condition!),
    labels: labels.map(toTemplate),
    annotations: annotations.map(toTemplate),
    realertMs,
    ...(resolveAfterMs !== undefined && { resolveAfterMs }),
    ...(threshold && { threshold }),
    ...(tied && { sequence: tied }),
    ...(ratio?.ratio && { ratio: ratio.ratio }),
    ...(absence && { absence }),
    ...(tests && { tests }),
    ...(samples?.text && { samples: toSamples(samples) }),
    ...(firstSeen && { firstSeen }),
  };
  const watched = schema.COUNTINGS.flatMap(name => namedInBy(map.get(name)?.value, rule));
  adviseRule(rule, new Set(watched), context.report);
  adviseParse(rule, parsed, context.report);
  return rule;
}

/** The labels that are watched on their own because the rule says so; without "by" all are, and only "firstSeen" wants it. */
function namedInBy(
  node: Node | undefined,
  { threshold, sequence, ratio, absence, firstSeen }: Rule,
): string[] {
  if (firstSeen) return firstSeen.by;
  return isMap(node) && node.has('by') ? (threshold ?? sequence ?? ratio ?? absence)!.by : [];
}

/** A rule has either match or sequence, and one of what makes an alert of matches. */
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
  const [first, ...others] = schema.COUNTINGS.filter(name => map.get(name));
  for (const other of others) apart(other, first!, 'make them two rules');
}

/** Not a name that was refused. */
function isOwnLabel(name: string): boolean {
  return schema.LABEL_NAME.test(name) && !Object.hasOwn(schema.RESERVED_LABELS, name);
}

function toSamples({ text, first, last, span }: SamplesDraft): Samples {
  return { parts: text!.parts.map(placed => placed.part), first, last, span };
}

function toTemplate(draft: TemplateDraft): Template {
  return { name: draft.name, parts: draft.parts.map(placed => placed.part), span: draft.span };
}
