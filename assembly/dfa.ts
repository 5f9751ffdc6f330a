// A pattern's automaton: does any part of the text match? It is deterministic, so the answer costs one
// table step per byte, whatever the pattern.
import * as layout from './layout';
import { takeSteps } from './budget';
import { sameBytes } from './bytes';

/** Runs the automaton at `dfa` over `at` … `end`. */
export function runDfa(ruleset: usize, dfa: usize, at: usize, end: usize): bool {
  const prefixSize = <usize>load<u32>(dfa, layout.DFA_PREFIX_SIZE);
  if (prefixSize != 0) {
    const prefix = ruleset + load<u32>(dfa, layout.DFA_PREFIX_OFFSET);
    if (end - at < prefixSize || !sameBytes(at, prefix, prefixSize)) return false;
    at += prefixSize;
  }
  const classes = ruleset + load<u32>(dfa, layout.DFA_CLASSES_OFFSET);
  const stride = <usize>load<u32>(dfa, layout.DFA_STRIDE);
  const state = load<u32>(dfa, layout.DFA_START);
  return load<u32>(dfa, layout.DFA_WIDTH) == 1
    ? runNarrow(dfa + layout.DFA_ROWS, classes, stride, state, at, end)
    : runWide(dfa + layout.DFA_ROWS, classes, stride, state, at, end);
}

function runNarrow(rows: usize, classes: usize, stride: usize, state: usize, at: usize, end: usize): bool {
  rows -= <usize>layout.DFA_FIRST_ROW * stride; // dead and matched have no rows
  const start = at;
  for (; at < end; at++) {
    state = load<u8>(rows + state * stride + load<u8>(classes + load<u8>(at)));
    if (state <= layout.DFA_MATCHED) break;
  }
  takeSteps(at - start);
  if (state > layout.DFA_MATCHED) state = load<u8>(rows + state * stride + stride - 1);
  return state == layout.DFA_MATCHED;
}

function runWide(rows: usize, classes: usize, stride: usize, state: usize, at: usize, end: usize): bool {
  rows -= (<usize>layout.DFA_FIRST_ROW * stride) << 1;
  const start = at;
  for (; at < end; at++) {
    state = load<u16>(rows + ((state + load<u8>(classes + load<u8>(at))) << 1));
    if (state <= layout.DFA_MATCHED) break;
  }
  takeSteps(at - start);
  if (state > layout.DFA_MATCHED) state = load<u16>(rows + ((state + stride - 1) << 1));
  return state == layout.DFA_MATCHED;
}
