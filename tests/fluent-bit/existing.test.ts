// Configurations as users have them, in existing/: one include gives their three alerts, or the generated file names the
// construct that swallows them. They say `e/earshot.yaml` or `e/earshot.conf`, and run in a folder of their own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from '../../host/fluent-bit/pipeline.ts';
import { setupOf } from './module.ts';
import { skip, startReceiver } from './process.ts';

const RULES = `
- alert: Err
  match:
    all:
      - {field: kubernetes.namespace_name, eq: shop}
      - {field: log, contains: 'ERROR boom'}
  realert: 0s
  labels: {pod: '{{ $record.kubernetes.pod_name }}'}
  annotations: {message: '{{ $record.log }}'}
`;
/** The Helm chart's tail brings what a container runtime writes, and this configuration has no kubernetes filter. */
const RULES_OF_LOGS = `
- alert: Err
  match: {field: log, contains: 'ERROR boom'}
  realert: 0s
`;

interface Case {
  file: string;
  target?: Target;
  match?: string;
  rules?: string;
  /** Of the generated file, when there need not be three alerts. */
  warning?: RegExp;
}

const CASES: Case[] = [
  { file: 'plain.conf' },
  { file: 'plain.conf', target: 'function' },
  { file: 'plain.conf', target: 'notification-manager' },
  { file: 'threaded-tail.conf' },
  { file: 'helm.conf', rules: RULES_OF_LOGS },
  { file: 'grepstar.conf' },
  { file: 'grepstar.conf', target: 'notification-manager', warning: /`Match \*`[^#]+[\s\S]*`grep`/ },
  { file: 'grepstarafter.conf', warning: /`Match \*`[\s\S]*`grep` and `throttle` drop them/ },
  { file: 'throttle.conf', warning: /`Match \*`[\s\S]*`grep` and `throttle` drop them/ },
  { file: 'nestall.conf', warning: /after `nest` or `modify` a rule\n# +must name a field as it is then/ },
  { file: 'rwkube.conf', warning: /`rewrite_tag … false`[\s\S]*build with `--match`/ },
  { file: 'rwkube.conf', match: 'ns.*' },
  { file: 'main.yaml' },
  { file: 'main.yaml', target: 'function' },
  { file: 'main.yaml', target: 'notification-manager', warning: /`includes:`[\s\S]*below `pipeline:`/ },
  { file: 'main-after.yaml' },
  { file: 'main-after.yaml', target: 'notification-manager' },
  { file: 'uppercase-stars.yaml' },
  { file: 'threaded-tail.yaml' },
  { file: 'moved.yaml', warning: /`rewrite_tag … false`: build with `--match`/ },
  { file: 'moved.yaml', match: 'ns.*' },
];

describe('a configuration that was there before', { skip, concurrency: 3, timeout: 180_000 }, () => {
  for (const { file, target = 'alertmanager', match = 'kube.*', rules = RULES, warning } of CASES) {
    const form = `${file} to ${target}${match === 'kube.*' ? '' : ` from ${match}`}`;
    test(`${form}: ${warning ? 'a warning' : 'three alerts'}`, async context => {
      const receiver = await startReceiver(context);
      const folder = mkdtempSync(join(tmpdir(), 'earshot-existing-'));
      const place = join(folder, 'run');
      cpSync(new URL('existing/', import.meta.url), place, { recursive: true });
      const { files } = setupOf(rules, 'e', { target, match, address: `127.0.0.1:${receiver.port}` });
      for (const { path, content } of files) write(join(place, 'e', path), content);
      write(join(folder, 'k8s/containers/app.log'), containerLog());
      const log = run(context, place, file);
      context.after(() => rmSync(folder, { recursive: true, force: true }));
      const count = () => receiver.accepted().flatMap(alertsIn).length;
      for (const end = Date.now() + (warning ? 5_000 : 30_000); count() < 3 && Date.now() < end;)
        await sleep(50);
      if (warning === undefined) assert.equal(count(), 3, log());
      else if (count() < 3) {
        const generated = file.endsWith('.conf') ? 'earshot.conf' : 'earshot.yaml';
        assert.match(readFileSync(join(place, 'e', generated), 'utf8'), warning);
      }
      assert.doesNotMatch(log(), /\[error\] (?!\[input:emitter)/);
    });
  }
});

function run(context: TestContext, place: string, file: string): () => string {
  const child = spawn('fluent-bit', ['-q', '-c', file], { cwd: place, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', data => (output += data));
  child.stderr.on('data', data => (output += data));
  context.after(() => void child.kill('SIGKILL'));
  return () => output;
}

/** Alerts and hits, in the forms of all receivers. */
function alertsIn(body: string): unknown[] {
  const value = JSON.parse(body);
  return Array.isArray(value) ? value : value.alerts;
}

function containerLog(): string {
  const line = { log: 'ERROR boom\n', stream: 'stderr', time: new Date().toISOString() };
  return `${JSON.stringify(line)}\n`.repeat(3);
}

function write(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}
