// Rulesets from a bare list of patterns, for tests that know the engine better than a rules file allows:
// which of its ways runs, with or without needles, with a slot for every named group.
import * as layout from '../assembly/layout.ts';
import { toDfa } from '../host/compiler/dfa.ts';
import type { Dfa } from '../host/compiler/dfa.ts';
import { bestWindow, requiredLiterals } from '../host/compiler/literals.ts';
import type { Program } from '../host/compiler/nfa.ts';
import { firstCharacter, matchesEverything, toProgram } from '../host/compiler/nfa.ts';
import type { Pattern } from '../host/compiler/pattern.ts';
import { parsePattern } from '../host/compiler/pattern.ts';
import { candidatesOf } from '../host/compiler/candidates.ts';
import type { Compiled, CompiledRule, CompiledStep } from '../host/compiler/compiled.ts';
import { encodeRuleset } from '../host/compiler/ruleset.ts';

const STATE_COUNT_MAX = 200; // random patterns seldom need more, and those that do are for the programs

export interface BarePattern {
  program: Program;
  firstByte: number | null;
  tree: Pattern;
  literals: string[] | null;
}

export function barePattern(source: string): BarePattern {
  const { pattern, captures } = parsePattern(source);
  const program = toProgram(pattern, captures);
  return {
    program,
    firstByte: program.anchored ? null : firstCharacter(pattern),
    tree: pattern,
    literals: requiredLiterals(pattern),
  };
}

/** The pattern's automaton; null when it would be large. The compiler refuses patterns that match every text, which have none. */
export function automatonOf({ program, tree }: BarePattern): Dfa | null {
  if (matchesEverything(tree)) return null;
  const dfa = toDfa(program, STATE_COUNT_MAX);
  return dfa !== null && dfa.start >= layout.DFA_FIRST_ROW ? dfa : null;
}

export interface BareOptions {
  automata?: boolean;
  needles?: boolean;
}

/** One rule a pattern, named by its index, on the field `text`; a named group is an annotation of its name. */
export function bareCompiled(
  patterns: BarePattern[],
  { automata = true, needles = true }: BareOptions = {},
): Compiled {
  const fields = [['@timestamp'], ['text']];
  const field = 1;
  const steps = patterns.map((pattern, rule) => bareStep(pattern, rule, field, needles));
  const rules = patterns.map(({ program }, rule) => bareRule(program, rule));
  return {
    fields,
    times: [{ field: 0, path: ['@timestamp'], format: 'any' }],
    words: [],
    patterns: patterns.map(pattern => ({
      source: '',
      fields: new Set([field]),
      program: pattern.program,
      dfa: automata ? automatonOf(pattern) : null,
      isTooLarge: false,
      firstByte: pattern.firstByte,
      capturesFirst: false,
    })),
    derivations: [],
    atoms: patterns.map((_, pattern) => ({ op: 'pattern', field, pattern })),
    steps,
    candidates: candidatesOf(steps, rules),
    rules,
    lookBackMs: 0,
    keyCount: 0,
    rateCount: 0,
  };
}

function bareStep(pattern: BarePattern, rule: number, field: number, needles: boolean): CompiledStep {
  const { program, literals, tree } = pattern;
  const { captures } = program;
  const regex = { op: 'regex', source: '', pattern: tree, captures } as const;
  const test = { kind: 'test', field: ['text'], span: { start: 0, end: 0 }, ...regex } as const;
  const exits = { onTrue: layout.CODE_MATCH, onFalse: layout.CODE_FAIL };
  return {
    rule,
    ordinal: 0,
    code: [{ atom: rule, ...exits, test, isInverted: false, isNegated: false }],
    extracts: captures.length > 0 ? [{ pattern: rule, field, slot: 0 }] : [],
    gates: [],
    needles:
      needles && literals !== null
        ? { field, windows: [...new Set(literals.map(text => bestWindow(text, () => 0)))] }
        : null,
  };
}

function bareRule(program: Program, rule: number): CompiledRule {
  const text = String(rule);
  return {
    alert: text,
    labels: [{ name: 'alertname', parts: [{ kind: layout.PART_TEXT, text }], requires: null }],
    annotations: program.captures.map((name, capture) => ({
      name,
      parts: [{ kind: layout.PART_CAPTURE, index: capture * 2 }],
      requires: null,
    })),
    kind: layout.KIND_EACH,
    count: 1,
    realertMs: 0,
    windowMs: 0,
    resolveMs: 0,
    learnMs: 0,
    above: 0,
    byMask: 0n,
    distinctField: null,
    fingerprint: 1n,
  };
}

export function bareRuleset(patterns: BarePattern[], options?: BareOptions): Uint8Array {
  return encodeRuleset(bareCompiled(patterns, options), 1n).bytes;
}
