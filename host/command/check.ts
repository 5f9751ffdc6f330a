// `earshot check`: every mistake of every file.
import { UserError, problemToJson } from '../error.ts';
import type { Io } from './command.ts';
import { choice, readArguments, usage } from './command.ts';
import type { RulesFile } from './rules-file.ts';
import { problemTexts, readRulesFile } from './rules-file.ts';
import { sarif } from './sarif.ts';
import { countTests, runRuleTests, testProblems } from './testing/rule-tests.ts';

export function help(): string {
  return `Usage: earshot check [OPTION…] FILE…

Reports every mistake and warning of rules files, each with its place and what to do about it, and runs the tests
that stand in the rules.

  --format FORM   text for people (the default), where warnings that say the same are printed once; json,
                  an array of all, for editors; sarif (2.1.0), for code hosts and CI

Exit code: 0 no mistakes (there may be warnings), 1 mistakes, 2 called wrongly or a file cannot be read.
`;
}

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, { format: { type: 'string' } });
  const format = choice('--format', values.format ?? 'text', ['text', 'json', 'sarif']);
  if (positionals.length === 0) throw usage('check needs the rules files');
  const { files, unreadable } = await readAll(positionals, io);
  const forms = { json: toJson, text: toText, sarif: (all: RulesFile[]) => sarif(all, !unreadable) };
  io.stdout.write(forms[format](files));
  if (unreadable) return 2;
  return files.every(file => countOf([file], 'error') === 0) ? 0 : 1;
}

/** A file that cannot be read does not hide the mistakes of the others. */
async function readAll(paths: string[], io: Io): Promise<{ files: RulesFile[]; unreadable: boolean }> {
  const files: RulesFile[] = [];
  for (const path of paths) {
    try {
      files.push(await withTests(await readRulesFile(path)));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      io.stderr.write(`earshot: ${error.message}\n`);
    }
  }
  return { files, unreadable: files.length < paths.length };
}

/** A test that fails is a mistake of the file. */
async function withTests(file: RulesFile): Promise<RulesFile> {
  const failures = testProblems(await runRuleTests(file));
  const problems = [...file.problems, ...failures].sort((a, b) => a.span.start - b.span.start);
  return { ...file, problems };
}

function toJson(files: RulesFile[]): string {
  const all = files.flatMap(({ path, source, problems }) =>
    problems.map(problem => problemToJson(problem, path, source)),
  );
  return `${JSON.stringify(all, null, 2)}\n`;
}

function toText(files: RulesFile[]): string {
  if (files.length === 0) return ''; // none could be read
  const problems = files.flatMap(file => problemTexts(file).map(text => `${text}\n`));
  const ruleCount = files.reduce((sum, { file }) => sum + file.rules.length, 0);
  const errorCount = countOf(files, 'error');
  const found = [plural(errorCount, 'error'), plural(countOf(files, 'warning'), 'warning')].join(', ');
  const good =
    errorCount === 0
      ? plural(ruleCount, 'rule') + countTests(files)
      : `${plural(ruleCount, 'rule')} without errors`;
  return `${problems.join('\n')}${problems.length > 0 ? '\n' : ''}${good}: ${found}\n`;
}

function countOf(files: RulesFile[], severity: 'error' | 'warning'): number {
  return files.reduce(
    (sum, { problems }) => sum + problems.filter(problem => problem.severity === severity).length,
    0,
  );
}

function plural(count: number, noun: string): string {
  return `${count === 0 ? 'no' : count} ${noun}${count === 1 ? '' : 's'}`;
}
