// The work that one record may cost, counted in steps over all its patterns. A byte through an automaton is one step;
// everything else is counted by how much more it costs. A record that needs more is TOO_LARGE: reported, never stuck.
import * as layout from './layout';
import { markExhausted } from './memory';

let left: u32 = layout.BUDGET_STEPS_MAX;
let reserved: u32 = 0; // steps that a search must leave for other searches

/** Begins a new record. */
export function beginBudget(): void {
  left = layout.BUDGET_STEPS_MAX;
  reserved = 0;
}

/** Begins the search for one pattern in a text of `size` bytes: it may not use all steps of the record. */
export function beginSearch(size: usize): void {
  const most = max(<u64>size * layout.SEARCH_STEPS_PER_BYTE_MAX, layout.SEARCH_STEPS_MIN);
  reserved = <u64>left > most ? left - <u32>most : 0;
}

export function endSearch(): void {
  reserved = 0;
}

/** Takes steps for work that is done or comes next. When none are left, the record is exhausted. */
export function takeSteps(count: usize): void {
  if (count <= <usize>(left - reserved)) {
    left -= <u32>count;
    return;
  }
  left = 0;
  reserved = 0;
  markExhausted();
}
