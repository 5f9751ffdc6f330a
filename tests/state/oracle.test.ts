// Each construct against an oracle of a line or two that looks at all events so far. The oracles know nothing of slots
// or eras; two events are of one clock or they are not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { moduleOf, RUNS } from '../core.ts';
import { START_MS, Teller } from './teller.ts';
import type { Alert } from './teller.ts';
import { recordOf, streams } from './stream.ts';
import type { Event } from './stream.ts';

const WITHIN_MS = 70_000;
const LABELS = `labels: {key: '{{ $record.key }}'}`;

/** What is told at each event must be what `expect` says, given the events so far (this one included, and last). */
async function holds(
  rule: string,
  events: fc.Arbitrary<Event[]>,
  expect: (past: Event[], event: Event) => string[],
  tell: (alert: Alert) => string,
  runs = 1_000,
): Promise<void> {
  const module = await moduleOf(`limits: {alertsPerSecond: 0}\ngroups:\n- name: g\n  rules:\n${rule}`);
  const teller = new Teller(await module.instantiate());
  let toldCount = 0;
  const property = fc.property(events, events => {
    teller.matcher.reset();
    events.forEach((event, i) => {
      const told = teller.match(recordOf(event), event.ms).map(tell);
      toldCount += told.length;
      assert.deepEqual(told.sort(), expect(events.slice(0, i + 1), event).sort(), `at event ${i}`);
    });
  });
  fc.assert(property, { numRuns: runs * RUNS });
  assert.ok(toldCount > 10, `${toldCount} told`);
}

const alike = (past: Event[], event: Event) =>
  past.filter(({ key, clock }) => key === event.key && clock === event.clock);
/** The events of the key and clock that the window has which ends at the newest. */
function inWindow(past: Event[], event: Event): Event[] {
  const events = alike(past, event);
  const newest = Math.max(...events.map(({ ms }) => ms));
  return events.filter(({ ms }) => newest - ms <= WITHIN_MS);
}

/** Where there are two clocks, a threshold's count is exact up to what the rule asks for. */
const exactly = (count: number) => String(Math.min(count, 3));

test('a threshold counts what the window holds', async () => {
  await holds(
    `  - {alert: many, match: {field: log, eq: x}, threshold: {count: 3, within: 70s}, realert: 0s, ${LABELS}, annotations: {value: '{{ $value }}'}}`,
    streams(['x']),
    (past, event) => [inWindow(past, event).length].filter(count => count >= 3).map(exactly),
    ({ annotations }) => exactly(Number(annotations.value)),
  );
});

test('of one clock, the count of a threshold is exact up to twice what the rule asks for', async () => {
  const within = (times: number[]) => times.filter(ms => times.at(-1)! - ms <= WITHIN_MS).length;
  const teller = await Teller.of(
    `- {alert: many, match: {field: log, eq: x}, threshold: {count: 8, within: 70s}, realert: 0s, annotations: {value: '{{ $value }}'}}`,
  );
  const gaps = fc.array(fc.integer({ min: 3_000, max: 7_000 }), { minLength: 20, maxLength: 60 });
  fc.assert(
    fc.property(gaps, all => {
      teller.matcher.reset();
      const times: number[] = [];
      for (const gap of all) {
        times.push((times.at(-1) ?? START_MS) + gap);
        const [alert] = teller.match({ log: 'x' }, times.at(-1)!);
        const count = Number(alert?.annotations.value ?? 0);
        assert.equal(Math.min(count, 16), within(times) < 8 ? 0 : Math.min(within(times), 16));
      }
    }),
    { numRuns: 1_000 * RUNS },
  );
});

test('distinct counts the different values that the window holds', async () => {
  await holds(
    `  - {alert: spread, match: {field: log, eq: x}, threshold: {count: 3, within: 70s, distinct: value}, realert: 0s, ${LABELS}, annotations: {value: '{{ $value }}'}}`,
    streams(['x'], { values: 12 }),
    (past, event) =>
      [new Set(inWindow(past, event).map(({ value }) => value)).size].filter(count => count >= 3).map(String),
    ({ annotations }) => annotations.value!,
  );
});

