// What decided about a record: the tests that settled it, and of a rule that it does not match the nearest miss.
import * as layout from '../../assembly/layout.ts';
import type { CompiledRuleset } from '../compiler/compile.ts';
import { openDoors } from '../matcher.ts';
import { ask, examine, parse, showAnswer } from './explain.ts';
import type { Answer, Explainer } from './explain.ts';
import type { RulesFile } from './rules-file.ts';

export async function openExplainer(
  rules: RulesFile,
  ruleset: CompiledRuleset,
  module: Uint8Array,
): Promise<Explainer> {
  const doors = await openDoors(await WebAssembly.compile(module as BufferSource));
  return { rules, ruleset, names: null, doors };
}

/** What a step of a rule answers to a record. */
export interface StepAnswer {
  rule: number;
  /** Of the ruleset. */
  step: number;
  isMet: boolean;
  asked: Answer[];
}

/** The answers of all steps of these rules; null when the record cannot be read. */
export function answersTo(
  explainer: Explainer,
  record: Uint8Array,
  isWanted: (rule: number) => boolean,
): StepAnswer[] | null {
  if (examine(explainer.doors, record) !== null) return null;
  return explainer.ruleset.compiled.steps.flatMap(({ rule }, step) => {
    if (!isWanted(rule)) return [];
    const { isMet, asked } = ask(explainer, step);
    return [{ rule, step, isMet, asked }];
  });
}

/** The test that failed last, as `explain` shows it. */
export function showMiss(explainer: Explainer, { asked }: StepAnswer, record: Uint8Array): string {
  return asked.length === 0 ? '' : showAnswer(explainer, asked.at(-1)!, parse(record));
}

/** All tests of a step that were asked. */
export function showAnswers(explainer: Explainer, { asked }: StepAnswer, record: Uint8Array): string {
  const parsed = parse(record);
  return asked.map(answer => showAnswer(explainer, answer, parsed)).join('');
}

/**
 * The atoms' tests that decide about the record that was examined last: with another answer of this one test the step would
 * have another result.
 */
export function decidingSpans({ ruleset, doors }: Explainer, step: number): string[] {
  const { code } = ruleset.compiled.steps[step]!;
  const walk = (from: number): number => {
    let at = from;
    while (at < layout.CODE_FAIL) {
      const { atom, onTrue, onFalse } = code[at]!;
      at = doors.testAtom(atom) ? onTrue : onFalse;
    }
    return at;
  };
  const result = walk(0);
  const deciding: string[] = [];
  let at = 0;
  while (at < layout.CODE_FAIL) {
    const { atom, onTrue, onFalse, test } = code[at]!;
    const holds = Boolean(doors.testAtom(atom));
    if (walk(holds ? onFalse : onTrue) !== result) deciding.push(spanKey(test.span));
    at = holds ? onTrue : onFalse;
  }
  return deciding;
}

export function spanKey({ start, end }: { start: number; end: number }): string {
  return `${start}-${end}`;
}
