// The loaded module: record bytes in, alert bytes out. The only file that knows the doors of the core.
import { instantiate } from '@assemblyscript/loader';
import * as layout from '../assembly/layout.ts';
import { UserError } from './error.ts';

/** What `Matcher.match` found. */
export const NO_ALERT = layout.NO_ALERT; // nothing to send: no rule matched, or the match is counted or suppressed
export const ALERT = layout.ALERT; // `alert()` has the body
export const MALFORMED = layout.MALFORMED; // not a JSON object: the record is poison, the state is untouched
export const TOO_LARGE = layout.TOO_LARGE; // more than RECORD_SIZE_MAX bytes, or memory is exhausted

export const HIT = layout.HIT; // `hits()` has what was found
export const UNKNOWN_RULE = layout.UNKNOWN_RULE; // a hit of a rule that this module does not have
export const MARKS = layout.MARKS; // no alert, but `marks()` has what must be kept

/** What a module says about the rules inside it. */
export interface RulesetInfo {
  /** 16 hex digits; the same rules give the same hash. */
  hash: string;
  version: number;
  /** Bytes of the ruleset. */
  size: number;
  /** Alert names, one a rule, in the order of the rules file. */
  alerts: string[];
  /** What else a module says about its rules, in the same order. */
  rules: RuleInfo[];
  /** The paths of the fields that may say a record's time. */
  timePaths: (string | number)[][];
  /** Milliseconds of event time that the state looks back: the longest window, cool-down or absence. */
  lookBackMs: number;
}

/** No field says the time; or one is there, and cannot be read: an index into `RulesetInfo.timePaths`. */
export type TimeFault = 'missing' | number;

export interface RuleInfo {
  alert: string;
  /** The cool-down of an alert, in milliseconds of event time. */
  realertMs: number;
  /** The rule also reports the end of its alerts, by the clock: an absence, or one with "resolveAfter". */
  resolves: boolean;
  /** How long after the last match an alert is resolved; an absence has no such time. */
  resolveAfterMs?: number;
  /** Alerts of the rule come when a time is over, without a record. */
  isToldByClock: boolean;
  /** A rule that counts: how many matches within how long make its first alert. */
  threshold?: { count: number; withinMs: number };
  /** What the rule remembers of earlier records; `each`: nothing, every match fires. */
  kind: (typeof KINDS)[number] | 'other';
  /** The rule looks for what is new: from its start on it learns what is not. */
  learns?: true;
  /** For an absence with only one key: the key of its hits. It is waited for even if nobody has ever seen it. */
  expectedKey?: string;
}

/** One instance is one stream of records, with the state (cool-downs, windows) of that stream. */
/** Rules that a counter tells of its start: they wait for their key, whether or not it was ever seen, or learn what is not new. */
export function rulesToExpect({ rules }: RulesetInfo): number[] {
  return rules.flatMap(({ expectedKey, learns }, rule) =>
    expectedKey === undefined && !learns ? [] : [rule],
  );
}

