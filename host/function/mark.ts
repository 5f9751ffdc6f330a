// Marks: what the counter writes into the hits topic beside the hits, so that whoever owns the partition next knows
// what was told. A mark goes to the partition of its hit, after the sink's 2xx and before the commit.
//
//   {"earshot":1,"told":12345,"fate":"accepted","alert":"404 Request"}
//
// `told` is the offset, in this partition, of the hit whose alert was told; `fate` says whether the sink accepted it or
// the dead-letter topic has it; `alert` is for the reader. Marks of absences are written and read by the core.

export interface Told {
  /** Offset of the hit in the partition of the mark. */
  told: number;
  fate: 'accepted' | 'buried';
  alert: string;
}

const BEGINNING = '{"earshot":1,"told":';

export function writeTold({ told, fate, alert }: Told): Buffer {
  return Buffer.from(JSON.stringify({ earshot: 1, told, fate, alert }));
}

/** The mark in these bytes, or undefined when they are something else. */
export function readTold(bytes: Uint8Array): Told | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.toString('latin1', 0, BEGINNING.length) !== BEGINNING) return undefined;
  try {
    const mark = JSON.parse(view.toString()) as Told;
    return Number.isSafeInteger(mark.told) && mark.told >= 0 ? mark : undefined;
  } catch {
    return undefined;
  }
}
