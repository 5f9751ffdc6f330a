// The compiled rules → the bytes that assembly/layout.ts describes. Nothing is decided here: the other files say
// what goes in, this file says where.
import * as layout from '../../assembly/layout.ts';
import type {
  Atom,
  Compiled,
  CompiledPart,
  CompiledRule,
  CompiledStep,
  CompiledTemplate,
  NeedleIndex,
} from './compiled.ts';
import { needsClock } from './compiled.ts';
import { parseDecimal } from './decimal.ts';
import type { Dfa } from './dfa.ts';
import { dfaSize } from './dfa.ts';
import type { TextTrie, TrieNode, Tries } from './fields.ts';
import { nodesOf, triesOf } from './fields.ts';
import { checksum, hashKey, hashValue } from './hash.ts';
import { largest } from './numbers.ts';
import type { Instruction, Program } from './nfa.ts';
import type { CodePoints } from './pattern.ts';
import { isList } from './path.ts';
import { shiftsOf } from './timezone.ts';
import * as widths from './widths.ts';
import type { Words } from './words.ts';
import type { Fields } from './writer.ts';
import { Writer, bytesOf, firstWord } from './writer.ts';

/** A needle index, with the bytes that it takes. */
export type EncodedIndex = NeedleIndex & { size: number };

export interface EncodedRuleset {
  bytes: Uint8Array;
  indexes: EncodedIndex[];
}

// The texts of an alert body that never change.
const TEXTS: Record<number, string> = {
  [layout.TEXT_BODY_FIRING]: '{"receiver":"notification_manager","status":"firing","alerts":[',
  [layout.TEXT_BODY_RESOLVED]: '{"receiver":"notification_manager","status":"resolved","alerts":[',
  [layout.TEXT_ALERT_FIRING]: '{"status":"firing","labels":{',
  [layout.TEXT_ALERT_RESOLVED]: '{"status":"resolved","labels":{',
  [layout.TEXT_ANNOTATIONS]: '},"annotations":{',
  [layout.TEXT_STARTS_AT]: '},"startsAt":"',
  [layout.TEXT_ENDS_AT]: '","endsAt":"',
  [layout.TEXT_NO_END]: '","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"',
  [layout.TEXT_FINGERPRINT]: '","generatorURL":"","fingerprint":"',
  [layout.TEXT_ALERT_END]: '"}',
  [layout.TEXT_GROUP_LABELS]: '],"groupLabels":{',
  [layout.TEXT_COMMON_LABELS]: '},"commonLabels":{',
  [layout.TEXT_COMMON_ANNOTATIONS]: '},"commonAnnotations":{',
  [layout.TEXT_CLOSING]: '},"externalURL":""}',
  [layout.TEXT_EDGE_OPEN]: '{"id":"',
  [layout.TEXT_EDGE_ALERT]: '","headers":{"content-type":"application/json"},"alert":',
  [layout.TEXT_EDGE_CLOSE]: '}',
  [layout.TEXT_HIT_KEY]: '{"earshot":1,"key":"',
  [layout.TEXT_HIT_ID]: '","id":"',
  [layout.TEXT_HIT_RULE]: '","rule":"',
  [layout.TEXT_HIT_STEP]: '","step":',
  [layout.TEXT_HIT_TIME]: ',"time":"',
  [layout.TEXT_HIT_DISTINCT]: '","distinct":"',
  [layout.TEXT_HIT_ALERT]: '","alert":',
  [layout.TEXT_HIT_LABELS]: ',"labels":{',
  [layout.TEXT_HIT_ANNOTATIONS]: '},"annotations":{',
  [layout.TEXT_HIT_END]: '}}',
  [layout.TEXT_HIT_SAMPLE]: '},"sample":',
  [layout.TEXT_MARK + layout.MARK_MISSING]: '{"earshot":1,"missing":"',
  [layout.TEXT_MARK + layout.MARK_EXPECTED]: '{"earshot":1,"expected":"',
  [layout.TEXT_MARK + layout.MARK_FIRING]: '{"earshot":1,"firing":"',
  [layout.TEXT_MARK + layout.MARK_REPORTED]: '{"earshot":1,"reported":"',
  [layout.TEXT_MARK + layout.MARK_SUPPRESSED]: '{"earshot":1,"suppressed":"',
  [layout.TEXT_MARK + layout.MARK_OVERDUE]: '{"earshot":1,"overdue":"',
  [layout.TEXT_MARK + layout.MARK_RESOLVED]: '{"earshot":1,"resolved":"',
  [layout.TEXT_MARK + layout.MARK_WATCHED]: '{"earshot":1,"watched":"',
  [layout.TEXT_MARK_SEEN]: '","seen":"',
  [layout.TEXT_MARK_TOLD]: '","told":"',
  [layout.TEXT_MARK_TENANT]: '","tenant":"',
  [layout.TEXT_MARK_TIME]: '","time":"',
  [layout.TEXT_MARK_COUNT]: '","count":',
  [layout.TEXT_MARK_ALERT]: ',"alert":',
  [layout.TEXT_MARK_END]: '}',
  [layout.TEXT_EDGE_HIT_KEY]: '{"key":"',
  [layout.TEXT_EDGE_HIT]: '","hit":',
  [layout.TEXT_EDGE_HITS]: '{"hits":[',
  [layout.TEXT_EDGE_ALERTS]: '{"alerts":',
  [layout.TEXT_UNREADABLE]: '{"earshot":1,"unreadable":',
  [layout.TEXT_UNREADABLE_TAG]: ',"tag":',
  [layout.TEXT_UNREADABLE_TIME]: ',"time":"',
  [layout.TEXT_UNREADABLE_WHY]: '","why":"',
  [layout.TEXT_UNREADABLE_RECORD]: '","record":',
  [layout.TEXT_UNREADABLE_KEY]: 'unreadable',
  [layout.TEXT_UNREADABLE_LABELS]: '"alertname":"Earshot cannot read records","tag":',
  [layout.TEXT_UNREADABLE_MESSAGE]: '"message":"Records that could not be read so far: ',
  [layout.TEXT_UNREADABLE_COUNT]: '. The last one is ',
  [layout.TEXT_WHY_MALFORMED]: 'not JSON',
  [layout.TEXT_WHY_TOO_LARGE]: 'larger than 32 MiB, or needs more memory or work than a record may take',
};

