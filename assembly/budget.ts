// The work that one record may cost, counted in steps over all its patterns. A byte through an automaton is one step, and
// everything else is counted in what it costs beside that. A record that needs more is TOO_LARGE: reported, never stuck.
import * as layout from './layout';
import { markExhausted } from './memory';

let left: u32 = 0;

/** Begins a new record. */
export function beginBudget(): void {
  left = layout.STEP_COUNT_MAX;
}

/** Takes steps that were or will be gone. When they are used up, the record is exhausted. */
export function takeSteps(count: usize): void {
  if (count <= <usize>left) {
    left -= <u32>count;
    return;
  }
  left = 0;
  markExhausted();
}
