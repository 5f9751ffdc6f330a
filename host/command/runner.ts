// The run of `run` and `tail`: records in, alerts out, and at the end a summary of what every rule did.
import { RECORD_SIZE_MAX } from '../../assembly/layout.ts';
import { alertName, alertsOf } from '../body.ts';
import { UserError, formatCount, formatDuration } from '../error.ts';
import type { Matcher, MatcherModule, RuleInfo } from '../matcher.ts';
import { ALERT, MALFORMED, NO_ALERT, TOO_LARGE } from '../matcher.ts';
import type { LogFile } from '../source/file.ts';
import { Lines, isBlank } from '../source/file.ts';
import type { Message } from '../source/source.ts';
import type { AlertOutput } from './alert-output.ts';
import type { Io } from './command.ts';
import { openProgress } from './progress.ts';
import { excerptOf, mayBeObject, textRecord } from './text.ts';
import type { LineForm } from './text.ts';

export interface RunOptions {
  lines: LineForm;
  /** End at the first line that is no record. */
  strict: boolean;
  /** Records come as they happen: those without a time are of now. */
  isLive?: boolean;
}

/** A body that waits to be sent, and the names of its alerts. */
interface Found {
  bytes: Uint8Array;
  names: string[];
}

export class Runner {
  private readonly startedAt = performance.now();
  private readonly module: MatcherModule;
  private readonly matcher: Matcher;
  private readonly output: AlertOutput;
  private readonly options: RunOptions;
  private readonly stop: AbortSignal;
  private readonly io: Io;
  private readonly progress: ReturnType<typeof openProgress>;
  private recordCount = 0;
  private byteCount = 0;
  private unreadableCount = 0;
  /** The first byte of the first line that is no record. */
  private firstUnreadable: Uint8Array | null = null;
  /** Alerts by name: those that the rules made, and those that arrived. */
  private readonly found = new Map<string, number>();
  private readonly delivered = new Map<string, number>();
  /** Records that match and do not say their time: it is missing, or, by its field, cannot be read, with the first. */
  private untimedSeen = 0;
  private untimed = 0;
  private readonly mistimed = new Map<number, { count: number; first: string }>();
  /** Bodies from the chunk under work. */
  private bodies: Found[] = [];

  constructor(
    module: MatcherModule,
    matcher: Matcher,
    output: AlertOutput,
    options: RunOptions,
    stop: AbortSignal,
    io: Io,
  ) {
    this.module = module;
    this.matcher = matcher;
    this.output = output;
    this.options = options;
    this.stop = stop;
    this.io = io;
    // On a terminal where alerts scroll, a line that is always rewritten is in the way.
    this.progress = openProgress(options.isLive ? null : io.stderr, () => this.rates());
  }

  isDone(): boolean {
    return this.stop.aborted || this.output.isClosed();
  }

  /** True when there were lines, and none of them was a record. */
  foundNoRecord(): boolean {
    return this.recordCount === 0 && this.unreadableCount > 0;
  }

  async read(file: LogFile): Promise<void> {
    const lines = new Lines(RECORD_SIZE_MAX);
    const close = () => file.close();
    const timeOf = () => (this.options.isLive ? Date.now() : file.timeMs);
    this.stop.addEventListener('abort', close);
    try {
      for await (const chunk of file.chunks) {
        this.byteCount += chunk.length;
        const timeMs = timeOf();
        for (const line of lines.push(chunk)) this.take(line.bytes, line.number, file.name, timeMs);
        await this.deliver();
        if (this.isDone()) return;
      }
      for (const line of lines.end()) this.take(line.bytes, line.number, file.name, timeOf());
    } finally {
      this.stop.removeEventListener('abort', close);
      file.close();
      await this.deliver();
    }
  }

  /** Reports the time of now, for absences and for what the rate cap suppressed. */
  async tick(nowMs: number): Promise<void> {
    const [sec, nsec] = timeParts(nowMs);
    while (!this.isDone() && this.matcher.tick(sec, nsec) === ALERT) this.keep(this.matcher.alert(), null);
    await this.deliver();
  }

  /** Sends what the last records make due: an absence, and what the rate cap suppressed. */
  async finish(): Promise<void> {
    while (!this.isDone() && this.matcher.end() === ALERT) {
      this.keep(this.matcher.alert(), null);
      await this.deliver();
    }
  }

