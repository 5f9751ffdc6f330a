// `earshot test`: runs files of tests and the tests in rules.
import { setTimeout as sleep } from 'node:timers/promises';
import { stat } from 'node:fs/promises';
import { formatCount, printable } from '../error.ts';
import { replaceFile } from '../fluent-bit/folder.ts';
import type { Io } from './command.ts';
import { readArguments, usage } from './command.ts';
import { paintFor } from './style.ts';
import type { Paint } from './style.ts';
import { openCoverage } from './testing/coverage.ts';
import { junitXml } from './testing/junit.ts';
import { runSuite } from './testing/suite.ts';
import type { Outcome, SuiteResult } from './testing/suite.ts';

export function help(): string {
  return `Usage: earshot test [OPTION…] FILE…

Runs files of tests in the shape of promtool's, with the rules files that they name, and the tests that stand in
rules. FILE is a file of tests or a rules file. host/command/testing/README.md has the form.

  rule_files: [rules.yaml]
  tests:
    - name: a 404 is an alert
      input_logs:
        - {at: 0s, log: '"GET /x HTTP/1.1" 404 ', labels: {kubernetes.namespace_name: demo}}
      alert_rule_test:
        - eval_time: 1m
          alertname: 404 Request
          exp_alerts:
            - exp_labels: {severity: warning, method: GET}
              exp_annotations: {message: GET /x}

  --coverage    also list the conditions that no test decided
  --junit FILE  write the results as JUnit's XML
  --watch       run again when a file changes

Exit code: 0 all passed, 1 a test failed, 2 called wrongly, or a file cannot be used.
`;
}

const OPTIONS = {
  coverage: { type: 'boolean' },
  junit: { type: 'string' },
  watch: { type: 'boolean' },
} as const;

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (positionals.length === 0) throw usage('test needs files of tests, or rules files with tests in them');
  const once = () => runOnce(positionals, values.coverage ?? false, values.junit, io);
  return values.watch ? watch(once, io) : (await once()).exitCode;
}

interface Once {
  exitCode: number;
  files: Set<string>;
}

async function runOnce(
  paths: string[],
  withCoverage: boolean,
  junit: string | undefined,
  io: Io,
): Promise<Once> {
  const startedAt = performance.now();
  const coverage = withCoverage ? openCoverage() : undefined;
  const result = await runSuite(paths, coverage);
  const paint = paintFor(io.stdout, io.env);
  io.stdout.write(reportOf(result, paint));
  if (coverage) io.stdout.write(coverage.report());
  const seconds = (performance.now() - startedAt) / 1000;
  if (junit !== undefined) await replaceFile(junit, junitXml(result.outcomes, result.mistakes, seconds));
  return { exitCode: exitCodeOf(result), files: result.files };
}

function exitCodeOf({ outcomes, mistakes }: SuiteResult): number {
  if (mistakes.length > 0) return 2;
  return outcomes.some(({ failure }) => failure) ? 1 : 0;
}

function reportOf({ outcomes, mistakes, files }: SuiteResult, paint: Paint): string {
  const parts = mistakes.map(mistake => `${mistake}\n\n`);
  for (const outcome of outcomes) if (outcome.failure) parts.push(failureText(outcome, paint));
  const failed = outcomes.filter(({ failure }) => failure).length;
  const passed = outcomes.length - failed;
  const counts = [`${formatCount(passed)} passed`, ...(failed > 0 ? [`${formatCount(failed)} failed`] : [])];
  const unusable = mistakes.length > 0 ? ', and some files cannot be used' : '';
  const none = outcomes.length === 0 && mistakes.length === 0 ? ': there are no tests in these files' : '';
  const colour = failed > 0 || unusable ? 'red' : 'green';
  parts.push(`${paint(counts.join(', '), 'bold', colour)}${unusable}${none} (${files.size} ${files.size === 1 ? 'file' : 'files'})\n`); // prettier-ignore
  return parts.join('');
}

function failureText({ file, line, name, failure }: Outcome, paint: Paint): string {
  const head = `${paint('FAILED', 'bold', 'red')} ${file}:${line}: ${printable(name)}\n  ${printable(failure!.message)}\n`;
  return `${head}${failure!.details.map(detail => `    ${detail}\n`).join('')}\n`;
}

// ── --watch ─────────────────────────────────────────────────────────────────────────────────────────

const LOOK_MS = 300;

/** Looks at the files' times: an editor may write a new file in place of the old one. */
async function watch(once: () => Promise<Once>, io: Io): Promise<number> {
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort()).once('SIGTERM', () => stop.abort());
  let exitCode = 0;
  let isClosed = false;
  io.stdout.once('error', () => (isClosed = true));
  while (!stop.signal.aborted && !isClosed) {
    const { exitCode: last, files } = await once();
    exitCode = last;
    io.stdout.write(`\nwaits for a change of ${[...files].join(', ')}\n\n`);
    const before = await stampsOf(files);
    while (!stop.signal.aborted && before === (await stampsOf(files)))
      await sleep(LOOK_MS, undefined, { signal: stop.signal }).catch(() => {});
  }
  return exitCode;
}

async function stampsOf(files: Set<string>): Promise<string> {
  const stamps = [...files].map(async path => {
    const found = await stat(path).catch(() => null);
    return found === null ? 'none' : `${found.mtimeMs} ${found.size} ${found.ino}`;
  });
  return (await Promise.all(stamps)).join('\n');
}