test('a cool-down suppresses what comes too soon after an alert, and the next one tells how many', async () => {
  // By key and clock: when the last alert was; by key: how many were suppressed since any.
  let last = new Map<string, number>();
  let held = new Map<string, number>();
  await holds(
    `  - {alert: cool, match: {field: log, eq: x}, realert: 60s, ${LABELS}}`,
    streams(['x']),
    (past, { key, clock, ms }) => {
      if (past.length === 1) [last, held] = [new Map(), new Map()];
      const count = held.get(key) ?? 0;
      const cools = ms < (last.get(key + clock) ?? -Infinity) + 60_000;
      held.set(key, cools ? count + 1 : 0);
      if (!cools) last.set(key + clock, ms);
      return cools ? [] : [`${key} ${count}`];
    },
    ({ labels, annotations }) => `${labels.key} ${annotations.suppressed ?? 0}`,
  );
});

test('a sequence fires when B comes within the time after the latest A that no B has used', async () => {
  let used = new Map<string, number>();
  await holds(
    `  - {alert: order, sequence: {steps: [{field: log, eq: a}, {field: log, eq: b}], within: 70s}, realert: 0s, ${LABELS}}`,
    streams(['a', 'b']),
    (past, event) => {
      if (past.length === 1) used = new Map();
      if (event.kind !== 'b') return [];
      const id = event.key + event.clock;
      const begun = alike(past.slice(used.get(id) ?? 0), event).filter(({ kind }) => kind === 'a');
      const began = Math.max(...begun.map(({ ms }) => ms));
      const fires = began <= event.ms && event.ms - began <= WITHIN_MS;
      if (fires) used.set(id, past.length);
      return fires ? [event.key] : [];
    },
    ({ labels }) => labels.key!,
  );
});

/** Steps as letters: `b2` must be met twice, `!u` must not come. */
function stepsOf(shape: string): { kind: string; count: number }[] {
  return shape.split(' ').map(word => {
    const [, not, kind, count] = /^(!?)(\w)(\d*)$/.exec(word)!;
    return { kind: kind!, count: not ? 0 : Number(count || 1) };
  });
}

function sequenceRule(shape: string, order: string): string {
  const steps = stepsOf(shape).map(({ kind, count }) =>
    count === 0
      ? `{unless: {field: log, eq: ${kind}}}`
      : `{match: {field: log, eq: ${kind}}, count: ${count}}`,
  );
  return `  - {alert: order, sequence: {steps: [${steps.join(', ')}], order: ${order}, within: 70s, by: [key]}, realert: 0s, ${LABELS}}`;
}

/** Streams in which the steps are often met; in the right order, too. */
function storiesOf(shape: string, lateMs: number, others: string[] = []): fc.Arbitrary<Event[]> {
  const kinds = stepsOf(shape).flatMap(({ kind, count }) => Array<string>(Math.max(count, 1)).fill(kind));
  return streams([...kinds, ...others], { lateMs, keys: 1, minLength: 30, maxLength: 60, hurry: 4 });
}

/** For each place the kind that takes it, and the kinds that must not come before it is taken. */
function placesOf(shape: string): { kind: string; barred: string[] }[] {
  let barred: string[] = [];
  return stepsOf(shape).flatMap(({ kind, count }) => {
    if (count === 0) {
      barred.push(kind);
      return [];
    }
    const own = { kind, barred };
    barred = [];
    return Array(count).fill(own);
  });
}

/** When the chains can have begun of which the last of these events takes the last place. */
function chainsTo(events: Event[], shape: string): number[] {
  const places = placesOf(shape);
  const isClear = (from: number, to: number, kinds: string[]) =>
    events.slice(from + 1, to).every(({ kind }) => !kinds.includes(kind));
  const begins = (first: Event, at: number) =>
    first.kind === places[0]!.kind &&
    !events
      .slice(0, at)
      .some(({ kind, ms }) => places[0]!.barred.includes(kind) && first.ms - ms <= WITHIN_MS);
  return events.flatMap((first, at) => {
    if (!begins(first, at)) return [];
    let ends = [at];
    places.slice(1).forEach(({ kind, barred }, index) => {
      // Between two steps the barred kinds are those of the first place of the later one, up to its last.
      ends = events.flatMap((event, to) =>
        event.kind === kind &&
        event.ms - first.ms <= WITHIN_MS &&
        ends.some(
          from => from < to && isClear(from, to, index === 0 && places[0]!.barred === barred ? [] : barred),
        )
          ? [to]
          : [],
      );
    });
    return ends.includes(events.length - 1) ? [first.ms] : [];
  });
}

/** There are many shapes, and their streams are long. */
const STORY_RUNS = 200;