const encoder = new TextEncoder();

/** `hash` names the rules: 8 bytes, as a number. */
export function encodeRuleset(compiled: Compiled, hash: bigint): EncodedRuleset {
  const writer = new Writer();
  const header = writer.allocate(layout.HEADER_SIZE);
  const put = (fields: Fields) => writer.record(header, fields, widths.HEADER);
  put({
    [layout.HEADER_MAGIC]: layout.MAGIC,
    [layout.HEADER_VERSION]: layout.VERSION,
    [layout.HEADER_HASH]: hash,
    [layout.HEADER_KEY_COUNT]: compiled.keyCount,
    [layout.HEADER_RATE_COUNT]: compiled.rateCount,
    [layout.HEADER_LOOK_BACK_MS]: BigInt(compiled.lookBackMs),
  });
  const tries = triesOf(compiled);
  const fields = encodeFields(writer, compiled, tries);
  put(fields.header);
  put(encodeTimes(writer, compiled));
  const values = encodeValues(writer, compiled, tries.texts);
  put(values.header);
  const candidates = encodeCandidates(writer, compiled);
  put(candidates.header);
  const patterns = encodePatterns(writer, compiled);
  put(patterns.header);
  const words = compiled.words.map(one => encodeWords(writer, one));
  put(encodeDerivations(writer, compiled, patterns.offsets, tries.texts, fields.roots));
  put(encodeAtoms(writer, compiled, { values: values.offsets, words, patterns: patterns.offsets }));
  put(encodeSteps(writer, compiled, patterns.offsets));
  put(encodeRules(writer, compiled));
  put({ [layout.HEADER_TEXTS_OFFSET]: encodeTexts(writer) });

  writer.allocate(0, 8); // whole words, for the checksum
  put({ [layout.HEADER_SIZE_TOTAL]: writer.size });
  put({ [layout.HEADER_CHECKSUM]: checksum(writer.section(layout.HEADER_SIZE_TOTAL)) });
  return { bytes: writer.slice(), indexes: candidates.indexes };
}

function encodeTexts(writer: Writer): number {
  const texts = writer.allocate(layout.TEXT_COUNT * layout.TEXT_ENTRY_SIZE);
  for (let index = 0; index < layout.TEXT_COUNT; index++) {
    const { offset, size } = encodeText(writer, TEXTS[index]!);
    const entry = { [layout.TEXT_OFFSET]: offset, [layout.TEXT_SIZE]: size };
    writer.record(texts + index * layout.TEXT_ENTRY_SIZE, entry);
  }
  return texts;
}

function encodeText(writer: Writer, text: string): { offset: number; size: number } {
  const bytes = encoder.encode(text);
  return { offset: writer.shared(bytes), size: bytes.length };
}

// ── Fields ──────────────────────────────────────────────────────────────────────────────────────────

function encodeFields(
  writer: Writer,
  compiled: Compiled,
  { early, late, texts }: Tries,
): { header: Fields; roots: number[] } {
  const nodes = [early, late, ...texts.map(text => text.root)].flatMap(root => [...nodesOf(root)]);
  const nodesOffset = writer.allocate(nodes.length * layout.NODE_SIZE);
  const offsets = new Map(nodes.map((node, i) => [node, nodesOffset + i * layout.NODE_SIZE]));
  const edgeCount = nodes.reduce((sum, node) => sum + node.keys.size, 0);
  const edgesOffset = writer.allocate(edgeCount * layout.EDGE_SIZE);
  let edge = 0;
  for (const node of nodes) {
    encodeNode(writer, node, offsets, edgesOffset, edge);
    edge += node.keys.size;
  }
  const header = {
    [layout.HEADER_FIELD_COUNT]: compiled.fields.length,
    [layout.HEADER_LIST_COUNT]: compiled.fields.filter(isList).length,
    [layout.HEADER_NODE_COUNT]: nodes.length,
    [layout.HEADER_NODES_OFFSET]: nodesOffset,
    [layout.HEADER_LATE_NODE_OFFSET]: offsets.get(late)!,
    [layout.HEADER_EDGES_OFFSET]: edgesOffset,
  };
  return { header, roots: texts.map(({ root }) => offsets.get(root)!) };
}

