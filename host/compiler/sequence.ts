// A sequence's steps → places: where a match takes a chain, and which chains an `unless` takes back (assembly/layout.ts has
// their form, assembly/state.ts what becomes of them).
import * as layout from '../../assembly/layout.ts';
import type { Rule } from './model.ts';

export interface CompiledSequence {
  /** Flags ORDER_…. */
  order: number;
  /** Count of places, with the lead. */
  end: number;
  steps: { kind: number; place: number; count: number }[];
}

/** Whether the last step is an `unless`, so that an alert is told when the time is over. */
export function waitsForEnd(
  sequence: { order?: string | undefined; counts?: number[] } | undefined,
): boolean {
  return sequence?.order !== 'any' && sequence?.counts?.at(-1) === 0;
}

/** Whether a rule's alerts are told by the clock, with what was kept for them: when one fires there is no record. */
export function isToldByClock(rule: Rule): boolean {
  return rule.absence !== undefined || waitsForEnd(rule.sequence);
}

export function sequenceOf(rule: Rule): CompiledSequence | null {
  if (!rule.sequence) return null;
  const counts = rule.sequence.counts ?? rule.steps.map(() => 1);
  const isSet = rule.sequence.order === 'any';
  // An `unless` may empty the first place while chains wait at later ones: then a lead says of which time the era is.
  const lead = isSet || counts.slice(0, -1).includes(0) ? 1 : 0;
  const order =
    (isSet ? layout.ORDER_ANY : 0) |
    (lead === 1 ? layout.ORDER_HAS_LEAD : 0) |
    (waitsForEnd(rule.sequence) ? layout.ORDER_WAITS : 0);
  const sum = (some: number[]) => some.reduce((all, count) => all + count, 0);
  const end = lead + sum(counts);
  const steps = counts.map((count, index) => {
    const place = lead + sum(counts.slice(0, index));
    if (count > 0) return { kind: layout.PLACES_MET, place, count };
    if (isSet) return { kind: layout.PLACES_TAKEN_BACK, place: lead, count: end - lead };
    if (place === lead) return { kind: layout.PLACES_BARRED, place: 0, count: 0 };
    if (place === end) return { kind: layout.PLACES_ENDED, place: 0, count: 0 };
    // A chain waits from the last place of the step before to the one before the last of the step after.
    const next = counts.slice(index).find(later => later > 0)!;
    return { kind: layout.PLACES_TAKEN_BACK, place: place - 1, count: next };
  });
  return { order, end, steps };
}
