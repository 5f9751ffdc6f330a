// Fluent Bit runs a chunk that it could not deliver through the filter once more, record by record. What was counted
// must not be counted again then, and an alert that went out with that chunk must go out with it again.
//
// So the filter remembers what it returned. Answers are in a ring of bytes, the oldest give way; each is
//
//   0 id u64 | 8 position u64 of the older answer in its chain | 16 the answer
//
// A position counts the bytes that were ever written, and its place in the ring is its remainder. Of records that had hits and no
// alert only the ids are known, one in each place of a table.
import { copyBytes } from './bytes';
import { keep } from './memory';

/** Some thousand alerts: more can only wait when a receiver is down in a storm of alerts. */
const RING_SIZE: usize = 1 << 21;
const CHAINS: usize = 1 << 12;
const COUNTED: usize = 1 << 16;

const ENTRY_ID: usize = 0;
const ENTRY_NEXT: usize = 8;
const ENTRY_ANSWER: usize = 16;

let chains: usize = 0; // u64 each: the position of the newest answer, 0: none
let ring: usize = 0;
let counted: usize = 0; // u64 each
let written: u64 = RING_SIZE; // no answer has position 0

/** Gets the memory. False when there is none. */
function open(): bool {
  if (chains != 0) return true;
  const block = keep(CHAINS * 8 + COUNTED * 8 + RING_SIZE);
  if (block == 0) return false;
  memory.fill(block, 0, CHAINS * 8 + COUNTED * 8);
  chains = block;
  counted = chains + CHAINS * 8;
  ring = counted + COUNTED * 8;
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

/** Whether a record's hits were counted before, without an alert; if not, they are from now on. */
export function wasCounted(id: u64): bool {
  return counted != 0 && load<u64>(counted + (((<usize>id) & (COUNTED - 1)) << 3)) == id;
}

export function noteCounted(id: u64): void {
  if (open()) store<u64>(counted + (((<usize>id) & (COUNTED - 1)) << 3), id);
}
