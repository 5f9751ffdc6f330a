// What makes an alert of hits: thresholds, sequences, absences. YAML → model.
import { isMap, isScalar } from 'yaml';
import { quote } from '../error.ts';
import type { Span } from '../error.ts';
import { captureProblem, unknownName } from './captures.ts';
import { capturePath, readCaptureName, readStep } from './conditions.ts';
import type { Step } from './conditions.ts';
import type { Node } from './document.ts';
import type { FieldPath, Rule } from './model.ts';
import { fail, readCount, readDuration, readList, readMap, readSingleField, readText } from './reading.ts';
import type { Context, Entry } from './reading.ts';
import * as schema from './schema.ts';
import type { TemplateDraft } from './texts.ts';

export function readThreshold(
  context: Context,
  entry: Entry | undefined,
  labelNames: string[],
  steps: Step[],
): Rule['threshold'] {
  const map = entry?.value && readMap(context, entry.value, '"threshold"', schema.THRESHOLD_KEYS);
  if (!map) return undefined;
  const most = map.get('distinct') ? schema.DISTINCT_MAX : schema.COUNT_MAX;
  const count = readCount(context, map.get('count'), 1, most);
  const withinMs = readDuration(context, map.get('within'), 1_000);
  const by = readBy(context, map.get('by'), labelNames);
  const distinct = readDistinct(context, map.get('distinct'), steps);
  if (count === undefined || withinMs === undefined) return undefined;
  return { count, withinMs, by, ...(distinct && { distinct }), span: map.span };
}

/** A field, or a capture of the rule. */
function readDistinct(context: Context, entry: Entry | undefined, steps: Step[]): FieldPath | undefined {
  const written = isScalar(entry?.value) ? String(entry.value.value) : '';
  const named = /^\$captures\.(\w+)$/.exec(written)?.[1];
  if (named !== undefined)
    return fail(context, entry!.value!, 'a capture is no field', `write distinct: {capture: ${named}}`);
  if (!isMap(entry?.value)) return readSingleField(context, entry);
  const map = readMap(context, entry.value, '"distinct"', schema.CAPTURE_KEYS);
  const capture = map?.get('capture');
  const name = capture && readCaptureName(context, capture);
  const step = steps.at(-1);
  return name === undefined || !step ? undefined : capturePath(context, capture!.value!, name, step);
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
