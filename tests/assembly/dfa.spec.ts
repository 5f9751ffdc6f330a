// The automaton on texts of no and few bytes, in both widths. Its tables are written here by hand.
import * as layout from '../../assembly/layout';
import { runDfa } from '../../assembly/dfa';
import { behind, put } from './text';

// `ab`: classes other 0, a 1, b 2; state 2 waits for an a, state 3 for a b.
const ROWS: StaticArray<u8> = [2, 3, 2, 0, /**/ 2, 3, 1, 0];
// `^$`: states as above, but any byte is one too many.
const EMPTY_ROWS: StaticArray<u8> = [0, 0, 0, 1, /**/ 0, 0, 0, 0];

const STRIDE: u32 = 4;
const ruleset: usize = memory.data(1024, 16);
const CLASSES: usize = 512;

/** As wide states are named: by their row. */
function wide(state: u32): u32 {
  return state < 2 ? state : state * STRIDE;
}

function build(rows: StaticArray<u8>, width: u32): usize {
  memory.fill(ruleset, 0, 1024);
  store<u8>(ruleset + CLASSES + 0x61, 1);
  store<u8>(ruleset + CLASSES + 0x62, 2);
  const dfa = ruleset + 64;
  store<u32>(dfa, <u32>CLASSES, layout.DFA_CLASSES_OFFSET);
  store<u32>(dfa, STRIDE, layout.DFA_STRIDE);
  store<u32>(dfa, width, layout.DFA_WIDTH);
  store<u32>(dfa, width == 1 ? 2 : wide(2), layout.DFA_START);
  for (let i = 0; i < rows.length; i++) {
    if (width == 1) store<u8>(dfa + layout.DFA_ROWS + i, rows[i]);
    else store<u16>(dfa + layout.DFA_ROWS + (i << 1), <u16>wide(rows[i]));
  }
  return dfa;
}

function matches(dfa: usize, text: string): bool {
  const at = put(text, 0x62); // b around: it would complete an a
  return runDfa(ruleset, dfa, at, behind());
}

describe('an automaton', () => {
  it('finds its text, and reads nothing behind the end', () => {
    for (let width: u32 = 1; width <= 2; width++) {
      const dfa = build(ROWS, width);
      expect<bool>(matches(dfa, 'ab')).toBe(true);
      expect<bool>(matches(dfa, 'xaab')).toBe(true);
      expect<bool>(matches(dfa, 'abx')).toBe(true);
      expect<bool>(matches(dfa, 'a')).toBe(false);
      expect<bool>(matches(dfa, 'ba')).toBe(false);
      expect<bool>(matches(dfa, '')).toBe(false);
    }
  });

  it('takes the end as a step of its own', () => {
    for (let width: u32 = 1; width <= 2; width++) {
      const dfa = build(EMPTY_ROWS, width);
      expect<bool>(matches(dfa, '')).toBe(true);
      expect<bool>(matches(dfa, 'a')).toBe(false);
    }
  });
});
