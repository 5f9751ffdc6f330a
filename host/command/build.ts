// `earshot build`: rules files → the module, and a table of what is in it.
import { join } from 'node:path';
import type { CompiledRuleset } from '../compiler/compile.ts';
import { comesByClock } from '../compiler/compiled.ts';
import { formatCount, formatDuration } from '../error.ts';
import { formatFieldPath } from '../compiler/field.ts';
import type { FieldPath } from '../compiler/model.ts';
import { largest, sum } from '../compiler/numbers.ts';
import { isOfEveryString, isParsed } from '../compiler/path.ts';
import { wordsSize } from '../compiler/words.ts';
import { patternSize, patternsOfStep, stepsPerByte, stepsWithoutNeedle } from '../compiler/patterns.ts';
import { parseTargets } from '../fluent-bit/aot.ts';
import { findForeign, replaceFile, writeFolder } from '../fluent-bit/folder.ts';
import type { Target } from '../fluent-bit/pipeline.ts';
import { LOG_TAGS, RECEIVERS } from '../fluent-bit/pipeline.ts';
import { DEFAULT_TARGET, fluentBitSetup, moduleName } from '../fluent-bit/setup.ts';
import { OUTAGE_MS, retentionFor } from '../function/topics.ts';
import type { Io } from './command.ts';
import { choice, readArguments, usage } from './command.ts';
import { bakeModule, readRulesFile, requireRuleset } from './rules-file.ts';
import { removeStaleAot, writeAot } from './wamrc.ts';

/** Bytes that a ConfigMap holds, and the size that warns: the rest of the object needs room too. */
const CONFIG_MAP_SIZE = 1024 * 1024;
const CONFIG_MAP_SIZE_TIGHT = 900 * 1024;
/** The most rules that a line names; it only counts the others. */
const NAMES_MAX = 5;

const OPTIONS = {
  output: { type: 'string', short: 'o' },
  'fluent-bit': { type: 'string' },
  to: { type: 'string' },
  address: { type: 'string' },
  match: { type: 'string' },
  path: { type: 'string' },
  'emitter-storage': { type: 'string' },
  aot: { type: 'string' },
} as const;
const FLUENT_BIT_OPTIONS = ['to', 'address', 'match', 'path', 'emitter-storage'] as const;
const TARGETS = Object.keys(RECEIVERS) as Target[];

