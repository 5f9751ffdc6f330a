// The labels and annotations of a rule: YAML → model.
import { isMap, isScalar } from 'yaml';
import type { Scalar as YamlScalar } from 'yaml';
import { TextError, quote } from '../error.ts';
import type { Span, TextProblem } from '../error.ts';
import { captureProblem, unknownName } from './captures.ts';
import type { Step } from './conditions.ts';
import { spanOf } from './document.ts';
import type { Node } from './document.ts';
import { formatFieldPath } from './field.ts';
import { throughTexts } from './parse.ts';
import { isList } from './path.ts';
import {
  SINGLE_HINT,
  fail,
  failInText,
  failSize,
  failType,
  isSound,
  readPairs,
  readText,
} from './reading.ts';
import type { Context, Entry } from './reading.ts';
import * as schema from './schema.ts';
import { parseTemplate } from './template.ts';
import type { PlacedPart } from './template.ts';

export interface TemplateDraft {
  name: string;
  parts: PlacedPart[];
  span: Span;
  node: YamlScalar;
}

/** Reads the text that a rule keeps of its matches. */
export function readSampleText(context: Context, entry: Entry): TemplateDraft | undefined {
  const { value } = entry;
  if (!value) return undefined;
  const node = value as YamlScalar;
  const draft: TemplateDraft = { name: entry.name, parts: [], span: spanOf(context.document, value), node };
  if (readText(context, value, `"${entry.name}"`) === undefined) return undefined;
  draft.parts = readParts(context, node, String(node.value));
  return draft;
}

/** Sorted by name. Names are ASCII, so comparing UTF-16 units is comparing bytes. */
export function readTemplates(
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
  draft.parts = readParts(context, value, value.value);
  const size = draft.parts.reduce(
    (sum, { part }) => sum + (part.kind === 'text' ? Buffer.byteLength(part.text) : 0),
    0,
  );
  if (size > schema.TEXT_SIZE_MAX)
    failSize(context, value, `${noun} ${quote(name)}`, size, schema.TEXT_SIZE_MAX);
  return draft;
}

type TextReport = (problem: TextProblem) => void;

function readParts(context: Context, node: YamlScalar, text: string): PlacedPart[] {
  const report: TextReport = problem => failInText(context, node, problem);
  return parseTemplate(text, report).map(placed => throughTextsOf(context, placed, report));
}

/** A reference to a field leads through the texts that the rule parses. */
function throughTextsOf(context: Context, { part, span }: PlacedPart, report: TextReport): PlacedPart {
  if (part.kind !== 'record') return { part, span };
  try {
    const field = throughTexts(part.field, context.parses);
    if (isList(field)) {
      report({ message: `${quote(formatFieldPath(field))} has several values`, hint: SINGLE_HINT, span });
    }
    return { part: { ...part, field }, span };
  } catch (error) {
    if (!(error instanceof TextError)) throw error;
    report({ message: error.message, ...(error.hint !== undefined && { hint: error.hint }), span });
    return { part, span };
  }
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
export function checkReferences(
  context: Context,
  draft: TemplateDraft,
  steps: Step[],
  labelNames?: string[],
): void {
  for (const { part, span } of draft.parts) {
    const problem =
      part.kind === 'capture'
        ? captureProblem(part.name, steps)
        : part.kind === 'label'
          ? labelProblem(part.name, labelNames)
          : part.kind === 'value' && !labelNames
            ? VALUE_IN_LABEL
            : part.kind === 'samples' && !labelNames
              ? SAMPLES_IN_LABEL
              : undefined;
    if (problem) failInText(context, draft.node, { ...problem, span });
  }
}

const VALUE_IN_LABEL = {
  message: 'a label cannot refer to $value',
  hint: 'put it in an annotation: each new number would be a new label set, with a cool-down of its own',
};

const SAMPLES_IN_LABEL = {
  message: 'a label cannot refer to $samples',
  hint: 'put it in an annotation: each new text would be a new label set, with a cool-down of its own',
};

/** `$samples` is there when the rule keeps some; what is kept is of a match, so it cannot refer to what is counted. */
export function checkSamples(
  context: Context,
  annotations: TemplateDraft[],
  samples: TemplateDraft | undefined,
  isWritten: boolean,
): void {
  for (const { parts, node } of annotations) {
    for (const { part, span } of parts) {
      if (part.kind !== 'samples' || isWritten) continue;
      const hint = "give the rule what to keep: samples: {text: '{{ $record.log }}'}";
      failInText(context, node, { message: 'the rule keeps no samples', hint, span });
    }
  }
  for (const { part, span } of samples?.parts ?? []) {
    if (part.kind !== 'value' && part.kind !== 'samples') continue;
    const hint = 'a sample is what one match says: use $record, $captures or $labels';
    failInText(context, samples!.node, { message: `"text" cannot refer to $${part.kind}`, hint, span });
  }
}

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
