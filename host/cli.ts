// The command line. `cli` finds the command and loads that one only: `earshot function` starts without the
// compiler, `earshot check` without Kafka. Exit codes: 0 done, 1 something is wrong, 2 called wrongly.
import packageJson from '../package.json' with { type: 'json' };
import type { Command, Io } from './command/command.ts';
import { UserError, nearest } from './error.ts';

interface Entry {
  summary: string;
  load(): Promise<Command>;
}

const COMMANDS: Record<string, Entry> = {
  new: {
    summary: 'group the lines of a log, and write a rule for some of them',
    load: () => import('./command/new.ts'),
  },
  check: {
    summary: 'report every mistake of rules files',
    load: () => import('./command/check.ts'),
  },
  test: {
    summary: 'run tests of rules, in the shape of promtool',
    load: () => import('./command/test.ts'),
  },
  build: {
    summary: 'turn a rules file into one WebAssembly module',
    load: () => import('./command/build.ts'),
  },
  run: {
    summary: 'match log records from files or standard input',
    load: () => import('./command/run.ts'),
  },
  tail: {
    summary: 'print alerts as they come, from a pipe, a growing file or a topic',
    load: () => import('./command/tail.ts'),
  },
  explain: {
    summary: 'tell for each record why a rule matches or not',
    load: () => import('./command/explain.ts'),
  },
  backtest: {
    summary: 'show what rules would have done over logs or a topic',
    load: () => import('./command/backtest.ts'),
  },
  diff: {
    summary: 'show what two rules files make of the same records',
    load: () => import('./command/diff.ts'),
  },
  function: {
    summary: 'read records from Kafka and send alerts',
    load: () => import('./command/function.ts'),
  },
  schema: {
    summary: 'print the JSON Schema of a rules file, for editors',
    load: () => import('./command/schema.ts'),
  },
};

export async function cli(args: string[], io: Io): Promise<number> {
  try {
    return await dispatch(args, io);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    io.stderr.write(`earshot: ${error.message}\n`);
    return error.exitCode;
  }
}

async function dispatch([name = '--help', ...args]: string[], io: Io): Promise<number> {
  if (name === '--version' || name === '-v') return print(io, `${packageJson.version}\n`);
  const isHelp = name === '--help' || name === '-h' || name === 'help';
  if (isHelp && args[0] === undefined) return print(io, overview());
  const { help, run } = await find(isHelp ? args[0]! : name).load();
  if (isHelp || asksForHelp(args)) return print(io, help());
  return run(args, io);
}

function asksForHelp(args: string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? undefined : end).some(arg => arg === '--help' || arg === '-h');
}

function find(name: string): Entry {
  if (Object.hasOwn(COMMANDS, name)) return COMMANDS[name]!;
  const kind = name.startsWith('-') ? 'option' : 'command';
  const near = nearest(name, [...Object.keys(COMMANDS), '--help', '--version']);
  const hint = near === undefined ? '`earshot --help` lists the commands' : `did you mean "${near}"?`;
  throw new UserError(`unknown ${kind} "${name}"; ${hint}`, 2);
}

function print(io: Io, text: string): number {
  io.stdout.write(text);
  return 0;
}

function overview(): string {
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}\n`);
  return `Usage: earshot COMMAND …

Alerts from log records: a rules file becomes one WebAssembly matcher, which runs in Fluent Bit,
on records from Kafka, or here.

${lines.join('')}
\`earshot COMMAND --help\` tells more about one of them; \`earshot --version\` prints the version.
`;
}
