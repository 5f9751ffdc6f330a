// What ends the function at its start: a sentence with the remedy, and no stack.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { UserError } from '../../host/error.ts';
import { runFunction } from '../../host/function/function.ts';
import { readSettings } from '../../host/function/settings.ts';
import { modulePath } from './module.ts';

const folder = mkdtempSync(join(tmpdir(), 'earshot-start-'));
after(() => rmSync(folder, { recursive: true }));
const silent = () => {};

async function mistakeOf(overrides: Record<string, string>): Promise<string> {
  const settings = readSettings([], {
    EARSHOT_MODULE: modulePath,
    EARSHOT_BROKERS: '127.0.0.1:1',
    EARSHOT_TOPICS: 'logs',
    EARSHOT_DEAD_LETTER_TOPIC: 'logs-dlq',
    EARSHOT_SINK: 'stdout',
    ...overrides,
  });
  const log = { debug: silent, info: silent, warn: silent, error: silent };
  try {
    await runFunction(settings, { stop: AbortSignal.abort(), log });
  } catch (error) {
    assert.ok(error instanceof UserError, String((error as Error).stack));
    return error.message;
  }
  return 'none';
}

test('a port in use is a sentence with the port and the remedy', async context => {
  const other = createServer().listen(0);
  context.after(() => other.close());
  await new Promise(done => other.once('listening', done));
  const { port } = other.address() as AddressInfo;
  assert.equal(
    await mistakeOf({ EARSHOT_PORT: String(port) }),
    `port ${port} is in use by another program; set EARSHOT_PORT or --port to another port, or to 0 for no /healthz and /metrics`,
  );
});

test('a file that is no module is to be built first', async () => {
  const path = join(folder, 'rules.txt');
  writeFileSync(path, 'groups: []');
  assert.equal(
    await mistakeOf({ EARSHOT_MODULE: path }),
    `${path} is not a module; build it first: \`earshot build rules.yaml -o earshot.wasm\`, then pass earshot.wasm`,
  );
  assert.match(
    await mistakeOf({ EARSHOT_MODULE: join(folder, 'none.wasm') }),
    /cannot be read: ENOENT.*`earshot build` writes it$/,
  );
});
