// Labels and annotations → parts that the core joins, and the captures that they need.
import * as layout from '../../assembly/layout.ts';
import type { Report } from '../error.ts';
import type { CompiledExtract, CompiledPart, CompiledTemplate, Tables, TestCondition } from './compiled.ts';
import { fieldOf } from './fields.ts';
import { FUNCTION_KINDS } from './functions.ts';
import type { Condition, FieldPath, Rule, Template, TemplatePart } from './model.ts';
import { patternOf } from './patterns.ts';
import { isToldByClock } from './sequence.ts';
import type { Table } from './table.ts';
import { allPartsOf } from './template.ts';

/** Where the captures of a rule are kept: each name has a slot for every step that defines it. */
export interface Slots {
  /** The names that templates use. */
  used: Set<string>;
  byName: Map<string, number[]>;
  count: number;
}

export function slotsOf(rule: Rule): Slots {
  const used = new Set(allPartsOf(rule).flatMap(part => (part.kind === 'capture' ? [part.name] : [])));
  return { used, byName: new Map(), count: 0 };
}

/** The patterns of a step whose captures are used, with slots for them. */
export function extractsOf(
  condition: Condition,
  slots: Slots,
  tables: Tables,
  report: Report,
): CompiledExtract[] {
  const wanted = regexesOf(condition).filter(test => test.captures.some(name => slots.used.has(name)));
  return wanted.map(test => {
    const slot = slots.count;
    slots.count += test.captures.length * 2;
    test.captures.forEach((name, i) => {
      slots.byName.set(name, [...(slots.byName.get(name) ?? []), slot + i * 2]);
    });
    const field = fieldOf(tables.fields, test.field);
    return { pattern: patternOf(tables.patterns, field, test, report), field, slot };
  });
}

/** The regexes whose captures a template may name: those that are not under `not`. */
function regexesOf(condition: Condition): Array<TestCondition & { op: 'regex' }> {
  switch (condition.kind) {
    case 'not':
      return [];
    case 'all':
    case 'any':
      return condition.of.flatMap(regexesOf);
    case 'test':
      return condition.op === 'regex' ? [condition] : [];
  }
}

/** What every alert says about suppressed matches; empty, and so left out, when there were none. */
const SUPPRESSED: CompiledTemplate[] = [
  { name: 'suppressed', parts: [{ kind: layout.PART_SUPPRESSED }], requires: null },
  { name: 'suppressed_first', parts: [{ kind: layout.PART_FIRST }], requires: null },
  { name: 'suppressed_others', parts: [{ kind: layout.PART_OTHERS }], requires: null },
];

export function labelsOf(rule: Rule, slots: Slots, fields: Table<FieldPath>): CompiledTemplate[] {
  const templates: Array<Pick<Template, 'name' | 'parts'>> = [
    ...rule.labels,
    { name: 'alertname', parts: [{ kind: 'alert' }] },
  ];
  // Notification Manager routes an alert to a namespace's tenants only with this label in addition to `namespace`.
  if (templates.some(({ name }) => name === 'namespace'))
    templates.push({ name: 'rule_level', parts: [{ kind: 'text', text: 'namespace' }] });
  const sorted = sortByName(templates);
  return sorted.map(({ name, parts }) => ({
    name,
    parts: partsOf(rule, parts, slots, [], fields),
    requires: name === 'rule_level' ? sorted.findIndex(label => label.name === 'namespace') : null,
  }));
}

export function annotationsOf(
  rule: Rule,
  labels: CompiledTemplate[],
  slots: Slots,
  fields: Table<FieldPath>,
): CompiledTemplate[] {
  const written = rule.annotations.map(({ name, parts }) => ({
    name,
    parts: partsOf(rule, parts, slots, labels, fields),
    requires: null,
  }));
  return sortByName([...written, ...SUPPRESSED]);
}

/** What a rule keeps of each match. */
export function sampleOf(
  rule: Rule,
  labels: CompiledTemplate[],
  slots: Slots,
  fields: Table<FieldPath>,
): CompiledTemplate {
  const parts = partsOf(rule, rule.samples!.parts, slots, labels, fields);
  return { name: 'sample', parts, requires: null };
}

function partsOf(
  rule: Rule,
  parts: TemplatePart[],
  slots: Slots,
  labels: CompiledTemplate[],
  fields: Table<FieldPath>,
): CompiledPart[] {
  return parts.flatMap((part): CompiledPart | CompiledPart[] => {
    const chained = part.chained && { chained: part.chained };
    switch (part.kind) {
      case 'text':
        return { kind: layout.PART_TEXT, text: part.text, ...chained };
      case 'alert':
        return { kind: layout.PART_TEXT, text: rule.alert, ...chained };
      case 'record':
        return { kind: layout.PART_RECORD, index: fieldOf(fields, part.field), ...chained };
      case 'capture':
        // The steps of a sequence each have slots of their own: those of other steps are empty.
        return slots.byName.get(part.name)!.map((index, i) => ({
          kind: layout.PART_CAPTURE,
          index,
          ...(i > 0 ? { chained: true } : chained),
        }));
      case 'label':
        return {
          kind: layout.PART_LABEL,
          index: labels.findIndex(label => label.name === part.name),
          ...chained,
        };
      case 'value':
        return { kind: layout.PART_VALUE };
      case 'samples':
        return { kind: layout.PART_SAMPLES };
      case 'function':
        return { kind: FUNCTION_KINDS[part.name], index: part.count ?? 0, chained: true };
    }
  });
}

/** When the clock tells an alert there is no record: only labels, which are kept from the last one, have a value. */
export function checkKept(rule: Rule, report: Report): void {
  if (!isToldByClock(rule)) return;
  const [what, since] = rule.absence
    ? [rule.absence.below === undefined ? 'an absence' : '"below"', 'when the key was last seen']
    : ['a sequence that ends with "unless"', 'the last step that was met'];
  for (const { name, parts, span } of rule.annotations) {
    const part = parts.find(({ kind }) => kind === 'record' || kind === 'capture');
    if (part === undefined) continue;
    report({
      severity: 'error',
      message: `annotation "${name}" refers to a ${part.kind}, and when ${what} fires there is none`,
      hint: `refer to a label, whose value is kept from ${since}, or to $samples`,
      span,
    });
  }
}

/** As Go sorts: by the bytes of UTF-8. */
function sortByName<T extends Pick<Template, 'name'>>(templates: T[]): T[] {
  return [...templates].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
}
