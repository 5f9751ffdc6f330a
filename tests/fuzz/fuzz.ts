// `npm run fuzz`: random rule sets and records against the oracle, damaged records, damaged rules files, until
// the time is over. Each round has a seed of its own, so that one round can be replayed without the others.
//
//   npm run fuzz                          3 minutes, a new seed
//   npm run fuzz -- --minutes 60          a soak
//   npm run fuzz -- --seed 7 --round 12   that round again; with --short as `npm test` plays it
//
// What disagrees is made small and written to build/fuzz/. Exit code 1 when something does, 2 when called wrongly.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { diceOf, roundSeed } from './dice.ts';
import type { FileCounts } from './files.ts';
import { fileRound } from './files.ts';
import type { MatchCounts } from './match.ts';
import { matchRound } from './match.ts';
import { toYaml } from './model.ts';
import { shrink } from './shrink.ts';

const MINUTES_DEFAULT = 3;
/** After so many the fault is in the fuzzer, or in everything. */
const FINDINGS_MAX = 20;
const FOLDER = join(import.meta.dirname, '../../build/fuzz');

export type Counts = MatchCounts & FileCounts & { rounds: number };

export const newCounts = (): Counts => ({
  rounds: 0,
  rules: 0,
  refused: 0,
  records: 0,
  matches: 0,
  damaged: 0,
  files: 0,
  accepted: 0,
});

/** How much one round does. */
export interface RoundSize {
  rules: [min: number, max: number];
  records: number;
  files: number;
}

const ROUND: RoundSize = { rules: [100, 1000], records: 200, files: 60 };
/** What `npm test` plays. */
export const SHORT_ROUND: RoundSize = { rules: [100, 300], records: 60, files: 30 };

/** What is wrong, and the files that show it. */
export interface Disagreement {
  what: string;
  files: Record<string, string | Uint8Array>;
}

/** One round: every fourth breaks rules files, the others match. */
export async function playRound(
  seed: number,
  round: number,
  size: RoundSize,
  counts: Counts,
): Promise<Disagreement | null> {
  const dice = diceOf(roundSeed(seed, round));
  counts.rounds++;
  if (round % 4 === 3) {
    const found = await fileRound(dice, size.files, counts);
    return found && { what: found.what, files: { 'rules.yaml': found.yaml } };
  }
  const found = await matchRound(dice, dice.between(...size.rules), size.records, counts);
  if (found === null) return null;
  const { what, rules, record } = await shrink(found);
  return { what, files: { 'rules.yaml': toYaml(rules), 'record.json': record } };
}

export function replayCommand(seed: number, round: number, size: RoundSize): string {
  return `npm run fuzz -- --seed ${seed} --round ${round}${size === SHORT_ROUND ? ' --short' : ''}`;
}

if (import.meta.filename === process.argv[1]) process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) return 2;
  const { seed, round: only, minutes, size } = options;
  const counts = newCounts();
  const end = Date.now() + minutes * 60_000;
  let findings = 0;
  console.log(`fuzz: seed ${seed}`);
  for (let round = only ?? 0; only === null ? Date.now() < end : round === only; round++) {
    const found = await playRound(seed, round, size, counts);
    if (found === null) continue;
    findings++;
    report(found, `${seed}-${round}`, replayCommand(seed, round, size));
    if (findings === FINDINGS_MAX) break;
  }
  console.log(`${describe(counts)}\n${findings === 1 ? '1 finding' : `${findings} findings`}`);
  return findings === 0 ? 0 : 1;
}

interface Options {
  seed: number;
  round: number | null;
  minutes: number;
  size: RoundSize;
}

function readOptions(): Options | null {
  const text = { type: 'string' } as const;
  const options = { seed: text, round: text, minutes: text, short: { type: 'boolean' } } as const;
  try {
    const { values } = parseArgs({ options });
    const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
    const round = values.round === undefined ? null : Number(values.round);
    const minutes = Number(values.minutes ?? MINUTES_DEFAULT);
    const size = values.short ? SHORT_ROUND : ROUND;
    if ([seed, round ?? 0].every(Number.isSafeInteger) && minutes > 0) return { seed, round, minutes, size };
    console.error('fuzz: --seed and --round take a whole number, --minutes a number above 0');
  } catch (error) {
    console.error(`fuzz: ${(error as Error).message}`);
  }
  return null;
}

function report({ what, files }: Disagreement, name: string, command: string): void {
  const folder = join(FOLDER, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, content] of Object.entries(files)) writeFileSync(join(folder, file), content);
  console.log(`\n${what}\n  files: ${folder}\n  again: ${command}\n`);
}

export function describe(counts: Counts): string {
  const { rounds, rules, refused, records, matches, damaged, files, accepted } = counts;
  return [
    `${rounds} rounds`,
    `${rules} rules (${refused} refused)`,
    `${records} records and their prefixes`,
    `${damaged} damaged records`,
    `${matches} matches`,
    `${files} rules files (${accepted} accepted)`,
  ].join(', ');
}
