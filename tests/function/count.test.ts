// The counter of one partition, against itself: whatever crashes, is held up or comes twice, the alerts are those of a run
// in which nothing did. The log is in memory; the counter, its marks and the module are the real ones.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { countRole } from '../../host/function/count.ts';
import type { Delivery } from '../../host/function/deliver.ts';
import { openMetrics } from '../../host/function/metrics.ts';
import type { Settings } from '../../host/function/settings.ts';
import type { Task } from '../../host/function/worker.ts';
import { hitKey } from '../../host/hit.ts';
import { HIT, linesOf } from '../../host/matcher.ts';
import type { Matcher, MatcherModule } from '../../host/matcher.ts';
import type { Lease, Letter, Message, Source } from '../../host/source/source.ts';
import { moduleOf, RUNS } from '../core.ts';

const AT = { topic: 'earshot-hits', partition: 0 };
const BATCH_MAX = 3;
const MISHAPS_MAX = 30; // Else a run might never end.
const START_MS = 1_700_000_000_000;

class Crash extends Error {}

/** One partition of the hits topic, and the sink. */
class Stage {
  readonly log: Message[] = [];
  /** What the sink accepted, in the order of its coming: again after a crash, maybe. */
  readonly accepted: string[] = [];
  committed = -1;
  committedAt: number | undefined;
  nowMs = START_MS;
  position = 0;
  /** Asked before and after everything that leaves the process: true ends it there. */
  crashes: () => boolean = () => false;
  /** The sink is down for one post. */
  holds: () => boolean = () => false;

  append({ key, value }: Pick<Letter, 'key' | 'value'>): void {
    this.log.push({ offset: String(this.log.length), timestamp: String(this.nowMs), key, value });
  }

  #maybeCrash(): void {
    if (this.crashes()) throw new Crash();
  }

  readonly source = {
    standing: async () => ({
      committed: this.committed,
      timestamp: this.committedAt,
      low: 0,
      high: this.log.length,
    }),
    offsetAt: async (_: unknown, timestampMs: number) => {
      const found = this.log.findIndex(({ timestamp }) => Number(timestamp) >= timestampMs);
      return found < 0 ? this.log.length : found;
    },
    seek: (_: unknown, offset: number) => (this.position = offset),
    partitionOf: async () => 0,
  } as unknown as Source;

  readonly delivery: Delivery = {
    deliver: async ({ bytes }) => {
      if (this.holds()) return { kind: 'held', pauseMs: 1 };
      this.#maybeCrash();
      for (const alert of (JSON.parse(Buffer.from(bytes).toString()) as { alerts: object[] }).alerts) {
        this.accepted.push(JSON.stringify(alert));
      }
      this.#maybeCrash();
      return { kind: 'delivered', fate: 'accepted' };
    },
    bury: async parcels => assert.fail(parcels[0]!.poison),
    produce: async (_, letters) => {
      this.#maybeCrash();
      for (const letter of letters) this.append(letter);
      this.#maybeCrash();
      return { kind: 'delivered' };
    },
    produceOrBury: async () => assert.fail('only the HTTP door does'),
    close: () => {},
  };

  open(module: MatcherModule): Task {
    this.position = Math.max(this.committed, 0);
    const silent = () => {};
    return countRole({
      settings: {} as Settings,
      module,
      source: this.source,
      delivery: this.delivery,
      metrics: openMetrics(),
      log: { debug: silent, info: silent, warn: silent, error: silent },
    }).open(AT);
  }

  commit(task: Task): void {
    if (task.acknowledged === undefined || task.acknowledged <= this.committed) return;
    this.committed = task.acknowledged;
    this.committedAt = task.timestamp;
  }
}

/** Works on all that is in the log, then tells the time. As the worker does. */
async function drain(stage: Stage, task: Task, lease: Lease, commits: () => boolean): Promise<void> {
  for (;;) {
    if (task.position !== undefined) stage.position = task.position;
    const messages = stage.log.slice(stage.position, stage.position + BATCH_MAX);
    if (messages.length > 0) await task.work(messages, stage.position + messages.length, lease);
    if (commits()) stage.commit(task);
    if (task.position !== stage.log.length) continue;
    const { kind } = await task.tick!(stage.nowMs, lease);
    if (kind === 'delivered' && task.position === stage.log.length) return;
  }
}

interface Step {
  afterMs: number;
  /** Keys of the records, by their kind. */
  records: { kind: string; key: string }[];
  /** How many of the last hits are produced again. */
  again: number;
}

