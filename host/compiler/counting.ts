// What makes an alert of hits: thresholds, sequences, absences. YAML → model.
import { isMap, isScalar } from 'yaml';
import { formatCount, formatDuration, quote } from '../error.ts';
import type { Span } from '../error.ts';
import { captureProblem, unknownName } from './captures.ts';
import { capturePath, newStep, readCaptureName, readStep } from './conditions.ts';
import type { Step } from './conditions.ts';
import type { Node } from './document.ts';
import type { FieldPath, Rule } from './model.ts';
import {
  fail,
  failType,
  readCount,
  readDuration,
  readList,
  readMap,
  readSingleField,
  readText,
} from './reading.ts';
import type { Context, Entry, ReadMap } from './reading.ts';
import * as schema from './schema.ts';
import { waitsForEnd } from './sequence.ts';
import { readSampleText } from './texts.ts';
import type { TemplateDraft } from './texts.ts';

/** Too few matches are an absence: "below: 1" is the same rule. */
export function readThreshold(
  context: Context,
  entry: Entry | undefined,
  labelNames: string[],
  steps: Step[],
): Pick<Rule, 'threshold' | 'absence'> {
  const map = entry?.value && readMap(context, entry.value, '"threshold"', schema.THRESHOLD_KEYS);
  if (!map) return {};
  const most = map.get('distinct') ? schema.DISTINCT_MAX : schema.COUNT_MAX;
  const withinMs = readDuration(context, map.get('within'), 1_000);
  const count = readLevel(context, map, withinMs, most);
  const by = readBy(context, map.get('by'), labelNames);
  const distinct = readDistinct(context, map.get('distinct'), steps);
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

export interface SamplesDraft {
  text: TemplateDraft | undefined;
  first: number;
  last: number;
  span: Span;
}

/** The first ones and the last ones, as far as one of both is asked for; else some of both. */
export function readSamples(
  context: Context,
  entry: Entry | undefined,
  isSequence: boolean,
): SamplesDraft | undefined {
  const map = entry?.value && readMap(context, entry.value, '"samples"', schema.SAMPLES_KEYS);
  if (!map) return undefined;
  const text = map.get('text') && readSampleText(context, map.get('text')!);
  const [first, last] = ['first', 'last'].map(name => map.get(name));
  for (const one of isSequence ? [first, last] : []) {
    const hint = 'leave it out: a sequence shows the text of each step';
    if (one) fail(context, one.key, `"${one.name}" cannot be used in a sequence`, hint);
  }
  const counts = [first, last].map(one => readCount(context, one, 0, schema.SAMPLES_MAX));
  const [ofFirst = 0, ofLast = 0] =
    first || last ? counts : [schema.SAMPLES_FIRST_DEFAULT, schema.SAMPLES_LAST_DEFAULT];
  const isNone = [first, last].every((one, index) => !one || counts[index] === 0);
  if ((first || last) && isNone && !isSequence)
    fail(context, (first ?? last)!.key, 'no sample is kept', 'write at least 1, or leave "samples" out');
  return { text, first: ofFirst, last: ofLast, span: map.span };
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
  // A test in "of" may name captures of "match".
  context.given = new Map([...context.given, ...(match?.capturePaths ?? [])]);
  const part = of && readStep(context, of);
  const above = readShare(context, map.get('above'));
  const withinMs = readDuration(context, map.get('within'), 1_000);
  const atLeast = readCount(context, map.get('atLeast'), 1, schema.RATIO_AT_LEAST_MAX);
  const by = readBy(context, map.get('by'), labels.map(label => label.name)); // prettier-ignore
  if (!match || !part) return undefined;
  const steps = [restOf(match, part), partOf(context, match, part)];
  for (const label of labels) {
    const missing = by.includes(label.name) && missingCapture(label, steps, steps);
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

function partOf(context: Context, match: Step, part: Step): Step {
  for (const name of part.captures.keys()) {
    if (!match.captures.has(name)) continue;
    const hint = 'rename one: a template would not know which is meant';
    fail(context, part.node, `capture ${quote(name)} is in "match", too`, hint);
  }
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
  sequence: SequenceDraft | undefined,
): number | undefined {
  if (!entry) return undefined;
  const waits = waitsForEnd(sequence);
  if (!isAbsence && !waits) return readDuration(context, entry, schema.ABSENCE_MIN_MS);
  const [what, hint] = isAbsence
    ? ['"absence" or "below"', 'leave it out: the alert is resolved when there are enough matches again']
    : [
        'a sequence that ends with "unless"',
        'leave it out: the clock tells such an alert, and nothing ends it',
      ];
  return fail(context, entry.key, `"resolveAfter" cannot be used with ${what}`, hint);
}

export interface SequenceDraft {
  steps: Step[];
  /** How often each must be met, 0: it is an `unless`. */
  counts: number[];
  order: 'given' | 'any' | undefined;
  withinMs: number | undefined;
  by: Entry | undefined;
  place: Node;
  span: Span;
}

export function readSequence(context: Context, entry: Entry | undefined): SequenceDraft | undefined {
  const map = entry?.value && readMap(context, entry.value, '"sequence"', schema.SEQUENCE_KEYS);
  if (!map) return undefined;
  const items = readList(context, map.get('steps'), 'steps', '"steps" has no conditions') ?? [];
  const drafts = items.map(item => readSequenceStep(context, item));
  const steps = drafts.map(({ step }) => step);
  const counts = drafts.map(({ count }) => count);
  const order = readOrder(context, map.get('order'));
  checkCounts(context, map.get('steps'), counts);
  if (items.length > 0 && (items.length < schema.STEPS_MIN || items.length > schema.STEPS_MAX)) {
    const message = `sequence of ${items.length}, ${schema.STEPS_MIN} to ${schema.STEPS_MAX} steps allowed`;
    fail(
      context,
      map.get('steps')!.key,
      message,
      items.length === 1 ? 'for one condition use "match", and "threshold" for how often' : undefined,
    );
  }
  const withinMs = readDuration(context, map.get('within'), 1);
  const place = map.get('by')?.key ?? entry.key;
  return { steps, counts, order, withinMs, by: map.get('by'), place, span: map.span };
}

function readOrder(context: Context, entry: Entry | undefined): SequenceDraft['order'] {
  const text = entry && readText(context, entry.value, '"order"');
  if (text === undefined || text === 'given' || text === 'any') return text;
  const hint = 'write order: any if the steps may come in any order, and leave it out otherwise';
  return fail(context, entry!.value!, `"order" must be "given" or "any", found ${quote(text)}`, hint);
}

/** A step is a condition, `{match, count}` or `{unless}`. */
function readSequenceStep(context: Context, node: Node): { step: Step; count: number } {
  const isMore =
    isMap(node) && !node.has('field') && Object.keys(schema.STEP_KEYS).some(name => node.has(name));
  if (!isMore) return { step: readStep(context, node), count: 1 };
  const map = readMap(context, node, 'a step', schema.STEP_KEYS);
  const match = map?.get('match');
  const unless = map?.get('unless');
  const count = map?.get('count');
  if (unless && match) {
    const hint = 'make them two steps: the "unless" stands before, between or after those that must be met';
    fail(context, unless.key, '"unless" cannot be used with "match" in one step', hint);
  } else if (unless && count) {
    fail(context, count.key, '"count" cannot be used with "unless"', 'leave it out: one match is enough');
  } else if (!unless && !match && map && !map.wasMeant('match')) {
    fail(context, map.place, 'missing key "match" in a step', `match: ${schema.STEP_KEYS.match.description}`);
  }
  const condition = match?.value ?? unless?.value;
  const step = condition ? readStep(context, condition) : noStep(node);
  const least = readCount(context, count, 1, schema.STEP_COUNTS_MAX) ?? 1;
  return { step, count: unless ? 0 : least };
}

/** What stands for a step whose mistake is reported. */
function noStep(node: Node): Step {
  return { ...newStep(node), capturesAreKnown: false };
}

function checkCounts(context: Context, entry: Entry | undefined, counts: number[]): void {
  const sum = counts.reduce((all, count) => all + count, 0);
  if (counts.length > 0 && sum === 0) {
    const hint = 'add what must come: an "unless" says what must not come before, between or after it';
    fail(context, entry!.key, 'a sequence of "unless" alone never begins', hint);
  }
  if (sum <= schema.STEP_COUNTS_MAX) return;
  const message = `the steps count ${formatCount(sum)} matches together, ${formatCount(schema.STEP_COUNTS_MAX)} allowed`;
  fail(context, entry!.key, message, 'each is kept for each key: ask for fewer, or use "threshold"');
}

/** The steps, at the end the one from whose record an alert is filled in. In a set each may come last. */
export function filledFrom({ steps, counts, order }: SequenceDraft): Step[] {
  const met = steps.filter((_, index) => counts[index] !== 0);
  const last = met.at(-1);
  if (order !== 'any' || !last) return last ? [...steps.filter(step => step !== last), last] : steps;
  return [anyOf(met)];
}

/** What one of several steps has. */
export function anyOf(met: Step[]): Step {
  const captures: Step['captures'] = new Map(met.flatMap(step => [...step.captures]));
  for (const step of met)
    for (const [name, state] of step.captures) if (state === 'found') captures.set(name, state);
  return { ...met[0]!, captures, capturesAreKnown: met.every(step => step.capturesAreKnown) };
}

/** Steps belong together when the labels in `by` are the same, so every step must have them. */
export function tieSteps(
  context: Context,
  sequence: SequenceDraft,
  labels: TemplateDraft[],
): Rule['sequence'] {
  const by = readBy(context, sequence.by, labels.map(label => label.name)); // prettier-ignore
  const untied = labels.map(label => ({
    label,
    missing: missingCapture(label, sequence.steps, filledFrom(sequence)),
  }));
  const tying = untied.filter(({ missing }) => !missing).map(({ label }) => label.name);
  for (const { label, missing } of untied) {
    if (!missing || !by.includes(label.name)) continue;
    const message = `label "${label.name}" cannot tie the steps: step ${missing.step} has no capture "${missing.name}"`;
    fail(context, sequence.place, message, `write by: [${tying.join(', ')}]; every step has these`);
  }
  const { withinMs, counts, order, span } = sequence;
  if (withinMs === undefined) return undefined;
  const areOne = counts.every(count => count === 1);
  return { withinMs, by, ...(!areOne && { counts }), ...(order === 'any' && { order }), span };
}

/** `filled`: the steps, at the end the one from whose record an alert is filled in. */
function missingCapture(
  label: TemplateDraft,
  steps: Step[],
  filled: Step[],
): { name: string; step: number } | undefined {
  for (const { part } of label.parts) {
    if (part.kind !== 'capture' || captureProblem(part.name, filled)) continue; // the latter is reported already
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
