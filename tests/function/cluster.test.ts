// The promise, end to end: real processes in one group, three brokers, twelve partitions of logs and of hits, and a
// producer without a key. `npm run soak` is the long form: EARSHOT_TEST_SOAK=1. EARSHOT_TEST_SEED plays a run again.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { kafkaMissing, startCluster } from '../kafka.ts';
import type { TestCluster } from '../kafka.ts';
import type { Alert } from '../sink/notification-manager.ts';
import { moveCoordinator, openFleet, readTrail, rollBrokers } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import { range, until } from './harness.ts';
import { groupBy, judge, rulesFile } from './oracle.ts';
import type { Rule, Sent } from './oracle.ts';
import { bundleFunction, residentPeak } from './process.ts';

const IS_SOAK = process.env.EARSHOT_TEST_SOAK === '1';
const SEED = Number(process.env.EARSHOT_TEST_SEED ?? (IS_SOAK ? Date.now() % 1_000_000 : 1));
const PARTITIONS = 12;
const FUNCTIONS = 3;
const RESIDENT_MAX = 256; // MiB

const skip = kafkaMissing() ?? (process.env.KAFKA_BROKERS && 'needs three brokers of its own');

describe('a cluster', { skip }, () => {
  let cluster: TestCluster;
  let file: string;
  before(async () => {
    const sessions = { 'group.min.session.timeout.ms': '500' };
    [cluster, file] = await Promise.all([startCluster(sessions), bundleFunction()]);
    if (IS_SOAK) console.log(`# seed ${SEED}`);
  });
  after(() => cluster?.stop());

  const open = (rules: string, partitions = PARTITIONS) =>
    openFleet(cluster.brokers, file, rules, partitions);

  /** Declares a test with fleets of its own. */
  function fleetTest(
    name: string,
    run: (opened: (fleet: Promise<Fleet>) => Promise<Fleet>) => Promise<void>,
  ): void {
    test(name, { timeout: IS_SOAK ? 3_600_000 : 300_000 }, async () => {
      const fleets: Fleet[] = [];
      try {
        await run(async fleet => {
          fleets.push(await fleet);
          return fleet;
        });
        assert.deepEqual(
          fleets.flatMap(({ failed }) => failed),
          [],
          'no function ended by itself',
        );
      } finally {
        await Promise.all(fleets.map(fleet => fleet.close()));
      }
    });
  }

  /** Follows the ids: produced, hit, counted, told, accepted. Returns the sentence of it. */
  async function prove(fleet: Fleet, acknowledged: Sent[], rules: Rule[]): Promise<string> {
    const { produced, hits, hitsTwice, told, deadLetters } = await readTrail(fleet, cluster.brokers);
    const ids = new Set(produced.map(({ id }) => id));
    assert.ok(
      acknowledged.every(({ id }) => ids.has(id)),
      'what was acknowledged is in the topic',
    );
    const { deliveries } = fleet.receiver;
    const verdict = judge(produced, rules, deliveries, fleet.killed);
    const accepted = deliveries.map(({ text }) => (JSON.parse(text) as Alert).annotations.record!);
    assert.deepEqual([verdict.lost, verdict.wrong], [[], []]);
    const [unexplained] = verdict.unexplained;
    const log = fleet.logs.get(unexplained?.by ?? '')?.();
    assert.deepEqual(
      verdict.unexplained,
      [],
      `twice only where a process was killed; the first said:\n${log}`,
    );
    assert.deepEqual([...told].sort(), [...new Set(accepted)].sort(), 'a mark for each alert');
    assert.equal(deadLetters, 0);
    const numbers = `${produced.length} records, ${hits} hits (${hitsTwice} of them produced twice)`;
    return `${numbers}, ${verdict.expected} alerts, ${verdict.twice} of them twice, 0 lost, 0 wrong`;
  }

  fleetTest(
    'ten partitions: 20 in 5 minutes are told at the 20th of 40, 199 and 400, and never of 19',
    async opened => {
      const rule = {
        alert: 'Many',
        kind: 'many',
        threshold: { count: 20, withinMs: 300_000 },
        realertMs: 300_000,
      };
      const fleet = await opened(open(rulesFile([rule]), 10));
      for (const _ of range(FUNCTIONS)) fleet.start();
      const start = Date.now() - 3_600_000;
      const counts = { 'of 19': 19, 'of 20': 20, 'of 40': 40, 'of 199': 199, 'of 400': 400 };
      const sent: Sent[] = [];
      // The second round is after the cool-down, and what was counted in the first is out of the window.
      for (const round of [0, 1]) {
        const records = Object.entries(counts).flatMap(([key, count]) =>
          range(count).map(index => ({
            id: `${round} ${key} ${index}`,
            kind: 'many',
            key,
            round,
            timeMs: start + round * 400_000 + Math.floor((index / count) * 60_000),
          })),
        );
        sent.push(...records);
        await fleet.produce(shuffled(records, seeded(SEED)));
        await fleet.settled(`round ${round}`);
      }
      console.log(`# ten partitions: ${await prove(fleet, sent, [rule])}`);
    },
  );

  fleetTest('whatever falls over: every alert at its count, no other, once a realert', async opened => {
    const random = seeded(SEED);
    const fleet = await opened(open(rulesFile(FAULT_RULES)));
    for (const _ of range(FUNCTIONS)) fleet.start();
    const sent: Sent[] = [];
    const faults = shuffled(IS_SOAK ? soakFaults() : [...FAULTS.keys()], random);
    let lastMs = 0;
    for (let round = 0; round === 0 || faults.length > 0; round++) {
      lastMs = nextStart(lastMs);
      const records = shuffled(loadOf(round, lastMs, random), random);
      const third = Math.ceil(records.length / 3);
      // The first round is without faults. In the soak two come at a time.
      const names = round === 0 ? [] : faults.splice(0, IS_SOAK ? 2 : 1);
      await fleet.produce(records.slice(0, third));
      const fault = (async () => {
        for (const name of names) {
          await sleep(random() * 600);
          await FAULTS.get(name)!(fleet, cluster, random);
        }
      })();
      await fleet.produce(records.slice(third, 2 * third));
      await sleep(random() * 600);
      await fleet.produce(records.slice(2 * third));
      await fault;
      sent.push(...records);
      await fleet.settled(`round ${round}: ${names.join(', ')}`);
    }
    console.log(
      `# faults (${countsOf(IS_SOAK ? soakFaults() : [...FAULTS.keys()])}): ${await prove(fleet, sent, FAULT_RULES)}`,
    );
  });

  fleetTest(
    'a matcher that is killed before its commit: its hits come again, and are counted once',
    async opened => {
      const rules: Rule[] = [
        { alert: 'Many', kind: 'many', threshold: { count: 5, withinMs: 60_000 }, realertMs: 0 },
        { alert: 'Each', kind: 'each', realertMs: 60_000 },
      ];
      const fleet = await opened(open(rulesFile(rules)));
      const { stage } = fleet;
      const timeMs = Date.now();
      const records = range(240).map((index): Sent => {
        const kind = index % 2 ? 'many' : 'each';
        return { id: String(index), kind, key: `tenant ${index % 30}`, round: 0, timeMs };
      });
      const matcher = fleet.start({ EARSHOT_ROLE: 'match', EARSHOT_COMMIT_INTERVAL_MS: '60000' });
      await fleet.produce(records);
      await until(async () => (await fleet.hitsEnd()) >= records.length, 'all hits', 60_000);
      await fleet.end(matcher, 'SIGKILL');
      const counter = fleet.start({ EARSHOT_ROLE: 'count' });
      await until(() => stage.counted(), 'all counted', 60_000);
      await fleet.end(counter, 'SIGTERM');
      fleet.start({ EARSHOT_ROLE: 'count' });
      fleet.start({ EARSHOT_ROLE: 'match' });
      await fleet.settled('all again');
      const { hitsTwice } = await readTrail(fleet, cluster.brokers);
      assert.equal(hitsTwice, records.length);
      console.log(`# a killed matcher: ${await prove(fleet, records, rules)}`);
    },
  );

  fleetTest(
    'restarts, and roles in processes of their own, give the alerts of a run without',
    async opened => {
      const realertMs = IS_SOAK ? 40_000 : 8000;
      const restartMs = realertMs / 2;
      const rules: Rule[] = [
        { alert: 'Each', kind: 'each', realertMs },
        { alert: 'Many', kind: 'many', threshold: { count: 3, withinMs: 2000 }, realertMs },
      ];
      // One after the other in one partition: this order is kept.
      const steps = (IS_SOAK ? 6 : 3.25) * (realertMs / STEP_MS);
      const start = Date.now();
      const records = range(steps).map(step =>
        range(PARTITIONS).map(partition => {
          const kind = partition % 2 ? 'each' : 'many';
          const id = `${kind} ${partition}/${step}`;
          return { id, kind, key: `tenant ${partition}`, round: step, timeMs: start + step * STEP_MS };
        }),
      );
      const fleets = await Promise.all(range(3).map(() => opened(open(rulesFile(rules)))));
      const [control, restarted, split] = fleets as [Fleet, Fleet, Fleet];
      control.start();
      // A killed member holds up its group until its session ends: before the next one is killed.
      const short = { EARSHOT_SESSION_TIMEOUT_MS: '2000' };
      restarted.start(short);
      for (const role of ['match', 'match', 'count', 'count']) split.start({ EARSHOT_ROLE: role });

      let isProducing = true;
      let restarts = 0;
      const restarting = (async () => {
        for (let next = start + restartMs; isProducing; next += restartMs) {
          while (isProducing && Date.now() < next) await sleep(50);
          if (!isProducing) return;
          await restarted.end(restarted.members[0]!, restarts++ % 2 ? 'SIGTERM' : 'SIGKILL');
          restarted.start(short);
        }
      })();
      for (const step of records) {
        await sleep(Math.max(0, step[0]!.timeMs - Date.now()));
        await Promise.all(
          fleets.flatMap(fleet => step.map((record, partition) => fleet.produce([record], partition))),
        );
      }
      isProducing = false;
      await restarting;
      for (const [index, fleet] of fleets.entries()) {
        const name = ['without restarts', `${restarts} restarts`, 'two matchers and two counters'][index];
        await fleet.settled(name!);
        console.log(`# ${name}: ${await prove(fleet, records.flat(), rules)}`);
        assert.deepEqual(textsOf(fleet), textsOf(control), `${name}, byte for byte`);
      }
      assert.ok(restarts >= 4, `${restarts} restarts`);
    },
  );

  fleetTest(
    'an absence is told when due and once a realert, and ends once, whoever ends meanwhile',
    async opened => {
      const forMs = 5000;
      const realertMs = 7000;
      const rules = `groups:
- name: cluster
  rules:
  - alert: Silent
    match: {field: kind, eq: beat}
    absence: {for: ${forMs / 1000}s, by: [namespace]}
    realert: ${realertMs / 1000}s
    labels: {namespace: '{{ $record.key }}'}
    annotations: {message: 'nothing of {{ $labels.namespace }}'}
`;
      const keepSilence = async ({ name, functions, disturb }: Silence) => {
        const fleet = await opened(open(rules, HOSTS.length));
        const { receiver } = fleet;
        for (const _ of range(functions)) fleet.start();
        const beat = async () => {
          const timeMs = Date.now();
          await fleet.produce(
            HOSTS.map(key => ({ id: `${key} ${timeMs}`, kind: 'beat', key, round: 0, timeMs })),
          );
          return timeMs;
        };
        await beat();
        await fleet.settled(`${name}: the first beat`);
        const lastMs = await beat();
        await fleet.settled(`${name}: the last beat`);
        const end = await fleet.hitsEnd();
        await disturb(fleet);
        const dueMs = lastMs + forMs;
        const told = (key: string, status: string) =>
          receiver.deliveries
            .map(delivery => ({ ...delivery, alert: JSON.parse(delivery.text) as Ending }))
            .filter(({ alert }) => alert.labels.namespace === key && alert.status === status)
            .filter(({ alert }) => Date.parse(alert.startsAt) === dueMs);
        await until(
          async () => (await fleet.hitsEnd()) >= end + HOSTS.length,
          `${name}: a mark for each key`,
          60_000,
        );
        await disturb(fleet);
        await until(
          () => HOSTS.every(key => told(key, 'firing').length >= 2),
          `${name}: told, and again`,
          60_000,
        );
        const backMs = await beat();
        await until(() => HOSTS.every(key => told(key, 'resolved').length >= 1), `${name}: resolved`, 60_000);
        await fleet.settled(`${name}: settled`);
        for (const key of HOSTS) {
          const firing = told(key, 'firing');
          for (const [index, { atMs }] of firing.entries())
            assert.ok(
              atMs >= dueMs + index * realertMs,
              `${name}: ${key} was told at ${firing.map(f => f.atMs - dueMs)}`,
            );
          const ends = told(key, 'resolved').map(({ alert }) => Date.parse(alert.endsAt));
          assert.deepEqual(ends, [backMs], `${name}: ${key}`);
        }
        const late = HOSTS.map(key => told(key, 'firing')[0]!.atMs - dueMs);
        console.log(
          `# absence, ${name}: ${HOSTS.length} keys told and told again, the first time ${Math.min(...late)} to ${Math.max(...late)} ms after they were due; resolved once`,
        );
        await Promise.all(fleet.members.slice().map(member => fleet.end(member, 'SIGTERM')));
      };
      // Two at a time: the processes of all at once would be too many.
      for (const pair of [SILENCES.slice(0, 2), SILENCES.slice(2)]) await Promise.all(pair.map(keepSilence));
    },
  );

  fleetTest('a storm holds nobody’s first alert, and told and suppressed are all matches', async opened => {
    const tenants = 500;
    const pods = IS_SOAK ? 40 : 10;
    const matches = IS_SOAK ? 1_000_000 : 100_000;
    const rules = `limits: {alertsPerSecond: 1}
groups:
- name: cluster
  rules:
  - alert: Storm
    match: {field: kind, eq: storm}
    labels: {namespace: '{{ $record.key }}', pod: '{{ $record.pod }}'}
  - alert: Critical
    match: {field: kind, eq: critical}
    labels: {namespace: '{{ $record.key }}', severity: critical}
`;
    const fleet = await opened(open(rules));
    const { receiver } = fleet;
    const port = 20_000 + (process.pid % 10_000);
    const members = range(FUNCTIONS).map(index => fleet.start({ EARSHOT_PORT: String(port + index) }));
    const random = seeded(SEED);
    const start = Date.now() - 3_600_000;
    const produce = async (from: number, to: number, timeOf: (index: number) => number) => {
      for (let at = from; at < to; at += 10_000)
        await fleet.produce(
          shuffled(range(Math.min(10_000, to - at), at), random).map(index => ({
            id: String(index),
            kind: 'storm',
            key: `tenant ${index % tenants}`,
            pod: Math.floor(index / tenants) % pods,
            round: 0,
            timeMs: timeOf(index),
          })),
        );
    };
    const inStorm = (index: number) => start + Math.floor((index / matches) * 60_000);
    const sizes: { keys: number; residentMiB: number }[] = [];
    const measure = async () => {
      const texts = members.map(async (_, index) =>
        (await fetch(`http://127.0.0.1:${port + index}/metrics`)).text(),
      );
      const keys = sum((await Promise.all(texts)).map(text => metricOf(text, 'earshot_state_keys')));
      sizes.push({ keys, residentMiB: Math.max(...members.map(residentPeak)) });
    };
    const began = Date.now();
    await produce(0, matches / 4, inStorm);
    const critical = ['tenant 0', 'a bank'].map(key => ({
      id: key,
      kind: 'critical',
      key,
      round: 0,
      timeMs: start + 15_000,
    }));
    await fleet.produce(critical);
    await fleet.settled('a quarter of the storm');
    await measure();
    await produce(matches / 4, matches, inStorm);
    await fleet.settled('the storm');
    await measure();
    const seconds = Math.round((Date.now() - began) / 1000);
    const parsed: Alert[] = [];
    const alerts = () => {
      for (const { text } of receiver.deliveries.slice(parsed.length)) parsed.push(JSON.parse(text) as Alert);
      return parsed;
    };
    const stormed = alerts().filter(({ labels }) => labels.alertname === 'Storm');
    for (const [tenant, [first]] of groupBy(stormed, ({ labels }) => labels.namespace!))
      assert.equal(
        first!.annotations?.suppressed_others,
        undefined,
        `nothing of ${tenant} was held before its first`,
      );
    assert.equal(new Set(stormed.map(({ labels }) => labels.namespace)).size, tenants);
    assert.deepEqual(
      alerts()
        .filter(({ labels }) => labels.alertname === 'Critical')
        .map(({ labels }) => labels.namespace)
        .sort(),
      critical.map(({ key }) => key).sort(),
    );
    // A match of each label set after its cool-down, one a second: each reports what was suppressed.
    const labelSets = tenants * pods;
    await produce(0, labelSets, index => start + 600_000 + Math.floor(index / tenants) * 1000);
    await fleet.settled('the reports');
    const reported = () => {
      const all = alerts().filter(({ labels }) => labels.alertname === 'Storm');
      return sum(
        all.map(
          ({ annotations }) =>
            1 + Number(annotations?.suppressed ?? 0) + Number(annotations?.suppressed_others ?? 0),
        ),
      );
    };
    // What the cap held is told by a tick when no alert comes that tells it.
    await until(() => reported() >= matches + labelSets, 'all reports', 60_000).catch(() => {});
    assert.equal(reported(), matches + labelSets, 'told and suppressed are all matches');
    assert.equal(
      new Set(receiver.deliveries.map(({ text }) => text)).size,
      receiver.deliveries.length,
      'nothing twice',
    );
    const [early, late] = sizes as [(typeof sizes)[0], (typeof sizes)[0]];
    const held = sum(alerts().map(({ annotations }) => Number(annotations?.suppressed_others ?? 0)));
    console.log(
      `# storm: ${matches} matches of ${tenants} tenants in ${seconds} s, ${stormed.length} alerts told in it, ${held} held and told later, all others suppressed and told as a number; keys ${early.keys} after a quarter, ${late.keys} at the end; ${early.residentMiB} and ${late.residentMiB} MiB resident at the most`,
    );
    assert.ok(late.keys <= early.keys * 1.1, `${early.keys} keys, then ${late.keys}`);
    assert.ok(late.residentMiB <= RESIDENT_MAX, `${late.residentMiB} MiB`);
  });
});

