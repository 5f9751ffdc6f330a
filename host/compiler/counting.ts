// What makes an alert of hits: thresholds, sequences, absences. YAML → model.
import { isScalar } from 'yaml';
import { formatCount, formatDuration, quote } from '../error.ts';
import type { Span } from '../error.ts';
import { readStep } from './conditions.ts';
import type { Step } from './conditions.ts';
import type { Node } from './document.ts';
import type { Rule } from './model.ts';
import {
  fail,
  failType,
  readCount,
  readDuration,
  readField,
  readList,
  readMap,
  readText,
} from './reading.ts';
import type { Context, Entry, ReadMap } from './reading.ts';
import * as schema from './schema.ts';
import { captureProblem, unknownName } from './texts.ts';
import type { TemplateDraft } from './texts.ts';

/** Too few matches are an absence: "below: 1" is the same rule. */
export function readThreshold(
  context: Context,
  entry: Entry | undefined,
  labelNames: string[],
): Pick<Rule, 'threshold' | 'absence'> {
  const map = entry?.value && readMap(context, entry.value, '"threshold"', schema.THRESHOLD_KEYS);
  if (!map) return {};
  const most = map.get('distinct') ? schema.DISTINCT_MAX : schema.COUNT_MAX;
  const withinMs = readDuration(context, map.get('within'), 1_000);
  const count = readLevel(context, map, withinMs, most);
  const by = readBy(context, map.get('by'), labelNames);
  const distinct = readField(context, map.get('distinct'));
  if (count === undefined || withinMs === undefined) return {};
  if (map.get('below'))
    return { absence: { forMs: withinMs, ...(count > 1 && { below: count }), by, span: map.span } };
  return { threshold: { count, withinMs, by, ...(distinct && { distinct }), span: map.span } };
}

/** How many matches: "count", "rate" or "below". */
function readLevel(
  context: Context,
  map: ReadMap,
  withinMs: number | undefined,
  most: number,
): number | undefined {
  const [first, second] = schema.THRESHOLD_LEVELS.filter(name => map.get(name));
  if (first === undefined) {
    if (schema.THRESHOLD_LEVELS.some(name => map.wasMeant(name))) return undefined;
    const hint = `count: ${schema.THRESHOLD_KEYS.count.description} Or "rate", such as 5/s, or "below" for too few.`;
    return fail(context, map.place, 'missing key "count" in "threshold"', hint);
  }
  if (second !== undefined) {
    const hint = 'make them two rules';
    return fail(context, map.get(second)!.key, `"${second}" cannot be used with "${first}"`, hint);
  }
  if (first === 'count') return readCount(context, map.get('count'), 1, most);
  if (first === 'rate') return readRate(context, map.get('rate')!, withinMs, most);
  if (map.get('distinct')) {
    const hint = '"below" counts matches: leave "distinct" out';
    return fail(context, map.get('distinct')!.key, '"distinct" cannot be used with "below"', hint);
  }
  return readCount(context, map.get('below'), 1, schema.BELOW_MAX);
}

const RATE_UNITS_MS = { s: 1_000n, m: 60_000n, h: 3_600_000n };

/** The matches of `5/s` within the time of the threshold. */
function readRate(
  context: Context,
  { value: node }: Entry,
  withinMs: number | undefined,
  most: number,
): number | undefined {
  if (!node) return undefined;
  const written = isScalar(node) ? String(node.value) : '';
  const [, whole, decimals = '', unit] = schema.RATE.exec(written) ?? [];
  if (whole === undefined) return failType(context, node, '"rate"', 'perTime');
  if (withinMs === undefined) return undefined;
  const product = BigInt(whole + decimals) * BigInt(withinMs);
  const divisor = RATE_UNITS_MS[unit as keyof typeof RATE_UNITS_MS] * 10n ** BigInt(decimals.length);
  const count = Number(product / divisor);
  const isWhole = product % divisor === 0n;
  if (isWhole && count >= 1 && count <= most) return count;
  const shown = isWhole ? formatCount(count) : String(Number((product * 1000n) / divisor) / 1000);
  const message = `"rate" of ${written} within ${formatDuration(withinMs)} is ${shown} matches, a whole number from 1 to ${formatCount(most)} is allowed`;
  return fail(context, node, message, `choose another "within": a rate is a count within a time`);
}

export function readAbsence(
  context: Context,
  entry: Entry | undefined,
  labelNames: string[],
): Rule['absence'] {
  const map = entry?.value && readMap(context, entry.value, '"absence"', schema.ABSENCE_KEYS);
  if (!map) return undefined;
  const forMs = readDuration(context, map.get('for'), schema.ABSENCE_MIN_MS);
  const by = readBy(context, map.get('by'), labelNames);
  return forMs === undefined ? undefined : { forMs, by, span: map.span };
}

