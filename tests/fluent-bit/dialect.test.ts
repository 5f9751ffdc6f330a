// Values that Fluent Bit has and JSON has not, from a real Fluent Bit into the module.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { generate, runOnce } from './once.ts';
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

test(
  'nan, inf and keys that are no strings: the alert arrives, and so do the labels after them',
  { skip, timeout: 60_000 },
  async context => {
    const receiver = await startReceiver(context);
    const folder = mkdtempSync(join(tmpdir(), 'earshot-dialect-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const address = `127.0.0.1:${receiver.port}`;
    const { pipeline } = generate(RULES, folder, { target: 'function', address });
    const { code, log } = await runOnce(folder, Array(3).fill('{"log":"an ERROR"}'), {
      filters: [{ name: 'lua', match: 'kube.*', call: 'odd', code: LUA }],
      outputs: pipeline.outputs,
    });
    assert.equal(code, 0, log);
    const labels = receiver.requests
      .flatMap(({ body }) => JSON.parse(body) as { hit: string }[])
      .map(({ hit }) => (JSON.parse(hit) as { labels: Record<string, string> }).labels);
    assert.equal(labels.length, 3);
    for (const { ratio, most, odd, after } of labels) {
      assert.match(ratio!, /^-?nan$/);
      assert.deepEqual([most, odd, after], ['inf', 'x', 'here']);
    }
  },
);
