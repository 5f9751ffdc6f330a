// Marks: what the counter writes into the hits topic next to the hits, so that the next owner of the partition knows what
// the counter knew. They go to the partition of their hits, after the sink's 2xx and before the commit. Two kinds:
//
//   {"earshot":1,"told":12345,"fate":"accepted","alert":"404 Request"}
//     The alert of the hit at offset `told` of this partition was told: `fate` says whether the sink accepted it or the
//     dead-letter topic has it. `alert` is for the reader.
//   {"earshot":1,"at":12345,"mark":{"earshot":1,"missing":"…",…}}
//     What no hit says, as the core writes it (assembly/layout.ts shows it): an absence was told, for example. It was true
//     when all hits below offset `at` were counted. One such mark is the function's own: which hits of Kafka topics were
//     counted, {"earshot":1,"seen":{"<topic>/<partition>":[<offset>,<timestamp>,"<rule>/<step>",…],…}}.

import type { Seen } from './seen.ts';

export interface Told {
  /** Offset of the hit in the partition of the mark. */
  told: number;
  fate: 'accepted' | 'buried';
  alert: string;
}

export interface Noted {
  /** One past the last hit that was counted before. */
  at: number;
  /** For `Matcher.count`. */
  mark: Uint8Array;
}

const SEEN = '{"earshot":1,"seen":';
const TOLD = '{"earshot":1,"told":';
const NOTED = /^\{"earshot":1,"at":(\d{1,16}),"mark":/;
const NOTED_SIZE_MAX = 48; // Of what comes before the core's mark.

export function writeTold({ told, fate, alert }: Told): Buffer {
  return Buffer.from(JSON.stringify({ earshot: 1, told, fate, alert }));
}

export function writeNoted({ at, mark }: Noted): Buffer {
  return Buffer.concat([Buffer.from(`{"earshot":1,"at":${at},"mark":`), mark, Buffer.from('}')]);
}

/** The mark in these bytes, or undefined when they are something else. */
export function readMark(bytes: Uint8Array): Told | Noted | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.toString('latin1', 0, TOLD.length) === TOLD) return readTold(view);
  const head = NOTED.exec(view.toString('latin1', 0, NOTED_SIZE_MAX));
  return head ? { at: Number(head[1]), mark: view.subarray(head[0].length, -1) } : undefined;
}

/** A mark of what `Seen.save` returned. */
export function writeSeen(saved: string): Buffer {
  return Buffer.from(`${SEEN}${saved}}`);
}

/** What `Seen.load` takes, or undefined: the mark is the core's. */
export function readSeen(mark: Uint8Array): Parameters<Seen['load']>[0] | undefined {
  const view = Buffer.from(mark.buffer, mark.byteOffset, mark.byteLength);
  if (view.toString('latin1', 0, SEEN.length) !== SEEN) return undefined;
  return (JSON.parse(view.toString()) as { seen: Parameters<Seen['load']>[0] }).seen;
}

function readTold(view: Buffer): Told | undefined {
  try {
    const mark = JSON.parse(view.toString()) as Told;
    return Number.isSafeInteger(mark.told) && mark.told >= 0 ? mark : undefined;
  } catch {
    return undefined;
  }
}