  /** Takes a line of a file, or the value of a message. */
  take(line: Uint8Array | null, number: number, source: string, timeMs: number): void {
    if (line !== null && isBlank(line)) return;
    const [sec, nsec] = timeParts(timeMs);
    const record = line && this.recordOf(line);
    let answer = record === null ? TOO_LARGE : this.matcher.matchWhole(record, sec, nsec);
    let matched = record;
    if (answer === MALFORMED && this.options.lines === 'either' && record === line) {
      matched = textRecord(line!);
      answer = this.matcher.matchWhole(matched, sec, nsec);
    }
    if (answer === NO_ALERT || answer === ALERT) this.recordCount++;
    else this.reject(line, `${source}:${number}`, answer);
    if (answer === ALERT) this.keep(this.matcher.alert(), matched);
    if (this.matcher.untimedCount() !== this.untimedSeen) this.noteTime(matched!);
  }

  /** Takes the value of a message of Kafka; one without a value says nothing. */
  takeMessage({ offset, timestamp, value, unreadable }: Message, place: string): void {
    if (unreadable !== undefined) this.note(`${place}: ${unreadable}`);
    if (value === null) return;
    this.byteCount += value.length;
    this.take(value, Number(offset), place, Number(timestamp));
  }

  private note(text: string): void {
    this.progress.clear();
    this.io.stderr.write(`earshot: ${text}\n`);
  }

  private recordOf(line: Uint8Array): Uint8Array {
    const { lines } = this.options;
    return lines === 'text' || (lines === 'either' && !mayBeObject(line)) ? textRecord(line) : line;
  }

  private keep(body: Uint8Array, record: Uint8Array | null): void {
    // A copy: the next call overwrites it.
    const own = Buffer.from(body);
    const names = alertsOf(own).map(alertName);
    for (const name of names) add(this.found, name);
    this.bodies.push({ bytes: this.output.form(own, record), names });
  }

  private noteTime(record: Uint8Array): void {
    this.untimedSeen = this.matcher.untimedCount();
    const fault = this.matcher.timeFault();
    if (fault === undefined || fault === 'missing') {
      this.untimed++;
      return;
    }
    const noted = this.mistimed.get(fault);
    if (noted) noted.count++;
    else {
      const first = short(JSON.stringify(valueAt(record, this.module.info.timePaths[fault]!)) ?? '');
      this.mistimed.set(fault, { count: 1, first });
    }
  }

  async deliver(): Promise<void> {
    const { bodies } = this;
    this.bodies = [];
    if (bodies.length > 0) {
      this.progress.clear();
      await this.output.send(
        bodies.map(({ bytes }) => bytes),
        index => bodies[index]!.names.forEach(name => add(this.delivered, name)),
      );
    }
    this.progress.show();
  }

  /** The first line that is not a record is shown, the others are counted. */
  private reject(line: Uint8Array | null, place: string, answer: number): void {
    this.unreadableCount++;
    const reason =
      answer === TOO_LARGE
        ? `the line is too long, ${formatCount(RECORD_SIZE_MAX)} bytes are allowed`
        : `not a JSON object: ${excerptOf(line!)}`;
    if (this.options.strict) throw new UserError(`${place}: ${reason}`);
    if (this.unreadableCount > 1) return;
    this.firstUnreadable = line && Buffer.from(line.subarray(0, 1));
    this.note(`${place}: ${reason}`);
  }

  // ── The summary ───────────────────────────────────────────────────────────────────────────────────

  private rates(): string {
    const seconds = (performance.now() - this.startedAt) / 1000;
    const perSecond = formatCount(Math.round(this.recordCount / seconds));
    const read = `${count(this.recordCount, 'record', 'records')}, ${formatCount(this.byteCount)} bytes`;
    const alerts = count(total(this.delivered), 'alert', 'alerts');
    return `${read} in ${seconds.toFixed(seconds < 10 ? 2 : 0)} s (${perSecond} records/s), ${alerts}`;
  }

  summary(): string {
    this.progress.clear();
    const lines = [this.rates(), ...this.lineNotes(), ...this.timeNotes(), ...this.ruleLines()];
    return `${lines.join('\n')}\n`;
  }

  private lineNotes(): string[] {
    const notes: string[] = [];
    if (this.unreadableCount > 0)
      notes.push(count(this.unreadableCount, 'line is no record', 'lines are no records'));
    if (this.foundNoRecord())
      notes.push(
        this.firstUnreadable?.[0] === 0x5b
          ? 'no line is a record: of a JSON array make lines with `jq -c .[]`'
          : 'no line is a record: for lines of plain text use --text, the line is then the field "log"',
      );
    const lost = total(this.found) - total(this.delivered);
    if (lost > 0) notes.push(count(lost, 'alert is not delivered', 'alerts are not delivered'));
    return notes;
  }