// ── Faults ──────────────────────────────────────────────────────────────────────────────────────────

// Rounds begin at even seconds, and their records are of 0.3 s; so no window and no cool-down of an odd number of
// seconds ends within a round, and the order of a round's records decides nothing.
const GRID_MS = 2000;
const ROUND_SPAN_MS = 300;
const ROUND_MIN_MS = 4000;
const FAULT_RULES: Rule[] = [
  { alert: 'Many', kind: 'many', threshold: { count: 5, withinMs: 11_000 }, realertMs: 15_000 },
  { alert: 'Every', kind: 'every', threshold: { count: 10, withinMs: 11_000 }, realertMs: 0 },
  { alert: 'Each', kind: 'each', realertMs: 15_000 },
];

function nextStart(lastMs: number): number {
  return Math.ceil(Math.max(Date.now(), lastMs + ROUND_MIN_MS) / GRID_MS) * GRID_MS;
}

function loadOf(round: number, startMs: number, random: () => number): Sent[] {
  const records: Sent[] = [];
  const add = (kind: string, key: string, count: number) => {
    for (const index of range(count)) {
      const timeMs = startMs + Math.floor(random() * ROUND_SPAN_MS);
      records.push({ id: `${kind} ${key} ${round}/${index}`, kind, key, round, timeMs });
    }
  };
  // New tenants at N − 1, N and above; some that go on; some that come and go. The counter keeps twice the records that a
  // threshold asks for: so many lie in the eighths of a window that it looks at, which is up to four rounds.
  for (const index of range(60)) add('many', `round ${round} ${index}`, 4 + (index % 3));
  for (const index of range(40)) add('many', `steady ${index}`, 2);
  for (const index of range(40)) add('many', `now and then ${index}`, Math.floor(random() * 3));
  for (const index of range(60)) add('every', `every ${index}`, 3 + Math.floor(random() * 3));
  for (const index of range(60)) add('each', `each ${index}`, Math.floor(random() * 3));
  add('quiet', 'nobody', 100);
  return records;
}

