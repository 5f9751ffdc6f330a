// What `run` and `tail` match with: a module that was built before, or a rules file.
import { UserError } from '../error.ts';
import type { MatcherModule } from '../matcher.ts';
import { loadModule } from '../matcher.ts';
import type { Io } from './command.ts';
import { readInput } from './input.ts';

const WASM = Buffer.from('\0asm');

/** A module is known by its first bytes; anything else is a rules file, and only that loads the compiler. */
export async function openModule(path: string, io: Io): Promise<MatcherModule> {
  const bytes = await readInput(path);
  if (!bytes.subarray(0, WASM.length).equals(WASM)) {
    const { bakeModule, readRulesFile, requireRuleset } = await import('./rules-file.ts');
    return loadModule(await bakeModule(requireRuleset(await readRulesFile(path), io)));
  }
  try {
    return await loadModule(bytes);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${path}: ${error.message}`) : error;
  }
}
