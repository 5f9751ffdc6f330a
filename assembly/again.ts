// Fluent Bit runs a chunk that it could not deliver through the filter once more, record by record. What was counted
// must not be counted again then, and an alert that went out with that chunk must go out with it again.
//
// So the filter remembers what it returned. Answers are in a ring of bytes, the oldest give way; each is
//
//   0 id u64 | 8 position u64 of the older answer in its chain | 16 the answer
//
// A position counts the bytes that were ever written, and its place in the ring is its remainder. More than the ring holds wait
// when a receiver is down in a storm of alerts. Then the ids of the hits are still known: of those whose alerts were told, and
// of those that were only counted, each in a table of sets, in which the newest of a set comes first.
import { copyBytes } from './bytes';
import { keep } from './memory';

const RING_SIZE: usize = 1 << 21; // some thousand alerts
const CHAINS: usize = 1 << 12;
const SET_SIZE: usize = 16 * 8; // ids; with sets of 16 a table is almost full before it forgets one
const TOLD_SETS: usize = 1 << 13;
const COUNTED_SETS: usize = 1 << 13;

const ENTRY_ID: usize = 0;
const ENTRY_NEXT: usize = 8;
const ENTRY_ANSWER: usize = 16;

let chains: usize = 0; // u64 each: the position of the newest answer, 0: none
let ring: usize = 0;
let told: usize = 0; // sets
let counted: usize = 0; // sets
let written: u64 = RING_SIZE; // no answer has position 0

/** Gets the memory. False when there is none. */
function open(): bool {
  if (chains != 0) return true;
  const tablesSize = CHAINS * 8 + (TOLD_SETS + COUNTED_SETS) * SET_SIZE;
  const block = keep(tablesSize + RING_SIZE);
  if (block == 0) return false;
  memory.fill(block, 0, tablesSize);
  chains = block;
  told = chains + CHAINS * 8;
  counted = told + TOLD_SETS * SET_SIZE;
  ring = counted + COUNTED_SETS * SET_SIZE;
  return true;
}

/** The answer that a record had, or 0: it stays until the next `remember`. */
export function recall(id: u64): usize {
  if (chains == 0) return 0;
  let position = load<u64>(chainOf(id));
  // Older answers are overwritten.
  while (position != 0 && position + RING_SIZE >= written) {
    const entry = ring + <usize>(position % RING_SIZE);
    if (load<u64>(entry, ENTRY_ID) == id) return entry + ENTRY_ANSWER;
    position = load<u64>(entry, ENTRY_NEXT);
  }
  return 0;
}

/** Remembers the answer of `size` bytes. One that would take too much of the ring is not remembered. */
export function remember(id: u64, answer: usize, size: usize): void {
  const total = (ENTRY_ANSWER + size + 15) & ~7; // copying may write 7 bytes more
  if (total > RING_SIZE / 4 || !open()) return;
  const place = <usize>(written % RING_SIZE);
  if (place + total > RING_SIZE) written += RING_SIZE - place; // an answer is in one piece
  const entry = ring + <usize>(written % RING_SIZE);
  const chain = chainOf(id);
  store<u64>(entry, id, ENTRY_ID);
  store<u64>(entry, load<u64>(chain), ENTRY_NEXT);
  copyBytes(entry + ENTRY_ANSWER, answer, size);
  store<u64>(chain, written);
  written += total;
}

function chainOf(id: u64): usize {
  return chains + (((<usize>id) & (CHAINS - 1)) << 3);
}

/** Whether the alert of this hit was told. */
export function wasTold(id: u64): bool {
  return chains != 0 && holds(toldSet(id), id);
}

/** Whether this hit was counted, without an alert. */
export function wasCounted(id: u64): bool {
  return chains != 0 && holds(countedSet(id), id);
}

export function noteHit(id: u64, isTold: bool): void {
  if (!open()) return;
  const set = isTold ? toldSet(id) : countedSet(id);
  if (holds(set, id)) return;
  memory.copy(set + 8, set, SET_SIZE - 8);
  store<u64>(set, id);
}

function toldSet(id: u64): usize {
  return told + ((<usize>id) & (TOLD_SETS - 1)) * SET_SIZE;
}

function countedSet(id: u64): usize {
  return counted + ((<usize>id) & (COUNTED_SETS - 1)) * SET_SIZE;
}

function holds(set: usize, id: u64): bool {
  for (const end = set + SET_SIZE; set < end; set += 8) if (load<u64>(set) == id) return true;
  return false;
}
