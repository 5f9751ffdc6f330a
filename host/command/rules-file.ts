// A rules file, read and compiled: what check, build, run and explain begin with.
import { bake } from '../compiler/bake.ts';
import type { CompiledRuleset } from '../compiler/compile.ts';
import { compileRules } from '../compiler/compile.ts';
import { readCore } from '../core.ts';
import type { Problem } from '../error.ts';
import { UserError, formatCount, formatProblem, problemToJson, quote } from '../error.ts';
import { loadModule, openDoors } from '../matcher.ts';
import { checkFiring } from '../compiler/firing.ts';
import type { CompiledStep } from '../compiler/compiled.ts';
import type { RuleFile } from '../compiler/model.ts';
import { isList, isOfEveryString } from '../compiler/path.ts';
import { stepsPerByte, stepsWithoutNeedle } from '../compiler/patterns.ts';
import { parseRules } from '../compiler/rules.ts';
import type { Io } from './command.ts';
import { readInput } from './input.ts';

export interface RulesFile {
  path: string;
  source: string;
  /** In the order of the file. */
  problems: Problem[];
  file: RuleFile;
  /** Null when a problem is an error. */
  ruleset: CompiledRuleset | null;
}

/** Finds every mistake; throws only when the file cannot be read. */
export async function readRulesFile(path: string): Promise<RulesFile> {
  const source = String(await readInput(path));
  const problems: Problem[] = [];
  const report = (problem: Problem) => void problems.push(problem);
  const parsed = parseRules(source, report);
  const file = { ...parsed, rules: checkFiring(parsed.rules, report) };
  const compiled = compile(file, report);
  const isWrong = problems.some(problem => problem.severity === 'error');
  const ruleset = isWrong ? null : compiled;
  if (ruleset) for (const problem of advise(file, ruleset)) problems.push(problem);
  problems.sort((a, b) => a.span.start - b.span.start || a.span.end - b.span.end);
  return { path, source, problems, file, ruleset };
}

/** Returns the ruleset. Warnings are written to standard error; mistakes are too, and then it throws. */
export function requireRuleset({ path, source, problems, ruleset }: RulesFile, io: Io): CompiledRuleset {
  for (const text of problemTexts({ path, source, problems })) io.stderr.write(`${text}\n`);
  if (ruleset) return ruleset;
  const count = problems.filter(problem => problem.severity === 'error').length;
  throw new UserError(`${path} has ${count} ${count === 1 ? 'mistake' : 'mistakes'}`);
}

/** For people: every mistake, and of the warnings that say the same the first, with the lines of the others. */
export function problemTexts({
  path,
  source,
  problems,
}: Pick<RulesFile, 'path' | 'source' | 'problems'>): string[] {
  const alike = new Map<string, Problem[]>();
  for (const [index, problem] of problems.entries()) {
    const key = problem.severity === 'error' ? String(index) : kindOf(problem);
    const group = alike.get(key);
    if (group) group.push(problem);
    else alike.set(key, [problem]);
  }
  return [...alike.values()].map(([first, ...others]) => {
    const text = formatProblem(first!, path, source);
    if (others.length === 0) return text;
    const lines = [...new Set(others.map(problem => problemToJson(problem, path, source).line))];
    const shown = `${lines.slice(0, LINES_SHOWN).join(', ')}${lines.length > LINES_SHOWN ? ', …' : ''}`;
    return `${text}\nand ${formatCount(others.length)} more like this: ${lines.length === 1 ? 'line' : 'lines'} ${shown}`;
  });
}

const LINES_SHOWN = 10;

/** What a warning says, without the names and numbers in it. */
function kindOf({ message, hint = '' }: Problem): string {
  return `${message}\n${hint}`.replace(/"[^"]*"|'[^']*'|\d[\d,]*/g, '…');
}

/** The core with the ruleset in it, and the proof that it loads. */
export async function bakeModule(ruleset: CompiledRuleset): Promise<Uint8Array> {
  const core = await readCore();
  const { rulesetAddress } = await openDoors(await WebAssembly.compile(core as BufferSource));
  const bytes = bake(core, rulesetAddress(), ruleset.bytes);
  const { info } = await loadModule(bytes);
  if (info.hash !== ruleset.hash)
    throw new Error(`the module says hash ${info.hash}, the compiler ${ruleset.hash}`);
  return bytes;
}

function compile(file: RuleFile, report: (problem: Problem) => void): CompiledRuleset | null {
  if (file.rules.length === 0) return null;
  try {
    return compileRules(file, report);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    report({ severity: 'error', message: error.message, span: { start: 0, end: 0 } });
    return null;
  }
}

function advise(file: RuleFile, ruleset: CompiledRuleset): Problem[] {
  return [...adviseNeedles(file, ruleset), ...adviseStrings(file, ruleset), ...adviseAutomata(ruleset)];
}

/** Patterns that stay programs because they are large: their time is linear in the text, but not small. */
function adviseAutomata({ compiled }: CompiledRuleset): Problem[] {
  const decisions = compiled.steps.flatMap(step => step.code.map(decision => ({ step, ...decision })));
  return decisions.flatMap(({ step, atom, test }) => {
    const asked = compiled.atoms[atom]!;
    const pattern = asked.op === 'pattern' ? compiled.patterns[asked.pattern]! : null;
    if (pattern === null || !pattern.isTooLarge) return [];
    const steps = formatCount(stepsPerByte(pattern));
    const { alert } = compiled.rules[step.rule]!;
    return {
      severity: 'warning' as const,
      message: `a pattern of rule ${quote(alert)} is too large for an automaton: a byte of text can take ${steps} steps, with a plain literal it takes 1`,
      hint: 'use smaller or fewer counted repeats, or put a "contains" beside it in an "all"; as it is, it is slower, still linear in the text and bounded',
      span: test.span,
    };
  });
}

/** Rules that read every string of a record: what finds candidates looks at fields that are named. */
function adviseStrings(file: RuleFile, { compiled }: CompiledRuleset): Problem[] {
  return compiled.steps.flatMap(step => {
    const test = step.code
      .map(decision => decision.test)
      .find(({ field }) => isOfEveryString(field) && isList(field));
    if (test === undefined || step.needles !== null) return [];
    const { alert } = file.rules[step.rule]!;
    return {
      severity: 'warning' as const,
      message: `"anyField" of rule ${quote(alert)} reads all strings of every record${step.gates.length > 0 ? ' that passes the "eq" or "in" beside it' : ''}`,
      hint: 'a "contains" or "eq" of a field beside it in an "all" lets it read fewer records; where the field is known, name it',
      span: test.span,
    };
  });
}

/** Rules that cost more than the others: no literal excludes records before their patterns run. */
function adviseNeedles(file: RuleFile, { compiled }: CompiledRuleset): Problem[] {
  const isOfField = (step: CompiledStep) => !step.code.some(({ test }) => isOfEveryString(test.field));
  return stepsWithoutNeedle(compiled)
    .filter(isOfField)
    .map(step => ({
      severity: 'warning',
      message: `no literal: the pattern runs on every record${step.gates.length > 0 ? ' that passes the "eq" or "in" beside it' : ''}`,
      hint: 'two or more letters or digits that every match must hold let it run on those records only',
      span: file.rules[step.rule]!.steps[step.ordinal]!.span,
    }));
}
