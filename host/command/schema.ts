// `earshot schema`: the JSON Schema of a rules file.
import { rulesSchema } from '../compiler/schema.ts';
import type { Io } from './command.ts';
import { readArguments, usage } from './command.ts';

export function help(): string {
  return `Usage: earshot schema

Prints the JSON Schema of a rules file. An editor that reads YAML schemas completes and checks with it;
names, patterns and templates are checked by \`earshot check\` only.
`;
}

export async function run(args: string[], io: Io): Promise<number> {
  if (readArguments(args, {}).positionals.length > 0) throw usage('schema takes no arguments');
  io.stdout.write(`${JSON.stringify(rulesSchema(), null, 2)}\n`);
  return 0;
}
