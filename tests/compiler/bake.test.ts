// Baking: the module stays what it was but for its memory and one more data segment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bake } from '../../host/compiler/bake.ts';
import { UserError } from '../../host/error.ts';
import { bakeInto, compile, shippedCore } from '../core.ts';

const RULESET = compile('groups: [{name: g, rules: [{alert: r, match: {field: a, eq: b}}]}]').bytes;
const [MEMORY, DATA, DATA_COUNT] = [5, 11, 12];

/** The sections of a module, by id, each with the bytes inside it. */
function sectionsOf(module: Uint8Array): Map<number, string> {
  const sections = new Map<number, string>();
  for (let at = 8; at < module.length;) {
    const id = module[at++]!;
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++]!;
      size |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    sections.set(id, Buffer.from(module.subarray(at, at + size)).toString('hex'));
    at += size;
  }
  return sections;
}

test('only memory and data change', async () => {
  const before = sectionsOf(shippedCore());
  const after = sectionsOf(await bakeInto(shippedCore(), RULESET));
  assert.deepEqual([...after.keys()], [...before.keys()]);
  for (const id of [MEMORY, DATA, DATA_COUNT]) {
    before.delete(id);
    after.delete(id);
  }
  assert.deepEqual(after, before);
});

test('the ruleset lies where the core expects it, in memory that is large enough', async () => {
  for (const pages of [0, 1, 20]) {
    const ruleset = new Uint8Array(pages * 65_536 + 1).fill(7);
    const module = await WebAssembly.compile(bake(shippedCore(), 65_536 * 3 + 5, ruleset) as BufferSource);
    const { exports } = await WebAssembly.instantiate(module, {});
    const memory = new Uint8Array((exports.memory as WebAssembly.Memory).buffer);
    assert.deepEqual(memory.subarray(65_536 * 3 + 5).slice(0, ruleset.length), ruleset);
    assert.equal(memory[65_536 * 3 + 4], 0);
    assert.equal(memory.length, 65_536 * (4 + pages));
  }
});

test('a module without data gets its first', async () => {
  // One page of memory, exported as "m".
  const module = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 0x6d, 2, 0);
  const baked = bake(module, 100, Uint8Array.of(1, 2, 3));
  const { exports } = await WebAssembly.instantiate(await WebAssembly.compile(baked as BufferSource), {});
  assert.deepEqual([...new Uint8Array((exports.m as WebAssembly.Memory).buffer, 99, 5)], [0, 1, 2, 3, 0]);
});

test('the same core and ruleset give the same bytes, and neither is changed', async () => {
  const core = Uint8Array.from(shippedCore());
  const ruleset = Uint8Array.from(RULESET);
  assert.deepEqual(await bakeInto(core, ruleset), await bakeInto(shippedCore(), RULESET));
  assert.deepEqual(core, Uint8Array.from(shippedCore()));
  assert.deepEqual(ruleset, RULESET);
});

test('what is no module, or not a whole one, is refused', () => {
  const core = shippedCore();
  assert.throws(() => bake(Buffer.from('rules.yaml'), 0, RULESET), new UserError('not a WebAssembly module'));
  assert.throws(() => bake(new Uint8Array(), 0, RULESET), new UserError('not a WebAssembly module'));
  const cut = new UserError('the module is cut short; build it again');
  for (const size of [9, 10, 12, 100, core.length - 1])
    assert.throws(() => bake(core.subarray(0, size), 0, RULESET), cut, `${size} bytes`);
});