/** Runs the steps; `luck` says at each chance whether something goes wrong. Returns what the sink accepted. */
async function perform(
  module: MatcherModule,
  matcher: Matcher,
  steps: Step[],
  luck: () => boolean,
): Promise<string[]> {
  const stage = new Stage();
  stage.crashes = luck;
  stage.holds = luck;
  const lease: Lease = { ...AT, live: () => true, heartbeat: async () => {} };
  let task: Task | undefined;
  let offset = 0;
  const hits: Pick<Letter, 'key' | 'value'>[] = [];
  for (const { afterMs, records, again } of steps) {
    stage.nowMs += afterMs;
    for (const { kind, key } of records) {
      stage.nowMs++; // No two alerts are the same.
      const record = Buffer.from(JSON.stringify({ log: kind, key, id: offset }));
      const nsec = (stage.nowMs % 1000) * 1_000_000;
      if (matcher.find(record, Math.floor(stage.nowMs / 1000), nsec) !== HIT) continue; // no rule asks for it
      const found = linesOf(matcher.hits(`logs/0/${offset++}/${stage.nowMs}/0`)!);
      const produced = found.map(value => ({ key: hitKey(value), value }));
      for (const hit of produced) stage.append(hit);
      hits.push(...produced);
    }
    for (const hit of again > 0 ? hits.slice(-again) : []) stage.append(hit);
    for (let done = false; !done;) {
      try {
        if (!task) await (task = stage.open(module)).open(lease);
        await drain(stage, task, lease, () => !luck());
        done = true;
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
        task = undefined;
      }
    }
    // A scale-in between two steps.
    if (luck()) task = undefined;
  }
  return stage.accepted;
}

// Longer than the minute that a counter reads beyond the look-back.
const RULES = `limits: {alertsPerSecond: 2}
groups:
- name: g
  rules:
  - {alert: each, match: {field: log, eq: each}, realert: 400s, labels: {key: '{{ $record.key }}'}}
  - {alert: every, match: {field: log, eq: every}, realert: 0s, labels: {key: '{{ $record.key }}'}}
  - alert: many
    match: {field: log, eq: many}
    threshold: {count: 3, within: 600s, by: [key]}
    realert: 400s
    labels: {key: '{{ $record.key }}'}
    annotations: {message: '{{ $value }} of {{ $record.key }}'}
  - {alert: over, match: {field: log, eq: each}, realert: 400s, resolveAfter: 300s, labels: {key: '{{ $record.key }}'}}
  - {alert: every over, match: {field: log, eq: every}, realert: 0s, resolveAfter: 1000s, labels: {key: '{{ $record.key }}'}}
  - alert: many over
    match: {field: log, eq: many}
    threshold: {count: 2, within: 600s, by: []}
    realert: 900s
    resolveAfter: 200s
    labels: {key: '{{ $record.key }}'}
  - alert: new
    match: {field: log, eq: beat}
    firstSeen: {for: 900s, learn: 1500s, by: [key]}
    realert: 2000s
    labels: {key: '{{ $record.key }}'}
  - alert: new over
    match: {any: [{field: log, eq: each}, {field: log, eq: many}]}
    firstSeen: {for: 300s, learn: 100s, by: [key, log]}
    realert: 0s
    resolveAfter: 400s
    labels: {key: '{{ $record.key }}', log: '{{ $record.log }}'}
  - alert: share
    match: {field: log, in: [each, many, every]}
    ratio: {of: {field: log, eq: many}, above: 40%, within: 700s, atLeast: 3, by: [key]}
    realert: 500s
    resolveAfter: 600s
    labels: {key: '{{ $record.key }}'}
    annotations: {message: '{{ $value }} of {{ $record.log }}'}
  - {alert: silent, match: {field: log, eq: beat}, absence: {for: 500s, by: [key]}, realert: 900s, labels: {key: '{{ $record.key }}'}}
  - {alert: silent once, match: {field: log, eq: beat}, absence: {for: 500s, by: [key]}, realert: 0s, labels: {key: '{{ $record.key }}'}}
  - alert: few
    match: {field: log, eq: beat}
    threshold: {below: 3, within: 800s, by: [key]}
    realert: 900s
    labels: {key: '{{ $record.key }}'}
    annotations: {message: '{{ $value }} of {{ $labels.key }}'}
  - {alert: few once, match: {field: log, eq: beat}, threshold: {below: 2, within: 500s}, realert: 0s}
  - {alert: never seen, match: {all: [{field: log, eq: beat}, {field: key, eq: b}]}, absence: {for: 700s}, realert: 900s}
`;

// Look-backs are apart, so that each is as short as its rules allow.
const SAMPLED = `limits: {alertsPerSecond: 2}
groups:
- name: g
  rules:
  - alert: sampled
    match: {field: log, in: [each, many]}
    samples: {text: '{{ $record.log }} {{ $record.id }}', first: 2, last: 2}
    realert: 400s
    labels: {key: '{{ $record.key }}'}
    annotations: {message: '{{ $samples }} {{ $record.id }}'}
  - alert: many sampled
    match: {field: log, in: [each, many, end]}
    threshold: {count: 4, within: 300s, by: []}
    samples: {text: '{{ $record.id }}', first: 1}
    realert: 0s
    labels: {key: '{{ $record.key }}'}
    annotations: {message: '{{ $samples }}'}
  - alert: silent sampled
    match: {field: log, eq: beat}
    absence: {for: 300s, by: [key]}
    samples: {text: '{{ $record.id }}', first: 1, last: 2}
    realert: 0s
    labels: {key: '{{ $record.key }}'}
    annotations: {message: '{{ $samples }}'}
`;