function encodeNode(
  writer: Writer,
  node: TrieNode,
  offsets: Map<TrieNode, number>,
  edgesOffset: number,
  firstEdge: number,
): void {
  const bits = bucketBits(node.keys.size);
  const heads = writer.allocate(2 << bits, 2);
  [...node.keys].forEach(([key, child], i) => {
    const bytes = encoder.encode(key);
    const head = heads + Number(hashKey(bytes) >> BigInt(64 - bits)) * 2;
    const entry = {
      [layout.EDGE_PREFIX]: firstWord(bytes),
      [layout.EDGE_KEY_SIZE]: bytes.length,
      [layout.EDGE_KEY_OFFSET]: writer.shared(bytes),
      [layout.EDGE_NODE]: offsets.get(child)!,
      // The new edge becomes the bucket's first; what was first comes after it.
      [layout.EDGE_NEXT]: writer.readU16(head),
    };
    writer.record(edgesOffset + (firstEdge + i) * layout.EDGE_SIZE, entry, widths.EDGE);
    writer.numbers(head, 2, [firstEdge + i + 1]);
  });
  const byIndex: Array<[number, TrieNode]> = [...node.items].sort(([a], [b]) => a - b);
  if (node.every !== null) byIndex.push([layout.NONE, node.every]);
  const items = byIndex.map(([index, child]) => ({
    [layout.ITEM_INDEX]: index,
    [layout.ITEM_NODE]: offsets.get(child)!,
    [layout.ITEM_NODE_COUNT]: [...nodesOf(child)].length,
  }));
  writer.record(offsets.get(node)!, {
    [layout.NODE_FIELD]: node.field ?? layout.NONE,
    [layout.NODE_HEADS_OFFSET]: heads,
    [layout.NODE_SHIFT]: 64 - bits,
    [layout.NODE_EDGE_COUNT]: node.keys.size,
    [layout.NODE_FIELDS_BELOW]: node.fieldCount,
    [layout.NODE_ITEMS_OFFSET]: writer.sharedRecords(layout.ITEM_SIZE, items),
    [layout.NODE_ITEM_COUNT]: items.length,
  });
}

/** At least twice as many buckets as things, and at least two: a shift by 64 bits would not shift. */
function bucketBits(count: number): number {
  return Math.max(1, Math.ceil(Math.log2(Math.max(1, count) * 2)));
}

// ── Values ──────────────────────────────────────────────────────────────────────────────────────────

const keyOf = (field: number, value: string) => `${field} ${value}`;

/** keyOf → offset of the value. */
type ValueOffsets = Map<string, number>;

function encodeValues(
  writer: Writer,
  { atoms, candidates, derivations, fields }: Compiled,
  texts: TextTrie[],
): { header: Fields; offsets: ValueOffsets } {
  const gates = new Map(candidates.gates.map(({ field, value, number }) => [keyOf(field, value), number]));
  const gateFields = new Set(candidates.gates.map(gate => gate.field));
  const values = fields.map(() => new Set<string>());
  for (const atom of atoms)
    if (atom.op === 'values') for (const value of atom.values) values[atom.field]!.add(value);

  const fieldsOffset = writer.allocate(fields.length * layout.FIELD_SIZE);
  const offsets: ValueOffsets = new Map();
  const lists = fields.flatMap((path, field) => (isList(path) ? [field] : []));
  const derived = new Map<number, number>();
  derivations.forEach(({ source, captured }, index) => {
    for (const field of captured.length > 0 ? captured.map(one => one.field) : [source])
      derived.set(field, index + 1);
  });
  texts.forEach((text, index) => {
    for (const field of text.fields) derived.set(field, derivations.length + index + 1);
  });
  const roleOf = (field: number) =>
    isList(fields[field]!) ? layout.ROLE_LIST : gateFields.has(field) ? layout.ROLE_GATE : layout.ROLE_NONE;
  values.forEach((own, field) => {
    writer.record(fieldsOffset + field * layout.FIELD_SIZE, {
      [layout.FIELD_ROLE]: roleOf(field),
      [layout.FIELD_VALUES_OFFSET]:
        own.size === 0 ? 0 : encodeValueTable(writer, field, [...own], offsets, gates),
      [layout.FIELD_LIST]: lists.indexOf(field) + 1,
      [layout.FIELD_DERIVATION]: derived.get(field) ?? 0,
    });
  });
  const header = {
    [layout.HEADER_FIELDS_OFFSET]: fieldsOffset,
    [layout.HEADER_GATE_FIELD_COUNT]: gateFields.size,
    [layout.HEADER_GATE_COUNT]: gates.size + 1,
  };
  return { header, offsets };
}

