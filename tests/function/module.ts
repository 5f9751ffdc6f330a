// The modules of the rules files here, compiled once a process, and ways to make a matcher misbehave.

import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import binaryen from 'binaryen';
import { bakeModule, readRulesFile } from '../../host/command/rules-file.ts';
import { loadModule } from '../../host/matcher.ts';
import type { Matcher, MatcherModule } from '../../host/matcher.ts';

const folder = mkdtempSync(join(tmpdir(), 'earshot-function-'));
export const modulePath = await buildModule('rules');

/** Compiles a rules file of this folder, and gives the path of the module. */
export function buildModule(name: string): Promise<string> {
  return build(join(import.meta.dirname, `${name}.yaml`), name);
}

/** The same for the text of a rules file. */
export function buildModuleOf(rules: string, name: string): Promise<string> {
  const path = join(folder, `${name}.yaml`);
  writeFileSync(path, rules);
  return build(path, name);
}

async function build(rulesPath: string, name: string): Promise<string> {
  const { ruleset } = await readRulesFile(rulesPath);
  const path = join(folder, `${name}.wasm`);
  writeFileSync(path, await bakeModule(ruleset!));
  return path;
}

/** Loads the module, and changes what its matchers do. */
export function withMatcher(
  change: (matcher: Matcher) => Partial<Matcher>,
): (bytes: Uint8Array) => Promise<MatcherModule> {
  return async bytes => {
    const module = await loadModule(bytes);
    return {
      ...module,
      async instantiate() {
        const matcher = await module.instantiate();
        return Object.assign(Object.create(matcher) as Matcher, change(matcher));
      },
    };
  };
}

/** A record with BREAK in it breaks the instance, for that record and every one after it. */
export const breakable = withMatcher(matcher => {
  let broken = false;
  const guard = (work: Matcher['find']): Matcher['find'] => {
    return (record, sec, nsec) => {
      broken ||= Buffer.from(record).includes('BREAK');
      if (broken) throw new WebAssembly.RuntimeError('unreachable');
      return work(record, sec, nsec);
    };
  };
  return { find: guard(matcher.find.bind(matcher)) };
});

/** The module, with a core that traps on a record of `size` bytes, as a bug in it would: its `match` begins with that. */
export function trappingOn(size: number): (bytes: Uint8Array) => Promise<MatcherModule> {
  return async bytes => {
    const module = binaryen.readBinary(bytes);
    module.setFeatures(binaryen.Features.All);
    const { value: name } = exportsOf(module).find(({ name }) => name === 'match')!;
    const match = module.getFunction(name);
    const isThatSize = module.i32.eq(module.local.get(1, binaryen.i32), module.i32.const(size));
    const body = binaryen.getFunctionInfo(match).body;
    const guarded = module.block(null, [module.if(isThatSize, module.unreachable()), body], binaryen.i32);
    setBody(match, guarded);
    assert.ok(module.validate());
    return loadModule(module.emitBinary());
  };
}

// binaryen's types have this elsewhere.
const { setBody } = (
  binaryen as unknown as {
    Function: { setBody(match: binaryen.FunctionRef, body: binaryen.ExpressionRef): void };
  }
).Function;

function exportsOf(module: binaryen.Module): { name: string; value: string }[] {
  return Array.from({ length: module.getNumExports() }, (_, index) =>
    binaryen.getExportInfo(module.getExportByIndex(index)),
  );
}