for (const shape of [
  'a b2 c',
  'a !u b c',
  '!u a b',
  'a2 !u b2',
  'a b a c',
  '!u a2',
  'a !u !v b3 !w c',
  'a b c d e',
]) {
  test(`a sequence of ${shape} is told when its last step is met, and then begins again`, async () => {
    let used = new Map<string, number>();
    await holds(
      sequenceRule(shape, 'given'),
      storiesOf(shape, 0),
      (past, event) => {
        if (past.length === 1) used = new Map();
        const id = event.key + event.clock;
        const [barred] = placesOf(shape);
        // What bars it does so on and on.
        const events = alike(
          past.filter((one, i) => i >= (used.get(id) ?? 0) || barred!.barred.includes(one.kind)),
          event,
        );
        if (chainsTo(events, shape).length === 0) return [];
        used.set(id, past.length);
        return [event.key];
      },
      ({ labels }) => labels.key!,
      STORY_RUNS,
    );
  });
}

for (const shape of ['a b', 'a b2 c', 'a b !u', 'a3 b !u c']) {
  test(`a set of ${shape} is told when the last matches of all steps are within the time`, async () => {
    let used = new Map<string, number>();
    const steps = stepsOf(shape);
    await holds(
      sequenceRule(shape, 'any'),
      storiesOf(shape, shape.includes('!') ? 0 : 50_000),
      (past, event) => {
        if (past.length === 1) used = new Map();
        const id = event.key + event.clock;
        if (steps.some(({ kind, count }) => kind === event.kind && count === 0)) {
          used.set(id, past.length);
          return [];
        }
        const events = alike(past.slice(used.get(id) ?? 0), event);
        const times = steps.flatMap(({ kind, count }) => {
          const own = events.filter(one => one.kind === kind).map(({ ms }) => ms);
          return own.length < count ? [NaN] : own.sort((a, b) => b - a).slice(0, count);
        });
        if (!(Math.max(...times) - Math.min(...times) <= WITHIN_MS)) return [];
        used.set(id, past.length);
        return [event.key];
      },
      ({ labels }) => labels.key!,
      STORY_RUNS,
    );
  });
}

for (const shape of ['a !u', 'a b !u', 'a !v b2 !u']) {
  test(`a sequence of ${shape} is told by the clock when the last does not come`, async () => {
    const module = await moduleOf(
      `limits: {alertsPerSecond: 0}\ngroups:\n- name: g\n  rules:\n${sequenceRule(shape, 'given')}`,
    );
    const teller = new Teller(await module.instantiate());
    const met = shape.replace(/ !\w$/, '');
    const events = storiesOf(shape, 0, ['other']).map(all => all.filter(({ clock }) => clock === 0));
    let toldCount = 0;
    const property = fc.property(events, events => {
      teller.matcher.reset();
      /** By key: when what waits began. */
      const waiting = new Map<string, number>();
      const used = new Map<string, number>();
      events.forEach((event, i) => {
        const { key, kind, ms } = event;
        const told: string[] = [];
        for (const [key, began] of waiting) {
          if (began + WITHIN_MS > ms) continue;
          told.push(`${key} ${began + WITHIN_MS}`);
          waiting.delete(key);
        }
        if (kind === 'u') waiting.delete(key);
        const own = events.slice(used.get(key) ?? 0, i + 1).filter(one => one.key === key);
        const chains = chainsTo(own, met);
        if (chains.length > 0) {
          used.set(key, i + 1);
          if (!waiting.has(key)) waiting.set(key, Math.max(...chains));
        }
        // What a match at its very end makes overdue is told with the next record.
        if (waiting.get(key) === ms - WITHIN_MS) {
          told.push(`${key} ${ms}`);
          waiting.delete(key);
        }
        const alerts = [...teller.match(recordOf(event), ms), ...teller.tick(ms)];
        const all = alerts.map(({ labels, startsMs }) => `${labels.key} ${startsMs}`);
        assert.deepEqual(all.sort(), told.sort(), `at event ${i}`);
        toldCount += all.length;
      });
    });
    fc.assert(property, { numRuns: STORY_RUNS * RUNS });
    assert.ok(toldCount > 10, `${toldCount} told`);
  });
}

