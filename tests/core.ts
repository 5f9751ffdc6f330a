// The core for tests, built from the sources as they stand, and what tests do with it again and again: a
// record in, an answer and a body out. A build is kept under build/test by the hash of what went into it, so
// that no test runs a stale one and most runs build nothing.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bake } from '../host/compiler/bake.ts';
import type { CompiledRuleset } from '../host/compiler/compile.ts';
import { compileRules } from '../host/compiler/compile.ts';
import type { Problem } from '../host/error.ts';
import { formatProblem } from '../host/error.ts';
import type { Doors, MatcherModule } from '../host/matcher.ts';
import { ALERT, LoadedMatcher, loadModule, openDoors } from '../host/matcher.ts';
import { parseRules } from '../host/compiler/rules.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BUILDS = `${ROOT}build/test/`;

/** How many times the default number of runs a property gets. */
export const RUNS = Number(process.env.EARSHOT_TEST_RUNS ?? 1);

/** A change to the sources: in this file, this text by that one. It must be there. */
export type Edit = [file: string, from: string | RegExp, to: string];

/** The core as it ships, or one that differs by some edits. */
export function buildCore(edits: Edit[] = []): Uint8Array {
  const key = createHash('sha256').update(JSON.stringify(edits));
  for (const file of ['asconfig.json', ...readdirSync(`${ROOT}assembly`).map(name => `assembly/${name}`)]) {
    key.update(file).update(readFileSync(ROOT + file));
  }
  const path = `${BUILDS}${key.digest('hex').slice(0, 16)}.wasm`;
  while (!existsSync(path)) buildAlone(path, edits);
  return readFileSync(path);
}

const LOCK_MAX_MS = 120_000; // whoever holds the lock for longer was killed