function encodeValueTable(
  writer: Writer,
  field: number,
  values: string[],
  offsets: ValueOffsets,
  gates: Map<string, number>,
): number {
  const bits = bucketBits(values.length);
  const table = writer.allocate(layout.VALUES_HEADS + (4 << bits));
  writer.record(table, { [layout.VALUES_SHIFT]: 64 - bits });
  const entries = writer.allocate(values.length * layout.VALUE_SIZE);
  values.forEach((value, i) => {
    const at = entries + i * layout.VALUE_SIZE;
    const bytes = encoder.encode(value);
    const head = table + layout.VALUES_HEADS + Number(hashValue(bytes) >> BigInt(64 - bits)) * 4;
    writer.record(at, {
      [layout.VALUE_TEXT_SIZE]: bytes.length,
      [layout.VALUE_TEXT_OFFSET]: writer.shared(bytes),
      [layout.VALUE_GATE]: gates.get(keyOf(field, value)) ?? 0,
      // The new value becomes the head; what was the head comes after it.
      [layout.VALUE_NEXT_OFFSET]: writer.readU32(head),
    });
    writer.numbers(head, 4, [at]);
    offsets.set(keyOf(field, value), at);
  });
  return table;
}

/** First the derivations of the rules, then those of texts, whose tries have these roots. */
function encodeDerivations(
  writer: Writer,
  { derivations }: Compiled,
  patterns: number[],
  texts: TextTrie[],
  roots: number[],
): Fields {
  const ofRules = derivations.map(({ kind, source, pattern, captured }) => ({
    [layout.DERIVATION_KIND]: kind,
    [layout.DERIVATION_SOURCE]: source,
    [layout.DERIVATION_A]: pattern === null ? 0 : patterns[pattern]!,
    [layout.DERIVATION_B]: writer.sharedRecords(
      layout.CAPTURED_SIZE,
      captured.map(one => ({ [layout.CAPTURED_SLOT]: one.slot, [layout.CAPTURED_FIELD]: one.field })),
    ),
    [layout.DERIVATION_C]: captured.length,
  }));
  const ofTexts = texts.map(({ source, format, root }, i) => ({
    [layout.DERIVATION_KIND]: format === 'json' ? layout.DERIVE_JSON : layout.DERIVE_LOGFMT,
    [layout.DERIVATION_SOURCE]: source,
    [layout.DERIVATION_A]: roots[i]!,
    [layout.DERIVATION_B]: [...nodesOf(root)].length,
  }));
  return {
    [layout.HEADER_DERIVATION_COUNT]: derivations.length + texts.length,
    [layout.HEADER_DERIVATIONS_OFFSET]: writer.records(layout.DERIVATION_SIZE, [...ofRules, ...ofTexts]),
  };
}

/** Those that have a name. */
const TIME_FORMATS: Record<string, number> = {
  any: layout.TIME_ANY,
  likely: layout.TIME_LIKELY,
  rfc3339: layout.TIME_RFC3339,
  epoch: layout.TIME_EPOCH,
};

/** The fields that may say a record's time, and a record with no field as their end. */
function encodeTimes(writer: Writer, { times }: Compiled): Fields {
  const records = times.map(({ field, path, format }) => {
    const name = encodeText(writer, JSON.stringify(path));
    const named = Object.hasOwn(TIME_FORMATS, format) ? TIME_FORMATS[format]! : undefined;
    return {
      [layout.TIME_FIELD]: field,
      [layout.TIME_FORMAT]: named ?? encodeText(writer, `${format}\0`).offset,
      [layout.TIME_PATH_OFFSET]: name.offset,
      [layout.TIME_PATH_SIZE]: name.size,
    };
  });
  const end = { [layout.TIME_FIELD]: layout.NONE };
  return { [layout.HEADER_TIMES_OFFSET]: writer.records(layout.TIME_SIZE, [...records, end]) };
}

// ── Gates and needles ───────────────────────────────────────────────────────────────────────────────

function encodeCandidates(
  writer: Writer,
  { candidates }: Compiled,
): { header: Fields; indexes: EncodedIndex[] } {
  const { gates, indexes } = candidates;
  const gatesOffset = writer.allocate((gates.length + 1) * layout.GATE_SIZE);
  for (const { number, indexMask, steps } of gates) {
    writer.record(gatesOffset + number * layout.GATE_SIZE, {
      [layout.GATE_INDEX_MASK]: indexMask,
      [layout.GATE_STEPS_OFFSET]: writer.sharedNumbers(steps),
      [layout.GATE_STEP_COUNT]: steps.length,
    });
  }
  const alwaysOffset = writer.sharedNumbers(candidates.always);
  const indexesOffset = writer.allocate(indexes.length * layout.INDEX_SIZE);
  let needleCount = 0;
  const encoded = indexes.map((index, i) => {
    const before = writer.size;
    encodeIndex(writer, indexesOffset + i * layout.INDEX_SIZE, index, needleCount);
    needleCount += index.needles.length;
    return { ...index, size: writer.size - before };
  });
  const header = {
    [layout.HEADER_GATES_OFFSET]: gatesOffset,
    [layout.HEADER_UNREJECTABLE_COUNT]: candidates.unrejectableCount,
    [layout.HEADER_ALWAYS_MASK]: candidates.alwaysMask,
    [layout.HEADER_ALWAYS_OFFSET]: alwaysOffset,
    [layout.HEADER_ALWAYS_COUNT]: candidates.always.length,
    [layout.HEADER_INDEXES_OFFSET]: indexesOffset,
    [layout.HEADER_INDEX_COUNT]: indexes.length,
    [layout.HEADER_NEEDLE_COUNT]: needleCount,
  };
  return { header, indexes: encoded };
}

