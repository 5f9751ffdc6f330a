// Calls wamrc for `earshot build --aot`, and writes its files beside the module.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UserError, formatCount } from '../error.ts';
import {
  TARGETS,
  aotPath,
  checkAot,
  compileFailure,
  missingWamrc,
  unknownVersion,
  wamrcArguments,
  wamrcVersion,
} from '../fluent-bit/aot.ts';
import type { Target } from '../fluent-bit/aot.ts';
import type { Io } from './command.ts';

/**
 * An .aot of other rules must not stay beside the module: a node that prefers it would go on with them. To be called
 * before the module is replaced.
 */
export async function removeStaleAot(modulePath: string, module: Uint8Array, io: Io): Promise<void> {
  const old = await readFile(modulePath).catch(() => null);
  if (old?.equals(module)) return;
  for (const path of TARGETS.map(target => aotPath(modulePath, target))) {
    const isRemoved = await rm(path).then(
      () => true,
      () => false,
    );
    if (isRemoved) io.stderr.write(`earshot: note: ${path} is removed: it was made of another module\n`);
  }
}

/** All targets or none: the module is written before, so the error says so. */
export async function writeAot(
  modulePath: string,
  module: Uint8Array,
  targets: Target[],
  write: (path: string, content: Uint8Array) => Promise<void>,
  io: Io,
): Promise<void> {
  if (targets.length === 0) return;
  const { version, files } = await compile(module, targets, io).catch(error => {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${error.message} (${modulePath} is written and runs everywhere, no .aot is)`);
  });
  for (const [target, content] of files) {
    const path = aotPath(modulePath, target);
    await write(path, content);
    io.stdout.write(`${path}  ${formatCount(content.length)} bytes by wamrc${version && ` ${version}`}\n`);
  }
}

async function compile(module: Uint8Array, targets: Target[], io: Io) {
  const answer = await wamrc(['--version'], io);
  if (answer.error?.code === 'ENOENT') throw missingWamrc();
  const version = wamrcVersion(answer.output);
  const warning = unknownVersion(version);
  if (warning !== null) io.stderr.write(`earshot: warning: ${warning}\n`);
  const files = new Map<Target, Uint8Array>();
  const folder = await mkdtemp(join(tmpdir(), 'earshot-aot-'));
  try {
    const source = join(folder, 'earshot.wasm');
    await writeFile(source, module);
    for (const target of targets) {
      const path = aotPath(source, target);
      const { error, output } = await wamrc(wamrcArguments(target, source, path), io);
      if (error) throw compileFailure(target, reason(error), output);
      const content = await readFile(path).catch(() => null);
      if (content === null) throw compileFailure(target, 'it ends well, but without a file', output);
      checkAot(content, target, version);
      files.set(target, content);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return { version: version ?? '', files };
}

type Failure = Error & { code?: string | number | null; signal?: string | null };

/** Never rejects: a failure is a part of the answer. */
function wamrc(args: string[], { env }: Io): Promise<{ error: Failure | null; output: string }> {
  return new Promise(resolve =>
    execFile('wamrc', args, { env }, (error, stdout, stderr) => resolve({ error, output: stdout + stderr })),
  );
}

function reason({ code, signal, message }: Failure): string {
  if (typeof code === 'number') return `exit ${code}`;
  return signal ?? code ?? message;
}
