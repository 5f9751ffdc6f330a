// `earshot build`: a rules file → the module, and a table of what is in it.
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KIND_ABSENCE } from '../../assembly/layout.ts';
import type { CompiledRuleset } from '../compiler/compile.ts';
import { UserError, formatCount, formatDuration } from '../error.ts';
import { formatFieldPath } from '../compiler/field.ts';
import { largest, sum } from '../compiler/numbers.ts';
import { patternSize, patternsOfStep, stepsPerByte } from '../compiler/patterns.ts';
import { parseTargets } from '../fluent-bit/aot.ts';
import { fluentBitSetup } from '../fluent-bit/setup.ts';
import { OUTAGE_MS, retentionFor } from '../function/topics.ts';
import type { Io } from './command.ts';
import { readArguments, usage } from './command.ts';
import type { RulesFile } from './rules-file.ts';
import { bakeModule, readRulesFile, requireRuleset } from './rules-file.ts';
import { removeStaleAot, writeAot } from './wamrc.ts';

/** Bytes that a ConfigMap holds, and the size that warns: the rest of the object needs room too. */
const CONFIG_MAP_SIZE = 1024 * 1024;
const CONFIG_MAP_SIZE_TIGHT = 900 * 1024;
/** The most rules that a line names; it only counts the others. */
const NAMES_MAX = 5;

export function help(): string {
  return `Usage: earshot build [OPTION…] rules.yaml

Compiles a rules file into one WebAssembly module: the matcher with the rules in it. The same rules compile to
the same bytes.

  -o, --output FILE   the module to write (earshot.wasm)
  --fluent-bit DIR    write a folder that Fluent Bit runs as it lies: the module, and its configuration
  --aot TARGET,…      also compile the module to machine code with wamrc, for x86_64 or aarch64 or both
`;
}

export async function run(args: string[], io: Io): Promise<number> {
  const options = {
    output: { type: 'string', short: 'o' },
    'fluent-bit': { type: 'string' },
    aot: { type: 'string' },
  } as const;
  const { values, positionals } = readArguments(args, options);
  if (positionals.length !== 1) throw usage('build takes one rules file');
  const targets = values.aot === undefined ? [] : parseTargets(values.aot);
  const rules = await readRulesFile(positionals[0]!);
  const ruleset = requireRuleset(rules, io);
  const module = await bakeModule(ruleset);
  const directory = values['fluent-bit'];
  const output = values.output ?? join(directory ?? '', 'earshot.wasm');
  await removeStaleAot(output, module, io);
  if (directory !== undefined) await writeFluentBit(rules, module, directory, io);
  await replaceFile(output, module);
  io.stdout.write(describe(output, module.length, ruleset));
  warnOfSize(module.length, io);
  await writeAot(output, module, targets, replaceFile, io);
  return 0;
}

async function writeFluentBit(
  { path, file }: RulesFile,
  module: Uint8Array,
  directory: string,
  io: Io,
): Promise<void> {
  const { files, notes } = fluentBitSetup({ rules: file.rules, module, source: path, directory });
  for (const { path, content } of files) {
    const target = join(directory, path);
    await mkdir(dirname(target), { recursive: true });
    await replaceFile(target, content);
  }
  for (const note of notes) io.stderr.write(`earshot: note: ${note}\n`);
}

/** A reader finds the old file or the new one, never a part. */
async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const draft = `${path}.${process.pid}.draft`;
  try {
    await writeFile(draft, content);
    await rename(draft, path);
  } catch (error) {
    throw new UserError(`${path} cannot be written: ${(error as Error).message}`);
  }
}

function warnOfSize(size: number, io: Io): void {
  if (size <= CONFIG_MAP_SIZE_TIGHT) return;
  const allowed = `a ConfigMap holds ${formatCount(CONFIG_MAP_SIZE)}`;
  const advice =
    size > CONFIG_MAP_SIZE ? 'split the file, or mount the module from an image' : 'split the file soon';
  io.stderr.write(`earshot: warning: the module has ${formatCount(size)} bytes, ${allowed}; ${advice}\n`);
}