type Fault = (fleet: Fleet, cluster: TestCluster, random: () => number) => Promise<void>;

const FAULTS = new Map<string, Fault>([
  ['kill -9', (fleet, _, random) => replace(fleet, 'SIGKILL', random)],
  ['SIGTERM', (fleet, _, random) => replace(fleet, 'SIGTERM', random)],
  [
    'scale-out and in',
    async (fleet, _, random) => {
      const more = [fleet.start(), fleet.start()];
      await sleep(1500 + random() * 1500);
      await Promise.all(more.map(member => fleet.end(member, 'SIGTERM')));
    },
  ],
  [
    'scale-in and out',
    async (fleet, _, random) => {
      const fewer = shuffled(fleet.members, random).slice(1);
      await Promise.all(fewer.map(member => fleet.end(member, 'SIGTERM')));
      await sleep(random() * 1500);
      for (const _ of fewer) fleet.start();
    },
  ],
  ['rolling restart of the brokers', (fleet, cluster) => rollBrokers(cluster, fleet)],
  ['another coordinator', (fleet, cluster) => moveCoordinator(cluster, fleet)],
  [
    'a sink that answers 503',
    async ({ receiver }, _, random) => {
      receiver.isBusy = true;
      await sleep(2000 + random() * 2000);
      receiver.isBusy = false;
    },
  ],
  [
    'a sink that refuses connections',
    async ({ receiver }, _, random) => {
      await receiver.close();
      await sleep(2000 + random() * 2000);
      await receiver.reopen();
    },
  ],
]);

