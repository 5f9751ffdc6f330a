// Memory, from low to high:
//
//   [static data] [ruleset] [state] [scratch] [arena →
//
// The ruleset is a data segment that `bake` appends; state and scratch are sized by it. The arena is a
// bump pointer: what a host gets from `malloc` stays until the next `malloc` after a call has finished,
// and what a call allocates is released when it finishes. Nothing is ever freed one by one, so a host that
// never calls `free` (Fluent Bit 4.1.0 and 4.1.1) cannot leak.

/** Bytes that may be read before and after any block: wide loads need no end check. */
export const SLACK: usize = 32;

/** Where `bake` puts the ruleset. */
export const RULESET: usize = (__heap_base + 15) & ~15;

let arenaStart: usize = RULESET;
let callStart: usize = RULESET; // what lies between arenaStart and here belongs to the host
let top: usize = RULESET;
let finished: bool = false;
let exhausted: bool = false;

/** Begins the arena after `address`; false when there is no memory up to there. */
export function startArena(address: usize): bool {
  arenaStart = (address + SLACK + 15) & ~15;
  callStart = arenaStart;
  top = arenaStart;
  finished = false;
  return ensure(arenaStart);
}

/** A block of `size` bytes for the host, or 0 when there is no memory. */
export function malloc(size: usize): usize {
  if (finished) {
    top = arenaStart;
    finished = false;
  }
  const block = allocate(size);
  callStart = top;
  return block;
}

/** A block that stays for good, or 0 when there is no memory. What the call allocated before it stays, too. */
export function keep(size: usize): usize {
  const block = allocate(size);
  if (block == 0) return 0;
  arenaStart = top;
  callStart = top;
  return block;
}

/** Exported because WebAssembly Micro Runtime uses `malloc` only together with it. */
export function free(block: usize): void {}

/** A block that lives until `finish`, or 0 when there is no memory: then `isExhausted`. */
export function allocate(size: usize): usize {
  const block = top;
  return resize(block, size) ? block : 0;
}

/** Makes the last block longer or shorter: it must end at the top. False when there is no memory: then `isExhausted`. */
export function resize(block: usize, size: usize): bool {
  if (!canReach(block, size)) {
    exhausted = true;
    return false;
  }
  top = endOf(block, size);
  return true;
}

/** Makes sure that blocks of `size` bytes in all, each with `BLOCK_EXTRA` on top, can be allocated. */
export function reserve(size: usize): bool {
  return canReach(top, size);
}

/** The most bytes that a block takes in addition to its own. */
export const BLOCK_EXTRA: usize = SLACK + 15;

function endOf(block: usize, size: usize): usize {
  return (block + size + BLOCK_EXTRA) & ~15;
}

/** True when there is memory up to the end of such a block. Sums that do not fit into 32 bits are beyond any memory. */
function canReach(block: usize, size: usize): bool {
  return <u64>block + <u64>size + BLOCK_EXTRA <= u32.MAX_VALUE && ensure(endOf(block, size));
}

// ── What a record could not get ─────────────────────────────────────────────────────────────────────
// One flag for the whole core: memory ran out, or the record's steps did. The code that notices sets it and continues
// with any answer; the engine asks once, before it changes the state, and then returns TOO_LARGE.

export function isExhausted(): bool {
  return exhausted;
}

export function markExhausted(): void {
  exhausted = true;
}

/** Begins a new record. */
export function clearExhausted(): void {
  exhausted = false;
}

// ── The arena ───────────────────────────────────────────────────────────────────────────────────────

/** The arena's top; `release` releases everything allocated since it was read. */
export function arenaTop(): usize {
  return top;
}

export function release(mark: usize): void {
  top = mark;
}

/** Ends a call: what it allocated stays readable until the next call or `malloc`. */
export function finish(): void {
  top = callStart;
  finished = true;
}

function ensure(end: usize): bool {
  const pages = memory.size();
  const needed = <i32>((end - 1) >>> 16) + 1;
  if (needed <= pages) return true;
  // At least an eighth more, so that a growing output does not grow memory page by page.
  const more = max(needed - pages, pages >>> 3);
  return memory.grow(more) >= 0 || memory.grow(needed - pages) >= 0;
}
