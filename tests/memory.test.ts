// When memory runs out: it is made to end before each block that a record asks for. The answer is then TOO_LARGE with
// the state as it was, or the right one. Never "no match", and no cool-down without its alert.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALERT, NO_ALERT, TOO_LARGE, openDoors } from '../host/matcher.ts';
import type { Edit } from './core.ts';
import { bakeInto, compile, openCore } from './core.ts';

/** Memory that ends at an address of the test's choice, and tells how far it was asked for. */
const LIMITED: Edit[] = [
  [
    'memory.ts',
    'function ensure(end: usize): bool {',
    `let limit: usize = usize.MAX_VALUE;
let granted: usize = 0;

export function limitMemory(address: usize): void {
  limit = address;
  granted = 0;
}

export function grantedMemory(): usize {
  return granted;
}

function ensure(end: usize): bool {
  if (end > limit) return false;
  granted = max(granted, end);`,
  ],
  ['index.ts', /$/, "\nexport { grantedMemory, limitMemory } from './memory';\n"],
];
const UNLIMITED = 0xffffffff;
const LONG = 70_000; // more than a page, and too long to backtrack over

const core = openCore(...LIMITED);

interface Doors extends Awaited<ReturnType<typeof openDoors>> {
  limitMemory(address: number): void;
  grantedMemory(): number;
  alerts_only(
    tag: number,
    size: number,
    sec: number,
    nsec: number,
    record: number,
    recordSize: number,
  ): number;
  unreadableCount(): number;
}

class Module {
  readonly doors: Doors;
  constructor(doors: Doors) {
    this.doors = doors;
  }

  static async open(yaml: string): Promise<Module> {
    const bytes = await bakeInto(core, compile(yaml).bytes);
    return new Module((await openDoors(await WebAssembly.compile(bytes as BufferSource))) as Doors);
  }

  private bytes(): Uint8Array {
    return new Uint8Array(this.doors.memory.buffer);
  }

  put(text: string): [number, number] {
    const bytes = Buffer.from(text);
    const block = this.doors.malloc(bytes.length + 1);
    this.bytes().set(bytes, block);
    this.bytes()[block + bytes.length] = 0;
    return [block, bytes.length];
  }

  state(): Buffer {
    const start = this.doors.stateStart();
    return Buffer.from(this.bytes().slice(start, start + this.doors.stateSize()));
  }

  restore(state: Buffer): void {
    const block = this.doors.malloc(state.length);
    this.bytes().set(state, block);
    assert.ok(this.doors.restoreState(block, state.length));
  }

  /** The answer and the body of a record (or of a tick: null), with memory up to `limit`. */
  ask(record: string | null, sec: number, limit = UNLIMITED): { answer: number; body: string } {
    const [block, size] = this.put(record ?? '');
    this.doors.limitMemory(limit);
    const answer = record === null ? this.doors.tick(sec, 0) : this.doors.match(block, size, sec, 0, 0);
    this.granted.set(limit, this.doors.grantedMemory());
    this.doors.limitMemory(UNLIMITED);
    const start = this.doors.alertStart();
    const body =
      answer === ALERT ? Buffer.from(this.bytes().slice(start, start + this.doors.alertSize())) : '';
    return { answer, body: body.toString() };
  }

  /** How far memory was got, by its limit. */
  readonly granted = new Map<number, number>();