  /** Windows over records of one moment say nothing: an error an hour is then ten errors at once. */
  private timeNotes(): string[] {
    if (this.untimedSeen === 0 || this.options.isLive) return [];
    const names = this.module.info.timePaths.map(nameOf);
    const found = [...this.mistimed].map(
      ([field, { count: number, first }]) =>
        `${count(number, 'record that matches has', 'records that match have')} a time in ${names[field]!} that cannot be read, such as ${first}`,
    );
    if (this.untimed > 0)
      found.push(
        `${count(this.untimed, 'record that matches has', 'records that match have')} no ${listed(names)}`,
      );
    const matches = this.matcher.matches();
    const isCounting = this.module.info.rules.some(({ kind }, rule) => kind !== 'each' && matches[rule]! > 0);
    const consequence = isCounting ? ' For windows they are all at one moment.' : '';
    return [
      ...found.map(text => `${text}: the file's time is taken`),
      `Name the field of their time with "timestamp" at the top of the rules file.${consequence}`,
    ];
  }

  private ruleLines(): string[] {
    const { alerts } = this.module.info;
    const matches = this.matcher.matches();
    const suppressed = this.matcher.suppressed();
    const width = Math.max(...alerts.map(alert => alert.length), 4);
    // The rules that matched most come first; a rule that never did is worth knowing too.
    const order = alerts.map((_, rule) => rule).sort((a, b) => matches[b]! - matches[a]! || a - b);
    const shown = order.slice(0, RULES_SHOWN);
    const lines = shown.map(rule => {
      const unreported = suppressed.byRule[rule]!;
      const note = unreported > 0 ? `, ${formatCount(unreported)} of them suppressed at the end` : '';
      const matched = count(matches[rule]!, 'match', 'matches');
      return `  ${alerts[rule]!.padEnd(width)}  ${matched}${note}${this.outcome(rule, matches[rule]!)}`;
    });
    if (suppressed.others > 0)
      lines.push(
        `  ${count(suppressed.others, 'match', 'matches')} suppressed whose label sets are forgotten`,
      );
    if (suppressed.evictedKeys > 0)
      lines.push(
        `  ${count(suppressed.evictedKeys, 'key was', 'keys were')} forgotten because the state was full`,
      );
    if (order.length > shown.length)
      lines.push(`  and ${formatCount(order.length - shown.length)} rules more`);
    return lines;
  }

  /** How many alerts the matches of a rule made, or why none. */
  private outcome(rule: number, matches: number): string {
    const { alerts, rules } = this.module.info;
    const name = alerts[rule]!;
    const delivered = this.delivered.get(name) ?? 0;
    // Alerts are told apart by their name only.
    if (alerts.indexOf(name) !== alerts.lastIndexOf(name)) return '';
    if (delivered > 0) return `, ${count(delivered, 'alert', 'alerts')}`;
    return matches > 0 && !this.found.has(name) ? `, no alert${whyNone(rules[rule]!)}` : '';
  }
}

/** Why a rule that matches has no alert. */
export function whyNone({ kind, threshold }: RuleInfo): string {
  if (threshold)
    return `: the threshold of ${formatCount(threshold.count)} within ${formatDuration(threshold.withinMs)} is not reached`;
  return WHY_NONE[kind];
}

const WHY_NONE: Record<RuleInfo['kind'], string> = {
  each: '',
  threshold: '',
  sequence: ': the sequence is not complete',
  absence: ': none stayed away, or fell below its count',
  firstSeen: ': nothing was new, or it was still learning what is not',
  ratio: ': the share is not above its limit, or of too few matches',
  other: '',
};

export function count(number: number, one: string, many: string): string {
  return `${formatCount(number)} ${number === 1 ? one : many}`;
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function total(counts: Map<string, number>): number {
  return [...counts.values()].reduce((sum, number) => sum + number, 0);
}

export function timeParts(timeMs: number): [sec: number, nsec: number] {
  const sec = Math.floor(timeMs / 1000);
  return [sec, Math.round((timeMs - sec * 1000) * 1_000_000)];
}

const RULES_SHOWN = 40;
const VALUE_SIZE = 60;

function short(text: string): string {
  return text.length > VALUE_SIZE ? `${text.slice(0, VALUE_SIZE)}…` : text;
}

/** The module has read the record: this is for the summary only. */
function valueAt(record: Uint8Array, path: (string | number)[]): unknown {
  try {
    let value: unknown = JSON.parse(Buffer.from(record).toString());
    for (const step of path) value = (value as Record<string | number, unknown>)[step];
    return value;
  } catch {
    return undefined;
  }
}

function nameOf(path: (string | number)[]): string {
  return `"${path.join('.')}"`;
}

function listed(names: string[]): string {
  return names.length === 1 ? names[0]! : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}