const STORIES = `limits: {alertsPerSecond: 2}
groups:
- name: g
  rules:
  - alert: steps
    samples: {text: '{{ $record.id }}'}
    annotations: {message: '{{ $samples }}'}
    sequence:
      steps: [{field: log, eq: start}, {match: {field: log, eq: many}, count: 2}, {unless: {field: log, eq: each}}, {field: log, eq: end}]
      within: 600s
      by: [key]
    realert: 400s
    labels: {key: '{{ $record.key }}'}
  - alert: barred
    sequence: {steps: [{unless: {field: log, eq: end}}, {field: log, eq: start}, {field: log, eq: many}], within: 600s, by: [key]}
    realert: 0s
    labels: {key: '{{ $record.key }}'}
  - alert: set
    sequence:
      steps: [{match: {field: log, eq: many}, count: 2}, {field: log, eq: start}, {unless: {field: log, eq: each}}]
      order: any
      within: 600s
      by: [key]
    realert: 0s
    labels: {key: '{{ $record.key }}'}
  - alert: hangs
    samples: {text: '{{ $record.id }}'}
    annotations: {message: '{{ $samples }}'}
    sequence: {steps: [{field: log, eq: start}, {unless: {field: log, eq: end}}], within: 500s, by: [key]}
    realert: 900s
    labels: {key: '{{ $record.key }}', kind: '{{ $record.log }}'}
  - alert: steps over
    sequence: {steps: [{field: log, eq: start}, {unless: {field: log, eq: each}}, {field: log, eq: many}], within: 600s, by: [key]}
    realert: 400s
    resolveAfter: 200s
    labels: {key: '{{ $record.key }}'}
  - alert: hangs each time
    sequence: {steps: [{field: log, eq: start}, {field: log, eq: many}, {unless: {field: log, eq: end}}], within: 500s, by: [key]}
    realert: 0s
    labels: {key: '{{ $record.key }}', every: '{{ $record.log }}'}
`;

const step: fc.Arbitrary<Step> = fc.record({
  afterMs: fc.oneof(
    { weight: 4, arbitrary: fc.nat({ max: 300_000 }) },
    fc.nat({ max: 5000 }),
    fc.nat({ max: 3_000_000 }),
  ),
  records: fc.array(
    fc.record({
      kind: fc.constantFrom('each', 'every', 'many', 'many', 'beat', 'start', 'end'),
      key: fc.constantFrom('a', 'b'),
    }),
    { maxLength: 4 },
  ),
  again: fc.constantFrom(0, 0, 1, 3),
});

/** These throws, and from then on none that is a mishap. */
function dice(throws: string): fc.Stream<number> {
  return fc.stream([...[...throws].map(Number), ...Array<number>(1000).fill(1)][Symbol.iterator]());
}

/** Nothing is committed before the owner ends, and its successor crashes: the absence that it waited for is still told. */
const UNCOMMITTED: [Step[], fc.Stream<number>] = [
  [
    { afterMs: 0, records: [], again: 0 },
    { afterMs: 1_659_999, records: Array(3).fill({ kind: 'each', key: 'a' }), again: 0 },
  ],
  dice('48500400671920'),
];

/** An owner whose first tick is late ends, and a hit older than the next owner's look-back comes again: it is known. */
const LATE: [Step[], fc.Stream<number>] = [
  [
    { afterMs: 0, records: Array(3).fill({ kind: 'each', key: 'a' }), again: 0 },
    { afterMs: 1_661_000, records: [], again: 0 },
    { afterMs: 0, records: [], again: 1 },
  ],
  dice('0011111010101111110100111111101110011111011111'),
];

const FILES: [what: string, rules: string, runs: number][] = [
  ['cool-downs, thresholds and absences', RULES, 300],
  ['samples', SAMPLED, 100],
  ['sequences', STORIES, 150],
];

for (const [what, rules, runs] of FILES) {
  test(`${what}: whatever crashes, is held up or comes twice, the alerts are those of a run in which nothing did`, async () => {
    const module = await moduleOf(rules);
    const matcher = await module.instantiate();
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 9 })),
        async (steps, dice) => {
          const control = await perform(module, matcher, steps, () => false);
          let mishaps = 0;
          const luck = () => mishaps < MISHAPS_MAX && dice.next().value === 0 && mishaps++ >= 0;
          const accepted = await perform(module, matcher, steps, luck);
          assert.deepEqual([...new Set(accepted)].sort(), [...new Set(control)].sort());
          // An absence says the same again while it lasts.
          const once = control.filter(
            alert => !/"(silent|silent once|few|few once|silent sampled|never seen)"/.test(alert),
          );
          assert.equal(new Set(once).size, once.length, 'nothing twice where nothing goes wrong');
        },
      ),
      { numRuns: runs * RUNS, includeErrorInReport: true, examples: [UNCOMMITTED, LATE] },
    );
  });
}
