// The compiled rules → the bytes that assembly/layout.ts describes. Nothing is decided here: `compile` says
// what goes in, this file says where.
import * as layout from '../../assembly/layout.ts';
import type { Dfa } from './dfa.ts';
import { UserError } from '../error.ts';
import type { ByteString } from './literals.ts';
import type { Program } from './nfa.ts';
import type { CodePoints } from './pattern.ts';
import type { FieldPath } from './rules.ts';

/** A pattern as it goes into the ruleset. */
export interface CompiledPattern {
  program: Program;
  dfa: Dfa | null;
  /** Every match begins with this byte, or null. */
  firstByte: number | null;
  /** A needle comes before the pattern and an alert wants its captures: the program alone serves both. */
  capturesFirst: boolean;
}

/** A test of one field; `pattern` is an index. */
export type Atom =
  | { op: 'exists'; field: number }
  | { op: 'type'; field: number; type: number }
  | { op: 'values'; field: number; values: string[] }
  | { op: 'starts' | 'ends'; field: number; text: string }
  | { op: 'equal' | 'less' | 'lessOrEqual'; field: number; number: string }
  | { op: 'pattern'; field: number; pattern: number };

/** One instruction of a step's decision graph; targets are instructions, CODE_MATCH or CODE_FAIL. */
export interface Decision {
  atom: number;
  onTrue: number;
  onFalse: number;
}

export interface Extract {
  pattern: number;
  field: number;
  slot: number;
}

export interface CompiledStep {
  rule: number;
  ordinal: number;
  code: Decision[];
  extracts: Extract[];
  /** One of these values must be there; empty: no gate. */
  gates: Array<{ field: number; value: string }>;
  /** One of these must occur in the field's text; null: no needle. */
  needles: { field: number; windows: ByteString[] } | null;
}

export interface CompiledPart {
  kind: number;
  /** The text of PART_TEXT. */
  text?: string;
  /** The field, slot or label. */
  index?: number;
}

export interface CompiledTemplate {
  name: string;
  parts: CompiledPart[];
  requires: number | null;
}

export interface CompiledRule {
  alert: string;
  labels: CompiledTemplate[];
  annotations: CompiledTemplate[];
  kind: number;
  count: number;
  realertMs: number;
  windowMs: number;
  byMask: bigint;
  distinctField: number | null;
}

export interface Compiled {
  fields: FieldPath[];
  timestampField: number;
  patterns: CompiledPattern[];
  atoms: Atom[];
  steps: CompiledStep[];
  rules: CompiledRule[];
  lookBackMs: number;
  /** Keys that the state may hold. */
  keyCount: number;
  /** Alerts that may leave in one second of event time; 0: no cap. */
  rateCount: number;
  /** The rule that tells of matches held back, when there can be any. */
  notice: CompiledRule | null;
}

/** What is worth telling about a needle index. */
export interface IndexSummary {
  field: number;
  needleCount: number;
  gramSize: number;
  /** Every how many bytes the text is sampled. */
  step: number;
  size: number;
}

// The texts of an alert body that never change, in the order of TEXT_….
const TEXTS = [
  ...['firing', 'resolved'].map(
    status => `{"receiver":"notification_manager","status":"${status}","alerts":[`,
  ),
  ...['firing', 'resolved'].map(status => `{"status":"${status}","labels":{`),
  '},"annotations":{',
  '},"startsAt":"',
  '","endsAt":"',
  '","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"',
  '","generatorURL":"","fingerprint":"',
  '"}',
  '],"groupLabels":{',
  '},"commonLabels":{',
  '},"commonAnnotations":{',
  '},"externalURL":""}',
  '{"id":"',
  '","headers":{"content-type":"application/json"},"alert":',
  '}',
];

const HASH_FACTOR = 0x9e3779b97f4a7c15n;
const U64 = 0xffffffffffffffffn;

/** assembly/bytes.ts has the other one. */
export function hashKey(bytes: Uint8Array): bigint {
  const prefix = bytes.subarray(0, 8).reduceRight((word, byte) => (word << 8n) | BigInt(byte), 0n);
  return ((prefix ^ (BigInt(bytes.length) << 56n)) * HASH_FACTOR) & U64;
}

/** assembly/bytes.ts has the other one. */
export function hashText(bytes: Uint8Array): bigint {
  const word = (at: number) =>
    bytes.subarray(at, at + 8).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  let hash = BigInt(bytes.length);
  let at = 0;
  for (; bytes.length - at > 8; at += 8) {
    hash = ((hash ^ word(at)) * HASH_FACTOR) & U64;
    hash ^= hash >> 32n;
  }
  hash = ((hash ^ word(at)) * HASH_FACTOR) & U64;
  hash ^= hash >> 32n;
  return (hash * HASH_FACTOR) & U64;
}

