// Patterns → programs, and automata where they are small. Equal patterns are compiled once, even when several
// rules and fields have them.
import * as layout from '../../assembly/layout.ts';
import type { Report } from '../error.ts';
import { UserError } from '../error.ts';
import type { Atom, Compiled, CompiledPattern, CompiledStep, Derivation, TestCondition } from './compiled.ts';
import type { Dfa } from './dfa.ts';
import { dfaSize, isUniversal, toDfa } from './dfa.ts';
import { firstCharacter, toProgram } from './nfa.ts';
import type { Pattern } from './pattern.ts';
import { literal } from './pattern.ts';
import type { Table } from './table.ts';
import { indexOf } from './table.ts';

/** States that an automaton may have before it is made small: with more, the program runs instead. */
const DFA_STATE_COUNT_MAX = 2_000;
/** Bytes that one automaton may take. */
const DFA_SIZE_MAX = 64 * 1024;
/** Rows that an automaton of 1 byte per state can have: dead and matched are the other two. */
const NARROW_ROWS_MAX = 254;

/** The tests that search a text for a pattern; of texts the first. */
export type PatternTest = TestCondition & ({ op: 'regex' } | { texts: string[] });

/** The index of the test's pattern. */
export function patternOf(
  patterns: Table<CompiledPattern>,
  field: number,
  test: PatternTest,
  report: Report,
): number {
  const source = test.op === 'regex' ? test.source : test.texts[0]!;
  const index = indexOf(patterns, keyOf(test.op, source, test.ignoreCase), () => ({
    source,
    fields: new Set<number>(),
    ...(test.op === 'regex'
      ? compilePattern(test.pattern, test.captures, test, report)
      : compilePattern(literal(source), [], test, report)),
    capturesFirst: false,
  }));
  patterns.list[index]!.fields.add(field);
  return index;
}

/** A plain text is not the pattern that is written like it. */
function keyOf(op: string, source: string, ignoreCase: true | undefined): string {
  return `${op}${ignoreCase ? ' ignoreCase' : ''}: ${source}`;
}

/** The index of a "regex" that is tested somewhere. */
export function findPattern(
  patterns: Table<CompiledPattern>,
  source: string,
  ignoreCase: true | undefined,
): number {
  return patterns.indexes.get(keyOf('regex', source, ignoreCase))!;
}

type Machines = Pick<CompiledPattern, 'program' | 'dfa' | 'isTooLarge' | 'firstByte'>;

function compilePattern(tree: Pattern, captures: string[], test: PatternTest, report: Report): Machines {
  try {
    const program = toProgram(tree, captures);
    const dfa = toDfa(program, DFA_STATE_COUNT_MAX);
    if (dfa !== null && isUniversal(dfa)) reportUniversal(test, report);
    const isTooLarge = dfa === null || dfaSize(dfa) > DFA_SIZE_MAX;
    return {
      program,
      dfa: isTooLarge ? null : dfa,
      isTooLarge,
      firstByte: program.anchored ? null : firstCharacter(tree),
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const hint = 'use fewer or smaller counted repetitions';
    report({ severity: 'error', message: error.message, hint, span: test.span });
    return {
      program: { instructions: [], sets: [], captures: [], anchored: false },
      dfa: null,
      isTooLarge: true,
      firstByte: null,
    };
  }
}

function reportUniversal(test: PatternTest, report: Report): void {
  report({
    severity: 'error',
    message: 'this pattern matches every text',
    hint: 'to ask only that the field is there, write `exists: true`',
    span: test.span,
  });
}

/** The patterns that a step tests. */
export function patternsOfStep(step: CompiledStep, atoms: Atom[]): number[] {
  return step.code.flatMap(({ atom }) => {
    return atomsIn(atoms[atom]!, atoms).flatMap(test => (test.op === 'pattern' ? [test.pattern] : []));
  });
}

/** An atom, and of a list those that its values are tested with. */
function atomsIn(atom: Atom, atoms: Atom[]): Atom[] {
  return atom.op === 'each' ? atom.atoms.map(index => atoms[index]!) : [atom];
}

/** Steps that search texts of records in which no needle was found. */
export function stepsWithoutNeedle({ steps, atoms, words }: Compiled): CompiledStep[] {
  const searches = (atom: Atom) =>
    atom.op === 'pattern' || (atom.op === 'words' && words[atom.words]!.place === 'anywhere');
  return steps.filter(
    step =>
      step.needles === null && step.code.some(({ atom }) => atomsIn(atoms[atom]!, atoms).some(searches)),
  );
}

function patternsWithoutNeedle(steps: CompiledStep[], atoms: Atom[]): Set<number> {
  return new Set(steps.filter(step => step.needles === null).flatMap(step => patternsOfStep(step, atoms)));
}

/** When a needle has chosen the records, most of them match: then the captures are needed at once. */
export function preferCaptures(
  patterns: CompiledPattern[],
  steps: CompiledStep[],
  atoms: Atom[],
  derivations: Derivation[],
): void {
  const withoutNeedle = patternsWithoutNeedle(steps, atoms);
  const wanted = [...steps.flatMap(({ extracts }) => extracts), ...derivations];
  for (const { pattern } of wanted)
    if (pattern !== null) patterns[pattern]!.capturesFirst = !withoutNeedle.has(pattern);
}

/** Keeps as many automata as fit into `sizeMax` bytes: those of patterns that run often first, then the small ones. */
export function keepAutomata(
  patterns: CompiledPattern[],
  steps: CompiledStep[],
  atoms: Atom[],
  sizeMax: number,
): void {
  const oftenRun = patternsWithoutNeedle(steps, atoms);
  const withDfa = patterns.flatMap((pattern, index) => {
    const { dfa } = pattern;
    return dfa === null ? [] : [{ pattern, dfa, isOften: oftenRun.has(index) }];
  });
  const wideSizeOf = sizerOf(() => 2);
  if (withDfa.reduce((sum, { dfa }) => sum + wideSizeOf(dfa), 0) <= sizeMax) return;
  for (const { dfa } of withDfa) if (dfa.rows.length <= NARROW_ROWS_MAX) dfa.width = 1;
  withDfa.sort((a, b) => Number(b.isOften) - Number(a.isOften) || dfaSize(a.dfa) - dfaSize(b.dfa));
  const sizeOf = sizerOf(dfa => dfa.width);
  let total = 0;
  for (const { pattern, dfa } of withDfa) {
    total += sizeOf(dfa);
    if (total > sizeMax) pattern.dfa = null;
  }
}

/** The size of each automaton in turn: a map of classes that an earlier one has too costs nothing. */
function sizerOf(widthOf: (dfa: Dfa) => number): (dfa: Dfa) => number {
  const classMaps = new Set<string>();
  return dfa => {
    const classes = dfa.classes.join();
    const isShared = classMaps.has(classes);
    classMaps.add(classes);
    return dfaSize(dfa, widthOf(dfa)) + (isShared ? 0 : dfa.classes.length);
  };
}

/**
 * What one byte of text can cost the program of a pattern, in steps: each place that reads may be waiting at once.
 * A literal or an automaton takes one step.
 */
export function stepsPerByte({ program }: CompiledPattern): number {
  return program.instructions.filter(({ op }) => READING.includes(op)).length;
}

const READING: number[] = [layout.RUN_CHAR, layout.RUN_SET, layout.RUN_SKIP];

/** Bytes of a pattern in the ruleset. */
export function patternSize({ program, dfa }: CompiledPattern): number {
  return (dfa === null ? 0 : dfaSize(dfa)) + program.instructions.length * layout.INSTRUCTION_SIZE;
}
