// The rules file: YAML text → the model that the compiler works on. Every mistake of the file is reported
// in one run, with its place; a rule with a mistake is left out of the result. Keys, their meaning and all
// limits are in schema.ts, YAML itself in document.ts, what is allowed but rarely meant in advice.ts.
import { isMap, isScalar } from 'yaml';
import { KEY_COUNT_DEFAULT, RATE_COUNT_DEFAULT } from '../../assembly/layout.ts';
import { formatCount, quote } from '../error.ts';
import type { Report } from '../error.ts';
import { adviseNames, adviseRule } from './advice.ts';
import { readMatch } from './conditions.ts';
import {
  readAbsence,
  readFirstSeen,
  readRatio,
  readResolveAfter,
  readSequence,
  readThreshold,
  tieSteps,
} from './counting.ts';
import { isDamaged, readDocument, resolveAlias, spanOf } from './document.ts';
import type { Node } from './document.ts';
import { foreignFile } from './foreign.ts';
import type { Limits, Rule, RuleFile, Template } from './model.ts';
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
import { checkReferences, readTemplates } from './texts.ts';
import type { TemplateDraft } from './texts.ts';

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
  const labels = readTemplates(context, map.get('labels'), 'label');
  const ratio = readRatio(context, map.get('ratio'), match, labels.filter(({ name }) => isOwnLabel(name))); // prettier-ignore
  const steps = sequence?.steps ?? ratio?.steps ?? (match ? [match] : []);
  const annotations = readTemplates(context, map.get('annotations'), 'annotation');
  const labelNames = labels.map(label => label.name).filter(isOwnLabel);
  for (const label of labels) checkReferences(context, label, steps);
  for (const annotation of annotations) checkReferences(context, annotation, steps, labelNames);
  const realertMs = readDuration(context, map.get('realert'), 0) ?? schema.REALERT_DEFAULT_MS;
  const { threshold, absence = readAbsence(context, map.get('absence'), labelNames) } = readThreshold(
    context,
    map.get('threshold'),
    labelNames,
  );
  const resolveAfterMs = readResolveAfter(context, map.get('resolveAfter'), absence !== undefined);
  const firstSeen = readFirstSeen(context, map.get('firstSeen'), labelNames);
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
    ...(resolveAfterMs !== undefined && { resolveAfterMs }),
    ...(threshold && { threshold }),
    ...(tied && { sequence: tied }),
    ...(ratio?.ratio && { ratio: ratio.ratio }),
    ...(absence && { absence }),
    ...(firstSeen && { firstSeen }),
  };
  const watched = schema.COUNTINGS.flatMap(name => namedInBy(map.get(name)?.value, rule));
  adviseRule(rule, new Set(watched), context.report);
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

function toTemplate(draft: TemplateDraft): Template {
  return { name: draft.name, parts: draft.parts.map(placed => placed.part), span: draft.span };
}
