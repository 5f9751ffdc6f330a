// Putting a ruleset into the core: one more active data segment at the address that the core names, and
// memory that is large enough for it. No compiler runs; the code of the module stays byte for byte the same.
// Format: WebAssembly Core Specification 2.0, chapter 5.
import { UserError } from '../error.ts';

const SECTION_MEMORY = 5;
const SECTION_DATA = 11;
const SECTION_DATA_COUNT = 12;
const PAGE_SIZE = 65_536;

/** `address` is what the core's `rulesetAddress` returns. Memory after the ruleset is allocated by the core itself. */
export function bake(core: Uint8Array, address: number, ruleset: Uint8Array): Uint8Array {
  const pages = Math.ceil((address + ruleset.length) / PAGE_SIZE);
  let baked = false;
  const parts = [core.subarray(0, 8)];
  for (const section of sections(core)) {
    let { body } = section;
    if (section.id === SECTION_MEMORY) body = raiseMemory(body, pages);
    if (section.id === SECTION_DATA_COUNT) body = concat([encode(decode(body, 0).value + 1)]);
    if (section.id === SECTION_DATA) {
      body = addSegment(body, address, ruleset);
      baked = true;
    }
    parts.push(Uint8Array.of(section.id), encode(body.length), body);
  }
  if (!baked) {
    const body = addSegment(Uint8Array.of(0), address, ruleset);
    parts.push(Uint8Array.of(SECTION_DATA), encode(body.length), body);
  }
  return concat(parts);
}

interface Section {
  id: number;
  body: Uint8Array;
}

function sections(module: Uint8Array): Section[] {
  const magic = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  if (!magic.every((byte, i) => module[i] === byte)) throw new UserError('not a WebAssembly module');
  const found: Section[] = [];
  for (let at = 8; at < module.length;) {
    const id = module[at]!;
    const size = decode(module, at + 1);
    if (size.next + size.value > module.length)
      throw new UserError('the module is cut short; build it again');
    found.push({ id, body: module.subarray(size.next, size.next + size.value) });
    at = size.next + size.value;
  }
  return found;
}

/** One memory: flags, minimum, and a maximum when the lowest flag says so. */
function raiseMemory(body: Uint8Array, pages: number): Uint8Array {
  const count = decode(body, 0);
  const flags = body[count.next]!;
  const minimum = decode(body, count.next + 1);
  const rest = body.subarray(minimum.next);
  return concat([
    body.subarray(0, count.next),
    Uint8Array.of(flags),
    encode(Math.max(minimum.value, pages)),
    rest,
  ]);
}

function addSegment(body: Uint8Array, address: number, bytes: Uint8Array): Uint8Array {
  const count = decode(body, 0);
  const I32_CONST = 0x41;
  const END = 0x0b;
  return concat([
    encode(count.value + 1),
    body.subarray(count.next),
    Uint8Array.of(0, I32_CONST),
    encodeSigned(address),
    Uint8Array.of(END),
    encode(bytes.length),
    bytes,
  ]);
}

/** Unsigned LEB128. */
function decode(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++];
    if (byte === undefined || shift > 28) throw new UserError('the module is cut short; build it again');
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return { value, next: at };
  }
}

function encode(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Uint8Array.of(...bytes, value);
}

/** Signed LEB128 of a number that is not negative. */
function encodeSigned(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value >= 0x40; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return Uint8Array.of(...bytes, value);
}

function concat(parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
