// Rules → ruleset bytes: the stages of the compiler, in order.
import { createHash } from 'node:crypto';
import { fingerprintsOf } from './fingerprint.ts';
import * as layout from '../../assembly/layout.ts';
import type { Report } from '../error.ts';
import { UserError } from '../error.ts';
import { candidatesOf, chooseNeedles, waitsOf } from './candidates.ts';
import type { Waits } from './candidates.ts';
import type { Compiled, CompiledRule, CompiledStep, Tables } from './compiled.ts';
import { newTables } from './compiled.ts';
import { decisionsOf } from './decisions.ts';
import { derivationsOf } from './derivations.ts';
import { fieldOf } from './fields.ts';
import type { Rule, RuleFile } from './model.ts';
import { largest } from './numbers.ts';
import { keepAutomata, preferCaptures } from './patterns.ts';
import type { EncodedRuleset } from './ruleset.ts';
import { encodeRuleset } from './ruleset.ts';
import { sequenceOf } from './sequence.ts';
import type { Slots } from './templates.ts';
import { annotationsOf, checkKept, extractsOf, labelsOf, sampleOf, slotsOf } from './templates.ts';

/** Automata fill a ruleset up to this many bytes: with the core a module is then under 900 KB, and a ConfigMap holds 1 MiB. */
const RULESET_SIZE_GOAL = 775_000;
/** What automata can always have: patterns that run on every record need theirs. Others the core builds while it reads. */
const DFA_SIZE_TOTAL_MIN = 48 * 1024;
/** Bytes of a ruleset: far below what the core's u32 offsets and a node's memory can hold. */
const RULESET_SIZE_MAX = 16 * 1024 * 1024;

/** What `build` shows of a ruleset, and what `explain` needs to read it. */
export interface CompiledRuleset extends EncodedRuleset {
  /** 16 hexadecimal digits that name the rules. */
  hash: string;
  compiled: Compiled;
}

/** Compiles rules that `parseRules` accepted. Mistakes that only show here are reported; then the result is null. */
export function compileRules(file: RuleFile, report: Report): CompiledRuleset | null {
  let failed = false;
  const compiled = assemble(file, problem => {
    failed ||= problem.severity === 'error';
    report(problem);
  });
  if (failed) return null;
  const bare = { ...compiled, patterns: compiled.patterns.map(pattern => ({ ...pattern, dfa: null })) };
  const room = RULESET_SIZE_GOAL - encodeRuleset(bare, 0n).bytes.length;
  keepAutomata(compiled.patterns, compiled.steps, compiled.atoms, Math.max(DFA_SIZE_TOTAL_MIN, room));
  return { compiled, ...encode(compiled) };
}

type Draft = Omit<CompiledStep, 'needles'> & Waits;

function assemble({ rules: models, limits, times }: RuleFile, report: Report): Compiled {
  const tables = newTables();
  const drafts: Draft[] = [];
  const rules: CompiledRule[] = [];
  const fingerprints = fingerprintsOf(models);
  for (const [index, rule] of models.entries()) {
    const slots = slotsOf(rule);
    // A sequence's last step comes first: a record that meets two steps must not count for both at once.
    for (let ordinal = rule.steps.length - 1; ordinal >= 0; ordinal--)
      drafts.push(compileStep(rule, rules.length, ordinal, slots, tables, report));
    checkKept(rule, report);
    rules.push({ ...compileRule(rule, slots, tables), fingerprint: fingerprints[index]! });
  }
  const steps = chooseNeedles(drafts);
  const derivations = derivationsOf(tables);
  preferCaptures(tables.patterns.list, steps, tables.atoms.list, derivations);
  const needsState = rules.some(
    ({ realertMs, kind, resolveMs, samples }) =>
      realertMs > 0 || kind !== layout.KIND_EACH || resolveMs > 0 || samples,
  );
  return {
    times: times.map(({ field, format }) => ({ field: fieldOf(tables.fields, field), path: field, format })),
    fields: tables.fields.list,
    words: tables.words.list,
    patterns: tables.patterns.list,
    atoms: tables.atoms.list,
    derivations,
    steps,
    candidates: candidatesOf(steps, rules),
    rules,
    lookBackMs: largest([0, ...rules.map(lookBackOf)]),
    keyCount: needsState ? limits.keyCount : 0,
    rateCount: limits.alertsPerSecond,
  };
}