test('an absence is told of a known key that was not seen for so long, and when it is over', async () => {
  let missing = new Map<string, number>(); // since when
  await holds(
    `  - {alert: silent, match: {field: log, eq: x}, absence: {for: 70s}, realert: 0s, ${LABELS}}`,
    streams(['x', 'other'], { keys: 5, lateMs: 200_000 }),
    (past, event) => {
      if (past.length === 1) missing = new Map();
      const clockAt = (end: number) =>
        Math.max(...past.slice(0, end).map(({ clock, ms }) => (clock === 0 ? ms : -Infinity)));
      const clock = clockAt(past.length);
      const told: string[] = [];
      const now = new Map<string, number>();
      for (const key of new Set(past.filter(({ kind }) => kind === 'x').map(({ key }) => key))) {
        // Who is seen by a wrong clock is seen at the time that it is.
        const seen = Math.max(
          ...past.map((other, i) =>
            other.key === key && other.kind === 'x' ? Math.min(other.ms, clockAt(i + 1)) : -Infinity,
          ),
        );
        const since = missing.get(key);
        const before = Math.max(
          ...past
            .slice(0, -1)
            .map((other, i) =>
              other.key === key && other.kind === 'x' ? Math.min(other.ms, clockAt(i + 1)) : -Infinity,
            ),
        );
        if (seen + WITHIN_MS <= clock) now.set(key, since ?? seen + WITHIN_MS);
        else if (since !== undefined)
          told.push(`${key} ${since} to ${Math.max(since, Math.min(event.ms, clock))}`);
        // Its own record ends a silence that nothing else told of.
        else if (seen - before >= WITHIN_MS && before > -Infinity)
          told.push(`${key} ${before + WITHIN_MS}`, `${key} ${before + WITHIN_MS} to ${seen}`);
      }
      for (const [key, since] of now) if (!missing.has(key)) told.push(`${key} ${since}`);
      missing = now;
      return told;
    },
    ({ labels, startsMs, endsMs }) => `${labels.key} ${startsMs}${endsMs === null ? '' : ` to ${endsMs}`}`,
  );
});

test('below: a key has too few from a window after the match that was the last to be enough, until it has enough', async () => {
  const wanted = 3;
  let missing = new Map<string, number>(); // since when
  await holds(
    `  - {alert: few, match: {field: log, eq: x}, threshold: {below: ${wanted}, within: 70s}, realert: 0s, ${LABELS}}`,
    streams(['x', 'x', 'other'], { keys: 2, lateMs: 60_000 }),
    past => {
      if (past.length === 1) missing = new Map();
      const clockAt = (end: number) =>
        Math.max(...past.slice(0, end).map(({ clock, ms }) => (clock === 0 ? ms : -Infinity)));
      const clock = clockAt(past.length);
      // Who is seen by a wrong clock is seen at the time that it is.
      const timesOf = (key: string, end: number) =>
        past
          .slice(0, end)
          .flatMap((other, i) =>
            other.key === key && other.kind === 'x' ? Math.min(other.ms, clockAt(i + 1)) : [],
          );
      /** Until when it has enough: at its first match it is given a window's time. */
      const untilOf = (times: number[]) =>
        (times.toSorted((a, b) => b - a)[wanted - 1] ?? times[0]!) + WITHIN_MS;
      const told: string[] = [];
      for (const key of new Set(past.filter(({ kind }) => kind === 'x').map(({ key }) => key))) {
        const before = timesOf(key, past.length - 1);
        const times = timesOf(key, past.length);
        const newest = Math.max(...times);
        const since = missing.get(key);
        const hasEnough = clock < untilOf(times);
        const isOver = before.length > 0 && untilOf(before) <= newest; // by its own match at the latest
        const start = isOver ? untilOf(before) : untilOf(times);
        if (since === undefined && (!hasEnough || isOver)) told.push(`${key} ${start}`);
        if (since !== undefined && hasEnough) told.push(`${key} ${since} to ${Math.max(since, newest)}`);
        else if (isOver && hasEnough) told.push(`${key} ${start} to ${newest}`);
        if (hasEnough) missing.delete(key);
        else missing.set(key, since ?? start);
      }
      return told;
    },
    ({ labels, startsMs, endsMs }) => `${labels.key} ${startsMs}${endsMs === null ? '' : ` to ${endsMs}`}`,
  );
});