/** Test files run side by side: one of them builds, the others wait. */
function buildAlone(path: string, edits: Edit[]): void {
  const lock = `${path}.lock`;
  try {
    mkdirSync(BUILDS, { recursive: true });
    mkdirSync(lock);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    const heldMs = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (heldMs > LOCK_MAX_MS) rmSync(lock, { recursive: true, force: true });
    return;
  }
  try {
    renameSync(compileCore(edits), path);
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function compileCore(edits: Edit[]): string {
  const folder = mkdtempSync(`${BUILDS}build-`);
  cpSync(`${ROOT}assembly`, `${folder}/assembly`, { recursive: true });
  cpSync(`${ROOT}asconfig.json`, `${folder}/asconfig.json`);
  for (const [file, from, to] of edits) {
    const before = readFileSync(`${folder}/assembly/${file}`, 'utf8');
    const after = before.replace(from, to);
    if (after === before) throw new Error(`nothing to edit: ${from} is not in ${file}`);
    writeFileSync(`${folder}/assembly/${file}`, after);
  }
  const asc = `${ROOT}node_modules/assemblyscript/bin/asc.js`;
  execFileSync(process.execPath, [asc, 'assembly/index.ts', '--target', 'release'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  renameSync(`${folder}/build/core.wasm`, `${folder}.wasm`);
  rmSync(folder, { recursive: true });
  return `${folder}.wasm`;
}

/** More doors: tests call what is inside. */
const INSIDE: Edit = [
  'index.ts',
  /$/,
  `
export { beginBudget } from './budget';
export { hashKey, hashValue } from './bytes';
export { runDfa } from './dfa';
export { clearExhausted, isExhausted } from './memory';
export { matchedFrom, matchedTo, search } from './nfa';
export { compareNumber } from './number';
export { fieldText, fieldTextSize, fieldType } from './record';
export { checksum } from './ruleset';
export { parseTime, toMs, writeTime } from './time';
`,
];

export interface InsideDoors extends Doors {
  beginBudget(): void;
  hashKey(prefix: bigint, size: number): bigint;
  hashValue(at: number, size: number): bigint;
  runDfa(ruleset: number, dfa: number, at: number, end: number): number;
  matchedFrom(): number;
  matchedTo(): number;
  search(ruleset: number, pattern: number, at: number, end: number, captures: number): number;
  clearExhausted(): void;
  isExhausted(): number;
  compareNumber(at: number, end: number, number: number): number;
  fieldText(field: number): number;
  fieldTextSize(field: number): number;
  fieldType(field: number): number;
  checksum(at: number, end: number): bigint;
  parseTime(type: number, at: number, end: number): bigint;
  toMs(sec: bigint, nsec: bigint): bigint;
  writeTime(target: number, ms: bigint): number;
}

/** The core with those doors. */
export function openCore(...edits: Edit[]): Uint8Array {
  return buildCore([INSIDE, ...edits]);
}

/** How many steps a search may go unmarked: 1, so that it marks from the first split on; or a few, so that most begin again. */
export const fuel = (steps: number): Edit => [
  'nfa.ts',
  /FUEL_MAX: usize = \w+/,
  `FUEL_MAX: usize = ${steps}`,
];
/** No text is short enough to backtrack over. */
export const ALWAYS_LOCKSTEP: Edit[] = [
  fuel(1),
  ['layout.ts', /BACKTRACK_BITS_MAX: u32 = \w+/, 'BACKTRACK_BITS_MAX: u32 = 0'],
];

/** Compiles a rules file that must be without mistakes. */
export function compile(yaml: string): CompiledRuleset {
  const problems: Problem[] = [];
  const file = parseRules(yaml, problem => problems.push(problem));
  const compiled = compileRules(file, problem => problems.push(problem));
  const errors = problems.filter(problem => problem.severity === 'error');
  if (compiled === null || errors.length > 0)
    throw new Error(errors.map(problem => formatProblem(problem, 'rules', yaml)).join('\n'));
  return compiled;
}

const addressOf: WeakMap<Uint8Array, number> = new WeakMap();

export async function bakeInto(core: Uint8Array, ruleset: Uint8Array): Promise<Uint8Array> {
  if (!addressOf.has(core))
    addressOf.set(core, (await openDoors(await WebAssembly.compile(core as BufferSource))).rulesetAddress());
  return bake(core, addressOf.get(core)!, ruleset);
}

let shipped: Uint8Array | null = null;

export function shippedCore(): Uint8Array {
  return (shipped ??= buildCore());
}

/** From a rules file to a module. */
export async function moduleOf(yaml: string): Promise<MatcherModule> {
  return loadModule(await bakeInto(shippedCore(), compile(yaml).bytes));
}

/** A ruleset in a module of its own, instantiated. */
export async function load(ruleset: Uint8Array, core = shippedCore()): Promise<LoadedMatcher> {
  const module = await loadModule(await bakeInto(core, ruleset));
  return (await module.instantiate()) as LoadedMatcher;
}

/** From a rules file to a matcher. */
export async function loadRules(yaml: string, core = shippedCore()): Promise<LoadedMatcher> {
  return load(compile(yaml).bytes, core);
}

export interface Alert {
  status: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  endsAt: string;
  generatorURL: string;
  fingerprint: string;
}

export interface Body {
  alerts: Alert[];
  groupLabels: Record<string, string>;
  commonLabels: Record<string, string>;
  commonAnnotations: Record<string, string>;
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** The body as it is written. Throws when it is not UTF-8. */
export function bodyText(matcher: LoadedMatcher): string {
  return decoder.decode(matcher.alert());
}

/** The alerts of a record; none when it does not match. */
export function alertsOf(matcher: LoadedMatcher, record: string | Uint8Array): Alert[] {
  const bytes = typeof record === 'string' ? Buffer.from(record) : record;
  return matcher.match(bytes, 0, 0) === ALERT ? (JSON.parse(bodyText(matcher)) as Body).alerts : [];
}

export function namesOf(matcher: LoadedMatcher, record: string | Uint8Array): string[] {
  return alertsOf(matcher, record).map(alert => alert.labels.alertname!);
}

/** A core without a ruleset, with more doors, and a block of memory that texts and rulesets are put into. */
export class Probe {
  readonly doors: InsideDoors;
  private block = 0;
  private blockSize = 0;

  private constructor(doors: InsideDoors) {
    this.doors = doors;
  }

  static async open(...edits: Edit[]): Promise<Probe> {
    return new Probe(
      (await openDoors(await WebAssembly.compile(openCore(...edits) as BufferSource))) as InsideDoors,
    );
  }

  /** Puts the parts into memory one after another, each at a multiple of 16, and returns their addresses. */
  put(...parts: Uint8Array[]): number[] {
    const size = parts.reduce((sum, part) => sum + aligned(part.length), 0) + 64;
    if (size > this.blockSize) {
      this.blockSize = size * 2;
      this.block = this.doors.malloc(this.blockSize);
    }
    let at = this.block;
    return parts.map(part => {
      const address = at;
      this.bytes().set(part, address);
      at += aligned(part.length);
      return address;
    });
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.doors.memory.buffer);
  }

  view(): DataView {
    return new DataView(this.doors.memory.buffer);
  }
}

function aligned(size: number): number {
  return (size + 32 + 15) & ~15; // as the arena: SLACK after each
}
