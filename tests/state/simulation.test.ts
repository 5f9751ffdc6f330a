// A host in miniature, over partitions that fail in every way that Kafka, a sink and a node can: it does what
// host/function/stream.ts and host/function/worker.ts do (a snapshot where all is acknowledged, restored before a record is read again;
// the last window read in silence when a partition comes without its state), and the outcome is held against a host to
// which nothing ever happened.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MatcherModule } from '../../host/matcher.ts';
import { moduleOf, runs, START_MS, Teller, toldBy } from './harness.ts';
import type { Alert } from './harness.ts';
import { recordOf, streams } from './stream.ts';
import type { Event } from './stream.ts';

const LABELS = `labels: {key: '{{ $record.key }}'}`;
const RULES = `
  - {alert: cool, match: {field: log, eq: a}, realert: 60s, ${LABELS}}
  - {alert: cool by value, match: {field: log, in: [a, b]}, realert: 90s, labels: {value: '{{ $record.value }}'}}
  - {alert: every, match: {field: log, eq: c}, realert: 0s, ${LABELS}}
  - {alert: many, match: {field: log, eq: b}, threshold: {count: 3, within: 70s}, realert: 0s, ${LABELS}, annotations: {value: '{{ $value }}'}}
  - {alert: spread, match: {field: log, eq: b}, threshold: {count: 3, within: 70s, by: [], distinct: value}, realert: 0s, annotations: {value: '{{ $value }}'}}
  - {alert: order, sequence: {steps: [{field: log, eq: a}, {field: log, eq: b}], within: 70s}, realert: 0s, ${LABELS}}
  - {alert: silent, match: {field: log, eq: c}, absence: {for: 90s}, ${LABELS}}
`;
const KINDS = ['a', 'b', 'c', 'other'];
/** Rules of which each match is due: what is not sent is held back. */
const EACH = ['cool', 'cool by value', 'every'];
const WARM_MARGIN_MS = 60_000; // above the lateness of `streams`
const LAST_OFFSET = 1e9; // where the ticks at the very end belong

const withCap = await moduleOf(`limits: {alertsPerSecond: 2}\ngroups:\n- name: g\n  rules:${RULES}`);
const withoutCap = await moduleOf(`limits: {alertsPerSecond: 0}\ngroups:\n- name: g\n  rules:${RULES}`);

interface Sent {
  offset: number;
  alert: Alert;
}

/** What may happen before a record is acknowledged. */
type Fault =
  | 'none'
  | 'acknowledged' // a snapshot is taken here
  | 'committed' // and so it is in Kafka, too
  | 'refused' // the sink refuses the record's alert once: back to the snapshot
  | 'moved' // another generation, and the partition comes back to where its state is kept
  | 'crashed'; // a new process, or another owner: nothing is left but the committed offset

class Partition {
  readonly sent: Sent[] = [];
  readonly events: Event[];
  private readonly module: MatcherModule;
  private teller: Teller;
  private acknowledged: { offset: number; state: Uint8Array };
  private committed: { offset: number; state: Uint8Array };

  static async open(module: MatcherModule, events: Event[]): Promise<Partition> {
    return new Partition(module, events, new Teller(await module.instantiate()));
  }

  private constructor(module: MatcherModule, events: Event[], teller: Teller) {
    this.module = module;
    this.events = events;
    this.teller = teller;
    this.acknowledged = { offset: 0, state: teller.matcher.snapshot() };
    this.committed = this.acknowledged;
  }

  async run(faults: Fault[]): Promise<void> {
    let offset = 0;
    for (let turn = 0; offset < this.events.length; turn++) {
      const alerts = this.match(offset);
      switch (faults[turn] ?? 'none') {
        case 'refused':
          this.rewind(offset);
          continue;
        case 'moved':
          await this.renew();
          this.teller.matcher.restore(this.committed.state);
          offset = this.committed.offset;
          this.acknowledged = this.committed;
          continue;
        case 'crashed':
          // Sent, perhaps, but never acknowledged.
          this.send(offset, alerts);
          await this.renew();
          offset = this.committed.offset;
          this.warm(offset);
          this.acknowledged = this.committed = { offset, state: this.teller.matcher.snapshot() };
          continue;
        case 'acknowledged':
          this.send(offset, alerts);
          this.acknowledged = { offset: ++offset, state: this.teller.matcher.snapshot() };
          continue;
        case 'committed':
          this.send(offset, alerts);
          this.acknowledged = this.committed = { offset: ++offset, state: this.teller.matcher.snapshot() };
          continue;
        case 'none':
          this.send(offset++, alerts);
      }
    }
    const endMs = Math.max(START_MS, ...this.events.map(({ nowMs }) => nowMs));
    for (let second = 0; second <= 200; second += 50)
      this.send(LAST_OFFSET + second, this.teller.tick(endMs + second * 1000));
  }

  untold(): number {
    return this.teller.untold();
  }

  snapshot(): Uint8Array {
    return this.teller.matcher.snapshot();
  }

  private match(offset: number): Alert[] {
    const event = this.events[offset]!;
    return this.teller.match(recordOf(event), event.ms);
  }

  /** As Stream.rewind: what was sent since the snapshot is replayed in silence. */
  private rewind(offset: number): void {
    this.teller.matcher.restore(this.acknowledged.state);
    for (let at = this.acknowledged.offset; at < offset; at++) this.warmOne(at);
    this.acknowledged = { offset, state: this.teller.matcher.snapshot() };
  }