export interface Matcher {
  readonly info: RulesetInfo;
  /**
   * Matches one record (a JSON object, UTF-8) and updates the state. `sec` and `nsec` are the event
   * time to use when the record has no readable `@timestamp`.
   */
  match(record: Uint8Array, sec: number, nsec: number): number;
  /**
   * Like `match`, for a caller that has the whole stream. Each record is read to its end: MALFORMED also for what comes
   * after the last field that is needed. And an absence with only one key is waited for from the first record on.
   */
  matchWhole(record: Uint8Array, sec: number, nsec: number): number;
  /** Like `matchWhole`, at this time, whatever time the record says. */
  matchAt(record: Uint8Array, sec: number, nsec: number): number;
  /** Why the last record that matched has no time of its own; undefined when it has one. */
  timeFault(): TimeFault | undefined;
  /** The body of the alert after ALERT, as UTF-8: a view that is valid until the next call. */
  alert(): Uint8Array;
  /** Reports the time, for what comes by the clock; ALERT when something fell due. Call until it returns NO_ALERT. */
  tick(sec: number, nsec: number): number;
  /** Matches one record and counts nothing; returns HIT, NO_ALERT, MALFORMED or TOO_LARGE. */
  find(record: Uint8Array, sec: number, nsec: number): number;
  /**
   * The hits after HIT, one JSON object per line: a view that is valid until the next call. `source` names the record,
   * in ASCII without `"` and `\\`. Undefined when there is no memory.
   */
  hits(source: string): Uint8Array | undefined;
  /**
   * Counts what `hits` wrote, or a mark; `writtenMs` says when it was written, 0: not known. Returns NO_ALERT, ALERT,
   * MALFORMED, TOO_LARGE or UNKNOWN_RULE. `silent`: it makes no alert, and no cool-down begins; `told`: its alert was told
   * before.
   */
  count(hit: Uint8Array, how: CountHow, writtenMs?: number): number;
  /** Like `tick`, for a caller that calls `told` afterwards; MARKS when there are only `marks`. */
  due(sec: number, nsec: number): number;
  /**
   * Waits for an absence with only one key (an index into `info.rules`) from now on, even if the key is never seen; or begins
   * to learn what is not new, for a rule that `learns`. MARKS when it did not before: then call `told` last, as after `due`.
   */
  expect(rule: number, sec: number, nsec: number): number;
  /** Notes that the alert of the last `count` or `due` has been told: its cool-down begins. */
  told(): void;
  /** Marks of the last `due` or `expect`, each for the partition of its counter. */
  marks(): Uint8Array[];
  /** The stream has ended: ALERT when its last records make something due. Call until it returns NO_ALERT. */
  end(): number;
  /** A copy of the state region; `restore` puts it back, also into another instance of the same module. */
  snapshot(): Uint8Array;
  restore(snapshot: Uint8Array): void;
  /** Keys in the state: one for each use (window, cool-down, silence) of a rule and a label set. Their slots stay. */
  keyCount(): number;
  /** Keys that were evicted because the state was full. */
  evictedKeyCount(): number;
  /** Forgets everything: the state is that of a new instance. */
  reset(): void;
  /** Matches of each rule since the start, suppressed or sent, by index into `info.alerts`. */
  matches(): number[];
  /** Matches of all rules since the start, modulo 2^32. */
  matchedCount(): number;
  /** Records since the start that matched and were taken at the given time, because they do not say their own. */
  untimedCount(): number;
  /** Alerts of each rule that the rate cap suppressed since the start. */
  capped(): number[];
  /**
   * Suppressed matches that no alert has reported yet: by rule, and those of evicted label sets. It goes
   * through the whole state for each rule: for the end of a run, not for every commit.
   */
  suppressed(): { byRule: number[]; others: number; evictedKeys: number };
}

export type CountHow = 'live' | 'silent' | 'told';

/** A compiled module, from which any number of matchers are instantiated. */
export interface MatcherModule {
  readonly info: RulesetInfo;
  instantiate(): Promise<Matcher>;
  /** The doors of one more instance, to ask where a record matches. */
  doors(): Promise<Doors>;
}

/** The doors of assembly/index.ts. */
export interface Doors extends Record<string, unknown> {
  memory: WebAssembly.Memory;
  malloc(size: number): number;
  rulesetAddress(): number;
  isLoaded(): number;
  match(record: number, size: number, sec: number, nsec: number, flags: number): number;
  hits(source: number, size: number): number;
  count(hit: number, size: number, sec: number, nsec: number, flags: number): number;
  due(sec: number, nsec: number): number;
  expectedKey(rule: number): bigint;
  expect(rule: number, sec: number, nsec: number): number;
  told(): void;
  marks(): number;
  end(): number;
  keyCount(): number;
  alertStart(): number;
  alertSize(): number;
  matchCounts(): number;
  matchedCount(): number;
  untimedCount(): number;
  timeFault(): number;
  cappedCounts(): number;
  tick(sec: number, nsec: number): number;
  stateStart(): number;
  stateSize(): number;
  restoreState(snapshot: number, size: number): number;
  resetState(): void;
  suppressedCount(rule: number): number;
  othersCount(): number;
  evictedKeyCount(): number;
  spanOf(atom: number): number;
  spanText(): number;
  spanTextSize(): number;
  spanStart(): number;
  spanEnd(): number;
  examine(record: number, size: number): number;
  testAtom(atom: number): number;
  examinedTime(): number;
}

