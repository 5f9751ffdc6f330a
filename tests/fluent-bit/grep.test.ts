// The derived grep chooses no record away that a rule matches: random rule sets and records through two outputs of one
// Fluent Bit, one as it is generated, the other with the module alone. `EARSHOT_TEST_RUNS` makes it longer.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { parse } from 'yaml';
import { derivePrefilter } from '../../host/fluent-bit/prefilter.ts';
import { RUNS } from '../core.ts';
import { diceOf } from '../fuzz/dice.ts';
import { loadSet } from '../fuzz/match.ts';
import { toYaml } from '../fuzz/model.ts';
import { makeRecord } from '../fuzz/records.ts';
import { makeRules, makeStock } from '../fuzz/rules.ts';
import { parse as parseRules, setupOf } from './module.ts';
import { skip, startReceiver } from './process.ts';

const SETS = 12;
const RULES_MADE = 400;
const RECORDS = 500;

interface Output {
  port: number;
  uri: string;
  alias?: string;
  processors: { logs: { name: string }[] };
}

/** For each rule set, the hits that arrive from behind its grep, and from its module alone. */
async function hitsOf(context: TestContext, sets: string[], records: Buffer[]) {
  const receiver = await startReceiver(context);
  const folder = mkdtempSync(join(tmpdir(), 'earshot-grep-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const outputs = sets.flatMap((rules, i) => {
    const own = join(folder, String(i));
    mkdirSync(own);
    const { files } = setupOf(rules, own, { target: 'function', address: `127.0.0.1:${receiver.port}` });
    for (const { path, content } of files) if (!path.includes('/')) writeFileSync(join(own, path), content);
    const { pipeline } = parse(String(files.find(({ path }) => path === 'earshot.yaml')!.content)) as {
      pipeline: { outputs: [Output] };
    };
    const { alias: _, ...output } = pipeline.outputs[0];
    const logs = output.processors.logs.filter(({ name }) => name !== 'grep');
    assert.notEqual(logs.length, output.processors.logs.length, rules);
    return [
      { ...output, uri: `/${i}/selected` },
      { ...output, uri: `/${i}/all`, processors: { logs } },
    ];
  });
  writeFileSync(
    join(folder, 'records.ndjson'),
    Buffer.concat(records.flatMap(record => [record, Buffer.from('\n')])),
  );
  const configuration = {
    service: { flush: 1, grace: 20, log_level: 'warn', parsers_file: join(folder, '0/parsers.conf') },
    pipeline: {
      inputs: [
        {
          name: 'tail',
          tag: 'kube.test',
          path: join(folder, 'records.ndjson'),
          parser: 'earshot_records',
          read_from_head: 'true',
          exit_on_eof: 'true',
          buffer_chunk_size: '1M',
          buffer_max_size: '16M',
        },
      ],
      outputs,
    },
  };
  const file = join(folder, 'main.yaml');
  writeFileSync(file, JSON.stringify(configuration)); // JSON is YAML
  const child = spawn('fluent-bit', ['-q', '-c', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', data => (log += data));
  const code = await new Promise(resolve => child.once('close', resolve));
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

test('the grep chooses no record away that a rule of a random set matches', { skip, timeout: 120_000 * RUNS }, async context => {
  let count = 0;
  for (let round = 0; round < RUNS; round++) {
    const dice = diceOf(20_261_130 + round);
    const stock = makeStock(dice);
    const made = await loadSet(makeRules(dice, stock, RULES_MADE));
    assert.ok(typeof made !== 'string', String(made));
    // Each set has one rule, or a few that share the grep's lines.
    const rules = made.rules.filter(rule => derivePrefilter(parseRules(toYaml([rule])).rules).grep.lines.length > 0);
    const sets = Array.from({ length: SETS }, (_, i) => rules.splice(0, i % 2 === 0 ? 1 : 3)).filter(
      set => set.length > 0 && derivePrefilter(parseRules(toYaml(set)).rules).grep.lines.length > 0,
    );
    assert.ok(sets.length > SETS / 2, `${sets.length} sets`);
    const records = Array.from({ length: RECORDS }, () => makeRecord(dice, stock, dice.pick(sets)));
    const found = await hitsOf(context, sets.map(toYaml), records);
    found.forEach(({ selected, all }, i) => assert.deepEqual(selected, all, toYaml(sets[i]!)));
    count += found.reduce((sum, { all }) => sum + all.length, 0);
  }
  assert.ok(count > 100 * RUNS, `${count} hits`);
});