  /** As Worker.warmUp: from where the messages of the last window begin. */
  private warm(offset: number): void {
    const fromMs = (this.events[offset]?.nowMs ?? 0) - this.module.info.lookBackMs - WARM_MARGIN_MS;
    for (let at = 0; at < offset; at++) if (this.events[at]!.nowMs >= fromMs) this.warmOne(at);
  }

  private warmOne(offset: number): void {
    const event = this.events[offset]!;
    this.teller.warm(recordOf(event), event.ms);
  }

  private async renew(): Promise<void> {
    this.teller = new Teller(await this.module.instantiate());
  }

  private send(offset: number, alerts: Alert[]): void {
    for (const alert of alerts) this.sent.push({ offset, alert });
  }
}

async function runAll(module: MatcherModule, streams: Event[][], faults: Fault[][]): Promise<Partition[]> {
  const partitions = await Promise.all(streams.map(events => Partition.open(module, events)));
  for (const [i, partition] of partitions.entries()) await partition.run(faults[i] ?? []);
  return partitions;
}

const identity = ({ offset, alert }: Sent) => JSON.stringify([offset, alert]);
const once = (sent: Sent[]) => [...new Map(sent.map(one => [identity(one), one])).values()];

/** Of all rules, how many matches wanted an alert. */
const dueCount = (events: Event[]) =>
  events.reduce((sum, { kind }) => sum + ({ a: 2, b: 1, c: 1 }[kind] ?? 0), 0);

/** Sent, told of and still held back, once each. */
function accountedFor(partition: Partition): number {
  const sent = once(partition.sent).map(({ alert }) => alert);
  return sent.filter(({ name }) => EACH.includes(name)).length + toldBy(sent) + partition.untold();
}

function scenarios(faults: Fault[]) {
  const fault = fc.oneof(
    { weight: 5, arbitrary: fc.constant<Fault>('none') },
    { weight: 4, arbitrary: fc.constantFrom(...faults) },
  );
  const partitions = fc.array(fc.tuple(streams(KINDS, { keys: 3 }), fc.array(fault, { maxLength: 150 })), {
    minLength: 1,
    maxLength: 4,
  });
  return partitions.map(pairs => ({
    streams: pairs.map(([events]) => events),
    faults: pairs.map(([, faults]) => faults),
  }));
}

test('refusals, retries and rebalances with the state at hand: the very same alerts, and every match accounted for', async () => {
  const property = fc.asyncProperty(
    scenarios(['acknowledged', 'committed', 'refused', 'moved']),
    async scenario => {
      const quiet = await runAll(withCap, scenario.streams, []);
      const shaken = await runAll(withCap, scenario.streams, scenario.faults);
      for (const [i, partition] of shaken.entries()) {
        assert.deepEqual(once(partition.sent).map(identity), quiet[i]!.sent.map(identity));
        assert.deepEqual(partition.snapshot(), quiet[i]!.snapshot());
        assert.equal(accountedFor(partition), dueCount(partition.events));
      }
    },
  );
  await fc.assert(property, { numRuns: runs(60) });
});

test('crashes without the state: no alert is missed, and nothing is sent that was not due', async () => {
  const property = fc.asyncProperty(
    scenarios(['acknowledged', 'committed', 'refused', 'moved', 'crashed']),
    async scenario => {
      const quiet = await runAll(withoutCap, scenario.streams, []);
      const shaken = await runAll(withoutCap, scenario.streams, scenario.faults);
      for (const [i, partition] of shaken.entries()) checkCrashed(partition, quiet[i]!);
    },
  );
  await fc.assert(property, { numRuns: runs(60) });
});

function checkCrashed(partition: Partition, quiet: Partition): void {
  const bare = ({ offset, alert }: Sent) => {
    const { suppressed, suppressed_others, ...annotations } = alert.annotations;
    return JSON.stringify([offset, alert.name, alert.labels, annotations, alert.status, alert.startsMs]);
  };
  const of = ({ sent }: Partition, names: string[]) => sent.filter(({ alert }) => names.includes(alert.name));
  // What looks back no further than its window is the same, however often it is sent.
  const windowed = ['every', 'many', 'spread', 'order'];
  assert.deepEqual(new Set(of(partition, windowed).map(bare)), new Set(of(quiet, windowed).map(bare)));
  // An absence begins when it began, though another record or tick may bring it to light. Of a key that a wrong clock
  // saw, too, that depends on the clock that was believed then.
  const misdated = new Set(partition.events.filter(({ clock }) => clock === 1).map(({ key }) => key));
  const begun = ({ sent }: Partition) =>
    new Set(
      sent
        .filter(({ alert: { name, status } }) => name === 'silent' && status === 'firing')
        .map(
          ({ alert: { labels, startsMs } }) => `${labels.key} ${misdated.has(labels.key!) ? '' : startsMs}`,
        ),
    );
  const told = begun(partition);
  for (const absence of begun(quiet)) assert.ok(told.has(absence), `absence ${absence}`);
  // Nobody waits longer than twice the cool-down, in which each match is told or held back.
  for (const [name, realertMs] of [
    ['cool', 60_000],
    ['cool by value', 90_000],
  ] as const) {
    const sent = of(partition, [name]).map(({ alert }) => ({
      label: alert.labels.key ?? alert.labels.value,
      ms: alert.startsMs,
    }));
    for (const event of partition.events) {
      const label = name === 'cool' ? event.key : event.value;
      if (!(name === 'cool' ? ['a'] : ['a', 'b']).includes(event.kind)) continue;
      assert.ok(
        sent.some(
          alert =>
            alert.label === label &&
            event.ms - alert.ms < 2 * realertMs &&
            alert.ms - event.ms < WARM_MARGIN_MS,
        ),
        `${name} ${label} at ${event.ms}`,
      );
    }
  }
}
