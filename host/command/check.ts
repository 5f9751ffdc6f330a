// `earshot check`: every mistake of every file. All files together are one set of rules.
import type { Source } from '../error.ts';
import { UserError, inSource, problemToJson, sourceAt } from '../error.ts';
import type { Io } from './command.ts';
import { choice, readArguments, usage } from './command.ts';
import type { RulesFile } from './rules-file.ts';
import { readInput } from './input.ts';
import { addSource, checkSources, problemTexts } from './rules-file.ts';
import { filesAt, inOrder } from './rules-paths.ts';
import { sarif } from './sarif.ts';
import { countTests, runRuleTests, testProblems } from './testing/rule-tests.ts';

export function help(): string {
  return `Usage: earshot check [OPTION…] (FILE | FOLDER)…

Reports every mistake and warning of rules files, each with its place and what to do about it, and runs the tests
that stand in the rules. Several files are one set of rules. Of a folder, all *.yaml and *.yml below it are read,
without names that begin with a dot.

  --format FORM   text for people (the default), where warnings that say the same are printed once; json,
                  an array of all, for editors; sarif (2.1.0), for code hosts and CI

Exit code: 0 no mistakes (there may be warnings), 1 mistakes, 2 called wrongly or a file cannot be read.
`;
}

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, { format: { type: 'string' } });
  const format = choice('--format', values.format ?? 'text', ['text', 'json', 'sarif']);
  if (positionals.length === 0) throw usage('check needs the rules files');
  const { sources, isUnreadable } = await readAll(positionals, io);
  const rules = await withTests(checkSources(sources));
  const forms = { json: toJson, text: toText, sarif: (all: RulesFile) => sarif(all, !isUnreadable) };
  io.stdout.write(forms[format](rules));
  if (isUnreadable) return 2;
  return countOf(rules, 'error') === 0 ? 0 : 1;
}

/** A file that cannot be read does not hide the mistakes of the others. */
async function readAll(named: string[], io: Io): Promise<{ sources: Source[]; isUnreadable: boolean }> {
  const sources: Source[] = [];
  let isUnreadable = false;
  const attempt = async <T>(read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      io.stderr.write(`earshot: ${error.message}\n`);
      isUnreadable = true;
      return undefined;
    }
  };
  const readable: string[] = [];
  for (const path of named) readable.push(...((await attempt(() => filesAt(path))) ?? []));
  for (const path of await inOrder(readable)) {
    await attempt(async () => addSource(sources, path, await readInput(path)));
  }
  return { sources, isUnreadable };
}

/** A test that fails is a mistake of the file. */
async function withTests(rules: RulesFile): Promise<RulesFile> {
  const failures = testProblems(await runRuleTests(rules));
  const problems = [...rules.problems, ...failures].sort((a, b) => a.span.start - b.span.start);
  return { ...rules, problems };
}

function toJson({ sources, problems }: RulesFile): string {
  const all = problems.map(problem => {
    const source = sourceAt(sources, problem.span.start);
    return problemToJson(inSource(problem, source), source.path, source.text);
  });
  return `${JSON.stringify(all, null, 2)}\n`;
}

function toText(rules: RulesFile): string {
  if (rules.sources.length === 0) return ''; // none could be read
  const problems = problemTexts(rules).map(text => `${text}\n`);
  const ruleCount = rules.file.rules.length;
  const errorCount = countOf(rules, 'error');
  const found = [plural(errorCount, 'error'), plural(countOf(rules, 'warning'), 'warning')].join(', ');
  const good =
    errorCount === 0
      ? plural(ruleCount, 'rule') + countTests(rules)
      : `${plural(ruleCount, 'rule')} without errors`;
  return `${problems.join('\n')}${problems.length > 0 ? '\n' : ''}${good}: ${found}\n`;
}

function countOf({ problems }: RulesFile, severity: 'error' | 'warning'): number {
  return problems.filter(problem => problem.severity === severity).length;
}

function plural(count: number, noun: string): string {
  return `${count === 0 ? 'no' : count} ${noun}${count === 1 ? '' : 's'}`;
}