function encodeIndex(writer: Writer, at: number, index: NeedleIndex, firstNeedle: number): void {
  const heads = writer.allocate(2 << index.bits);
  for (const [bucket, head] of index.heads) writer.numbers(heads + bucket * 2, 2, [head]);
  const grams = writer.records(
    layout.GRAM_SIZE,
    index.grams.map(({ needle, back, flags }) => ({
      [layout.GRAM_NEEDLE]: needle,
      [layout.GRAM_BACK]: back,
      [layout.GRAM_FLAGS]: flags,
    })),
    widths.GRAM,
  );
  writer.record(at, {
    [layout.INDEX_FIELD]: index.field,
    [layout.INDEX_GRAM_SIZE]: index.gramSize,
    [layout.INDEX_STEP]: index.step,
    [layout.INDEX_SHIFT]: 32 - index.bits,
    [layout.INDEX_HEADS_OFFSET]: heads,
    [layout.INDEX_GRAMS_OFFSET]: grams,
    [layout.INDEX_NEEDLES_OFFSET]: encodeNeedles(writer, index),
    [layout.INDEX_FIRST_NEEDLE]: firstNeedle,
  });
}

function encodeNeedles(writer: Writer, { needles }: NeedleIndex): number {
  const table = writer.allocate(needles.length * layout.NEEDLE_SIZE);
  needles.forEach(({ window, waiting }, i) => {
    const steps = waiting.map(({ gate, step }) => ({
      [layout.WAITING_GATE]: gate,
      [layout.WAITING_STEP]: step,
    }));
    const needle = {
      [layout.NEEDLE_WORD]: firstWord(bytesOf(window)),
      [layout.NEEDLE_MASK]: 2n ** BigInt(8 * window.length) - 1n,
      [layout.NEEDLE_STEPS_OFFSET]: writer.sharedRecords(layout.WAITING_SIZE, steps),
      [layout.NEEDLE_STEP_COUNT]: steps.length,
    };
    writer.record(table + i * layout.NEEDLE_SIZE, needle, widths.NEEDLE);
  });
  return table;
}

// ── Patterns ────────────────────────────────────────────────────────────────────────────────────────

/** Writes the patterns and returns the offset of each. */
function encodePatterns(writer: Writer, { patterns }: Compiled): { header: Fields; offsets: number[] } {
  const sets: CodePoints[] = [];
  const setIndexes = new Map<string, number>();
  const setIndex = (set: CodePoints) => {
    const key = set.join();
    if (!setIndexes.has(key)) setIndexes.set(key, sets.push(set) - 1);
    return setIndexes.get(key)!;
  };

  const offset = writer.allocate(patterns.length * layout.PATTERN_SIZE);
  const offsets = patterns.map(({ program, dfa, firstByte, capturesFirst }, i) => {
    const at = offset + i * layout.PATTERN_SIZE;
    const instructions = program.instructions.map(one => wordOf(one, program, setIndex));
    writer.record(at, {
      [layout.PATTERN_PROGRAM_OFFSET]: writer.sharedNumbers(instructions),
      [layout.PATTERN_INSTRUCTION_COUNT]: instructions.length,
      [layout.PATTERN_DFA_OFFSET]: dfa === null ? 0 : encodeDfa(writer, dfa),
      [layout.PATTERN_SLOT_COUNT]: program.captures.length * 2,
      [layout.PATTERN_FIRST_BYTE]: firstByte ?? layout.NONE,
      [layout.PATTERN_ANCHORED]: program.anchored ? 1 : 0,
      [layout.PATTERN_CAPTURES_FIRST]: capturesFirst ? 1 : 0,
    });
    return at;
  });

  const setsOffset = writer.allocate(sets.length * layout.SET_SIZE);
  sets.forEach((set, i) => encodeSet(writer, setsOffset + i * layout.SET_SIZE, set));
  return {
    header: { [layout.HEADER_PATTERNS_OFFSET]: offset, [layout.HEADER_SETS_OFFSET]: setsOffset },
    offsets,
  };
}

/** An instruction is one byte of op and three of operand. Sets are counted over all patterns. */
function wordOf(
  { op, operand }: Instruction,
  { sets }: Program,
  setIndex: (set: CodePoints) => number,
): number {
  const hasSet = op === layout.RUN_SET || op === layout.RUN_SKIP;
  return op + (hasSet ? setIndex(sets[operand]!) : operand) * 256;
}