async function replace(fleet: Fleet, signal: 'SIGTERM' | 'SIGKILL', random: () => number): Promise<void> {
  await fleet.end(fleet.members[Math.floor(random() * fleet.members.length)]!, signal);
  fleet.start();
}

function soakFaults(): string[] {
  const counts: Record<string, number> = { 'kill -9': 25, SIGTERM: 25, 'another coordinator': 3 };
  return [...FAULTS.keys()].flatMap(name => range(counts[name] ?? 2).map(() => name));
}

function countsOf(names: string[]): string {
  return [...groupBy(names, name => name)].map(([name, { length }]) => `${length} × ${name}`).join(', ');
}

// ── Absences ────────────────────────────────────────────────────────────────────────────────────────

const HOSTS = range(6).map(index => `host ${index}`);
const STEP_MS = 500;

type Ending = Alert & { endsAt: string };

interface Silence {
  name: string;
  functions: number;
  /** What happens while the keys are silent: before an alert says so, and after it. */
  disturb(fleet: Fleet): Promise<void>;
}

const SILENCES: Silence[] = [
  {
    name: 'SIGTERM',
    functions: 1,
    async disturb(fleet) {
      await fleet.end(fleet.members[0]!, 'SIGTERM');
      fleet.start();
    },
  },
  {
    name: 'kill -9',
    functions: 1,
    async disturb(fleet) {
      await fleet.end(fleet.members[0]!, 'SIGKILL');
      fleet.start();
    },
  },
  {
    name: 'scale-in',
    functions: 3,
    disturb: fleet => fleet.end(fleet.members[0]!, 'SIGTERM'),
  },
  {
    name: 'scale-out',
    functions: 1,
    disturb: async fleet => void fleet.start(),
  },
];

function textsOf({ receiver }: Fleet): string[] {
  return [...new Set(receiver.deliveries.map(({ text }) => text))].sort();
}

// ── Chance ──────────────────────────────────────────────────────────────────────────────────────────

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(all: readonly T[], random: () => number): T[] {
  return all
    .map(one => ({ one, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** The sum over all labels of a metric. */
function metricOf(text: string, name: string): number {
  return sum(
    [...text.matchAll(new RegExp(`^${name}(?:{.*})? (.+)$`, 'gm'))].map(([, value]) => Number(value)),
  );
}
