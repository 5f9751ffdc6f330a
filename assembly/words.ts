// Is one of many texts in a text? One automaton answers for all of them, in one pass. After each byte its state is the
// longest beginning of a text that was just read; where that does not go on, `fail` leads to the next shorter one, so a
// pass takes at most two transitions per byte.
import * as layout from './layout';
import { takeSteps } from './budget';

const STEPS_PER_BYTE: usize = 2;

/** Runs the automaton at `words` over `at` … `end`. */
export function hasWord(ruleset: usize, words: usize, at: usize, end: usize): bool {
  const classes = ruleset + load<u32>(words, layout.WORDS_CLASSES_OFFSET);
  const rootCount = load<u32>(words, layout.WORDS_ROOT_COUNT);
  const sizeMax = <usize>load<u32>(words, layout.WORDS_SIZE_MAX);
  const atStart = load<u32>(words, layout.WORDS_AT_START) != 0;
  const atEnd = load<u32>(words, layout.WORDS_AT_END) != 0;
  if (end - at > sizeMax) {
    if (atStart && atEnd) return false;
    if (atStart) end = at + sizeMax;
    else if (atEnd) at = end - sizeMax; // inside a character no text begins
  }
  takeSteps((end - at) * STEPS_PER_BYTE);
  const nodes = words + layout.WORDS_NODES;
  let state = layout.WORDS_ROOT;
  for (; at < end; at++) {
    const byteClass = <u32>load<u8>(classes + load<u8>(at));
    if (state != layout.WORDS_ROOT) {
      state = follow(nodes, state, byteClass);
      if (state == layout.WORDS_MATCHED) return true;
      if (state != layout.WORDS_ROOT) continue;
      if (atStart) return false;
    }
    if (byteClass <= rootCount) state = load<u32>(nodes + ((<usize>byteClass) << 2));
    if (state == layout.WORDS_MATCHED) return true;
    if (atStart && state == layout.WORDS_ROOT) return false;
  }
  return state != layout.WORDS_ROOT && (load<u32>(nodes + ((<usize>state) << 2)) & 0x100) != 0;
}

/** The state after a byte; WORDS_ROOT when only the root can read it. */
function follow(nodes: usize, state: u32, byteClass: u32): u32 {
  do {
    let edge = nodes + ((<usize>state) << 2);
    const node = load<u32>(edge);
    const last = edge + ((<usize>(node & 0xff)) << 2);
    while (edge < last) {
      edge += 4;
      const found = load<u32>(edge);
      if ((found & 0xff) == byteClass) return found >>> 8;
    }
    state = node >>> 9;
  } while (state != layout.WORDS_ROOT);
  return state;
}