export interface RatioDraft {
  /** The rest of the matches, and the part whose share counts. */
  steps: Step[];
  ratio: Rule['ratio'];
}

/** A ratio makes two steps of "match": what also meets "of", and what does not. */
export function readRatio(
  context: Context,
  entry: Entry | undefined,
  match: Step | undefined,
  labels: TemplateDraft[],
): RatioDraft | undefined {
  const map = entry?.value && readMap(context, entry.value, '"ratio"', schema.RATIO_KEYS);
  if (!map) return undefined;
  const of = map.get('of')?.value;
  const part = of && readStep(context, of);
  const above = readShare(context, map.get('above'));
  const withinMs = readDuration(context, map.get('within'), 1_000);
  const atLeast = readCount(context, map.get('atLeast'), 1, schema.RATIO_AT_LEAST_MAX);
  const by = readBy(context, map.get('by'), labels.map(label => label.name)); // prettier-ignore
  if (!match || !part) return undefined;
  const steps = [restOf(match, part), partOf(match, part)];
  for (const label of labels) {
    const missing = by.includes(label.name) && missingCapture(label, steps);
    if (!missing) continue;
    const message = `label "${label.name}" cannot tell the matches apart: capture "${missing.name}" is of "of" alone`;
    fail(
      context,
      map.get('by')?.key ?? entry.key,
      message,
      'let "match" have the pattern, or name other labels in "by"',
    );
  }
  if (above === undefined || withinMs === undefined || atLeast === undefined)
    return { steps, ratio: undefined };
  return { steps, ratio: { above, withinMs, atLeast, by, span: map.span } };
}

function partOf(match: Step, part: Step): Step {
  const of = match.condition && part.condition && [match.condition, part.condition];
  return {
    ...match,
    condition: of && { kind: 'all', of, span: part.condition!.span },
    captures: new Map([...part.captures, ...match.captures]),
    capturesAreKnown: match.capturesAreKnown && part.capturesAreKnown,
  };
}

function restOf(match: Step, part: Step): Step {
  if (!match.condition || !part.condition) return match;
  const { span } = part.condition;
  const rest = { kind: 'not', of: part.condition, span } as const;
  return { ...match, condition: { kind: 'all', of: [match.condition, rest], span } };
}

/** `5%` in parts of 10,000. */
function readShare(context: Context, entry: Entry | undefined): number | undefined {
  const node = entry?.value;
  if (!node) return undefined;
  const [, whole, decimals = ''] = (isScalar(node) && schema.SHARE.exec(String(node.value))) || [];
  if (whole === undefined) return failType(context, node, `"${entry.name}"`, 'share');
  return Number(whole + decimals.padEnd(2, '0'));
}

export function readFirstSeen(
  context: Context,
  entry: Entry | undefined,
  labelNames: string[],
): Rule['firstSeen'] {
  const map = entry?.value && readMap(context, entry.value, '"firstSeen"', schema.FIRST_SEEN_KEYS);
  if (!map) return undefined;
  const forMs = readDuration(context, map.get('for'), 1_000);
  const learnMs = readDuration(context, map.get('learn'), 0) ?? forMs;
  const by = readBy(context, map.get('by'), labelNames);
  if (by.length === 0) {
    const place = map.get('by')?.key ?? entry.key;
    const hint =
      "give the rule a label, such as user: '{{ $record.user }}'; each combination of labels is seen on its own";
    fail(context, place, '"firstSeen" has no label to look at', hint);
  }
  if (forMs === undefined || learnMs === undefined) return undefined;
  return { forMs, learnMs, by, span: map.span };
}

export function readResolveAfter(
  context: Context,
  entry: Entry | undefined,
  isAbsence: boolean,
): number | undefined {
  if (!entry || !isAbsence) return readDuration(context, entry, schema.ABSENCE_MIN_MS);
  const hint = 'leave it out: the alert is resolved when there are enough matches again';
  return fail(context, entry.key, '"resolveAfter" cannot be used with "absence" or "below"', hint);
}

export interface SequenceDraft {
  steps: Step[];
  withinMs: number | undefined;
  by: Entry | undefined;
  place: Node;
  span: Span;
}

export function readSequence(context: Context, entry: Entry | undefined): SequenceDraft | undefined {
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
export function tieSteps(
  context: Context,
  sequence: SequenceDraft,
  labels: TemplateDraft[],
): Rule['sequence'] {
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