function describe(output: string, size: number, ruleset: CompiledRuleset): string {
  const { compiled, hash, bytes } = ruleset;
  const share = ((size / CONFIG_MAP_SIZE) * 100).toFixed(1);
  const lines = [
    `${output}  ${formatCount(size)} bytes, ${share} % of a ConfigMap; ${formatCount(bytes.length)} of them are rules`,
    `hash ${hash}, ${compiled.rules.length} rules, ${compiled.fields.length} fields, ${compiled.patterns.length} patterns`,
    '',
    ...table(fieldRows(ruleset)),
  ];
  const needless = compiled.steps.filter(
    step => step.needles === null && patternsOfStep(step, compiled.atoms).length > 0,
  );
  if (needless.length > 0) {
    const names = [...new Set(needless.map(step => compiled.rules[step.rule]!.alert))];
    lines.push('', `Rules without a literal, whose patterns run more often: ${names.join(', ')}`);
  }
  lines.push(...describeLarge(ruleset), '', ...describeKafka(ruleset));
  return `${lines.join('\n')}\n`;
}

/** The patterns that get no automaton, however much room there is, in the order of their rules. */
function describeLarge({ compiled }: CompiledRuleset): string[] {
  const steps = new Map<string, number>(); // for the largest pattern of each rule
  for (const step of compiled.steps) {
    const { alert } = compiled.rules[step.rule]!;
    for (const index of patternsOfStep(step, compiled.atoms)) {
      const pattern = compiled.patterns[index]!;
      if (pattern.isTooLarge) steps.set(alert, Math.max(steps.get(alert) ?? 0, stepsPerByte(pattern)));
    }
  }
  if (steps.size === 0) return [];
  const names = [...steps].map(([alert, count]) => `${alert} (${formatCount(count)})`);
  return [
    '',
    `Rules with a pattern too large for an automaton, and its steps for a byte of text: ${names.join(', ')}`,
  ];
}

/** What the rules need from the function's hits topic and from its counters. */
function describeKafka({ compiled: { rules, lookBackMs } }: CompiledRuleset): string[] {
  const parts = `look-back ${formatDuration(lookBackMs)}, outage ${formatDuration(OUTAGE_MS)}`;
  const retention = `retention.ms=${retentionFor(lookBackMs)} or more (${parts})`;
  const lines = [
    `With Kafka, the hits topic needs cleanup.policy=delete, ${retention}, and a partition for each counter`,
  ];
  const names = rules.flatMap(({ kind, alert }) => (kind === KIND_ABSENCE ? [alert] : []));
  if (names.length === 0) return lines;
  const more = names.length > NAMES_MAX ? ` and ${formatCount(names.length - NAMES_MAX)} more` : '';
  const shown = names.slice(0, NAMES_MAX).join(', ') + more;
  return [
    ...lines,
    `With Kafka, absence needs a counter that is always awake (minReplicaCount: 1): ${shown}`,
  ];
}

/** One row for each field that has needles or patterns. A pattern that is tested on two fields is in both rows. */
function fieldRows({ compiled, indexes }: CompiledRuleset): string[][] {
  const rows = compiled.fields.flatMap((path, field) => {
    const name = formatFieldPath(path);
    const own = indexes.filter(index => index.field === field);
    const asked = compiled.patterns.filter(pattern => pattern.fields.has(field));
    if (own.length + asked.length === 0) return [];
    const automata = asked.flatMap(({ dfa }) => (dfa === null ? [] : [dfa]));
    return [
      [
        name,
        formatCount(sum(own.map(index => index.needles.length))),
        formatCount(sum(own.map(index => index.size))),
        formatCount(automata.length),
        formatCount(sum(automata.map(dfa => dfa.rows.length))),
        formatCount(asked.length - automata.length),
        formatCount(sum(asked.map(patternSize))),
      ],
    ];
  });
  return [['field', 'literals', 'index bytes', 'automata', 'states', 'programs', 'pattern bytes'], ...rows];
}

/** Columns as wide as needed: the first aligned to the left, numbers to the right. */
function table(rows: string[][]): string[] {
  if (rows.length === 1) return ['no field has patterns'];
  const widths = rows[0]!.map((_, column) => largest(rows.map(row => row[column]!.length)));
  return rows.map(row =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  '),
  );
}
