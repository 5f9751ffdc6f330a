// Where a record matched a rule, asked of the module itself. Its steps and their decision graphs are in its bytes, so
// this needs no rules file.
import * as layout from '../../assembly/layout.ts';
import type { Doors } from '../matcher.ts';

/** A text of the record and the parts of it that matched, in UTF-16 units. */
export interface MatchedText {
  text: string;
  parts: { start: number; end: number }[];
}

/** The longest text in which the record matches one of the rules: of a log line and a namespace it is the line. */
export function matchedText(doors: Doors, rules: number[], record: Uint8Array): MatchedText | null {
  const block = doors.malloc(record.length);
  if (block === 0) return null;
  new Uint8Array(doors.memory.buffer).set(record, block);
  if (doors.examine(block, record.length) !== 0) return null;
  const base = doors.rulesetAddress();
  const u32 = (offset: number) => new DataView(doors.memory.buffer).getUint32(base + offset, true);
  let longest: MatchedText | null = null;
  for (let step = 0; step < u32(layout.HEADER_STEP_COUNT); step++) {
    const at = u32(layout.HEADER_STEPS_OFFSET) + step * layout.STEP_SIZE;
    if (!rules.includes(u32(at + layout.STEP_RULE))) continue;
    for (const found of textsOf(doors, atomsMet(doors, u32(at + layout.STEP_CODE_OFFSET))))
      if (longest === null || found.text.length > longest.text.length) longest = found;
  }
  return longest;
}

/** The atoms that hold on the way through a step's graph; none when the record does not meet the step. */
function atomsMet(doors: Doors, code: number): number[] {
  const met: number[] = [];
  let index = 0;
  while (index < layout.CODE_FAIL) {
    const view = new DataView(doors.memory.buffer);
    const at = doors.rulesetAddress() + code + index * layout.CODE_SIZE;
    const atom = view.getUint32(at + layout.CODE_ATOM, true);
    const holds = Boolean(doors.testAtom(atom));
    if (holds) met.push(atom);
    index = view.getUint16(at + (holds ? layout.CODE_ON_TRUE : layout.CODE_ON_FALSE), true);
  }
  return index === layout.CODE_MATCH ? met : [];
}

/** The texts of the atoms, each with all parts that matched in it. */
function textsOf(doors: Doors, atoms: number[]): MatchedText[] {
  const texts = new Map<string, MatchedText>();
  for (const atom of atoms) {
    if (!doors.spanOf(atom)) continue;
    const at = doors.spanText();
    const bytes = Buffer.from(doors.memory.buffer, at, doors.spanTextSize());
    // Offsets count bytes in the module and UTF-16 units here.
    const offset = (address: number) => bytes.subarray(0, address - at).toString().length;
    const part = { start: offset(doors.spanStart()), end: offset(doors.spanEnd()) };
    const text = bytes.toString();
    const known = texts.get(text) ?? { text, parts: [] };
    if (part.end > part.start) known.parts.push(part);
    texts.set(text, known);
  }
  return [...texts.values()];
}