/** The raw doors: @assemblyscript/loader's own wrappers only add string and class handling, which no door needs. */
export async function openDoors(module: WebAssembly.Module): Promise<Doors> {
  const { instance } = await instantiate<Doors>(module);
  return instance.exports as unknown as Doors;
}

/** Loads a module that `earshot build` made. Throws a UserError that says what to do when it can't be trusted. */
export async function loadModule(bytes: Uint8Array): Promise<MatcherModule> {
  const module = await compileModule(bytes);
  let doors: Doors;
  try {
    doors = await openDoors(module);
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    throw new UserError(refusal(bytes));
  }
  if (typeof doors.isLoaded !== 'function')
    throw new UserError(
      'this WebAssembly module is not Earshot’s; build one with `earshot build rules.yaml -o earshot.wasm`',
    );
  if (!doors.isLoaded())
    throw new UserError(
      'this module has no rules in it; build one with `earshot build rules.yaml -o earshot.wasm`',
    );
  const info = readInfo(doors);
  let first: Doors | null = doors;
  return {
    info,
    async instantiate() {
      const own = first ?? (await openDoors(module));
      first = null;
      return new LoadedMatcher(info, own);
    },
    doors: () => openDoors(module),
  };
}

async function compileModule(bytes: Uint8Array): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes as BufferSource);
  } catch (error) {
    const reason =
      error instanceof Error ? error.message.replace(/^WebAssembly\.compile\(\): /, '') : String(error);
    throw new UserError(
      `not a whole WebAssembly module (${reason}); copy the file again, or build it again with \`earshot build\``,
    );
  }
}

/** Why the core trapped at its start: the header's magic is there, so it is the version or the checksum. */
function refusal(bytes: Uint8Array): string {
  const at = Buffer.from(bytes).indexOf('EARS'); // the header comes before any text of the rules
  const version = at < 0 ? layout.VERSION : Buffer.from(bytes).readUInt32LE(at + layout.HEADER_VERSION);
  return version === layout.VERSION
    ? 'the rules inside this module are damaged (their checksum does not hold); copy the file again, or build it again with `earshot build`'
    : `the rules inside this module have format ${version}, and its core reads format ${layout.VERSION}; build it again with \`earshot build\``;
}

/** The names of KIND_…, in their order. */
const KINDS = ['each', 'threshold', 'sequence', 'absence', 'firstSeen', 'ratio'] as const;

function readInfo(doors: Doors): RulesetInfo {
  const base = doors.rulesetAddress();
  const view = new DataView(doors.memory.buffer);
  const u32 = (offset: number) => view.getUint32(base + offset, true);
  const u64 = (offset: number) => view.getBigUint64(base + offset, true);
  const alerts: string[] = [];
  const rules: RuleInfo[] = [];
  for (let rule = 0; rule < u32(layout.HEADER_RULE_COUNT); rule++) {
    const at = u32(layout.HEADER_RULES_OFFSET) + rule * layout.RULE_SIZE;
    const name = new Uint8Array(
      view.buffer,
      base + u32(at + layout.RULE_NAME_OFFSET),
      u32(at + layout.RULE_NAME_SIZE),
    );
    const alert = Buffer.from(name).toString();
    alerts.push(alert);
    const kind = KINDS[u32(at + layout.RULE_KIND)] ?? 'other';
    const counting = u32(at + layout.RULE_COUNTING_OFFSET);
    const resolveAfterMs = Number(u64(counting + layout.COUNTING_RESOLVE_MS));
    const resolves = resolveAfterMs > 0 || kind === 'absence';
    const key = BigInt.asUintN(64, doors.expectedKey(rule));
    rules.push({
      alert,
      realertMs: Number(u64(at + layout.RULE_REALERT_MS)),
      resolves,
      ...(resolveAfterMs > 0 && { resolveAfterMs }),
      isToldByClock: resolves || (u32(counting + layout.COUNTING_ORDER) & layout.ORDER_WAITS) !== 0,
      kind,
      ...(kind === 'threshold' && {
        threshold: {
          count: u32(at + layout.RULE_COUNT),
          withinMs: Number(u64(at + layout.RULE_WINDOW_MS)),
        },
      }),
      ...(kind === 'firstSeen' && { learns: true as const }),
      ...(key !== 0n && { expectedKey: hex(key) }),
    });
  }
  return {
    hash: hex(u64(layout.HEADER_HASH)),
    version: u32(layout.HEADER_VERSION),
    size: u32(layout.HEADER_SIZE_TOTAL),
    alerts,
    rules,
    timePaths: readTimePaths(view, base),
    lookBackMs: Number(u64(layout.HEADER_LOOK_BACK_MS)),
  };
}

