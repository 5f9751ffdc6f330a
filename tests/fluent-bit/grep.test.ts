// The derived grep chooses no record away that a rule matches: random rule sets and records through two outputs of one
// Fluent Bit, one as it is generated, the other with the module alone. `EARSHOT_TEST_RUNS` makes it longer.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { derivePrefilter } from '../../host/fluent-bit/prefilter.ts';
import { RUNS } from '../core.ts';
import { diceOf } from '../fuzz/dice.ts';
import { loadSet } from '../fuzz/match.ts';
import { toYaml } from '../fuzz/model.ts';
import { makeRecord } from '../fuzz/records.ts';
import { makeRules, makeStock } from '../fuzz/rules.ts';
import { parse as parseRules } from './module.ts';
import { generate, runOnce } from './once.ts';
import { skip, startReceiver } from './process.ts';

const SETS = 12;
const RULES_MADE = 400;
const RECORDS = 500;

/** For each rule set, the hits that arrive from behind its grep, and from its module alone. */
async function hitsOf(context: TestContext, sets: string[], records: Buffer[]) {
  const receiver = await startReceiver(context);
  const folder = mkdtempSync(join(tmpdir(), 'earshot-grep-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const outputs = sets.flatMap((rules, i) => {
    const address = `127.0.0.1:${receiver.port}`;
    const { pipeline } = generate(rules, join(folder, String(i)), { target: 'function', address });
    const { alias: _, ...output } = pipeline.outputs[0];
    const logs = output.processors.logs.filter(({ name }) => name !== 'grep');
    assert.notEqual(logs.length, output.processors.logs.length, rules);
    return [
      { ...output, uri: `/${i}/selected` },
      { ...output, uri: `/${i}/all`, processors: { logs } },
    ];
  });
  const { code, log } = await runOnce(folder, records, { outputs });
  assert.equal(code, 0, log);
  const hits = (uri: string) =>
    receiver.requests
      .flatMap(({ path, body }) =>
        path === uri ? (JSON.parse(body) as ({ hit: string } | { hits: { hit: string }[] })[]) : [],
      )
      .flatMap(one => ('hits' in one ? one.hits : [one]))
      .map(({ hit }) => hit)
      .sort();
  return sets.map((_, i) => ({ selected: hits(`/${i}/selected`), all: hits(`/${i}/all`) }));
}

test(
  'the grep chooses no record away that a rule of a random set matches',
  { skip, timeout: 120_000 * RUNS },
  async context => {
    let count = 0;
    for (let round = 0; round < RUNS; round++) {
      const dice = diceOf(20_261_130 + round);
      const stock = makeStock(dice);
      const made = await loadSet(makeRules(dice, stock, RULES_MADE));
      assert.ok(typeof made !== 'string', String(made));
      // Each set has one rule, or a few that share the grep's lines.
      const rules = made.rules.filter(
        rule => derivePrefilter(parseRules(toYaml([rule])).rules).grep.lines.length > 0,
      );
      const sets = Array.from({ length: SETS }, (_, i) => rules.splice(0, i % 2 === 0 ? 1 : 3)).filter(
        set => set.length > 0 && derivePrefilter(parseRules(toYaml(set)).rules).grep.lines.length > 0,
      );
      assert.ok(sets.length > SETS / 2, `${sets.length} sets`);
      const records = Array.from({ length: RECORDS }, () => makeRecord(dice, stock, dice.pick(sets)));
      const found = await hitsOf(context, sets.map(toYaml), records);
      found.forEach(({ selected, all }, i) => assert.deepEqual(selected, all, toYaml(sets[i]!)));
      count += found.reduce((sum, { all }) => sum + all.length, 0);
    }
    assert.ok(count > 40 * RUNS, `${count} hits`);
  },
);
