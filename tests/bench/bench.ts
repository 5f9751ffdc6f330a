// `npm run bench`: Earshot beside its peers, in one run and one table. The columns of a row take turns and
// each keeps its best turn, so that a noisy neighbour hits all of them alike; only the ratios mean something.
import { readFileSync } from 'node:fs';
import { bake } from '../../host/compiler/bake.ts';
import { compileRules } from '../../host/compiler/compile.ts';
import { ALERT, loadModule, openDoors } from '../../host/matcher.ts';
import { parseRules } from '../../host/compiler/rules.ts';
import { blogHandler, parseAndTest } from './peers.ts';
import { benchRecords, benchRules, inBatches, rulesYaml } from './records.ts';

const RECORD_COUNT = 20_000;
const BATCH_COUNT = 500;
const TURNS = 7;
const TURN_MS = 150;

const core = readFileSync(new URL('../../build/core.wasm', import.meta.url));
const address = (await openDoors(await WebAssembly.compile(core))).rulesetAddress();

export async function buildModule(yaml: string): Promise<Uint8Array> {
  const fail = (problem: { severity: string; message: string }) => {
    if (problem.severity === 'error') throw new Error(problem.message);
  };
  return bake(core, address, compileRules(parseRules(yaml, fail), fail)!.bytes);
}

/** Goes through a batch and gives how many records hit. */
type Column = (batch: Buffer[]) => number;

const each =
  (run: (record: Buffer) => unknown): Column =>
  batch => {
    let hits = 0;
    for (const record of batch) if (run(record) !== null) hits++;
    return hits;
  };

/** Best ns a record of each column, and the share of hits that each found. */
function measure(columns: Column[], batches: Buffer[][]): { ns: number[]; hits: number[] } {
  const ns = columns.map(() => Infinity);
  const hits = columns.map(() => 0);
  for (let turn = 0; turn < TURNS; turn++) {
    columns.forEach((run, column) => {
      let done = 0;
      let hit = 0;
      const start = performance.now();
      let now = start;
      for (const batch of batches) {
        hit += run(batch);
        done += batch.length;
        now = performance.now();
        if (now - start > TURN_MS) break;
      }
      ns[column] = Math.min(ns[column]!, ((now - start) * 1e6) / done);
      hits[column] = hit / done;
    });
  }
  return { ns, hits };
}

function row(cells: Array<string | number>): string {
  return cells.map((cell, i) => String(cell).padStart([6, 6, 11, 14, 14, 8, 9, 9][i] ?? 10)).join(' ');
}

const number = (value: number) => (value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en'));

console.log(
  `node ${process.version}, ${RECORD_COUNT.toLocaleString('en')} records, best of ${TURNS} turns; ns a record`,
);
console.log(row(['rules', 'hits', 'earshot', 'parse+RegExp', 'blog handler', 'MB/s', '÷ parse', '÷ blog']));
const results = new Map<string, { earshot: number; ratio: number }>();
for (const ruleCount of process.env.QUICK ? [1] : [1, 10, 100, 1_000]) {
  const rules = benchRules(ruleCount);
  const matcher = await (await loadModule(await buildModule(rulesYaml(rules)))).instantiate();
  const single = (record: Buffer) => (matcher.match(record, 0, 0) === ALERT ? matcher.alert() : null);
  const columns = [each(single), each(parseAndTest(rules)), each(blogHandler(rules))];
  for (const hitRate of [0, 0.01, 1]) {
    const records = benchRecords(rules, RECORD_COUNT, hitRate);
    const size = records.reduce((sum, record) => sum + record.length, 0) / records.length;
    const { ns, hits } = measure(columns, inBatches(records, BATCH_COUNT));
    if (hits.slice(0, 2).some(rate => Math.abs(rate - hitRate) > 0.02)) throw new Error(`hit rates ${hits}`);
    const [own, parse, blog] = ns as [number, number, number];
    results.set(`${ruleCount} ${hitRate}`, { earshot: own, ratio: parse / own });
    console.log(
      row([
        ruleCount,
        `${hitRate * 100} %`,
        number(own),
        number(parse),
        number(blog),
        number((size * 1e3) / own),
        number(parse / own),
        number(blog / own),
      ]),
    );
  }
}

console.log('\nmodule of 1 and of 1,000 rules: bytes, instantiate ms (best of 50), memory KiB, compile ms');
for (const ruleCount of [1, 1_000]) {
  const start = performance.now();
  const bytes = await buildModule(rulesYaml(benchRules(ruleCount)));
  const compileMs = performance.now() - start;
  const module = await WebAssembly.compile(bytes as BufferSource);
  let best = Infinity;
  let doors = await openDoors(module);
  for (let i = 0; i < 50; i++) {
    const begin = performance.now();
    doors = await openDoors(module);
    best = Math.min(best, performance.now() - begin);
  }
  console.log(
    `${ruleCount} rules: ${bytes.length} bytes, ${best.toFixed(2)} ms, ${doors.memory.buffer.byteLength / 1024} KiB, ${compileMs.toFixed(0)} ms`,
  );
}
console.log(`core.wasm: ${core.length} bytes`);

const ratio = (key: string) => results.get(key)!.ratio;
console.log('\nwhat the project promises:');
console.log(
  `  1 rule, 0 % hits: ${ratio('1 0').toFixed(1)}× (≥ 5), 1 %: ${ratio('1 0.01').toFixed(1)}× (≥ 5), 100 %: ${ratio('1 1').toFixed(1)}× (≥ 3)`,
);
console.log(`  1,000 rules, 0 % hits: ${ratio('1000 0').toFixed(0)}× (≥ 100)`);
console.log(
  `  1,000 rules ÷ 1 rule at 0 % hits: ${(results.get('1000 0')!.earshot / results.get('1 0')!.earshot).toFixed(2)} (≤ 2)`,
);