test('an alert is resolved when its label set is not matched for so long, and what comes then is told at once', async () => {
  let troubles = new Map<string, { since: number; last: number }>();
  let cooling = new Map<string, number>(); // by key and clock: when the last alert was
  let held = new Map<string, number>();
  const REALERT_MS = 200_000;
  await holds(
    `  - {alert: over, match: {field: log, eq: x}, realert: 200s, resolveAfter: 70s, ${LABELS}}`,
    streams(['x', 'other'], { keys: 3, lateMs: 60_000 }),
    (past, event) => {
      if (past.length === 1) [troubles, cooling, held] = [new Map(), new Map(), new Map()];
      const now = Math.max(...past.map(({ clock, ms }) => (clock === 0 ? ms : -Infinity)));
      const told: string[] = [];
      const resolve = (key: string) => {
        const { since, last } = troubles.get(key)!;
        const end = last + WITHIN_MS;
        told.push(`${key} ${held.get(key) ?? 0} ${since} to ${Math.max(since, end)}`);
        troubles.delete(key);
        held.set(key, 0);
        for (const clock of [0, 1]) {
          const alertMs = cooling.get(key + clock);
          if (alertMs !== undefined && alertMs <= end)
            cooling.set(key + clock, Math.min(alertMs, end - REALERT_MS));
        }
      };
      const isOver = (key: string, ms: number) => ms >= (troubles.get(key)?.last ?? Infinity) + WITHIN_MS;
      const { key, clock, ms, kind } = event;
      if (kind === 'x') {
        // Who is seen by a wrong clock is seen at the time that it is.
        const seen = Math.min(ms, now);
        if (isOver(key, seen)) resolve(key);
        const trouble = troubles.get(key);
        if (trouble) trouble.last = Math.max(trouble.last, seen);
        if (ms < (cooling.get(key + clock) ?? -Infinity) + REALERT_MS)
          held.set(key, (held.get(key) ?? 0) + 1);
        else {
          told.push(`${key} ${held.get(key) ?? 0} ${ms}`);
          held.set(key, 0);
          cooling.set(key + clock, ms);
          if (!trouble) troubles.set(key, { since: ms, last: seen });
        }
      }
      for (const other of [...troubles.keys()]) if (isOver(other, now)) resolve(other);
      return told;
    },
    ({ labels, annotations, startsMs, endsMs }) =>
      `${labels.key} ${annotations.suppressed ?? 0} ${startsMs}${endsMs === null ? '' : ` to ${endsMs}`}`,
  );
});

test('a key is new that was not seen for so long, once its rule has learned', async () => {
  await holds(
    `  - {alert: new, match: {field: log, eq: x}, firstSeen: {for: 70s, learn: 100s}, realert: 0s, ${LABELS}}`,
    streams(['x', 'x', 'other'], { keys: 5 }),
    (past, event) => {
      const clockAt = (end: number) =>
        Math.max(...past.slice(0, end).map(({ clock, ms }) => (clock === 0 ? ms : -Infinity)));
      if (event.kind !== 'x') return [];
      const since = clockAt(past.findIndex(({ kind }) => kind === 'x') + 1);
      const isKnown = alike(past.slice(0, -1), event).some(
        ({ kind, ms }) => kind === 'x' && Math.abs(event.ms - ms) < WITHIN_MS,
      );
      return !isKnown && clockAt(past.length) - since >= 100_000 ? [event.key] : [];
    },
    ({ labels }) => labels.key!,
  );
});

test('a ratio is the share of its part in all that the window has', async () => {
  // A window of 70 s has slices of 10 s: it is the slice of its newest match, and the seven before.
  const sliceMs = 10_000;
  const sliceOf = ({ ms }: Event) => Math.floor(ms / sliceMs);
  await holds(
    `  - {alert: share, match: {field: log, in: [x, y]}, ratio: {of: {field: log, eq: y}, above: 40%, within: 70s, atLeast: 4}, realert: 0s, ${LABELS}, annotations: {value: '{{ $value }}'}}`,
    streams(['x', 'x', 'y', 'other'], { lateMs: 0, maxLength: 150 }),
    (past, event) => {
      if (event.kind !== 'y') return [];
      const counted = alike(past, event).filter(({ kind }) => kind !== 'other');
      const newest = Math.max(...counted.map(sliceOf));
      const inside = counted.filter(other => newest - sliceOf(other) < 8);
      const part = inside.filter(({ kind }) => kind === 'y').length;
      const isAbove = inside.length >= 4 && part / inside.length > 0.4;
      return isAbove ? [String(Math.floor((part * 10_000) / inside.length) / 10_000)] : [];
    },
    ({ annotations }) => annotations.value!,
  );
});
