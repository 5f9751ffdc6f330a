// `npm run demo` does what it says.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { kafkaMissing } from '../kafka.ts';

test(
  'the demo: awake, asleep, awake, and one message in Slack',
  { skip: kafkaMissing(), timeout: 180_000 },
  () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', join(import.meta.dirname, 'demo.ts')],
      { encoding: 'utf8', timeout: 170_000 },
    );
    assert.equal(status, 0, `${stdout}\n${stderr}`);
    assert.equal(stdout.match(/0 → 1 replicas/g)?.length, 2, stdout);
    assert.equal(
      stdout.match(/Slack +│ GET \/notfound is answered 404 by wordpress-v1-/g)?.length,
      1,
      stdout,
    );
    assert.match(stdout, /Done: one 404 storm, one message\.\n$/);
  },
);