function compileStep(
  rule: Rule,
  ruleIndex: number,
  ordinal: number,
  slots: Slots,
  tables: Tables,
  report: Report,
): Draft {
  const condition = rule.steps[ordinal]!;
  return {
    rule: ruleIndex,
    ordinal,
    ...waitsOf(condition, tables.fields),
    code: decisionsOf(condition, tables, report),
    extracts: extractsOf(condition, slots, tables, report),
  };
}

function compileRule(rule: Rule, slots: Slots, { fields }: Tables): Omit<CompiledRule, 'fingerprint'> {
  const labels = labelsOf(rule, slots, fields);
  const sequence = sequenceOf(rule);
  const by = (rule.threshold ?? rule.sequence ?? rule.absence ?? rule.firstSeen ?? rule.ratio)?.by ?? [];
  const windowMs =
    (rule.threshold ?? rule.sequence ?? rule.ratio)?.withinMs ?? (rule.absence ?? rule.firstSeen)?.forMs ?? 0;
  return {
    alert: rule.alert,
    labels,
    annotations: annotationsOf(rule, labels, slots, fields),
    kind: kindOf(rule),
    count: rule.threshold?.count ?? rule.absence?.below ?? rule.ratio?.atLeast ?? sequence?.end ?? 1,
    realertMs: rule.realertMs,
    windowMs,
    above: rule.ratio?.above ?? 0,
    learnMs: rule.firstSeen?.learnMs ?? 0,
    resolveMs: rule.resolveAfterMs ?? 0,
    byMask: labels.reduce((mask, { name }, i) => (by.includes(name) ? mask | (1n << BigInt(i)) : mask), 0n),
    distinctField: rule.threshold?.distinct ? fieldOf(fields, rule.threshold.distinct) : null,
    sequence,
    samples: rule.samples
      ? {
          first: rule.samples.first,
          last: rule.samples.last,
          text: sampleOf(rule, labels, slots, fields),
          sliceMs: sampleSliceOf(rule.realertMs + windowMs),
        }
      : null,
  };
}

/**
 * How far back a counter must read to know what it knew before: which alerts are cooling down, and for each suppressed
 * match since then, whether it was in a window with enough matches. An absence has no such window. What resolves is noted
 * again every quarter of this time.
 */
function lookBackOf({ kind, realertMs, windowMs, resolveMs, sequence, samples }: CompiledRule): number {
  const hasWindow = kind !== layout.KIND_ABSENCE && kind !== layout.KIND_FIRST_SEEN;
  // What is first seen is known from one mark a quarter of the look-back on: before the cool-downs that still last.
  const markMs = kind === layout.KIND_FIRST_SEEN ? Math.ceil(realertMs / 3) : 0;
  const counted = Math.max(realertMs + Math.max(hasWindow ? 2 * windowMs : windowMs, markMs), resolveMs);
  // The texts of a sequence are as old as its chains.
  return samples && !sequence ? Math.max(counted, 2 * samples.sliceMs) : counted;
}

/** A match may come some time after a cool-down, and still stands for those that it suppressed. */
const SAMPLE_MARGIN_MS = 10 * 60_000;

function sampleSliceOf(ms: number): number {
  return ms + SAMPLE_MARGIN_MS;
}

function kindOf(rule: Rule): number {
  if (rule.threshold) return layout.KIND_THRESHOLD;
  if (rule.sequence) return layout.KIND_SEQUENCE;
  if (rule.firstSeen) return layout.KIND_FIRST_SEEN;
  if (rule.ratio) return layout.KIND_RATIO;
  return rule.absence ? layout.KIND_ABSENCE : layout.KIND_EACH;
}

/** The hash names the ruleset's content: it is taken over the bytes with a hash of 0. */
function encode(compiled: Compiled): EncodedRuleset & { hash: string } {
  const draft = encodeRuleset(compiled, 0n).bytes;
  if (draft.length > RULESET_SIZE_MAX) {
    throw new UserError(
      `the rules compile to ${draft.length} bytes, ${RULESET_SIZE_MAX} are allowed; split the file into several modules`,
    );
  }
  const hash = createHash('sha256').update(draft).digest().readBigUInt64BE();
  return { ...encodeRuleset(compiled, hash), hash: hash.toString(16).padStart(16, '0') };
}
