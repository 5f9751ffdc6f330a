// What the core is from outside: no imports, these doors and no others, small, quick to start.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDoors } from '../host/matcher.ts';
import { bakeInto, buildCore, compile, loadRules, namesOf, shippedCore } from './core.ts';

const CORE_SIZE_MAX = 48 * 1024;

const module = await WebAssembly.compile(shippedCore() as BufferSource);

test('the core imports nothing', () => {
  assert.deepEqual(WebAssembly.Module.imports(module), []);
});

test('the core exports its doors and nothing else', () => {
  const exports = WebAssembly.Module.exports(module);
  assert.deepEqual(
    exports.filter(({ kind }) => kind !== 'function').map(({ name }) => name),
    ['memory'],
  );
  assert.deepEqual(exports.filter(({ kind }) => kind === 'function').map(({ name }) => name).sort(), [
    'alertSize',
    'alertStart',
    'alerts_only',
    'evictedKeyCount',
    'examine',
    'free',
    'isLoaded',
    'malloc',
    'match',
    'matchCounts',
    'othersCount',
    'resetState',
    'restoreState',
    'rulesetAddress',
    'spanEnd',
    'spanOf',
    'spanStart',
    'spanText',
    'spanTextSize',
    'stateSize',
    'stateStart',
    'suppressedCount',
    'testAtom',
    'tick',
    'unreadableCount',
  ]);
});

test('the core has no start that needs a host, and no trace of a runtime', () => {
  const names = WebAssembly.Module.exports(module).map(({ name }) => name);
  // WebAssembly Micro Runtime takes these for an allocator of its own liking.
  for (const name of ['__new', '__pin', '__unpin', '__collect', '_start', '_initialize']) assert.ok(!names.includes(name), name);
});

test('the core is small', t => {
  t.diagnostic(`${shippedCore().length} bytes`);
  assert.ok(shippedCore().length <= CORE_SIZE_MAX, `${shippedCore().length} bytes, ${CORE_SIZE_MAX} are allowed`);
});

test('a module instantiates in a few milliseconds', async t => {
  const baked = await bakeInto(shippedCore(), compile('groups: [{name: g, rules: [{alert: r, match: {field: a, eq: b}}]}]').bytes);
  const compiled = await WebAssembly.compile(baked as BufferSource);
  let best = Infinity;
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    new WebAssembly.Instance(compiled, {});
    best = Math.min(best, performance.now() - start);
  }
  t.diagnostic(`${best.toFixed(2)} ms`);
  assert.ok(best < 20, `${best} ms`); // 2 on a quiet machine; this one may be busy with other tests
});

test('nothing changes when the counter of records begins anew', async () => {
  const yaml = `groups: [{name: g, rules: [
    {alert: a, realert: 0s, match: {all: [{field: n, eq: x}, {field: log, contains: needle}]}},
    {alert: b, realert: 0s, match: {field: log, regex: 'needle\\d'}},
    {alert: c, realert: 0s, match: {field: n, exists: false}}]}]`;
  const records = ['{"n":"x","log":"needle"}', '{"log":"needle1"}', '{"n":"x"}', '{"n":"y","log":"needle2"}', '{', '{}', '{"n":"x","log":"a needle3"}'];
  const usual = await loadRules(yaml);
  const wrapping = await loadRules(yaml, buildCore([['engine.ts', /EPOCH_MAX: u32 = \w+/, 'EPOCH_MAX: u32 = 3']]));
  for (let i = 0; i < 100; i++) {
    const record = records[i % records.length]!;
    assert.deepEqual(namesOf(wrapping, record), namesOf(usual, record), `record ${i}`);
  }
  assert.deepEqual(wrapping.matches(), usual.matches());
});

test('reading record after record takes no more memory', async () => {
  const yaml = "groups: [{name: g, rules: [{alert: a, realert: 0s, match: {field: log, eq: 'needle\"'}, annotations: {log: '{{ $record.log }}'}}]}]";
  const doors = await openDoors(await WebAssembly.compile((await bakeInto(shippedCore(), compile(yaml).bytes)) as BufferSource));
  const record = Buffer.from('{"\\u0061":1,"lo\\u0067":"needle\\"","b":{}}');
  const read = (examined: boolean) => {
    const block = doors.malloc(record.length);
    new Uint8Array(doors.memory.buffer).set(record, block);
    if (!examined) return assert.equal(doors.match(block, record.length, 0, 0, 0), 1);
    assert.equal(doors.examine(block, record.length), 0);
    assert.equal(doors.testAtom(0), 1);
    doors.spanOf(0);
  };
  for (const examined of [false, true]) {
    read(examined);
    const size = doors.memory.buffer.byteLength;
    for (let i = 0; i < 5000; i++) read(examined);
    assert.equal(doors.memory.buffer.byteLength, size, examined ? 'examine' : 'match');
  }
});
