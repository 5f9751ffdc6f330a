// Ahead of time: WAMR's compiler, wamrc, makes machine code from a module, an .aot file for one processor architecture.
// Fluent Bit loads it in place of the .wasm; it looks at the first bytes of the file, not at its name. Here is what
// wamrc is asked for, and how its answers are checked, because Fluent Bit does not start with a file that does not fit.
import { UserError } from '../error.ts';

/**
 * The WAMR in each Fluent Bit, from the tags of fluent/fluent-bit. `format` is AOT_CURRENT_VERSION in WAMR's
 * core/config.h: the loader takes no other. README has the same table.
 */
export const RUNTIMES = [{ fluentBit: '4.1.0 to 5.1.1', wamr: '2.4.1', format: 5 }];

/** Architectures as `uname -m` names them, which is how wamrc does, and their numbers in ELF. */
const MACHINES = { x86_64: 62, aarch64: 183 };
export type Target = keyof typeof MACHINES;
export const TARGETS = Object.keys(MACHINES) as Target[];

// An .aot, little-endian: [magic u32][format u32], then sections of [type u32][size u32][body], each at a multiple of 4.
// The first has type 0: the target.
const MAGIC = Buffer.from('\0aot');
const FORMAT_OFFSET = 4;
const SECTIONS_OFFSET = 8;
const SECTION_HEADER_SIZE = 8;
const SECTION_SIZE_OFFSET = 4;
const MACHINE_OFFSET = 22;
const FEATURES_OFFSET = 32;
const TARGET_END_OFFSET = 64;
/** Fluent Bit's WAMR is built without SIMD and refuses a file that says it has it, even where no instruction does. */
const FEATURE_SIMD = 1;
/** Of what wamrc says, an error shows this many characters. */
const LINE_SIZE_MAX = 200;

/** The value of `--aot`. */
export function parseTargets(list: string): Target[] {
  const names = list.split(',').map(name => name.trim());
  for (const name of names) {
    if (!isTarget(name))
      throw new UserError(`--aot takes ${TARGETS.join(' and ')}, as uname -m says them, not "${name}"`, 2);
  }
  return [...new Set(names)] as Target[];
}

function isTarget(name: string): name is Target {
  return Object.hasOwn(MACHINES, name);
}

/** The .aot stands beside the module: earshot.wasm → earshot.x86_64.aot. */
export function aotPath(modulePath: string, target: Target): string {
  return `${modulePath.replace(/\.wasm$/, '')}.${target}.aot`;
}

/**
 * With a target, wamrc compiles for every processor of that architecture; without one, for the processor that it runs
 * on. The ABI makes it a file for Linux on whatever system it runs. Memory accesses are not checked in code: as for
 * the .wasm, Fluent Bit's WAMR leaves that to the processor.
 */
export function wamrcArguments(target: Target, source: string, output: string): string[] {
  return [`--target=${target}`, '--target-abi=gnu', '--disable-simd', '-o', output, source];
}

export function missingWamrc(): UserError {
  const { fluentBit, wamr } = RUNTIMES.at(-1)!;
  return new UserError(
    `--aot needs wamrc ${wamr} on the PATH, the compiler of the WebAssembly runtime in Fluent Bit ${fluentBit}: ` +
      `https://github.com/bytecodealliance/wasm-micro-runtime/releases/tag/WAMR-${wamr} has it`,
  );
}

/** The version in the answer to `wamrc --version`; null when there is none. */
export function wamrcVersion(answer: string): string | null {
  return /\b\d+\.\d+\.\d+\b/.exec(answer)?.[0] ?? null;
}

/** A warning, or null for a version that a known Fluent Bit has. Whether the format fits, the file itself says later. */
export function unknownVersion(version: string | null): string | null {
  if (RUNTIMES.some(({ wamr }) => wamr === version)) return null;
  const known = RUNTIMES.map(({ fluentBit, wamr }) => `Fluent Bit ${fluentBit} has ${wamr}`).join(', ');
  return `${wamrcName(version)} is not of a WAMR that Fluent Bit is known to have (${known}): try its files on one node first`;
}

/** wamrc prints its settings first, and what went wrong last. */
export function compileFailure(target: Target, why: string, output: string): UserError {
  const lines = output.split('\n').flatMap(line => (line.trim() === '' ? [] : [line.trim()]));
  const last = lines.at(-1)?.slice(0, LINE_SIZE_MAX) ?? 'it says nothing';
  const hint = /get target from triple/.test(last)
    ? `; this wamrc was built without ${target}, and the ones that WAMR releases have it`
    : '';
  return new UserError(`wamrc cannot compile for ${target} (${why}): ${last}${hint}`);
}

/** Throws unless this is a whole .aot that Fluent Bit loads on that architecture. */
export function checkAot(file: Uint8Array, target: Target, version: string | null): void {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const name = wamrcName(version);
  const refuse = (what: string) => new UserError(`${name} wrote ${what} for ${target}`);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw refuse('something that is no .aot');
  if (bytes.length < TARGET_END_OFFSET) throw refuse('a part of an .aot');
  const format = bytes.readUInt32LE(FORMAT_OFFSET);
  if (!RUNTIMES.some(runtime => runtime.format === format)) {
    const known = RUNTIMES.map(
      runtime => `Fluent Bit ${runtime.fluentBit} loads format ${runtime.format}: take wamrc ${runtime.wamr}`,
    );
    throw new UserError(`${name} writes .aot format ${format}, and ${known.join(', ')}`);
  }
  const machine = bytes.readUInt16LE(MACHINE_OFFSET);
  if (machine !== MACHINES[target]) {
    const other = TARGETS.find(key => MACHINES[key] === machine) ?? `machine ${machine} of ELF`;
    throw refuse(`an .aot of another architecture, ${other},`);
  }
  if (bytes.readUInt32LE(FEATURES_OFFSET) & FEATURE_SIMD)
    throw refuse('an .aot with SIMD, which Fluent Bit refuses,');
  if (!isWhole(bytes)) throw refuse('a part of an .aot');
}

function isWhole(bytes: Buffer): boolean {
  for (let end = SECTIONS_OFFSET; ;) {
    const start = (end + 3) & ~3;
    if (start + SECTION_HEADER_SIZE > bytes.length) return end === bytes.length;
    end = start + SECTION_HEADER_SIZE + bytes.readUInt32LE(start + SECTION_SIZE_OFFSET);
  }
}

function wamrcName(version: string | null): string {
  return version === null ? 'a wamrc that says no version' : `wamrc ${version}`;
}