function encodeDfa(writer: Writer, dfa: Dfa): number {
  const at = writer.allocate(dfaSize(dfa), 4);
  const isWide = dfa.width === 2;
  const name = (state: number) => (isWide && state >= layout.DFA_FIRST_ROW ? state * dfa.stride : state);
  writer.record(at, {
    [layout.DFA_CLASSES_OFFSET]: writer.shared(dfa.classes),
    [layout.DFA_STRIDE]: dfa.stride,
    [layout.DFA_WIDTH]: dfa.width,
    [layout.DFA_START]: name(dfa.start),
    [layout.DFA_PREFIX_OFFSET]: writer.shared(dfa.prefix),
    [layout.DFA_PREFIX_SIZE]: dfa.prefix.length,
  });
  writer.numbers(at + layout.DFA_ROWS, dfa.width, dfa.rows.flat().map(name));
  return at;
}

function encodeSet(writer: Writer, at: number, set: CodePoints): void {
  const bitmap = new Uint32Array(layout.SET_BITMAP_WORDS);
  const ranges: Fields[] = [];
  for (let i = 0; i < set.length; i += 2) {
    const [low, high] = [set[i]!, set[i + 1]!];
    for (let code = low; code <= Math.min(high, 0x7f); code++) bitmap[code >> 5]! |= 1 << (code & 31);
    if (high >= 0x80) ranges.push({ [layout.RANGE_LOW]: Math.max(low, 0x80), [layout.RANGE_HIGH]: high });
  }
  writer.numbers(at + layout.SET_BITMAP, 4, bitmap);
  writer.record(at, {
    [layout.SET_RANGES_OFFSET]: writer.sharedRecords(layout.RANGE_SIZE, ranges),
    [layout.SET_RANGE_COUNT]: ranges.length,
  });
}

// ── Atoms and steps ─────────────────────────────────────────────────────────────────────────────────

const NUMBER_OPS = {
  equal: layout.OP_EQUAL,
  less: layout.OP_LESS,
  lessOrEqual: layout.OP_LESS_OR_EQUAL,
  greater: layout.OP_GREATER,
  greaterOrEqual: layout.OP_GREATER_OR_EQUAL,
  sameNumber: layout.OP_SAME_NUMBER,
};

/** Offsets of what atoms refer to. */
interface Offsets {
  values: ValueOffsets;
  words: number[];
  patterns: number[];
}

function encodeAtoms(writer: Writer, { atoms }: Compiled, offsets: Offsets): Fields {
  const offset = writer.allocate(atoms.length * layout.ATOM_SIZE);
  atoms.forEach((atom, i) => {
    const { op, a = 0, b = 0 } = encodeAtom(writer, atom, offsets);
    writer.record(offset + i * layout.ATOM_SIZE, {
      [layout.ATOM_OP]: op,
      [layout.ATOM_FIELD]: atom.field,
      [layout.ATOM_A]: a,
      [layout.ATOM_B]: b,
    });
  });
  return {
    [layout.HEADER_ATOMS_OFFSET]: offset,
    [layout.HEADER_ATOM_COUNT]: atoms.length,
    [layout.HEADER_HAS_ACTIVE]: atoms.some(atom => atom.op === 'active') ? 1 : 0,
  };
}

function encodeAtom(
  writer: Writer,
  atom: Atom,
  { values, words, patterns }: Offsets,
): { op: number; a?: number; b?: number } {
  switch (atom.op) {
    case 'exists':
      return { op: layout.OP_EXISTS };
    case 'type':
      return { op: layout.OP_TYPE, a: atom.type };
    case 'values': {
      const ids = atom.values.map(value => values.get(keyOf(atom.field, value))!).sort((a, b) => a - b);
      return ids.length === 1
        ? { op: layout.OP_VALUE, a: ids[0]! }
        : { op: layout.OP_VALUES, a: writer.sharedNumbers(ids), b: ids.length };
    }
    case 'starts':
    case 'ends': {
      const { offset, size } = encodeText(writer, atom.text);
      return { op: atom.op === 'starts' ? layout.OP_STARTS : layout.OP_ENDS, a: offset, b: size };
    }
    case 'words':
      return { op: layout.OP_WORDS, a: words[atom.words]! };
    case 'active':
      return { op: layout.OP_ACTIVE, a: encodeActive(writer, atom) };
    case 'each':
      return { op: layout.OP_EACH, a: writer.sharedNumbers(atom.atoms), b: atom.atoms.length };
    case 'pattern':
      return { op: layout.OP_PATTERN, a: patterns[atom.pattern]! };
    default:
      return { op: NUMBER_OPS[atom.op], a: encodeNumber(writer, atom.number) };
  }
}