function readTimePaths(view: DataView, base: number): (string | number)[][] {
  const paths: (string | number)[][] = [];
  const u32 = (offset: number) => view.getUint32(base + offset, true);
  let at = u32(layout.HEADER_TIMES_OFFSET);
  for (; u32(at + layout.TIME_FIELD) !== layout.NONE; at += layout.TIME_SIZE) {
    const path = new Uint8Array(
      view.buffer,
      base + u32(at + layout.TIME_PATH_OFFSET),
      u32(at + layout.TIME_PATH_SIZE),
    );
    paths.push(JSON.parse(Buffer.from(path).toString()) as (string | number)[]);
  }
  return paths;
}

function hex(hash: bigint): string {
  return hash.toString(16).padStart(16, '0');
}

const BLOCK_SIZE_MIN = 64 * 1024;
const SOURCE_SIZE_MAX = 1024; // A topic's name has up to 249 characters.
const WHOLE_FLAGS = layout.FLAG_RECORD_TIME | layout.FLAG_WHOLE | layout.FLAG_EXPECT;
const COUNT_FLAGS = { live: 0, silent: layout.FLAG_SILENT, told: layout.FLAG_TOLD };

export class LoadedMatcher implements Matcher {
  readonly info: RulesetInfo;
  private readonly doors: Doors;
  private bytes: Uint8Array;
  private block = 0;
  private blockSize = 0;

  constructor(info: RulesetInfo, doors: Doors) {
    this.info = info;
    this.doors = doors;
    this.bytes = new Uint8Array(doors.memory.buffer);
  }

  match(record: Uint8Array, sec: number, nsec: number): number {
    return this.call(record, sec, nsec, layout.FLAG_RECORD_TIME);
  }

  matchWhole(record: Uint8Array, sec: number, nsec: number): number {
    return this.call(record, sec, nsec, WHOLE_FLAGS);
  }

  matchAt(record: Uint8Array, sec: number, nsec: number): number {
    return this.call(record, sec, nsec, WHOLE_FLAGS & ~layout.FLAG_RECORD_TIME);
  }

  find(record: Uint8Array, sec: number, nsec: number): number {
    return this.call(record, sec, nsec, layout.FLAG_RECORD_TIME | layout.FLAG_HITS);
  }

  hits(source: string): Uint8Array | undefined {
    const at = this.block + this.blockSize;
    const size = Buffer.from(this.memory().buffer).write(source, at, SOURCE_SIZE_MAX, 'latin1');
    return this.doors.hits(at, size) ? this.output() : undefined;
  }

  count(hit: Uint8Array, how: CountHow, writtenMs = 0): number {
    const sec = Math.floor(writtenMs / 1000);
    const nsec = (writtenMs - sec * 1000) * 1_000_000;
    return this.put(hit) ? this.doors.count(this.block, hit.length, sec, nsec, COUNT_FLAGS[how]) : TOO_LARGE;
  }

  due(sec: number, nsec: number): number {
    return this.doors.due(sec, nsec);
  }

