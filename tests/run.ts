// `npm test`: the core's specs in as-pect, then every *.test.ts here in node:test. Arguments choose files by a
// part of their path. The last line has the counts. A test that cannot run says why. If it cannot because a
// program is missing that EARSHOT_REQUIRED names (.ci/run installs those), that is a failure.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const FOLDER = import.meta.dirname;
const ASPECT_CONFIG = 'tests/assembly/as-pect.config.js';
const required = (process.env.EARSHOT_REQUIRED ?? '').split(' ').filter(program => program !== '');
const PROCESSES = /^(?:command|demo|deploy|fluent-bit|function|http|sink|source)\/(?!memory)/; // function/memory gives a process a tenth of a processor
const chosen = process.argv.slice(2);
const isChosen = (path: string) => chosen.length === 0 || chosen.some(part => path.includes(part));

process.chdir(join(FOLDER, '..'));
const counts = { passed: 0, failed: 0, skipped: 0 };
const skips: string[] = [];
const failures: string[] = [];
if (existsSync(ASPECT_CONFIG) && isChosen(ASPECT_CONFIG)) await runSpecs();
await runTests();
for (const skip of skips) console.log(`skipped: ${skip}`);
for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
// Not process.exit: it would lose what a slow reader of a pipe has not taken yet.
process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1;

/** as-pect has no report for programs; its summary reads `[Tests]: 41 / 42`, in colours. */
async function runSpecs(): Promise<void> {
  const asp = spawn(
    'npx',
    ['asp', '--config', ASPECT_CONFIG, '--as-config', 'tests/assembly/as-pect.asconfig.json', '--verbose'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  asp.stdout.on('data', (data: Buffer) => {
    process.stdout.write(data);
    output += data;
  });
  const exitCode = await new Promise(resolve => asp.on('close', resolve));
  process.stdout.write('\n'); // its output ends in the middle of a line
  const [, passed, all] = /\[Tests\]: (\d+) \/ (\d+)/.exec(output.replace(/\x1b\[[0-9;]*m/g, '')) ?? [];
  const failed = Number(all ?? 0) - Number(passed ?? 0);
  counts.passed += Number(passed ?? 0);
  counts.failed += exitCode === 0 && all !== undefined ? failed : Math.max(1, failed);
  if (exitCode !== 0 || all === undefined) failures.push('the specs of the core (as-pect)');
}

async function runTests(): Promise<void> {
  const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.test.ts') && isChosen(name))
    .map(name => join(FOLDER, name))
    .sort();
  // Tests with processes of their own mostly wait, some for seconds; others measure, and share the machine with nobody.
  const waiting = files.filter(file => PROCESSES.test(relative(FOLDER, file)));
  const computing = files.filter(file => !waiting.includes(file));
  await runFiles(computing, 1);
  await runFiles(waiting, 2);
}

async function runFiles(files: string[], concurrency: number): Promise<void> {
  if (files.length === 0) return;
  const events = run({ files, concurrency });
  events.on('test:pass', ({ name, skip, details }) => {
    if (skip !== undefined) countSkip(name, skip);
    else if (details.type !== 'suite') counts.passed++;
  });
  events.on('test:fail', ({ name, file, details }) => {
    // A suite fails because a test in it did.
    if (details.type === 'suite' && /subtests? failed/.test(details.error.message)) return;
    counts.failed++;
    failures.push(`${name}${file && file !== name ? ` (${file})` : ''}`);
  });
  const report = events.compose(new spec());
  for await (const text of report) process.stdout.write(text as Uint8Array);
}

function countSkip(name: string, reason: string | boolean | undefined): void {
  const text = `${name}: ${typeof reason === 'string' ? reason : 'no reason given'}`;
  if (/on the PATH/.test(text) && required.some(program => text.split(/[\s,]/).includes(program))) {
    counts.failed++;
    failures.push(text);
    return;
  }
  counts.skipped++;
  skips.push(text);
}