/** assembly/bytes.ts has the other one. */
export function hashValue(bytes: Uint8Array): bigint {
  if (bytes.length < 8) return hashKey(bytes);
  if (bytes.length > 16) return hashText(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const last = view.getBigUint64(bytes.length - 8, true);
  const word = view.getBigUint64(0, true) ^ ((last << 29n) & U64) ^ (last >> 35n);
  return ((word ^ (BigInt(bytes.length) << 56n)) * HASH_FACTOR) & U64;
}

/** assembly/ruleset.ts has the other one. `bytes` is whole words. */
export function checksum(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let sum = 0xcbf29ce484222325n;
  for (let at = 0; at < bytes.length; at += 8) {
    sum = ((sum ^ view.getBigUint64(at, true)) * HASH_FACTOR) & U64;
    sum ^= sum >> 29n;
  }
  return sum;
}

/** Bytes that grow; offsets are given out by `allocate`, and equal strings are stored once. */
class Writer {
  private bytes = new Uint8Array(4096);
  private view = new DataView(this.bytes.buffer);
  private readonly strings = new Map<string, number>();
  size = 0;

  allocate(size: number, align = 8): number {
    const offset = Math.ceil(this.size / align) * align;
    this.size = offset + size;
    if (this.size > this.bytes.length) {
      const larger = new Uint8Array(2 ** Math.ceil(Math.log2(this.size)));
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return offset;
  }

  u8(offset: number, value: number): void {
    this.view.setUint8(offset, value);
  }

  u16(offset: number, value: number): void {
    this.view.setUint16(offset, value, true);
  }

  u32(offset: number, value: number): void {
    this.view.setUint32(offset, value, true);
  }

  readU16(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  readU32(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  u64(offset: number, value: bigint): void {
    this.view.setBigUint64(offset, value & U64, true);
  }

  /** A table of u32 that nobody changes any more: equal tables are stored once. */
  u32s(values: number[]): number {
    const bytes = new Uint8Array(values.length * 4);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => view.setUint32(i * 4, value, true));
    return this.shared(bytes, 4);
  }

  /** Bytes that are stored once, however often they are wanted. */
  shared(bytes: Uint8Array, align = 1): number {
    const key = `${align} ${Buffer.from(bytes).toString('latin1')}`;
    let offset = this.strings.get(key);
    if (offset === undefined) {
      offset = this.allocate(bytes.length, align);
      this.bytes.set(bytes, offset);
      this.strings.set(key, offset);
    }
    return offset;
  }

  slice(): Uint8Array {
    return this.bytes.slice(0, this.size);
  }

  section(from: number): Uint8Array {
    return this.bytes.subarray(from, this.size);
  }
}

const encoder = new TextEncoder();

export interface EncodedRuleset {
  bytes: Uint8Array;
  indexes: IndexSummary[];
}

/** `hash` names the rules: 8 bytes, as a number. */
export function encodeRuleset(compiled: Compiled, hash: bigint): EncodedRuleset {
  const writer = new Writer();
  const header = writer.allocate(layout.HEADER_SIZE);
  const put = (offset: number, value: number) => writer.u32(header + offset, value);
  const text = (value: string) => {
    const bytes = encoder.encode(value);
    return { offset: writer.shared(bytes), size: bytes.length };
  };

  put(layout.HEADER_MAGIC, layout.MAGIC);
  put(layout.HEADER_VERSION, layout.VERSION);
  writer.u64(header + layout.HEADER_HASH, hash);
  put(layout.HEADER_TIMESTAMP_FIELD, compiled.timestampField);
  put(layout.HEADER_KEY_COUNT, compiled.keyCount);
  put(layout.HEADER_RATE_COUNT, compiled.rateCount);
  writer.u64(header + layout.HEADER_LOOK_BACK_MS, BigInt(compiled.lookBackMs));

  encodeFields(writer, put, compiled);
  const values = encodeValues(writer, put, compiled);
  const indexes = encodeCandidates(writer, put, compiled, values);
  const patterns = encodePatterns(writer, put, compiled);
  encodeAtoms(writer, put, compiled, values, patterns);
  encodeSteps(writer, put, compiled, patterns);
  encodeRules(writer, put, compiled, text);

  const texts = writer.allocate(TEXTS.length * 8);
  TEXTS.forEach((value, i) => {
    const { offset, size } = text(value);
    writer.u32(texts + i * 8, offset);
    writer.u32(texts + i * 8 + 4, size);
  });
  put(layout.HEADER_TEXTS_OFFSET, texts);

  writer.allocate(0, 8); // whole words, for the checksum
  put(layout.HEADER_SIZE_TOTAL, writer.size);
  writer.u64(header + layout.HEADER_CHECKSUM, checksum(writer.section(layout.HEADER_SIZE_TOTAL)));
  return { bytes: writer.slice(), indexes };
}

type Put = (offset: number, value: number) => void;

// ── Fields ──────────────────────────────────────────────────────────────────────────────────────────

interface TrieNode {
  field: number | null;
  keys: Map<string, TrieNode>;
  items: Map<number, TrieNode>;
}

function encodeFields(writer: Writer, put: Put, compiled: Compiled): void {
  const tested = new Set(compiled.atoms.map(atom => atom.field));
  const early = trieOf(compiled.fields, field => tested.has(field));
  // A field is in one of the two: met twice, its gate would be opened twice.
  const late = trieOf(compiled.fields, field => !tested.has(field));
  const nodes = [...nodesOf(early), ...nodesOf(late)];
  const nodesOffset = writer.allocate(nodes.length * layout.NODE_SIZE);
  const offsets = new Map(nodes.map((node, i) => [node, nodesOffset + i * layout.NODE_SIZE]));
  const edgeCount = nodes.reduce((sum, node) => sum + node.keys.size, 0);
  refuseMore(edgeCount, 'keys in the paths of its fields');
  const edgesOffset = writer.allocate(edgeCount * layout.EDGE_SIZE);
  let edge = 0;
  for (const node of nodes) {
    encodeNode(writer, node, offsets, edgesOffset, edge);
    edge += node.keys.size;
  }
  put(layout.HEADER_FIELD_COUNT, compiled.fields.length);
  put(layout.HEADER_NODE_COUNT, nodes.length);
  put(layout.HEADER_NODES_OFFSET, nodesOffset);
  put(layout.HEADER_LATE_NODE_OFFSET, offsets.get(late)!);
  put(layout.HEADER_EDGES_OFFSET, edgesOffset);
}

/** What heads of buckets refer to is counted in 16 bits, 0 for none. */
const HEAD_COUNT_MAX = 0xffff;

function refuseMore(count: number, things: string): void {
  if (count <= HEAD_COUNT_MAX) return;
  throw new UserError(
    `the rules file has ${count} ${things}, ${HEAD_COUNT_MAX} are allowed; split it into several`,
  );
}

function trieOf(paths: FieldPath[], isWanted: (field: number) => boolean): TrieNode {
  const newNode = (): TrieNode => ({ field: null, keys: new Map(), items: new Map() });
  const root = newNode();
  paths.forEach((path, field) => {
    if (!isWanted(field)) return;
    let node = root;
    for (const segment of path) {
      const children = (typeof segment === 'number' ? node.items : node.keys) as Map<
        string | number,
        TrieNode
      >;
      if (!children.has(segment)) children.set(segment, newNode());
      node = children.get(segment)!;
    }
    node.field = field;
  });
  return root;
}

function childrenOf(node: TrieNode): TrieNode[] {
  return [...node.keys.values(), ...node.items.values()];
}

/** A node and all below it, the node first. */
function nodesOf(node: TrieNode): TrieNode[] {
  return [node, ...childrenOf(node).flatMap(nodesOf)];
}

function encodeNode(
  writer: Writer,
  node: TrieNode,
  offsets: Map<TrieNode, number>,
  edgesOffset: number,
  firstEdge: number,
): void {
  const at = offsets.get(node)!;
  const bits = bucketBits(node.keys.size);
  const heads = writer.allocate(2 << bits, 2);
  writer.u32(at + layout.NODE_FIELD, node.field ?? layout.NONE);
  writer.u32(at + layout.NODE_HEADS_OFFSET, heads);
  writer.u32(at + layout.NODE_SHIFT, 64 - bits);
  writer.u32(at + layout.NODE_EDGE_COUNT, node.keys.size);
  writer.u32(at + layout.NODE_FIELDS_BELOW, nodesOf(node).filter(({ field }) => field !== null).length);
  [...node.keys].forEach(([key, child], i) => {
    const bytes = encoder.encode(key);
    const entry = edgesOffset + (firstEdge + i) * layout.EDGE_SIZE;
    const head = heads + Number(hashKey(bytes) >> BigInt(64 - bits)) * 2;
    bytes.subarray(0, 8).forEach((byte, j) => writer.u8(entry + layout.EDGE_PREFIX + j, byte));
    writer.u32(entry + layout.EDGE_KEY_SIZE, bytes.length);
    writer.u32(entry + layout.EDGE_KEY_OFFSET, writer.shared(bytes));
    writer.u32(entry + layout.EDGE_NODE, offsets.get(child)!);
    // The new edge becomes the bucket's first; what was first comes behind it.
    writer.u32(entry + layout.EDGE_NEXT, writer.readU16(head));
    writer.u16(head, firstEdge + i + 1);
  });
  const items = [...node.items].sort(([a], [b]) => a - b);
  writer.u32(
    at + layout.NODE_ITEMS_OFFSET,
    writer.u32s(items.flatMap(([index, child]) => [index, offsets.get(child)!])),
  );
  writer.u32(at + layout.NODE_ITEM_COUNT, items.length);
}

/** At least twice as many buckets as things, and two: a shift by 64 bits would be none. */
function bucketBits(count: number): number {
  return Math.max(1, Math.ceil(Math.log2(Math.max(1, count) * 2)));
}

// ── Values and gates ────────────────────────────────────────────────────────────────────────────────

const keyOf = (field: number, value: string) => `${field} ${value}`;

interface Values {
  /** keyOf → offset of the value. */
  offsets: Map<string, number>;
  /** keyOf → gate, counted from 1. */
  gates: Map<string, number>;
}

function encodeValues(writer: Writer, put: Put, compiled: Compiled): Values {
  const gates = new Map<string, number>();
  const gateFields = new Set<number>();
  for (const step of compiled.steps) {
    for (const { field, value } of step.gates) {
      gateFields.add(field);
      if (!gates.has(keyOf(field, value))) gates.set(keyOf(field, value), gates.size + 1);
    }
  }
  const fieldsOffset = writer.allocate(compiled.fields.length * layout.FIELD_SIZE);
  const offsets = new Map<string, number>();
  compiled.fields.forEach((_, field) => {
    const at = fieldsOffset + field * layout.FIELD_SIZE;
    const values = new Set<string>();
    for (const atom of compiled.atoms) {
      if (atom.op === 'values' && atom.field === field) for (const value of atom.values) values.add(value);
    }
    writer.u32(at + layout.FIELD_IS_GATE, gateFields.has(field) ? 1 : 0);
    if (values.size > 0)
      writer.u32(
        at + layout.FIELD_VALUES_OFFSET,
        encodeValueTable(writer, field, [...values], offsets, gates),
      );
  });
  put(layout.HEADER_FIELDS_OFFSET, fieldsOffset);
  put(layout.HEADER_GATE_FIELD_COUNT, gateFields.size);
  put(layout.HEADER_GATE_COUNT, gates.size + 1);
  return { offsets, gates };
}

function encodeValueTable(
  writer: Writer,
  field: number,
  values: string[],
  offsets: Map<string, number>,
  gates: Map<string, number>,
): number {
  const bits = bucketBits(values.length);
  const table = writer.allocate(layout.VALUES_HEADS + (4 << bits));
  writer.u32(table + layout.VALUES_SHIFT, 64 - bits);
  const entries = writer.allocate(values.length * layout.VALUE_SIZE);
  values.forEach((value, i) => {
    const at = entries + i * layout.VALUE_SIZE;
    const bytes = encoder.encode(value);
    const head = table + layout.VALUES_HEADS + Number(hashValue(bytes) >> BigInt(64 - bits)) * 4;
    writer.u32(at + layout.VALUE_TEXT_SIZE, bytes.length);
    writer.u32(at + layout.VALUE_TEXT_OFFSET, writer.shared(bytes));
    writer.u32(at + layout.VALUE_GATE, gates.get(keyOf(field, value)) ?? 0);
    // The new value becomes the head; what was the head comes behind it.
    writer.u32(at + layout.VALUE_NEXT_OFFSET, writer.readU32(head));
    writer.u32(head, at);
    offsets.set(keyOf(field, value), at);
  });
  return table;
}

// ── Gates and needles ───────────────────────────────────────────────────────────────────────────────

interface NeedleIndex {
  field: number;
  gramSize: number;
  /** Window → pairs of gate and step. */
  needles: Map<ByteString, Array<[gate: number, step: number]>>;
}

function encodeCandidates(writer: Writer, put: Put, compiled: Compiled, values: Values): IndexSummary[] {
  const indexes = new Map<string, NeedleIndex>();
  const always: number[] = [];
  const gateSteps = new Map<number, number[]>();
  const gateMasks = new Map<number, number>();
  let alwaysMask = 0;
  let ungatedCount = 0;

  compiled.steps.forEach((step, id) => {
    const gates = step.gates.map(({ field, value }) => values.gates.get(keyOf(field, value))!);
    if (gates.length === 0) ungatedCount++;
    if (step.needles === null) {
      if (gates.length === 0) always.push(id);
      for (const gate of gates) gateSteps.set(gate, [...(gateSteps.get(gate) ?? []), id]);
      return;
    }
    for (const window of step.needles.windows) {
      const { field } = step.needles;
      const gramSize =
        window.length >= layout.GRAM_SIZE_LONG ? layout.GRAM_SIZE_LONG : layout.GRAM_SIZE_SHORT;
      const key = `${field} ${gramSize}`;
      if (!indexes.has(key)) indexes.set(key, { field, gramSize, needles: new Map() });
      const index = indexes.get(key)!;
      const bit = 2 ** Math.min([...indexes.keys()].indexOf(key), layout.INDEX_MASK_BITS - 1);
      const pairs = index.needles.get(window) ?? [];
      index.needles.set(window, pairs);
      for (const gate of gates.length === 0 ? [0] : gates) {
        pairs.push([gate, id]);
        if (gate === 0) alwaysMask = (alwaysMask | bit) >>> 0;
        else gateMasks.set(gate, ((gateMasks.get(gate) ?? 0) | bit) >>> 0);
      }
    }
  });

  const gateCount = values.gates.size + 1;
  const gatesOffset = writer.allocate(gateCount * layout.GATE_SIZE);
  for (let gate = 1; gate < gateCount; gate++) {
    const at = gatesOffset + gate * layout.GATE_SIZE;
    const steps = gateSteps.get(gate) ?? [];
    writer.u32(at + layout.GATE_INDEX_MASK, gateMasks.get(gate) ?? 0);
    writer.u32(at + layout.GATE_STEPS_OFFSET, writer.u32s(steps));
    writer.u32(at + layout.GATE_STEP_COUNT, steps.length);
  }
  put(layout.HEADER_GATES_OFFSET, gatesOffset);
  // An absence needs every record's time, so no record may be rejected early.
  const absenceCount = compiled.rules.filter(rule => rule.kind === layout.KIND_ABSENCE).length;
  put(layout.HEADER_UNREJECTABLE_COUNT, ungatedCount + absenceCount);
  put(layout.HEADER_ALWAYS_MASK, alwaysMask);
  put(layout.HEADER_ALWAYS_OFFSET, writer.u32s(always));
  put(layout.HEADER_ALWAYS_COUNT, always.length);

  const indexesOffset = writer.allocate(indexes.size * layout.INDEX_SIZE);
  let needleCount = 0;
  const summaries = [...indexes.values()].map((index, i) => {
    const before = writer.size;
    const step = encodeIndex(writer, indexesOffset + i * layout.INDEX_SIZE, index, needleCount);
    needleCount += index.needles.size;
    return {
      field: index.field,
      needleCount: index.needles.size,
      gramSize: index.gramSize,
      step,
      size: writer.size - before,
    };
  });
  put(layout.HEADER_INDEXES_OFFSET, indexesOffset);
  put(layout.HEADER_INDEX_COUNT, indexes.size);
  put(layout.HEADER_NEEDLE_COUNT, needleCount);
  return summaries;
}

interface Gram {
  needle: number;
  back: number;
}

interface GramEntry extends Gram {
  flags: number;
}

/** The entries of a bucket, in groups where at least so many are of one kind. */
function bucketEntries(grams: Gram[], windows: ByteString[], groupSizeMin: number): GramEntry[] {
  const kinds = new Map<string, Gram[]>();
  for (const gram of grams) append(kinds, `${gram.back} ${windows[gram.needle]!.length}`, gram);
  const word = ({ needle }: Gram) => Buffer.from(windows[needle]!, 'latin1').reverse(); // little-endian
  const runs = [...kinds.values()].map((kind): GramEntry[] => {
    const entries = kind.map(gram => ({ ...gram, flags: 0 }));
    if (entries.length < groupSizeMin) return entries;
    entries.sort((a, b) => Buffer.compare(word(a), word(b)));
    return [{ needle: entries.length, back: kind[0]!.back, flags: layout.GRAM_IS_GROUP }, ...entries];
  });
  // The last entry ends the bucket; of a group it is the one in front.
  const last = runs.at(-1)!;
  (last[0]!.flags === 0 ? last.at(-1)! : last[0]!).flags |= layout.GRAM_IS_LAST;
  return runs.flat();
}

function append<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list) list.push(value);
  else lists.set(key, [value]);
}

/** Writes an index and gives its step. */
function encodeIndex(writer: Writer, at: number, index: NeedleIndex, firstNeedle: number): number {
  const windows = [...index.needles.keys()];
  const { gramSize } = index;
  refuseMore(windows.length, 'literals to look for in one field');
  // A larger step has more grams a needle; there must not be more entries than heads can tell apart.
  const shortest = windows.reduce((size, window) => Math.min(size, window.length), layout.NEEDLE_SIZE_MAX);
  const room = Math.floor(HEAD_COUNT_MAX / (1 + 1 / layout.GROUP_COUNT_MIN)); // a group has an entry of its own
  const step = Math.max(1, Math.min(shortest - gramSize + 1, Math.floor(room / windows.length)));
  // Four buckets a gram find out most texts at the first look; where grams are many, two save tens of kilobytes.
  const gramCount = windows.length * step;
  const bits = Math.min(15, Math.max(6, Math.ceil(Math.log2(gramCount * (gramCount > 4096 ? 2 : 4)))));
  const buckets = new Map<number, Gram[]>();
  windows.forEach((window, needle) => {
    for (let back = 0; back < step; back++) {
      const gram = [...window.slice(back, back + gramSize)].reduceRight(
        (sum, c) => sum * 256 + c.charCodeAt(0),
        0,
      );
      const bucket = Math.imul(gram, layout.GRAM_FACTOR) >>> (32 - bits);
      append(buckets, bucket, { needle, back });
    }
  });

  const heads = writer.allocate(2 << bits);
  const groupSizeMin = gramCount <= room ? layout.GROUP_COUNT_MIN : Infinity;
  const entries: GramEntry[] = [];
  for (const [bucket, grams] of [...buckets].sort(([a], [b]) => a - b)) {
    writer.u16(heads + bucket * 2, entries.length + 1);
    entries.push(...bucketEntries(grams, windows, groupSizeMin));
  }
  const grams = writer.allocate(entries.length * layout.GRAM_SIZE);
  entries.forEach(({ needle, back, flags }, i) => {
    const entry = grams + i * layout.GRAM_SIZE;
    writer.u16(entry + layout.GRAM_NEEDLE, needle);
    writer.u8(entry + layout.GRAM_BACK, back);
    writer.u8(entry + layout.GRAM_FLAGS, flags);
  });

  const needles = writer.allocate(windows.length * layout.NEEDLE_SIZE);
  windows.forEach((window, needle) => {
    const entry = needles + needle * layout.NEEDLE_SIZE;
    for (let i = 0; i < window.length; i++) {
      writer.u8(entry + layout.NEEDLE_WORD + i, window.charCodeAt(i));
      writer.u8(entry + layout.NEEDLE_MASK + i, 0xff);
    }
    const pairs = index.needles.get(window)!.sort(([a, b], [c, d]) => a - c || b - d);
    writer.u32(entry + layout.NEEDLE_STEPS_OFFSET, writer.u32s(pairs.flat()));
    writer.u32(entry + layout.NEEDLE_STEP_COUNT, pairs.length);
  });

  writer.u32(at + layout.INDEX_FIELD, index.field);
  writer.u32(at + layout.INDEX_GRAM_SIZE, gramSize);
  writer.u32(at + layout.INDEX_STEP, step);
  writer.u32(at + layout.INDEX_SHIFT, 32 - bits);
  writer.u32(at + layout.INDEX_HEADS_OFFSET, heads);
  writer.u32(at + layout.INDEX_GRAMS_OFFSET, grams);
  writer.u32(at + layout.INDEX_NEEDLES_OFFSET, needles);
  writer.u32(at + layout.INDEX_FIRST_NEEDLE, firstNeedle);
  return step;
}

// ── Patterns ────────────────────────────────────────────────────────────────────────────────────────

/** Bytes that an automaton takes with entries of this width. */
export function dfaSize(dfa: Dfa, width: number = dfa.width): number {
  return layout.DFA_ROWS + dfa.rows.length * dfa.stride * width;
}

/** Writes the patterns and gives the offset of each. */
function encodePatterns(writer: Writer, put: Put, compiled: Compiled): number[] {
  const sets: CodePoints[] = [];
  const setIndexes = new Map<string, number>();
  const setIndex = (set: CodePoints) => {
    const key = set.join();
    if (!setIndexes.has(key)) setIndexes.set(key, sets.push(set) - 1);
    return setIndexes.get(key)!;
  };

  const offset = writer.allocate(compiled.patterns.length * layout.PATTERN_SIZE);
  const offsets = compiled.patterns.map(({ program, dfa, firstByte, capturesFirst }, i) => {
    const at = offset + i * layout.PATTERN_SIZE;
    const instructions = program.instructions.map(({ op, operand }) => {
      const value =
        op === layout.RUN_SET || op === layout.RUN_SKIP ? setIndex(program.sets[operand]!) : operand;
      return op + value * 256;
    });
    writer.u32(at + layout.PATTERN_PROGRAM_OFFSET, writer.u32s(instructions));
    writer.u32(at + layout.PATTERN_INSTRUCTION_COUNT, instructions.length);
    writer.u32(at + layout.PATTERN_DFA_OFFSET, dfa === null ? 0 : encodeDfa(writer, dfa));
    writer.u32(at + layout.PATTERN_SLOT_COUNT, program.captures.length * 2);
    writer.u32(at + layout.PATTERN_FIRST_BYTE, firstByte ?? layout.NONE);
    writer.u32(at + layout.PATTERN_ANCHORED, program.anchored ? 1 : 0);
    writer.u32(at + layout.PATTERN_CAPTURES_FIRST, capturesFirst ? 1 : 0);
    return at;
  });

  const setsOffset = writer.allocate(sets.length * layout.SET_SIZE);
  sets.forEach((set, i) => encodeSet(writer, setsOffset + i * layout.SET_SIZE, set));
  put(layout.HEADER_PATTERNS_OFFSET, offset);
  put(layout.HEADER_SETS_OFFSET, setsOffset);
  return offsets;
}

function encodeDfa(writer: Writer, dfa: Dfa): number {
  const at = writer.allocate(dfaSize(dfa), 4);
  const isWide = dfa.width === 2;
  const name = (state: number) => (isWide && state >= layout.DFA_FIRST_ROW ? state * dfa.stride : state);
  writer.u32(at + layout.DFA_CLASSES_OFFSET, writer.shared(dfa.classes));
  writer.u32(at + layout.DFA_STRIDE, dfa.stride);
  writer.u32(at + layout.DFA_WIDTH, dfa.width);
  writer.u32(at + layout.DFA_START, name(dfa.start));
  writer.u32(at + layout.DFA_PREFIX_OFFSET, writer.shared(dfa.prefix));
  writer.u32(at + layout.DFA_PREFIX_SIZE, dfa.prefix.length);
  dfa.rows.flat().forEach((state, i) => {
    if (isWide) writer.u16(at + layout.DFA_ROWS + i * 2, name(state));
    else writer.u8(at + layout.DFA_ROWS + i, state);
  });
  return at;
}

function encodeSet(writer: Writer, at: number, set: CodePoints): void {
  const words = [0, 0, 0, 0];
  const ranges: number[] = [];
  for (let i = 0; i < set.length; i += 2) {
    const [low, high] = [set[i]!, set[i + 1]!];
    for (let code = low; code <= Math.min(high, 0x7f); code++) words[code >> 5]! |= 1 << (code & 31);
    if (high >= 0x80) ranges.push(Math.max(low, 0x80), high);
  }
  words.forEach((word, i) => writer.u32(at + layout.SET_BITMAP + i * 4, word >>> 0));
  writer.u32(at + layout.SET_RANGES_OFFSET, writer.u32s(ranges));
  writer.u32(at + layout.SET_RANGE_COUNT, ranges.length / 2);
}

// ── Atoms, steps, rules ─────────────────────────────────────────────────────────────────────────────

const NUMBER_OPS = {
  equal: layout.OP_EQUAL,
  less: layout.OP_LESS,
  lessOrEqual: layout.OP_LESS_OR_EQUAL,
};

function encodeAtoms(writer: Writer, put: Put, compiled: Compiled, values: Values, patterns: number[]): void {
  const offset = writer.allocate(compiled.atoms.length * layout.ATOM_SIZE);
  compiled.atoms.forEach((atom, i) => {
    const at = offset + i * layout.ATOM_SIZE;
    const fill = (op: number, a = 0, b = 0) => {
      writer.u32(at + layout.ATOM_OP, op);
      writer.u32(at + layout.ATOM_FIELD, atom.field);
      writer.u32(at + layout.ATOM_A, a);
      writer.u32(at + layout.ATOM_B, b);
    };
    switch (atom.op) {
      case 'exists':
        return fill(layout.OP_EXISTS);
      case 'type':
        return fill(layout.OP_TYPE, atom.type);
      case 'values': {
        const ids = atom.values
          .map(value => values.offsets.get(keyOf(atom.field, value))!)
          .sort((a, b) => a - b);
        return ids.length === 1
          ? fill(layout.OP_VALUE, ids[0])
          : fill(layout.OP_VALUES, writer.u32s(ids), ids.length);
      }
      case 'starts':
      case 'ends': {
        const bytes = encoder.encode(atom.text);
        return fill(
          atom.op === 'starts' ? layout.OP_STARTS : layout.OP_ENDS,
          writer.shared(bytes),
          bytes.length,
        );
      }
      case 'pattern':
        return fill(layout.OP_PATTERN, patterns[atom.pattern]);
      default:
        return fill(NUMBER_OPS[atom.op], encodeNumber(writer, atom.number));
    }
  });
  put(layout.HEADER_ATOMS_OFFSET, offset);
  put(layout.HEADER_ATOM_COUNT, compiled.atoms.length);
}

/** Splits a JSON number into sign, digits and exponent, as layout's NUMBER_… has them. */
export function decimal(text: string): { negative: boolean; digits: string; exponent: number } {
  const [, sign, whole, fraction = '', written = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(
    text,
  )!;
  const all = whole + fraction;
  const digits = all.replace(/^0+/, '').replace(/0+$/, '');
  const leadingZeros = all.length - all.replace(/^0+/, '').length;
  return {
    negative: sign === '-' && digits !== '',
    digits,
    exponent: digits === '' ? 0 : whole!.length - leadingZeros + Number(written),
  };
}

function encodeNumber(writer: Writer, text: string): number {
  const { negative, digits, exponent } = decimal(text);
  const at = writer.allocate(layout.NUMBER_DIGITS + digits.length, 4);
  writer.u32(at + layout.NUMBER_SIGN, negative ? 1 : 0);
  writer.u32(at + layout.NUMBER_EXPONENT, exponent);
  writer.u32(at + layout.NUMBER_DIGIT_COUNT, digits.length);
  [...digits].forEach((digit, i) => writer.u8(at + layout.NUMBER_DIGITS + i, Number(digit)));
  return at;
}

function encodeSteps(writer: Writer, put: Put, compiled: Compiled, patterns: number[]): void {
  const offset = writer.allocate(compiled.steps.length * layout.STEP_SIZE);
  compiled.steps.forEach((step, i) => {
    const at = offset + i * layout.STEP_SIZE;
    const code = writer.allocate(step.code.length * layout.CODE_SIZE);
    step.code.forEach(({ atom, onTrue, onFalse }, j) => {
      writer.u32(code + j * layout.CODE_SIZE + layout.CODE_ATOM, atom);
      writer.u16(code + j * layout.CODE_SIZE + layout.CODE_ON_TRUE, onTrue);
      writer.u16(code + j * layout.CODE_SIZE + layout.CODE_ON_FALSE, onFalse);
    });
    const extracts = writer.u32s(
      step.extracts.flatMap(({ pattern, field, slot }) => [patterns[pattern]!, field, slot]),
    );
    writer.u32(at + layout.STEP_CODE_OFFSET, code);
    writer.u32(at + layout.STEP_RULE, step.rule);
    writer.u32(at + layout.STEP_ORDINAL, step.ordinal);
    writer.u32(at + layout.STEP_EXTRACTS_OFFSET, extracts);
    writer.u32(at + layout.STEP_EXTRACT_COUNT, step.extracts.length);
  });
  put(layout.HEADER_STEPS_OFFSET, offset);
  put(layout.HEADER_STEP_COUNT, compiled.steps.length);
  const slots = compiled.steps.flatMap(step =>
    step.extracts.map(({ pattern, slot }) => slot + compiled.patterns[pattern]!.program.captures.length * 2),
  );
  put(layout.HEADER_SLOT_COUNT, Math.max(0, ...slots));
}

type Text = (value: string) => { offset: number; size: number };

function encodeRules(writer: Writer, put: Put, compiled: Compiled, text: Text): void {
  const rules = compiled.notice === null ? compiled.rules : [...compiled.rules, compiled.notice];
  const offset = writer.allocate(rules.length * layout.RULE_SIZE);
  rules.forEach((rule, i) => {
    const at = offset + i * layout.RULE_SIZE;
    const name = text(rule.alert);
    writer.u32(at + layout.RULE_NAME_OFFSET, name.offset);
    writer.u32(at + layout.RULE_NAME_SIZE, name.size);
    writer.u32(at + layout.RULE_LABELS_OFFSET, encodeTemplates(writer, rule.labels, text));
    writer.u32(at + layout.RULE_LABEL_COUNT, rule.labels.length);
    writer.u32(at + layout.RULE_ANNOTATIONS_OFFSET, encodeTemplates(writer, rule.annotations, text));
    writer.u32(at + layout.RULE_ANNOTATION_COUNT, rule.annotations.length);
    writer.u32(at + layout.RULE_KIND, rule.kind);
    writer.u32(at + layout.RULE_COUNT, rule.count);
    writer.u64(at + layout.RULE_REALERT_MS, BigInt(rule.realertMs));
    writer.u64(at + layout.RULE_WINDOW_MS, BigInt(rule.windowMs));
    writer.u64(at + layout.RULE_BY_MASK, rule.byMask);
    writer.u32(at + layout.RULE_DISTINCT_FIELD, rule.distinctField ?? layout.NONE);
    // NO_LABEL is what −1 is in 16 bits.
    const labelNamed = (name: string) =>
      rule.labels.findIndex(label => label.name === name) & layout.NO_LABEL;
    writer.u16(at + layout.RULE_ALERTNAME_LABEL, labelNamed('alertname'));
    writer.u16(at + layout.RULE_NAMESPACE_LABEL, labelNamed('namespace'));
  });
  put(layout.HEADER_RULES_OFFSET, offset);
  put(layout.HEADER_RULE_COUNT, compiled.rules.length);
  put(layout.HEADER_NOTICE_RULE, compiled.notice === null ? layout.NONE : compiled.rules.length);
  put(layout.HEADER_HAS_ABSENCE, compiled.rules.some(rule => rule.kind === layout.KIND_ABSENCE) ? 1 : 0);
  put(layout.HEADER_LABEL_COUNT, Math.max(0, ...compiled.rules.map(rule => rule.labels.length)));
}

function encodeTemplates(writer: Writer, templates: CompiledTemplate[], text: Text): number {
  const words = templates.flatMap(template => {
    const key = text(`,"${template.name}":`);
    const parts = template.parts.flatMap(part => {
      if (part.text === undefined) return [part.kind, part.index ?? 0, 0];
      const { offset, size } = text(part.text);
      return [part.kind, offset, size];
    });
    // In the order of TEMPLATE_….
    return [
      key.offset,
      key.size - 4, // without comma, quotes and colon
      writer.u32s(parts),
      template.parts.length,
      template.requires ?? layout.NONE,
    ];
  });
  return writer.u32s(words);
}