  end(): number {
    return this.doors.end();
  }

  expect(rule: number, sec: number, nsec: number): number {
    return this.doors.expect(rule, sec, nsec);
  }

  told(): void {
    this.doors.told();
  }

  marks(): Uint8Array[] {
    return linesOf(this.doors.marks() ? this.output() : new Uint8Array());
  }

  timeFault(): TimeFault | undefined {
    const fault = this.doors.timeFault();
    if (fault === layout.TIME_FAULT_NONE) return undefined;
    return fault === layout.TIME_FAULT_MISSING ? 'missing' : fault - layout.TIME_FAULT_FIELDS;
  }

  alert(): Uint8Array {
    return this.output();
  }

  private output(): Uint8Array {
    const start = this.doors.alertStart();
    return this.memory().subarray(start, start + this.doors.alertSize());
  }

  tick(sec: number, nsec: number): number {
    return this.doors.tick(sec, nsec);
  }

  snapshot(): Uint8Array {
    const start = this.doors.stateStart();
    return this.memory().slice(start, start + this.doors.stateSize());
  }

  restore(snapshot: Uint8Array): void {
    // `malloc` releases the record's block, so it must be allocated again.
    this.blockSize = 0;
    const block = this.doors.malloc(snapshot.length);
    if (block !== 0) this.memory().set(snapshot, block);
    if (block === 0 || !this.doors.restoreState(block, snapshot.length)) {
      throw new Error('this snapshot is of other rules, or damaged: the state is unchanged');
    }
  }

  keyCount(): number {
    return this.doors.keyCount();
  }

  evictedKeyCount(): number {
    return this.doors.evictedKeyCount();
  }

  reset(): void {
    this.doors.resetState();
  }

  suppressed(): { byRule: number[]; others: number; evictedKeys: number } {
    return {
      byRule: this.info.alerts.map((_, rule) => this.doors.suppressedCount(rule)),
      others: this.doors.othersCount(),
      evictedKeys: this.evictedKeyCount(),
    };
  }

  matches(): number[] {
    return this.counts(this.doors.matchCounts());
  }

  matchedCount(): number {
    return this.doors.matchedCount();
  }

  untimedCount(): number {
    return this.doors.untimedCount();
  }

  capped(): number[] {
    return this.counts(this.doors.cappedCounts());
  }

  private counts(at: number): number[] {
    return Array.from(new Uint32Array(this.doors.memory.buffer, at, this.info.alerts.length));
  }

  private call(record: Uint8Array, sec: number, nsec: number, flags: number): number {
    return this.put(record) ? this.doors.match(this.block, record.length, sec, nsec, flags) : TOO_LARGE;
  }

  /** Puts bytes into the block; false when they are too many. */
  private put(bytes: Uint8Array): boolean {
    const size = bytes.length;
    if (
      size > layout.RECORD_SIZE_MAX ||
      ((this.block === 0 || size > this.blockSize) && !this.growBlock(size))
    )
      return false;
    this.memory().set(bytes, this.block);
    return true;
  }

  /** The block is allocated once and used for every record: the core keeps it until the next `malloc`. */
  private growBlock(size: number): boolean {
    const wanted = Math.max(BLOCK_SIZE_MIN, size * 2);
    this.block = this.doors.malloc(wanted + SOURCE_SIZE_MAX); // The source's name comes after the record.
    this.blockSize = this.block === 0 ? 0 : wanted;
    return this.block !== 0;
  }

  /** Memory's bytes; growing memory detaches the old view. */
  private memory(): Uint8Array {
    if (this.bytes.byteLength === 0) this.bytes = new Uint8Array(this.doors.memory.buffer);
    return this.bytes;
  }
}

/** The lines of the core's output, copied: the output is gone with the next call. */
export function linesOf(output: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  for (let start = 0; start < output.length;) {
    const end = output.indexOf(0x0a, start);
    if (end < 0) throw new Error('the core ended its output within a line');
    lines.push(output.slice(start, end));
    start = end + 1;
  }
  return lines;
}
