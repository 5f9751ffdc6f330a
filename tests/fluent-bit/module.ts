// Rules → module and setup, for the tests of the edge.
import { readFileSync } from 'node:fs';
import { bake } from '../../host/compiler/bake.ts';
import { compileRules } from '../../host/compiler/compile.ts';
import type { Setup, SetupOptions } from '../../host/fluent-bit/setup.ts';
import { fluentBitSetup } from '../../host/fluent-bit/setup.ts';
import { openDoors } from '../../host/matcher.ts';
import type { RuleFile } from '../../host/compiler/model.ts';
import { parseRules } from '../../host/compiler/rules.ts';

const core = readFileSync(new URL('../../build/core.wasm', import.meta.url));
const address = (await openDoors(await WebAssembly.compile(core))).rulesetAddress();

/**
 * An alert for each text with ERROR in it. The cool-down is long: an alert that goes out twice and is counted twice would be
 * suppressed the second time.
 */
export const EACH_ONCE = `limits: {alertsPerSecond: 100000}
groups:
- name: test
  rules:
  - alert: Error
    match: {field: log, contains: 'ERROR'}
    realert: 6h
    labels: {message: '{{ $record.log }}'}
`;

/** `rules` is the list under `rules:`, or a whole file. */
export function parse(rules: string): RuleFile {
  const isFile = /^(?:groups|limits):/m.test(rules);
  return parseRules(
    isFile ? rules : `groups:\n- name: test\n  rules:\n${rules.replace(/^/gm, '  ')}`,
    refuse,
  );
}

export function bakeRules(rules: string): Uint8Array {
  return bake(core, address, compileRules(parse(rules), refuse)!.bytes);
}

export function setupOf(
  rules: string,
  folder: string,
  options: Partial<Omit<SetupOptions, 'rules' | 'module' | 'hash' | 'folder'>> = {},
): Setup {
  const file = parse(rules);
  const { bytes, hash } = compileRules(file, refuse)!;
  const module = bake(core, address, bytes);
  return fluentBitSetup({ rules: file.rules, module, hash, source: 'rules.yaml', folder, ...options });
}

function refuse(problem: { severity: string; message: string }): void {
  if (problem.severity === 'error') throw new Error(problem.message);
}
