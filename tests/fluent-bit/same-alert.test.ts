// The same alert: over the case corpus, the bodies that a real Fluent Bit posts are those that the host makes of the
// records as that Fluent Bit writes them, byte for byte. The module runs on every record here, because the cases
// include rules that no fork can prefilter; the fork's own test is the demo's.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ALERT, loadModule } from '../../host/matcher.ts';
import { corpus } from './corpus.ts';
import type { Block } from './corpus.ts';
import { bakeRules } from './module.ts';
import { FluentBit, skip, startReceiver } from './process.ts';

const LAST = 'the last record of the case';

async function compare(context: TestContext, { rules, records }: Block, isBare = false): Promise<void> {
  const receiver = await startReceiver(context);
  const fluentBit = new FluentBit(context, {
    rules,
    records,
    port: receiver.port,
    isBare,
  }).start();
  await fluentBit.until(LAST, () => fluentBit.logs().length >= records.length);
  const matcher = await (await loadModule(bakeRules(rules))).instantiate();
  const expected = fluentBit.logs().flatMap(line => {
    const seconds = Date.parse(JSON.parse(line).time) / 1000;
    const answer = matcher.match(Buffer.from(`{"@timestamp":${seconds.toFixed(6)},${line.slice(1)}`), 0, 0);
    return answer === ALERT ? [Buffer.from(matcher.alert()).toString()] : [];
  });
  if (expected.length > 0)
    await fluentBit.until('the alerts', () => receiver.accepted().length >= expected.length);
  await sleep(300);
  assert.deepEqual(receiver.accepted().sort(), expected.sort());
}

describe('the same alert', { skip, concurrency: 4, timeout: 120_000 }, () => {
  for (const block of corpus()) {
    test(block.name, context => compare(context, block, true));
  }

  test('the demo, through the fork', context => {
    const folder = new URL('../../fluent-bit/', import.meta.url);
    const rules = readFileSync(new URL('rules.yaml', folder), 'utf8');
    const records = readFileSync(new URL('logs/demo.ndjson', folder), 'utf8')
      .split('\n')
      .filter(line => line.startsWith('{') && line.includes('"time"') && line.endsWith('}'));
    return compare(context, { name: 'demo', rules, records });
  });
});
