// `earshot build --aot`: what wamrc makes of a module does in a real Fluent Bit what the module does, byte for byte; and
// whatever wamrc answers, no file that Fluent Bit refuses is left beside the module. For the latter, wamrc is a script.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { Io } from '../../host/command/command.ts';
import { run } from '../../host/command/build.ts';
import { UserError } from '../../host/error.ts';
import { corpus } from './corpus.ts';
import { runOnce } from './once.ts';
import { skip as noFluentBit } from './process.ts';

const folder = mkdtempSync(join(tmpdir(), 'earshot-aot-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const RULES = `groups:
  - name: demo
    rules:
      - alert: Broken
        match: {field: log, contains: broken}
        annotations: {message: broken}
`;
const OTHER_RULES = RULES.replace('contains: broken', 'contains: lost');

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** `earshot build -o NAME.wasm … RULES` in the folder, as cli.ts runs it. */
async function build(name: string, rules: string, args: string[], env: NodeJS.ProcessEnv): Promise<Result> {
  const result = { code: 0, stdout: '', stderr: '' };
  const io = {
    stdout: { write: (text: string) => (result.stdout += text) },
    stderr: { write: (text: string) => (result.stderr += text) },
    env,
  } as unknown as Io;
  const source = join(folder, `${name}.yaml`);
  writeFileSync(source, rules);
  try {
    result.code = await run([...args, '-o', join(folder, `${name}.wasm`), source], io);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    result.code = error.exitCode;
    result.stderr += error.message;
  }
  result.stdout = result.stdout.replaceAll(`${folder}/`, '');
  result.stderr = result.stderr.replaceAll(`${folder}/`, '');
  return result;
}

const aotFiles = (name: string) =>
  readdirSync(folder).filter(file => file.startsWith(`${name}.`) && file.endsWith('.aot'));

describe('what wamrc answers', () => {
  const NO_AOT = (name: string) => ` (${name}.wasm is written and runs everywhere, no .aot is)`;

  /** A header as wamrc writes it, and one more section. */
  function aot({ format = 5, machine = 62, features = 2 } = {}): Buffer {
    const file = Buffer.alloc(76);
    file.write('\0aot');
    file.writeUInt32LE(format, 4);
    file.writeUInt32LE(48, 12);
    file.writeUInt16LE(machine, 22);
    file.writeUInt32LE(features, 32);
    file.writeUInt32LE(5, 64);
    file.writeUInt32LE(4, 68);
    return file;
  }

  let count = 0;
  /** `body` is what the script does when it is to compile, with $arguments, $target, $output, and the source as $3. */
  function wamrc(version: string, body: string, file: Uint8Array = aot()): NodeJS.ProcessEnv {
    const path = join(folder, `bin-${count++}`);
    mkdirSync(path);
    writeFileSync(join(path, 'file'), file);
    const script = `#!/bin/sh
if [ "$1" = --version ]; then echo '${version}'; exit; fi
arguments="$*"
target=\${1#--target=}
while [ "$1" != -o ]; do shift; done
output=$2
here=\${0%/*}
${body}
`;
    writeFileSync(join(path, 'wamrc'), script);
    chmodSync(join(path, 'wamrc'), 0o755);
    return { ...process.env, PATH: `${path}:/usr/bin:/bin` };
  }
  const COPY = 'cp "$here/file" "$output"';

  test('a file for each target stands beside the module', async () => {
    const env = wamrc('wamrc 2.4.1', COPY);
    const result = await build('one', RULES, ['--aot', 'x86_64,x86_64'], env);
    assert.equal(result.stderr, '');
    assert.equal(result.code, 0);
    assert.match(result.stdout, /^one\.wasm /);
    assert.match(result.stdout, /\none\.x86_64\.aot {2}76 bytes by wamrc 2\.4\.1\n$/);
    assert.deepEqual(readFileSync(join(folder, 'one.x86_64.aot')), aot());
  });

  test('wamrc compiles the module for a target, never for the processor that it runs on', async () => {
    const keep = `echo "$arguments" >"${folder}/arguments"; cp "$3" "${folder}/source"`;
    const env = wamrc('wamrc 2.4.1', `${COPY}; ${keep}`);
    assert.equal((await build('arguments', RULES, ['--aot', 'x86_64'], env)).code, 0);
    const flags = readFileSync(join(folder, 'arguments'), 'utf8').split(' ').slice(0, 3);
    assert.deepEqual(flags, ['--target=x86_64', '--target-abi=gnu', '--disable-simd']);
    assert.deepEqual(readFileSync(join(folder, 'source')), readFileSync(join(folder, 'arguments.wasm')));
  });

  test('without wamrc the module is written, and the error says what to get', async () => {
    const result = await build('missing', RULES, ['--aot', 'x86_64'], { PATH: join(folder, 'nothing') });
    assert.deepEqual(
      [result.code, result.stderr],
      [
        1,
        '--aot needs wamrc 2.4.1 on the PATH, the compiler of the WebAssembly runtime in Fluent Bit 4.1.0 to 5.1.1: ' +
          'https://github.com/bytecodealliance/wasm-micro-runtime/releases/tag/WAMR-2.4.1 has it' +
          NO_AOT('missing'),
      ],
    );
    assert.ok(existsSync(join(folder, 'missing.wasm')));
    assert.deepEqual(aotFiles('missing'), []);
  });

  test('an unknown architecture is refused before anything is written', async () => {
    const result = await build('unknown', RULES, ['--aot', 'x86_64,arm64'], process.env);
    const message = '--aot takes x86_64 and aarch64, as uname -m says them, not "arm64"';
    assert.deepEqual([result.code, result.stderr], [2, message]);
    assert.ok(!existsSync(join(folder, 'unknown.wasm')));
  });

  test('a version of no known Fluent Bit is warned of', async () => {
    for (const [version, name] of [
      ['wamrc 2.4.5', 'wamrc 2.4.5'],
      ['usage: wamrc', 'a wamrc that says no version'],
    ]) {
      const result = await build('newer', RULES, ['--aot', 'x86_64'], wamrc(version!, COPY));
      assert.deepEqual(
        [result.code, result.stderr],
        [
          0,
          `earshot: warning: ${name} is not of a WAMR that Fluent Bit is known to have (Fluent Bit 4.1.0 to 5.1.1 has 2.4.1): ` +
            'try its files on one node first\n',
        ],
      );
    }
  });

  const refusals: Array<[name: string, env: NodeJS.ProcessEnv, message: string]> = [
    [
      'another format',
      wamrc('wamrc 2.4.0', COPY, aot({ format: 4 })),
      'wamrc 2.4.0 writes .aot format 4, and Fluent Bit 4.1.0 to 5.1.1 loads format 5: take wamrc 2.4.1',
    ],
    [
      'garbage',
      wamrc('wamrc 2.4.1', 'echo garbage >"$output"'),
      'wamrc 2.4.1 wrote something that is no .aot for x86_64',
    ],
    [
      'a header alone',
      wamrc('wamrc 2.4.1', COPY, aot().subarray(0, 40)),
      'wamrc 2.4.1 wrote a part of an .aot for x86_64',
    ],
    [
      'a cut file',
      wamrc('wamrc 2.4.1', COPY, aot().subarray(0, 75)),
      'wamrc 2.4.1 wrote a part of an .aot for x86_64',
    ],
    [
      'another architecture',
      wamrc('wamrc 2.4.1', COPY, aot({ machine: 183 })),
      'wamrc 2.4.1 wrote an .aot of another architecture, aarch64, for x86_64',
    ],
    [
      'SIMD',
      wamrc('wamrc 2.4.1', COPY, aot({ features: 3 })),
      'wamrc 2.4.1 wrote an .aot with SIMD, which Fluent Bit refuses, for x86_64',
    ],
    [
      'no file',
      wamrc('wamrc 2.4.1', 'echo done'),
      'wamrc cannot compile for x86_64 (it ends well, but without a file): done',
    ],
    [
      'a failure',
      wamrc('wamrc 2.4.1', 'echo Create AoT compiler; echo "no room left" >&2; exit 3'),
      'wamrc cannot compile for x86_64 (exit 3): no room left',
    ],
    [
      'a signal',
      wamrc('wamrc 2.4.1', 'kill -9 $$'),
      'wamrc cannot compile for x86_64 (SIGKILL): it says nothing',
    ],
    [
      'an architecture that its LLVM lacks',
      wamrc('wamrc 2.4.1', 'echo "llvm get target from triple (x86_64-pc-linux-gnu) failed"; exit 1'),
      'wamrc cannot compile for x86_64 (exit 1): llvm get target from triple (x86_64-pc-linux-gnu) failed; ' +
        'this wamrc was built without x86_64, and the ones that WAMR releases have it',
    ],
  ];
  for (const [name, env, message] of refusals) {
    test(`${name} is refused, and the module is written`, async () => {
      const stem = `refused-${name.replaceAll(' ', '-')}`;
      const result = await build(stem, RULES, ['--aot', 'x86_64'], env);
      const errors = result.stderr.split('\n').filter(line => !line.startsWith('earshot: warning'));
      assert.deepEqual([result.code, ...errors], [1, message + NO_AOT(stem)]);
      assert.ok(existsSync(join(folder, `${stem}.wasm`)));
      assert.deepEqual(aotFiles(stem), []);
    });
  }

  test('one target that fails leaves no file of the others', async () => {
    const env = wamrc('wamrc 2.4.1', `[ "$target" = x86_64 ] || exit 1; ${COPY}`);
    const result = await build('half', RULES, ['--aot', 'x86_64,aarch64'], env);
    assert.equal(
      result.stderr,
      `wamrc cannot compile for aarch64 (exit 1): it says nothing${NO_AOT('half')}`,
    );
    assert.deepEqual(aotFiles('half'), []);
  });

  test('a file of other rules does not stay beside the module', async () => {
    const env = wamrc('wamrc 2.4.1', COPY);
    await build('stale', RULES, ['--aot', 'x86_64'], env);
    assert.equal((await build('stale', RULES, [], env)).stderr, '');
    assert.deepEqual(aotFiles('stale'), ['stale.x86_64.aot']);
    const note = 'earshot: note: stale.x86_64.aot is removed: it was made of another module\n';
    assert.equal((await build('stale', OTHER_RULES, [], env)).stderr, note);
    assert.deepEqual(aotFiles('stale'), []);
  });
});

// ── A real wamrc, and a real Fluent Bit ──

const realWamrc = process.env.WAMRC ?? 'wamrc';
const noWamrc =
  spawnSync(realWamrc, ['--version']).status !== 0 && 'there is no wamrc at $WAMRC, and none on the PATH';

/** The environment in which `wamrc` is the real one. */
function withWamrc(): NodeJS.ProcessEnv {
  if (process.env.WAMRC === undefined) return process.env;
  const path = join(folder, 'bin-real');
  if (!existsSync(path)) {
    mkdirSync(path);
    symlinkSync(process.env.WAMRC, join(path, 'wamrc'));
  }
  return { ...process.env, PATH: `${path}:${process.env.PATH}` };
}

const OWN = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const OTHER = process.arch === 'arm64' ? 'x86_64' : 'aarch64';
const FIXED_NAME = 'earshot.wasm';

interface Run {
  code: number | null;
  log: string;
  /** The alerts of each module. */
  outs: string[][];
}

/**
 * Runs a Fluent Bit in which each module is the processor of an output of its own, so that all see the same records at
 * the same times, each under a name that says nothing of its kind.
 */
async function fluentBit(name: string, modules: Uint8Array[], records: string[]): Promise<Run> {
  const own = join(folder, name);
  const folders = modules.map((_, i) => join(own, String(i)));
  for (const [i, module] of modules.entries()) {
    mkdirSync(folders[i]!, { recursive: true });
    writeFileSync(join(folders[i]!, FIXED_NAME), module);
  }
  const outputs = folders.map(path => ({
    name: 'file',
    match: '*',
    workers: 0,
    path,
    file: 'out',
    format: 'plain',
    processors: {
      logs: [
        {
          name: 'wasm',
          event_format: 'json',
          wasm_path: join(path, FIXED_NAME),
          function_name: 'alerts_only',
          accessible_paths: '.',
        },
      ],
    },
  }));
  const { code, log } = await runOnce(own, records, { outputs });
  const outs = folders.map(path =>
    existsSync(join(path, 'out')) ? readFileSync(join(path, 'out'), 'utf8').split('\n') : [],
  );
  return { code, log, outs };
}

const bytesOf = (name: string) => readFileSync(join(folder, name));

describe('the .aot in Fluent Bit', { skip: noWamrc || noFluentBit, timeout: 300_000 }, () => {
  // One module of all cases: its code is that of every module, and only the data differs.
  const blocks = corpus();
  const groups = blocks.map(({ name, rules }) =>
    rules.startsWith('groups:\n')
      ? rules.slice('groups:\n'.length).replace(/^ {2}/gm, '')
      : `- name: ${name}\n  rules:\n${rules.replace(/^/gm, '  ')}`,
  );
  const rules = `groups:\n${groups.join('\n')}`;
  const records = blocks.flatMap(block => block.records);

  test('the cases give the same bytes through the .wasm and the .aot, under one name', async () => {
    const result = await build('cases', rules, ['--aot', OWN], withWamrc());
    assert.equal(result.code, 0, result.stderr);
    const modules = [bytesOf('cases.wasm'), bytesOf(`cases.${OWN}.aot`)];
    const { code, log, outs } = await fluentBit('run-cases', modules, records);
    assert.equal(code, 0, log);
    const [expected, found] = outs as [string[], string[]];
    assert.ok(expected.length > 400, log);
    for (const [i, line] of expected.entries()) assert.equal(found[i], line);
    assert.equal(found.length, expected.length);
  });

  test('the same rules give the same .aot', async () => {
    await build('again', rules, ['--aot', OWN], withWamrc());
    const [first, second] = ['cases', 'again'].map(name => bytesOf(`${name}.${OWN}.aot`));
    assert.ok(first!.equals(second!));
  });

  test('Fluent Bit does not start with one of another architecture', async context => {
    const result = await build('other', RULES, ['--aot', OTHER], withWamrc());
    if (/was built without/.test(result.stderr)) return context.skip(result.stderr);
    assert.equal(result.code, 0, result.stderr);
    const { code, log } = await fluentBit('run-other', [bytesOf(`other.${OTHER}.aot`)], records.slice(0, 1));
    assert.equal(code, 255);
    assert.match(log, /invalid target type, expected \w+ but got \w+/);
  });

  test('Fluent Bit does not start with one of another format', async () => {
    const file = bytesOf(`cases.${OWN}.aot`);
    file.writeUInt32LE(4, 4);
    const { code, log } = await fluentBit('run-format', [file], records.slice(0, 1));
    assert.equal(code, 255);
    assert.match(log, /AOT module load failed: unknown binary version/);
  });
});