export function help(): string {
  return `Usage: earshot build [OPTION…] (FILE | FOLDER)…

Compiles rules files into one WebAssembly module: the matcher with the rules in it. Of a folder, all *.yaml and
*.yml below it are read, without names that begin with a dot. The same rules compile to the same bytes,
whatever the files are called and in whatever order they are named.

  -o, --output FILE   the module to write (earshot.wasm)
  --fluent-bit DIR    write a folder that Fluent Bit runs as it lies: the module, under a name that its rules give
                      it, and its configuration. Files in it that are somebody else's are left as they are
  --aot TARGET,…      also compile the module to machine code with wamrc, for x86_64 or aarch64 or both

With --fluent-bit:
  --to RECEIVER       ${TARGETS.join(', ')}
                      (${DEFAULT_TARGET})
  --address ADDRESS   host:port of the receiver, for Kafka more of them with commas (on this machine)
  --match TAGS        tags of the logs, as Fluent Bit's \`match\` takes them (${LOG_TAGS})
  --path DIR          the folder as Fluent Bit sees it, in its pod for example (DIR of --fluent-bit)
  --emitter-storage memory|filesystem
                      of the forks in the classic format and for notification-manager: \`filesystem\` keeps what
                      waits over a restart, and Fluent Bit does not start without \`storage.path\` (memory)
`;
}

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (positionals.length === 0) throw usage('build needs the rules files');
  const directory = values['fluent-bit'];
  for (const name of FLUENT_BIT_OPTIONS)
    if (directory === undefined && values[name] !== undefined)
      throw usage(`--${name} goes with --fluent-bit`);
  const aotTargets = values.aot === undefined ? [] : parseTargets(values.aot);
  const target = choice('--to', values.to ?? DEFAULT_TARGET, TARGETS);
  const emitterStorage = choice('--emitter-storage', values['emitter-storage'] ?? 'memory', [
    'memory',
    'filesystem',
  ]);
  checkText('--match', values.match, /[\s\p{C}"'#$,]/u);
  checkText('--path', values.path, /[\p{C}]|\$\{/u);
  checkAddress(target, values.address);
  const file = await readRulesFile(...positionals);
  const ruleset = requireRuleset(file, io);
  const module = await bakeModule(ruleset);
  const setup = fluentBitSetup({
    rules: file.file.rules,
    module,
    hash: ruleset.hash,
    source: file.path,
    folder: values.path ?? directory ?? '.',
    target,
    address: values.address,
    match: values.match ?? LOG_TAGS,
    emitterStorage,
  });
  const output =
    values.output ?? (directory === undefined ? 'earshot.wasm' : join(directory, moduleName(ruleset.hash)));
  const foreign = directory === undefined ? [] : await findForeign(directory, setup.files);
  await removeStaleAot(output, module, io);
  if (directory !== undefined) {
    const notes = await writeFolder(directory, setup.files, foreign);
    for (const note of [...setup.notes, ...notes]) io.stderr.write(`earshot: note: ${note}\n`);
  }
  await replaceFile(output, module);
  const { grep, delivery } = setup.summary;
  const edge = directory === undefined ? [grep] : [grep, ...delivery];
  io.stdout.write(describe(output, module.length, ruleset, edge));
  warnOfSize(module.length, io);
  await writeAot(output, module, aotTargets, replaceFile, io);
  return 0;
}

/** What goes into configuration as it is. Fluent Bit reads `${…}` as a variable, and a blank in a tag matches nothing. */
function checkText(option: string, text: string | undefined, refused: RegExp): void {
  if (text !== undefined && refused.test(text)) throw usage(`${option} cannot be "${text}"`);
}

function checkAddress(target: Target, address: string | undefined): void {
  if (address === undefined) return;
  const parts = target === 'kafka' ? address.split(',') : [address];
  for (const part of parts)
    if (!/^(?:[\w.-]+|\[[\da-f:.]+\]):\d{1,5}$/i.test(part))
      throw usage(`--address is host:port, not "${part}"`);
}

function warnOfSize(size: number, io: Io): void {
  if (size <= CONFIG_MAP_SIZE_TIGHT) return;
  const allowed = `a ConfigMap holds ${formatCount(CONFIG_MAP_SIZE)}`;
  const advice =
    size > CONFIG_MAP_SIZE ? 'split the file, or mount the module from an image' : 'split the file soon';
  io.stderr.write(`earshot: warning: the module has ${formatCount(size)} bytes, ${allowed}; ${advice}\n`);
}

function describe(output: string, size: number, ruleset: CompiledRuleset, edge: string[]): string {
  const { compiled, hash, bytes } = ruleset;
  const share = ((size / CONFIG_MAP_SIZE) * 100).toFixed(1);
  const lines = [
    `${output}  ${formatCount(size)} bytes, ${share} % of a ConfigMap; ${formatCount(bytes.length)} of them are rules`,
    [
      `hash ${hash}`,
      plural(compiled.rules.length, 'rule'),
      plural(compiled.fields.length, 'field'),
      plural(compiled.patterns.length, 'pattern'),
    ].join(', '),
    '',
    ...table(fieldRows(ruleset)),
  ];
  const needless = stepsWithoutNeedle(compiled);
  if (needless.length > 0) {
    const names = [...new Set(needless.map(step => compiled.rules[step.rule]!.alert))];
    lines.push('', `Rules without a literal, whose patterns run more often: ${names.join(', ')}`);
  }
  lines.push(
    ...describeTexts(ruleset),
    ...describeLarge(ruleset),
    '',
    ...edge,
    '',
    ...describeKafka(ruleset),
  );
  return `${lines.join('\n')}\n`;
}

function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** Rules that take a record apart further than its fields. */
function describeTexts({ compiled }: CompiledRuleset): string[] {
  const names = (isOne: (path: FieldPath) => boolean) => {
    const steps = compiled.steps.filter(({ code }) => code.some(({ test }) => isOne(test.field)));
    return [...new Set(steps.map(step => compiled.rules[step.rule]!.alert))].join(', ');
  };
  const parsing = names(isParsed);
  const reading = names(isOfEveryString);
  return [
    ...(parsing === '' ? [] : ['', `Rules that parse a text, each text once a record: ${parsing}`]),
    ...(reading === '' ? [] : ['', `Rules that read every string of a record: ${reading}`]),
  ];
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
  const names = rules.filter(comesByClock).map(({ alert }) => alert);
  if (names.length === 0) return lines;
  const more = names.length > NAMES_MAX ? ` and ${formatCount(names.length - NAMES_MAX)} more` : '';
  const shown = names.slice(0, NAMES_MAX).join(', ') + more;
  return [
    ...lines,
    `With Kafka, what comes by the clock needs a counter that is always awake (minReplicaCount: 1): ${shown}`,
  ];
}

/** One row for each field that has needles, patterns or lists of texts, which are automata too. A pattern that is tested on two fields is in both rows. */
function fieldRows({ compiled, indexes }: CompiledRuleset): string[][] {
  const rows = compiled.fields.flatMap((path, field) => {
    const name = formatFieldPath(path);
    const own = indexes.filter(index => index.field === field);
    const asked = compiled.patterns.filter(pattern => pattern.fields.has(field));
    const words = compiled.atoms.flatMap(atom =>
      atom.op === 'words' && atom.field === field ? [compiled.words[atom.words]!] : [],
    );
    if (own.length + asked.length + words.length === 0) return [];
    const automata = asked.flatMap(({ dfa }) => (dfa === null ? [] : [dfa]));
    return [
      [
        name,
        formatCount(sum(own.map(index => index.needles.length))),
        formatCount(sum(own.map(index => index.size))),
        formatCount(automata.length + words.length),
        formatCount(sum([...automata.map(dfa => dfa.rows.length), ...words.map(one => one.stateCount)])),
        formatCount(asked.length - automata.length),
        formatCount(sum([...asked.map(patternSize), ...words.map(wordsSize)])),
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