function encodeActive(writer: Writer, { spans, timezone }: Atom & { op: 'active' }): number {
  const shifts = shiftsOf(timezone);
  const active = {
    [layout.ACTIVE_SPANS_OFFSET]: writer.sharedRecords(
      layout.SPAN_SIZE,
      spans.map(({ start, end }) => ({ [layout.SPAN_START]: start, [layout.SPAN_END]: end })),
    ),
    [layout.ACTIVE_SPAN_COUNT]: spans.length,
    [layout.ACTIVE_SHIFTS_OFFSET]: writer.sharedRecords(
      layout.SHIFT_SIZE,
      shifts.map(({ from, seconds }) => ({ [layout.SHIFT_FROM]: from, [layout.SHIFT_SECONDS]: seconds })),
    ),
    [layout.ACTIVE_SHIFT_COUNT]: shifts.length,
  };
  return writer.sharedRecords(layout.ACTIVE_SIZE, [active]);
}

function encodeWords(writer: Writer, { classes, rootCount, sizeMax, place, nodes }: Words): number {
  const at = writer.allocate(layout.WORDS_NODES + nodes.length * 4, 4);
  writer.record(at, {
    [layout.WORDS_CLASSES_OFFSET]: writer.shared(classes),
    [layout.WORDS_ROOT_COUNT]: rootCount,
    [layout.WORDS_SIZE_MAX]: sizeMax,
    [layout.WORDS_AT_START]: place === 'start' || place === 'whole' ? 1 : 0,
    [layout.WORDS_AT_END]: place === 'end' || place === 'whole' ? 1 : 0,
  });
  writer.numbers(at + layout.WORDS_NODES, 4, nodes);
  return at;
}

function encodeNumber(writer: Writer, text: string): number {
  const { negative, digits, exponent } = parseDecimal(text)!; // the rules contain only decimal numbers
  const at = writer.allocate(layout.NUMBER_DIGITS + digits.length, 4);
  writer.record(at, {
    [layout.NUMBER_SIGN]: negative ? 1 : 0,
    [layout.NUMBER_EXPONENT]: exponent,
    [layout.NUMBER_DIGIT_COUNT]: digits.length,
  });
  writer.numbers(at + layout.NUMBER_DIGITS, 1, [...digits].map(Number));
  return at;
}

function encodeSteps(writer: Writer, { steps, patterns }: Compiled, offsets: number[]): Fields {
  const offset = writer.allocate(steps.length * layout.STEP_SIZE);
  steps.forEach((step, i) => {
    writer.record(offset + i * layout.STEP_SIZE, {
      [layout.STEP_CODE_OFFSET]: encodeCode(writer, step),
      [layout.STEP_RULE]: step.rule,
      [layout.STEP_ORDINAL]: step.ordinal,
      [layout.STEP_EXTRACTS_OFFSET]: encodeExtracts(writer, step, offsets),
      [layout.STEP_EXTRACT_COUNT]: step.extracts.length,
    });
  });
  const slotEnds = steps.flatMap(step =>
    step.extracts.map(({ pattern, slot }) => slot + patterns[pattern]!.program.captures.length * 2),
  );
  return {
    [layout.HEADER_STEPS_OFFSET]: offset,
    [layout.HEADER_STEP_COUNT]: steps.length,
    [layout.HEADER_SLOT_COUNT]: largest([0, ...slotEnds]),
  };
}

function encodeCode(writer: Writer, { code }: CompiledStep): number {
  const decisions = code.map(({ atom, onTrue, onFalse }) => ({
    [layout.CODE_ATOM]: atom,
    [layout.CODE_ON_TRUE]: onTrue,
    [layout.CODE_ON_FALSE]: onFalse,
  }));
  return writer.records(layout.CODE_SIZE, decisions, widths.CODE);
}

function encodeExtracts(writer: Writer, { extracts }: CompiledStep, patterns: number[]): number {
  const records = extracts.map(({ pattern, field, slot }) => ({
    [layout.EXTRACT_PATTERN]: patterns[pattern]!,
    [layout.EXTRACT_FIELD]: field,
    [layout.EXTRACT_SLOT]: slot,
  }));
  return writer.sharedRecords(layout.EXTRACT_SIZE, records);
}

// ── Rules and templates ─────────────────────────────────────────────────────────────────────────────

function encodeRules(writer: Writer, { rules }: Compiled): Fields {
  const offset = writer.allocate(rules.length * layout.RULE_SIZE);
  rules.forEach((rule, i) => encodeRule(writer, offset + i * layout.RULE_SIZE, rule));
  return {
    [layout.HEADER_RULES_OFFSET]: offset,
    [layout.HEADER_FINGERPRINTS_OFFSET]: encodeFingerprints(writer, rules, offset),
    [layout.HEADER_RULE_COUNT]: rules.length,
    [layout.HEADER_HAS_ABSENCE]: rules.some(needsClock) ? 1 : 0,
    [layout.HEADER_LABEL_COUNT]: largest([0, ...rules.map(rule => rule.labels.length)]),
  };
}

