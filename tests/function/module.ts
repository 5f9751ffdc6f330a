// The modules of the rules files here, compiled once a process, and ways to make a matcher misbehave.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bakeModule, readRulesFile } from '../../host/command/rules-file.ts';
import { loadModule } from '../../host/matcher.ts';
import type { Matcher, MatcherModule } from '../../host/matcher.ts';

const folder = mkdtempSync(join(tmpdir(), 'earshot-function-'));
export const modulePath = await buildModule('rules');

/** Compiles a rules file of this folder, and gives the path of the module. */
export async function buildModule(name: string): Promise<string> {
  const { ruleset } = await readRulesFile(join(import.meta.dirname, `${name}.yaml`));
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
      info: module.info,
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
  const guard = (work: Matcher['match']): Matcher['match'] => {
    return (record, sec, nsec) => {
      broken ||= Buffer.from(record).includes('BREAK');
      if (broken) throw new WebAssembly.RuntimeError('unreachable');
      return work(record, sec, nsec);
    };
  };
  return { match: guard(matcher.match.bind(matcher)), warm: guard(matcher.warm.bind(matcher)) };
});
