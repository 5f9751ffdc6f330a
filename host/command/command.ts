// What a command is, and how it reads its arguments.
import { parseArgs } from 'node:util';
import { UserError, nearest } from '../error.ts';

/** The parts of `process` that a command uses. */
export type Io = Pick<NodeJS.Process, 'stdin' | 'stdout' | 'stderr' | 'env'>;

export interface Command {
  help(): string;
  /** Returns the exit code; a user's mistake may also be thrown as a UserError. */
  run(args: string[], io: Io): Promise<number>;
}

interface Option {
  type: 'string' | 'boolean';
  short?: string;
  /** The option may be given several times. */
  multiple?: boolean;
}

type Values<O extends Record<string, Option>> = {
  [K in keyof O]?: O[K]['type'] extends 'boolean'
    ? boolean
    : O[K]['multiple'] extends true
      ? string[]
      : string;
};

/** Like parseArgs, with a near-miss hint for an unknown option. */
export function readArguments<const O extends Record<string, Option>>(args: string[], options: O) {
  const { values, positionals, tokens } = parseArgs({
    args,
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined;
    if (!option) throw unknownOption(token.rawName, Object.keys(options));
    if (option.type === 'string' && !token.value) throw usage(`${token.rawName} needs a value`);
    if (option.type === 'boolean' && token.value !== undefined)
      throw usage(`${token.rawName} takes no value`);
  }
  return { values: values as Values<O>, positionals };
}

/** The rules and the logs of a command: with `--rules` all other arguments are logs, else the first is the rules. */
export function rulesAndLogs(named: string[] | undefined, positionals: string[]): [string[], string[]] {
  return named === undefined ? [positionals.slice(0, 1), positionals.slice(1)] : [named, positionals];
}

/** The error of a command that is called wrongly. */
export function usage(message: string): UserError {
  return new UserError(message, 2);
}

/** The value of an option that has only these choices. */
export function choice<const T extends string>(option: string, value: string, choices: readonly T[]): T {
  if ((choices as readonly string[]).includes(value)) return value as T;
  throw usage(`${option} is one of ${choices.join(', ')}, not "${value}"`);
}

function unknownOption(rawName: string, names: string[]): UserError {
  const near = nearest(
    rawName,
    [...names, 'help'].map(name => `--${name}`),
  );
  return usage(
    `unknown option "${rawName}"; ${near === undefined ? '--help lists the options' : `did you mean "${near}"?`}`,
  );
}
