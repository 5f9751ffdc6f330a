// The model of a rules file: what `parseRules` returns and the compiler reads.
import type { Span } from '../error.ts';
import type { TemplateFunction } from './functions.ts';
import type { Pattern } from './pattern.ts';

/** The way to what a test looks at, from the record on. */
export type FieldPath = readonly FieldStep[];

/** A key of an object, an index of an array, or a step that leads to several values or into a text. */
export type FieldStep = string | number | EveryItem | ParsedText | Captured | EveryString;

/** Each item of an array: `[*]`. */
export interface EveryItem {
  every: 'item';
}

/** What the text holds, or the object that it has become already. */
export interface ParsedText {
  parse: ParseFormat;
}
export type ParseFormat = 'json' | 'logfmt';

/** A named group of the first match in the text: the last step of a path. */
export interface Captured {
  capture: string;
  regex: string;
  ignoreCase?: true;
}

/** Each string value of the record, at any depth: the first step of a path. */
export interface EveryString {
  every: 'string';
}

/** An exact JSON scalar to compare with. Numbers are kept as decimal text, so that 64-bit ids stay exact. */
export type Scalar =
  | { type: 'string'; value: string }
  | { type: 'number'; value: string }
  | { type: 'boolean'; value: boolean }
  | { type: 'null' };

/**
 * `ofNamespaces`: the test is part of what a group's "namespaces" ask for. A test of "active" looks at the event time, not
 * at a field: its path is empty.
 */
export type Condition =
  | { kind: 'all' | 'any'; of: Condition[]; span: Span }
  | { kind: 'not'; of: Condition; span: Span }
  | ({ kind: 'test'; field: FieldPath; ignoreCase?: true; ofNamespaces?: true; span: Span } & Test);

export type Test =
  | { op: 'exists'; value: boolean }
  | { op: 'eq'; value: Scalar }
  | { op: 'in'; values: Scalar[] }
  | TextsTest
  | { op: 'regex'; source: string; pattern: Pattern; captures: string[] }
  | { op: 'gt' | 'gte' | 'lt' | 'lte'; value: string }
  | { op: 'active'; spans: TimeSpan[]; timezone: string };

/** Minutes of a week, from Monday 00:00 on; the end is exclusive. */
export interface TimeSpan {
  start: number;
  end: number;
}

/**
 * One of the texts must be there; of "containsAll" all, in one value of a list. On other fields a "containsAll" is an `all` of
 * tests with `ofAll`.
 */
export interface TextsTest {
  op: 'contains' | 'containsAll' | 'startsWith' | 'endsWith';
  texts: string[];
  ofAll?: true;
}

/**
 * A label or annotation value: literal text and references, in order. What a reference is piped through are parts after
 * it that are `chained`: a source is taken when there is no text so far, a function changes the text so far.
 */
export type TemplatePart = (
  | { kind: 'text'; text: string }
  | { kind: 'record'; field: FieldPath }
  | { kind: 'capture'; name: string }
  | { kind: 'label'; name: string }
  | { kind: 'value' }
  | { kind: 'samples' }
  | { kind: 'alert' }
  | { kind: 'function'; name: TemplateFunction; count?: number }
) & { chained?: true };

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
  sequence?: Sequence;
  samples?: Samples;
  /** A combination of labels that was not seen for so long, once the rule has learned. */
  firstSeen?: { forMs: number; learnMs: number; by: string[]; span: Span };
  /** The share of the second step in both is above `above` (of 10,000), of at least so many. */
  ratio?: { above: number; withinMs: number; atLeast: number; by: string[]; span: Span };
  /** Fewer matches than `below` within `forMs`; fewer than one if it is left out. */
  absence?: { forMs: number; below?: number; by: string[]; span: Span };
  tests?: RuleTest[];
}

/** Texts of the matches that an alert stands for. */
export interface Samples {
  parts: TemplatePart[];
  /** How many of the first and of the last are kept; of a sequence, one of each step. */
  first: number;
  last: number;
  span: Span;
}

export interface Sequence {
  withinMs: number;
  by: string[];
  /** How often each step must be met, 0: it is an `unless`; left out when all are 1. */
  counts?: number[];
  /** The steps may come in any order; left out: in the given one. */
  order?: 'any';
  span: Span;
}

/** A test that stands in its rule. It is no part of what the rule says: the module does not have it. */
export interface RuleTest {
  name?: string;
  /** JSON. */
  record: string;
  expect: 'match' | 'none';
  /** What the match must have, by name. */
  labels: Record<string, string>;
  annotations: Record<string, string>;
  span: Span;
}

/** What a module may use and send, for all of its rules together. */
export interface Limits {
  /** Keys (label sets, windows, …) that the state may hold: 64 bytes each. */
  keyCount: number;
  /** Alerts that may leave in one second of event time; 0: no cap. */
  alertsPerSecond: number;
}

/** Where a record may say its time. `format`: "any", "likely", "rfc3339", "epoch" or what strptime takes. */
export interface TimeField {
  field: FieldPath;
  format: string;
}

export interface RuleFile {
  rules: Rule[];
  limits: Limits;
  /** The fields that may say a record's time, the first that does counts. */
  times: TimeField[];
}
