// Rules files, read and compiled: what check, build, run and explain begin with.
import { KIND_RATIO, RATIO_REST } from '../../assembly/layout.ts';
import { bake } from '../compiler/bake.ts';
import type { CompiledRuleset } from '../compiler/compile.ts';
import { compileRules } from '../compiler/compile.ts';
import { readCore } from '../core.ts';
import type { Problem, Source } from '../error.ts';
import { UserError, formatCount, formatProblem, inSource, lineAt, quote, sourceAt } from '../error.ts';
import { loadModule, openDoors } from '../matcher.ts';
import { checkFiring } from '../compiler/firing.ts';
import type { CompiledStep } from '../compiler/compiled.ts';
import type { RuleFile } from '../compiler/model.ts';
import { isList, isOfEveryString } from '../compiler/path.ts';
import { stepsPerByte, stepsWithoutNeedle } from '../compiler/patterns.ts';
import { parseSources } from '../compiler/rules.ts';
import type { Io } from './command.ts';
import { readInput } from './input.ts';
import { listReader } from './lists.ts';
import { expandPaths } from './rules-paths.ts';

export interface RulesFile {
  /** For messages: the file, or the first and how many others there are. */
  path: string;
  /** The texts of all files, one after the other, as positions count. */
  source: string;
  sources: Source[];
  /** In the order of the files. */
  problems: Problem[];
  file: RuleFile;
  /** Null when a problem is an error. */
  ruleset: CompiledRuleset | null;
}

/** Finds every mistake of files and of what is in folders; throws only when one cannot be read. */
export async function readRulesFile(...named: string[]): Promise<RulesFile> {
  const sources: Source[] = [];
  for (const path of await expandPaths(named)) addSource(sources, path, await readInput(path));
  return checkSources(sources);
}

/**
 * Texts are separated by one position, so that the end of a file is not the start of the next. Throws a UserError when the
 * file is no text.
 */
export function addSource(sources: Source[], path: string, bytes: Buffer): void {
  const text = textOf(path, bytes);
  const last = sources.at(-1);
  sources.push({ path, text, start: last === undefined ? 0 : last.start + last.text.length + 1 });
}

export function checkSources(sources: Source[]): RulesFile {
  const problems: Problem[] = [];
  const report = (problem: Problem) => void problems.push(problem);
  const parsed = parseSources(sources, report, listReader());
  const file = { ...parsed, rules: checkFiring(parsed.rules, report) };
  const compiled = compile(file, report);
  const isWrong = problems.some(problem => problem.severity === 'error');
  const ruleset = isWrong ? null : compiled;
  if (ruleset) for (const problem of advise(file, ruleset)) problems.push(problem);
  problems.sort((a, b) => a.span.start - b.span.start || a.span.end - b.span.end);
  const source = sources.map(({ text }) => text).join('\n');
  return { path: nameOf(sources), source, sources, problems, file, ruleset };
}

function nameOf([first, ...others]: Source[]): string {
  const more = `${formatCount(others.length)} more ${others.length === 1 ? 'file' : 'files'}`;
  return others.length === 0 ? (first?.path ?? '') : `${first!.path} and ${more}`;
}

/** A file that is no text is named for what it is: its bytes would be the excerpt of a mistake. */
function textOf(path: string, bytes: Buffer): string {
  const is = BINARY_FILES.find(({ magic }) => bytes.subarray(0, magic.length).equals(magic));
  if (is) throw new UserError(`${path} is not a rules file: it is ${is.what}`, 2);
  if (bytes.includes(0)) throw new UserError(`${path} is not a rules file: it is not text`, 2);
  return String(bytes);
}

const BINARY_FILES = [
  {
    magic: Buffer.from('\0asm'),
    what: 'a module, which is built already; `earshot run MODULE` matches with it, its rules file is what can be changed',
  },
  {
    magic: Buffer.from([0x1f, 0x8b]),
    what: 'compressed with gzip; unpack it with `gunzip`',
  },
  {
    magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
    what: 'compressed with zstd; unpack it with `unzstd`',
  },
];

/** Returns the ruleset. Warnings are written to standard error; mistakes are too, and then it throws. */
export function requireRuleset({ path, sources, problems, ruleset }: RulesFile, io: Io): CompiledRuleset {
  for (const text of problemTexts({ sources, problems })) io.stderr.write(`${text}\n`);
  if (ruleset) return ruleset;
  const count = problems.filter(problem => problem.severity === 'error').length;
  const has = sources.length === 1 ? 'has' : 'have';
  throw new UserError(`${path} ${has} ${count} ${count === 1 ? 'mistake' : 'mistakes'}`);
}

/** For people: every mistake, and of the warnings that say the same the first, with the lines of the others. */
export function problemTexts({ sources, problems }: Pick<RulesFile, 'sources' | 'problems'>): string[] {
  const alike = new Map<string, Problem[]>();
  for (const [index, problem] of problems.entries()) {
    const key = problem.severity === 'error' ? String(index) : kindOf(problem);
    const group = alike.get(key);
    if (group) group.push(problem);
    else alike.set(key, [problem]);
  }
  return [...alike.values()].map(([first, ...others]) => {
    const source = sourceAt(sources, first!.span.start);
    const text = formatProblem(inSource(first!, source), source.path, source.text);
    if (others.length === 0) return text;
    const isElsewhere = (problem: Problem) => sourceAt(sources, problem.span.start) !== source;
    const lines = [...new Set(others.map(problem => {
      const place = lineAt(sources, problem.span.start);
      return isElsewhere(problem) ? place : place.slice(source.path.length + 1);
    }))]; // prettier-ignore
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
  // What a ratio excludes from its rest is looked for in all of it: that is what was asked for.
  const isRest = ({ rule, ordinal }: { rule: number; ordinal: number }) =>
    compiled.rules[rule]!.kind === KIND_RATIO && ordinal === RATIO_REST;
  return stepsWithoutNeedle(compiled)
    .filter(step => isOfField(step) && !isRest(step))
    .map(step => ({
      severity: 'warning',
      message: `no literal: the pattern runs on every record${step.gates.length > 0 ? ' that passes the "eq" or "in" beside it' : ''}`,
      hint: 'two or more letters or digits that every match must hold let it run on those records only',
      span: file.rules[step.rule]!.steps[step.ordinal]!.span,
    }));
}
