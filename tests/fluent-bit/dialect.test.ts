// Values that Fluent Bit has and JSON has not, from a real Fluent Bit into the module.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { setupOf } from './module.ts';
import { skip, startReceiver } from './process.ts';

const RULES = `
- alert: Error
  match: {all: [{field: log, contains: 'ERROR'}, {field: after, eq: here}]}
  realert: 0s
  labels: {ratio: '{{ $record.ratio }}', most: '{{ $record.list[0] }}', odd: '{{ $record.map["true"] }}', after: '{{ $record.after }}'}
`;

// A key that is no string, and numbers that are none.
const LUA = `
function odd(tag, time, record)
  record.ratio = 0/0
  record.list = {1/0, -1/0}
  record.map = {[true] = "x"}
  record.after = "here"
  return 2, time, record
end
`;

test('nan, inf and keys that are no strings: the alert arrives, and so do the labels after them', { skip, timeout: 60_000 }, async context => {
  const receiver = await startReceiver(context);
  const folder = mkdtempSync(join(tmpdir(), 'earshot-dialect-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const { files } = setupOf(RULES, folder, { target: 'function', address: `127.0.0.1:${receiver.port}` });
  for (const { path, content } of files) if (!path.includes('/')) writeFileSync(join(folder, path), content);
  const { pipeline } = parse(String(files.find(({ path }) => path === 'earshot.yaml')!.content)) as {
    pipeline: { outputs: object[] };
  };
  const configuration = {
    service: { flush: '0.2', grace: 2, log_level: 'warn' },
    pipeline: {
      inputs: [{ name: 'dummy', tag: 'kube.a', dummy: '{"log":"an ERROR"}', samples: 3, rate: 20 }],
      filters: [{ name: 'lua', match: 'kube.*', call: 'odd', code: LUA }],
      outputs: pipeline.outputs,
    },
  };
  const file = join(folder, 'main.yaml');
  writeFileSync(file, JSON.stringify(configuration)); // JSON is YAML
  const child = spawn('fluent-bit', ['-q', '-c', file], { stdio: 'ignore' });
  const ended = new Promise(resolve => child.once('exit', resolve));
  const labels = () =>
    receiver.requests
      .flatMap(({ body }) => JSON.parse(body) as { hit: string }[])
      .map(({ hit }) => (JSON.parse(hit) as { labels: Record<string, string> }).labels);
  for (const end = Date.now() + 30_000; labels().length < 3 && Date.now() < end;) await sleep(50);
  child.kill('SIGTERM');
  await ended;
  assert.equal(labels().length, 3);
  for (const { ratio, most, odd, after } of labels()) {
    assert.match(ratio!, /^-?nan$/);
    assert.deepEqual([most, odd, after], ['inf', 'x', 'here']);
  }
});
