// The model of a rules file: what `parseRules` returns and the compiler reads.
import type { Span } from '../error.ts';
import type { Pattern } from './pattern.ts';

/** The way to a value in a record: keys of objects, indexes of arrays. */
export type FieldPath = readonly (string | number)[];

/** An exact JSON scalar to compare with. Numbers are kept as decimal text, so that 64-bit ids stay exact. */
export type Scalar =
  | { type: 'string'; value: string }
  | { type: 'number'; value: string }
  | { type: 'boolean'; value: boolean }
  | { type: 'null' };

export type Condition =
  | { kind: 'all' | 'any'; of: Condition[]; span: Span }
  | { kind: 'not'; of: Condition; span: Span }
  | ({ kind: 'test'; field: FieldPath; ignoreCase?: true; span: Span } & Test);

export type Test =
  | { op: 'exists'; value: boolean }
  | { op: 'eq'; value: Scalar }
  | { op: 'in'; values: Scalar[] }
  | TextsTest
  | { op: 'regex'; source: string; pattern: Pattern; captures: string[] }
  | { op: 'gt' | 'gte' | 'lt' | 'lte'; value: string };

/** One of the texts must be there. `ofAll`: the text is one of a "containsAll", which is an `all` of such tests. */
export interface TextsTest {
  op: 'contains' | 'startsWith' | 'endsWith';
  texts: string[];
  ofAll?: true;
}

/** A label or annotation value: literal text and references, in order. */
export type TemplatePart =
  | { kind: 'text'; text: string }
  | { kind: 'record'; field: FieldPath }
  | { kind: 'capture'; name: string }
  | { kind: 'label'; name: string }
  | { kind: 'value' }
  | { kind: 'alert' };

export interface Template {
  name: string;
  parts: TemplatePart[];
  span: Span;
}

export interface Rule {
  alert: string;
  group: string;
  span: Span;
  /** The conditions that a record must meet, one per step: a plain rule has one, a sequence two or more, a ratio the rest and the part. */
  steps: Condition[];
  /** Sorted by name (UTF-8 byte order, as Go sorts); `alertname` and `rule_level` are not among them. */
  labels: Template[];
  annotations: Template[];
  realertMs: number;
  /** An alert is resolved after so long without a match of its labels. */
  resolveAfterMs?: number;
  threshold?: { count: number; withinMs: number; by: string[]; distinct?: FieldPath; span: Span };
  sequence?: { withinMs: number; by: string[]; span: Span };
  /** A combination of labels that was not seen for so long, once the rule has learned. */
  firstSeen?: { forMs: number; learnMs: number; by: string[]; span: Span };
  /** The share of the second step in both is above `above` (of 10,000), of at least so many. */
  ratio?: { above: number; withinMs: number; atLeast: number; by: string[]; span: Span };
  /** Fewer matches than `below` within `forMs`; fewer than one if it is left out. */
  absence?: { forMs: number; below?: number; by: string[]; span: Span };
}

/** What a module may use and send, for all of its rules together. */
export interface Limits {
  /** Keys (label sets, windows, …) that the state may hold: 64 bytes each. */
  keyCount: number;
  /** Alerts that may leave in one second of event time; 0: no cap. */
  alertsPerSecond: number;
}

export interface RuleFile {
  rules: Rule[];
  limits: Limits;
}
