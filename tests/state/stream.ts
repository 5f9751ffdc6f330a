// Random streams of one partition, as fast-check arbitraries: two clocks (the right one, and one that is a year ahead),
// records that come late, in bursts, twice, and after pauses.
import fc from 'fast-check';
import { START_MS } from './teller.ts';

const YEAR_MS = 365 * 86_400_000;

/** What happens, and when: `ms` is what the record says, `nowMs` is when it comes. */
export interface Event {
  ms: number;
  nowMs: number;
  /** 0: the right clock, 1: a year ahead. */
  clock: number;
  kind: string;
  key: string;
  value: string;
}

export function streams(
  kinds: string[],
  { lateMs = 50_000, keys = 2, values = 5, maxLength = 80, hurry = 1, minLength = 1 } = {},
): fc.Arbitrary<Event[]> {
  const pauseMs = fc.oneof(
    { weight: 6, arbitrary: fc.nat(5_000) },
    { weight: 3, arbitrary: fc.nat(40_000) },
    { weight: 1, arbitrary: fc.nat(400_000) },
  );
  const event = fc.record({
    pauseMs,
    lateMs: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(lateMs) }),
    clock: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
    kind: fc.constantFrom(...kinds),
    key: fc.nat(keys - 1).map(key => `k${key}`),
    value: fc.nat(values - 1).map(value => `v${value}`),
    copies: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.constant(2) }),
  });
  return fc.array(event, { minLength, maxLength }).map(drafts => {
    let nowMs = START_MS;
    return drafts.flatMap(({ pauseMs, lateMs, copies, ...rest }, i) => {
      nowMs += Math.floor(pauseMs / hurry);
      // So many in a row that the wrong clock is believed would be another story.
      const isAlone = drafts.slice(Math.max(0, i - 3), i).some(({ clock }) => clock === 0);
      const clock = isAlone ? rest.clock : 0;
      const event = { ...rest, clock, nowMs, ms: nowMs - lateMs + clock * YEAR_MS };
      return Array.from({ length: copies }, () => event);
    });
  });
}

/** What the matcher is given. */
export function recordOf({ kind, key, value }: Event): object {
  return { log: kind, key, value };
}
