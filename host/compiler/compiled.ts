// The compiled rules: what patterns, decisions, candidates and templates make of the model, and what ruleset
// writes as bytes. Things refer to each other by index; each thing keeps what it was made from.
import * as layout from '../../assembly/layout.ts';
import type { Dfa } from './dfa.ts';
import type { ByteString } from './literals.ts';
import type { Condition, FieldPath, TimeSpan } from './model.ts';
import type { Program } from './nfa.ts';
import type { CompiledSequence } from './sequence.ts';
import type { Table } from './table.ts';
import { newTable } from './table.ts';
import type { Words } from './words.ts';

/** A test as the rule has it. */
export type TestCondition = Extract<Condition, { kind: 'test' }>;

/** A pattern as it goes into the ruleset. */
export interface CompiledPattern {
  /** As it is written in the rules. */
  source: string;
  /** The fields that are searched for it. */
  fields: Set<number>;
  program: Program;
  dfa: Dfa | null;
  /** An automaton would be too large or too costly to build; the program runs instead, whatever room there is. */
  isTooLarge: boolean;
  /** Every match begins with this byte, or null. */
  firstByte: number | null;
  /** A needle is found before the pattern runs, and an alert shows its captures: the program alone does both. */
  capturesFirst: boolean;
}

/** A test of one field, as the core runs it; `words` and `pattern` are indexes. */
export type Atom =
  | { op: 'exists'; field: number }
  | { op: 'type'; field: number; type: number }
  | { op: 'values'; field: number; values: string[] }
  | { op: 'starts' | 'ends'; field: number; text: string }
  | {
      op: 'equal' | 'less' | 'lessOrEqual' | 'greater' | 'greaterOrEqual' | 'sameNumber';
      field: number;
      number: string;
    }
  | { op: 'words'; field: number; words: number }
  | { op: 'pattern'; field: number; pattern: number }
  | { op: 'each'; field: number; atoms: number[] }
  /** Of the event time: the field is NONE. */
  | { op: 'active'; field: number; spans: TimeSpan[]; timezone: string };

/** One instruction of a step's decision graph; targets are instructions, CODE_MATCH or CODE_FAIL. */
export interface Decision {
  atom: number;
  onTrue: number;
  onFalse: number;
  /** The test of the rule that the decision was made from. A test may become several decisions in a row. */
  test: TestCondition;
  /** The test does not hold when the atom holds. */
  isInverted: boolean;
  /** The test is under an odd number of `not`. */
  isNegated: boolean;
}

/** A pattern whose captures an alert shows, and the first of their slots. */
export interface CompiledExtract {
  pattern: number;
  field: number;
  slot: number;
}

/** How the core computes captures that are tested, or every string of the record. */
export interface Derivation {
  kind: number;
  /** The field that is searched, or that takes the strings. */
  source: number;
  pattern: number | null;
  captured: Array<{ slot: number; field: number }>;
}

/** A value that opens a gate. */
export interface GateValue {
  field: number;
  value: string;
}

/** What a record must meet: a rule has one step, a sequence has several. */
export interface CompiledStep {
  rule: number;
  ordinal: number;
  code: Decision[];
  extracts: CompiledExtract[];
  /** The record must have one of these values; empty: no gate. */
  gates: GateValue[];
  /** One of these must be in the field's text; null: no needle. */
  needles: { field: number; windows: ByteString[] } | null;
}

/** A gate and the steps that wait for it. */
export interface Gate extends GateValue {
  /** Counted from 1: gate 0 is open for every record. */
  number: number;
  /** The needle indexes that its steps use, a bit each. */
  indexMask: number;
  /** The steps that wait for this gate and for no needle. */
  steps: number[];
}

/** A literal to look for, and the steps that wait for it: each after a gate, or gate 0. */
export interface Needle {
  window: ByteString;
  waiting: Array<{ gate: number; step: number }>;
}

/** An entry of a bucket. Of a group, `needle` is the count of the entries that follow. */
export interface Gram {
  needle: number;
  back: number;
  flags: number;
}

/** The needles of one field that have grams of one size, and the hash table that finds them. */
export interface NeedleIndex {
  field: number;
  gramSize: number;
  needles: Needle[];
  /** The text is sampled at every `step`-th byte. */
  step: number;
  /** The table has 2^bits buckets. */
  bits: number;
  /** For each bucket that has any: the index of its first gram, and 1. */
  heads: Map<number, number>;
  grams: Gram[];
}

/** Which steps a record can still meet, by what is found in it. */
export interface Candidates {
  /** In the order of their numbers. */
  gates: Gate[];
  /** Steps with neither gate nor needle. */
  always: number[];
  /** The needle indexes that some step without a gate uses. */
  alwaysMask: number;
  /** While 0, a record may be rejected before it is read to its end. */
  unrejectableCount: number;
  indexes: NeedleIndex[];
}

export interface CompiledPart {
  kind: number;
  /** The text of PART_TEXT. */
  text?: string;
  /** The field, slot or label, or the number of PART_TRUNCATE. */
  index?: number;
  chained?: true;
}

export interface CompiledTemplate {
  name: string;
  parts: CompiledPart[];
  requires: number | null;
}

export interface CompiledSamples {
  text: CompiledTemplate;
  first: number;
  last: number;
  /** Texts are kept for this time at least, and for twice as long at most. */
  sliceMs: number;
}

export interface CompiledRule {
  alert: string;
  labels: CompiledTemplate[];
  annotations: CompiledTemplate[];
  kind: number;
  count: number;
  realertMs: number;
  windowMs: number;
  /** After so long without a match an alert is resolved; 0: it is not. */
  resolveMs: number;
  /** First seen: how long nothing is new from the start on. */
  learnMs: number;
  /** Ratio: the share above which there is an alert, in parts of SHARE_UNIT. */
  above: number;
  byMask: bigint;
  distinctField: number | null;
  sequence?: CompiledSequence | null;
  samples?: CompiledSamples | null;
  /** Names the rule in hits. */
  fingerprint: bigint;
}

/** Whether alerts of a rule come when a time is over, so that something must tell the time. */
export function comesByClock({ kind, resolveMs, sequence }: CompiledRule): boolean {
  const waits = ((sequence?.order ?? 0) & layout.ORDER_WAITS) !== 0;
  return kind === layout.KIND_ABSENCE || resolveMs > 0 || waits;
}

/** Whether a rule needs the time of records that it does not match. */
export function needsClock(rule: CompiledRule): boolean {
  return comesByClock(rule) || rule.kind === layout.KIND_FIRST_SEEN;
}

export interface CompiledTime {
  field: number;
  path: FieldPath;
  format: string;
}

export interface Compiled {
  fields: FieldPath[];
  /** Where a record may say its time. */
  times: CompiledTime[];
  words: Words[];
  patterns: CompiledPattern[];
  atoms: Atom[];
  derivations: Derivation[];
  steps: CompiledStep[];
  candidates: Candidates;
  rules: CompiledRule[];
  lookBackMs: number;
  /** Keys that the state may hold. */
  keyCount: number;
  /** Alerts that may leave in one second of event time; 0: no cap. */
  rateCount: number;
}

/** What several rules share. */
export interface Tables {
  fields: Table<FieldPath>;
  words: Table<Words>;
  patterns: Table<CompiledPattern>;
  atoms: Table<Atom>;
}

export function newTables(): Tables {
  return { fields: newTable(), words: newTable(), patterns: newTable(), atoms: newTable() };
}