/** Returns the offset of a table of the rules' offsets, in the order of their fingerprints. */
function encodeFingerprints(writer: Writer, rules: CompiledRule[], rulesOffset: number): number {
  const sorted = rules
    .map(({ fingerprint }, i) => ({ fingerprint, offset: rulesOffset + i * layout.RULE_SIZE }))
    .sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1));
  const table = writer.allocate(sorted.length * layout.FINGERPRINT_SIZE);
  sorted.forEach(({ offset }, i) =>
    writer.record(table + i * layout.FINGERPRINT_SIZE, { [layout.FINGERPRINT_RULE_OFFSET]: offset }),
  );
  return table;
}

function encodeRule(writer: Writer, at: number, rule: CompiledRule): void {
  const name = encodeText(writer, rule.alert);
  // NO_LABEL is what −1 is in 16 bits.
  const labelNamed = (name: string) => rule.labels.findIndex(label => label.name === name) & layout.NO_LABEL;
  const fields = {
    [layout.RULE_NAME_OFFSET]: name.offset,
    [layout.RULE_NAME_SIZE]: name.size,
    [layout.RULE_LABELS_OFFSET]: encodeTemplates(writer, rule.labels),
    [layout.RULE_LABEL_COUNT]: rule.labels.length,
    [layout.RULE_ANNOTATIONS_OFFSET]: encodeTemplates(writer, rule.annotations),
    [layout.RULE_ANNOTATION_COUNT]: rule.annotations.length,
    [layout.RULE_KIND]: rule.kind,
    [layout.RULE_COUNT]: rule.count,
    [layout.RULE_REALERT_MS]: BigInt(rule.realertMs),
    [layout.RULE_WINDOW_MS]: BigInt(rule.windowMs),
    [layout.RULE_BY_MASK]: rule.byMask,
    [layout.RULE_FINGERPRINT]: rule.fingerprint,
    [layout.RULE_DISTINCT_FIELD]: rule.distinctField ?? layout.NONE,
    [layout.RULE_COUNTING_OFFSET]: encodeCounting(writer, rule),
    [layout.RULE_ALERTNAME_LABEL]: labelNamed('alertname'),
    [layout.RULE_NAMESPACE_LABEL]: labelNamed('namespace'),
  };
  writer.record(at, fields, widths.RULE);
}

function encodeCounting(writer: Writer, rule: CompiledRule): number {
  const { samples, sequence } = rule;
  const fields = {
    [layout.COUNTING_RESOLVE_MS]: BigInt(rule.resolveMs),
    [layout.COUNTING_LEARN_MS]: BigInt(rule.learnMs),
    [layout.COUNTING_SAMPLE_SLICE_MS]: BigInt(samples?.sliceMs ?? 1),
    [layout.COUNTING_SAMPLE_OFFSET]: samples ? encodeTemplates(writer, [samples.text]) : 0,
    [layout.COUNTING_SAMPLE_FIRST]: samples?.first ?? 0,
    [layout.COUNTING_SAMPLE_LAST]: samples?.last ?? 0,
    [layout.COUNTING_STEP_COUNT]: rule.kind === layout.KIND_RATIO ? 2 : (sequence?.steps.length ?? 1),
    [layout.COUNTING_STEPS_OFFSET]: encodeSequence(writer, rule),
    [layout.COUNTING_ORDER]: sequence?.order ?? 0,
    [layout.COUNTING_ABOVE]: rule.above,
  };
  return writer.sharedRecords(layout.COUNTING_SIZE, [fields], widths.COUNTING);
}

function encodeSequence(writer: Writer, { sequence }: CompiledRule): number {
  if (!sequence) return 0;
  const records = sequence.steps.map(({ kind, place, count }) => ({
    [layout.SEQUENCE_KIND]: kind,
    [layout.SEQUENCE_PLACE]: place,
    [layout.SEQUENCE_COUNT]: count,
  }));
  return writer.sharedRecords(layout.SEQUENCE_SIZE, records, widths.SEQUENCE);
}

function encodeTemplates(writer: Writer, templates: CompiledTemplate[]): number {
  const records = templates.map(({ name, parts, requires }) => {
    const key = encodeText(writer, `,"${name}":`);
    return {
      [layout.TEMPLATE_KEY_OFFSET]: key.offset,
      [layout.TEMPLATE_NAME_SIZE]: Buffer.byteLength(name),
      [layout.TEMPLATE_PARTS_OFFSET]: encodeParts(writer, parts),
      [layout.TEMPLATE_PART_COUNT]: parts.length,
      [layout.TEMPLATE_REQUIRES]: requires ?? layout.NO_LABEL,
    };
  });
  return writer.sharedRecords(layout.TEMPLATE_SIZE, records, widths.TEMPLATE);
}

function encodeParts(writer: Writer, parts: CompiledPart[]): number {
  const records = parts.map(({ kind, text, index = 0, chained }) => {
    const { offset, size } = text === undefined ? { offset: index, size: 0 } : encodeText(writer, text);
    const flags = chained ? layout.PART_CHAINED : 0;
    return { [layout.PART_KIND]: kind | flags, [layout.PART_A]: offset, [layout.PART_B]: size };
  });
  return writer.sharedRecords(layout.PART_SIZE, records);
}
