// What `run` and `tail` match with: a module that was built before, or rules files.
import { stat } from 'node:fs/promises';
import { UserError } from '../error.ts';
import type { MatcherModule } from '../matcher.ts';
import { loadModule } from '../matcher.ts';
import type { Io } from './command.ts';
import { usage } from './command.ts';
import { readInput } from './input.ts';

const WASM = Buffer.from('\0asm');

/** A module is known by its first bytes; anything else is rules, and only these load the compiler. */
export async function openModule(paths: string[], io: Io): Promise<MatcherModule> {
  const [path] = paths as [string];
  const bytes = await readModule(paths);
  if (bytes === null) {
    const { bakeModule, readRulesFile, requireRuleset } = await import('./rules-file.ts');
    return loadModule(await bakeModule(requireRuleset(await readRulesFile(...paths), io)));
  }
  try {
    return await loadModule(bytes);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${path}: ${error.message}`) : error;
  }
}

/** The module that was named, or null when rules were. */
async function readModule(paths: string[]): Promise<Buffer | null> {
  for (const path of paths) {
    const isFile = (await stat(path).catch(() => null))?.isFile() ?? false;
    const bytes = isFile ? await readInput(path) : null;
    if (!bytes?.subarray(0, WASM.length).equals(WASM)) continue;
    if (paths.length === 1) return bytes;
    throw usage(`${path} is a module, and holds rules already: build all rules into one module`);
  }
  return null;
}