  /** As `ask`, through the door of the edge: what it answers, without the counter in the id. */
  askEdge(record: string, sec: number, limit = UNLIMITED): { unreadable: number; text: string } {
    const [block, size] = this.put(record);
    const before = this.doors.unreadableCount();
    this.doors.limitMemory(limit);
    const at = this.doors.alerts_only(0, 0, sec, 0, block, size);
    this.granted.set(limit, this.doors.grantedMemory());
    this.doors.limitMemory(UNLIMITED);
    const bytes = this.bytes();
    const text = Buffer.from(bytes.subarray(at, bytes.indexOf(0, at))).toString();
    return { unreadable: this.doors.unreadableCount() - before, text: text.replace(/^\{"id":"[^"]*"/, '') };
  }
}

/** Asks with memory that ends before the last block that was got, again and again, until none is asked for. */
function everyFailure(module: Module, ask: (limit: number) => void): number {
  let count = 0;
  for (let limit = UNLIMITED; limit !== -1; limit = module.granted.get(limit)! - 1) {
    ask(limit);
    count++;
  }
  return count;
}

const RULES = `
groups:
  - name: g
    rules:
      - alert: captures come first
        match: {field: log, regex: 'login of (?P<user>\\w+) failed'}
        labels: {user: '{{ $captures.user }}', all: '{{ $record.log }}/{{ $record.late }}'}
        annotations: {a: 'of {{ $captures.user }}: {{ $record.log }}, {{ $record.object }}', b: '{{ $labels.all }}'}
      - alert: lockstep
        realert: 0s
        match: {field: log, regex: '(?P<x>(?:[a-q]|é)[^u-z]{13}x)'}
        annotations: {x: '{{ $captures.x }}'}
      - alert: gate
        match: {all: [{field: name, eq: 'na"me'}, {field: log, endsWith: end}]}
      - alert: three
        match: {field: log, contains: failed}
        threshold: {count: 3, within: 5m}
        annotations: {message: '{{ $value }} in {{ $record.log }}'}
      - alert: two users
        match: {field: log, contains: failed}
        threshold: {count: 2, within: 5m, distinct: late}
      - alert: first and second
        sequence:
          by: [name]
          within: 5m
          steps: [{field: log, contains: first}, {field: log, contains: second}]
        labels: {name: '{{ $record.name }}'}
      - alert: silent
        match: {field: log, contains: backup}
        absence: {for: 10m, by: [name]}
        labels: {name: '{{ $record.name }}'}
        annotations: {message: 'no backup of {{ $labels.name }} any more'}
`;

const HARD = 'abcdefghijklmno'.repeat(LONG / 15);
// Each is asked of the state that the ones before left.
const STEPS: Array<[record: string | null, sec: number]> = [
  ['{"log":"nothing"}', 1000],
  ['{"log":"login of an\\u006ea failed","late":"\\u00e9\\n","object":{"é":"\xff"}}', 1000],
  ['{"log":"login of anna failed","late":"x"}', 1010],
  [`{"log":"${HARD}\\u0078 login of bob failed first","n\\u0061me":"na\\"me"}`, 1020],
  [`{"log":"second ${HARD} end","name":"na\\"me"}`, 1030],
  ['{"log":"backup","name":"one\\n"}', 1040],
  ['{"log":"backup of two","name":"two"}', 1041],
  [null, 1200],
  ['{"log":"nothing else"}', 1640],
  ['{"log":"backup is back","name":"one\\n"}', 1700],
  [null, 1700],
  [null, 1650],
  ['{"log":"login of anna failed","late":"y"}', 4000],
  ['{"log":', 4001],
];

test('a record for which memory runs out is too large, and leaves the state as it was', async () => {
  const module = await Module.open(RULES);
  let failures = 0;
  const answers = new Set<number>();
  for (const [record, sec] of STEPS) {
    const before = module.state();
    const right = module.ask(record, sec);
    const after = module.state();
    answers.add(right.answer);
    failures += everyFailure(module, limit => {
      module.restore(before);
      const { answer, body } = module.ask(record, sec, limit);
      const place = `${record?.slice(0, 60)} at ${sec}, memory up to ${limit}`;
      if (answer === TOO_LARGE) {
        // A tick may have moved the clock, which tells nobody anything.
        assert.ok(module.state().equals(before), place);
        assert.deepEqual(module.ask(record, sec), right, place);
      } else {
        assert.deepEqual({ answer, body }, right, place);
      }
      assert.ok(module.state().equals(after), place);
    });
    module.restore(after);
  }
  assert.deepEqual([...answers].sort(), [0, 1, 2]);
  assert.ok(failures >= 50, `${failures} failures`);
});

test('at the edge, a record for which memory runs out is counted, and leaves the state as it was', async () => {
  const module = await Module.open(RULES);
  for (const [record, sec] of STEPS) {
    if (record === null) continue;
    const before = module.state();
    const right = module.askEdge(record, sec);
    const after = module.state();
    everyFailure(module, limit => {
      module.restore(before);
      const answer = module.askEdge(record, sec, limit);
      if (answer.unreadable > right.unreadable) {
        // The notice of it, or nothing where there is no memory for that either.
        assert.match(answer.text, /^$|Earshot cannot read records/);
        assert.ok(module.state().equals(before));
      } else {
        assert.deepEqual(answer, right);
        assert.ok(module.state().equals(after));
      }
    });
    module.restore(after);
  }
});

test('absences for which there is no memory yet are told by the next call', async () => {
  const module = await Module.open(RULES);
  for (let i = 0; i < 30; i++) module.ask(`{"log":"backup","name":"${'n'.repeat(900)}${i}"}`, 1000 + i);
  const before = module.state();
  const namesOf = (body: string) =>
    (JSON.parse(body) as { alerts: Array<{ labels: { name: string } }> }).alerts.map(
      alert => alert.labels.name,
    );
  const right = namesOf(module.ask(null, 5000).body).sort();
  assert.equal(right.length, 30);
  everyFailure(module, limit => {
    module.restore(before);
    const told: string[] = [];
    let { answer, body } = module.ask(null, 5000, limit);
    for (; answer !== NO_ALERT; { answer, body } = module.ask(null, 5000)) {
      if (answer === ALERT) told.push(...namesOf(body));
    }
    assert.deepEqual(told.sort(), right);
  });
});

test('the longest alerts fit into what was reserved for them', async () => {
  const parts = Array.from({ length: 40 }, (_, i) => `l${i}: '{{ $record.v }}{{ $record.v }}'`).join(', ');
  const module = await Module.open(
    `groups: [{name: g, rules: [{alert: a, match: {field: v, exists: true}, labels: {${parts}}, annotations: {${parts}}},
      {alert: b, match: {field: v, exists: true}, annotations: {${parts}, value: '{{ $value }}'}}]}]`,
  );
  for (const piece of ['\\u0001', '<', '\\u2028', '"']) {
    const record = JSON.stringify({ v: '' }).replace(
      '""',
      `"${(piece === '"' ? '\\"' : piece).repeat(3000)}"`,
    );
    const before = module.state();
    const right = module.ask(record, 1000);
    assert.equal(right.answer, ALERT);
    everyFailure(module, limit => {
      module.restore(before);
      const { answer } = module.ask(record, 1000, limit);
      if (answer === TOO_LARGE) assert.ok(module.state().equals(before));
      else assert.equal(answer, ALERT);
    });
    module.restore(before);
    everyFailure(module, limit => {
      module.restore(before);
      const { unreadable, text } = module.askEdge(record, 1000, limit);
      assert.equal(/^$|Earshot cannot read records/.test(text), unreadable === 1);
      assert.ok(unreadable === 0 || module.state().equals(before));
    });
    module.restore(before);
  }
});
