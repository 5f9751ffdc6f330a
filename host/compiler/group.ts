// What a group says for all of its rules: a condition and namespaces that are and-ed into every condition of every
// rule, labels that a rule may replace, and a cool-down. YAML → model.
import { formatCount, quote } from '../error.ts';
import type { Span } from '../error.ts';
import { readMatch } from './conditions.ts';
import type { Step } from './conditions.ts';
import { spanOf } from './document.ts';
import type { Node } from './document.ts';
import type { Condition, FieldPath } from './model.ts';
import { parsesOf, readParse } from './parses.ts';
import type { ParsedField } from './parses.ts';
import { fail, readDuration, readList, readText } from './reading.ts';
import type { Context, Entry, ReadMap } from './reading.ts';
import * as schema from './schema.ts';
import { readTemplates } from './texts.ts';
import type { TemplateDraft } from './texts.ts';

/** What a group says for each of its rules. */
export interface Scope {
  match?: Step;
  fence?: Condition;
  labels: TemplateDraft[];
  realertMs: number;
  parsed: ParsedField[];
}

export function readScope(context: Context, map: ReadMap | undefined): Scope {
  const parsed = readParse(context, map?.get('parse'));
  context.parses = parsesOf(parsed);
  context.given = new Map();
  const match = readMatch(context, map?.get('match'));
  const fence = readNamespaces(context, map?.get('namespaces'));
  return {
    ...(match && { match }),
    ...(fence && { fence }),
    labels: readTemplates(context, map?.get('labels'), 'label'),
    realertMs: readDuration(context, map?.get('realert'), 0) ?? schema.REALERT_DEFAULT_MS,
    parsed,
  };
}

/** The conditions of the group are compiled once for each rule: this bounds what a short file can cost. */
export function checkScope(context: Context, { match }: Scope, ruleCount: number): void {
  const count = (match?.conditionCount ?? 0) * ruleCount;
  if (count <= schema.GROUP_CONDITIONS_MAX) return;
  const counts = `${formatCount(count)} conditions, ${formatCount(schema.GROUP_CONDITIONS_MAX)} allowed`;
  fail(
    context,
    match!.node,
    `"match" of the group and its rules make ${counts}`,
    'use "in" for a list of values',
  );
}

/** Adds what the group asks for to a condition of one of its rules. */
export function joinScope(context: Context, step: Step, { match, fence }: Scope): void {
  if (match) joinCaptures(context, step, match);
  const given = [fence, match?.condition].filter(condition => condition !== undefined);
  if (given.length === 0 || !step.condition) return;
  step.condition = { kind: 'all', of: [...given, step.condition], span: step.condition.span };
}

/** A template may name the captures of the group's patterns too. */
function joinCaptures(context: Context, step: Step, { captures, capturesAreKnown }: Step): void {
  for (const [name, state] of captures) {
    if (step.captures.has(name))
      fail(
        context,
        step.node,
        `capture ${quote(name)} is in the "match" of the group, too`,
        'rename one: a template would not know which is meant',
      );
    step.captures.set(name, state);
  }
  step.capturesAreKnown &&= capturesAreKnown;
}

/** The labels of a rule, and of its group those that it does not set itself. Sorted, as both are. */
export function joinLabels(
  context: Context,
  place: Node,
  own: TemplateDraft[],
  { labels }: Scope,
): TemplateDraft[] {
  const names = new Set(own.map(label => label.name));
  const joined = [...own, ...labels.filter(label => !names.has(label.name))];
  if (
    own.length <= schema.LABELS_MAX &&
    labels.length <= schema.LABELS_MAX &&
    joined.length > schema.LABELS_MAX
  )
    fail(context, place, `${joined.length} labels with those of the group, ${schema.LABELS_MAX} allowed`);
  return joined.sort((left, right) => (left.name < right.name ? -1 : 1));
}

// ------------------------------------------------------------------------------------------- namespaces

/** Where a record says its namespace: Fluent Bit's filter, and Vector's source. */
const NAMESPACE: FieldPath = ['kubernetes', 'namespace_name'];
const POD_NAMESPACE: FieldPath = ['kubernetes', 'pod_namespace'];

function readNamespaces(context: Context, entry: Entry | undefined): Condition | undefined {
  const items = readList(context, entry, 'namespaces', '"namespaces" has no names') ?? [];
  if (items.length > schema.NAMESPACES_MAX) {
    const counts = `${formatCount(items.length)} namespaces, ${formatCount(schema.NAMESPACES_MAX)} allowed`;
    return fail(context, entry!.key, counts, 'make several groups');
  }
  const names = new Set<string>();
  for (const item of items) {
    const name = readText(context, item, 'a name in "namespaces"', schema.NAME_SIZE_MAX);
    if (name === undefined) continue;
    if (!schema.NAMESPACE.test(name))
      fail(context, item, `${quote(name)} is not the name of a namespace`, NAME_HINT);
    else if (names.has(name)) fail(context, item, `namespace ${quote(name)} is named twice`);
    else names.add(name);
  }
  return names.size === 0 ? undefined : fenceOf([...names].sort(), spanOfEntry(context, entry!));
}

const NAME_HINT = 'names are compared as a whole, without wildcards: list each of them';

/** One of the two says a namespace of the list, and the other says one, too, or is missing. */
function fenceOf(names: string[], span: Span): Condition {
  const common = { kind: 'test', span, ofNamespaces: true } as const;
  const values = names.map(value => ({ type: 'string', value }) as const);
  const inside = (field: FieldPath): Condition => ({ ...common, field, op: 'in', values });
  const missing = (field: FieldPath): Condition => ({ ...common, field, op: 'exists', value: false });
  const both: Condition = { kind: 'any', of: [missing(POD_NAMESPACE), inside(POD_NAMESPACE)], span };
  return {
    kind: 'any',
    of: [
      { kind: 'all', of: [inside(NAMESPACE), both], span },
      { kind: 'all', of: [missing(NAMESPACE), inside(POD_NAMESPACE)], span },
    ],
    span,
  };
}

/** From the key to the end of the value, so that what is quoted names the key; the value of an alias is elsewhere. */
function spanOfEntry(context: Context, { key, value }: Entry): Span {
  const span = spanOf(context.document, key);
  const end = value === undefined ? span.end : spanOf(context.document, value).end;
  return { start: span.start, end: Math.max(span.end, end) };
}
