// `earshot run`: records from files or standard input, alerts to standard output or to a sink.
import { once } from 'node:events';
import { RECORD_SIZE_MAX } from '../../assembly/layout.ts';
import { alertsOf } from '../body.ts';
import { UserError, formatCount } from '../error.ts';
import type { Matcher, MatcherModule } from '../matcher.ts';
import { ALERT, NO_ALERT, TOO_LARGE, loadModule } from '../matcher.ts';
import type { Notifier, NotifyOptions } from '../notify.ts';
import { ANSWER_TIMEOUT_MS, ENVELOPES, openNotifier, readNotifyAddress } from '../notify.ts';
import { HOLD_MAX_MS, holdsOf } from '../sink/hold.ts';
import type { LogFile } from '../source/file.ts';
import { Lines, isBlank, openFile } from '../source/file.ts';
import type { Io } from './command.ts';
import { choice, readArguments, usage } from './command.ts';
import { readInput } from './input.ts';
import { openProgress } from './progress.ts';

export function help(): string {
  return `Usage: earshot run [OPTION…] (rules.yaml | earshot.wasm) [FILE…]

Matches log records, one JSON object a line, plain or gzip, from files, or from standard input for "-" or
without FILE. Alerts go to standard output, one body a line; a summary goes to standard error.

  --notify URL       post the alerts instead, and end when the sink does not accept one
  --envelope NAME    what is posted: ${ENVELOPES.join(' or ')} (${ENVELOPES[0]})
  --deadline SECONDS how long a post is tried again (60)
  --alert-hold-ms MS alertmanager only: an alert ends this long after its post, 0: after Alertmanager's
                     resolve_timeout; by default after its rule's cool-down and 10 minutes more (and its
                     resolveAfter), and an absence when it is over
  --strict           end at the first line that is not a record

An alert starts at its record's "@timestamp"; without one, at the file's last change, or, on standard
input, at the start of the run.
`;
}

const OPTIONS = {
  notify: { type: 'string' },
  envelope: { type: 'string' },
  deadline: { type: 'string' },
  'alert-hold-ms': { type: 'string' },
  strict: { type: 'boolean' },
} as const;

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [rules, ...paths] = positionals;
  if (rules === undefined) throw usage('run needs a rules file or a module');
  if (!values.notify && (values.envelope || values.deadline))
    throw usage('--envelope and --deadline go with --notify');
  if (!values.notify && values['alert-hold-ms']) throw usage('--alert-hold-ms goes with --notify');
  const notify = values.notify === undefined ? undefined : readNotify(values.notify, values);
  if (paths.length === 0 && io.stdin.isTTY) throw usage('run needs log files, or records on standard input');

  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const module = await openModule(rules, io);
  const output = notify
    ? await notifierOutput({ ...notify, holdOf: holdsOf(module.info.rules), stop: stop.signal }, io)
    : streamOutput(io.stdout);
  const runner = new Runner(module, await module.instantiate(), output, stop.signal, io);
  try {
    for (const path of paths.length === 0 ? ['-'] : paths) {
      if (!runner.isDone()) await runner.read(await openFile(path, io.stdin), values.strict ?? false);
    }
    await runner.finish();
  } finally {
    io.stderr.write(runner.summary());
    await output.close();
  }
  return stop.signal.aborted ? 130 : 0;
}

const WASM = Buffer.from('\0asm');

/** A module is known by its first bytes; anything else is a rules file, and only that loads the compiler. */
async function openModule(path: string, io: Io): Promise<MatcherModule> {
  const bytes = await readInput(path);
  if (!bytes.subarray(0, WASM.length).equals(WASM)) {
    const { bakeModule, readRulesFile, requireRuleset } = await import('./rules-file.ts');
    return loadModule(await bakeModule(requireRuleset(await readRulesFile(path), io)));
  }
  try {
    return await loadModule(bytes);
  } catch (error) {
    throw error instanceof UserError ? new UserError(`${path}: ${error.message}`) : error;
  }
}

// ── Where alerts go ─────────────────────────────────────────────────────────────────────────────────

interface Output {
  /** Throws a UserError when a body cannot be delivered. */
  send(bodies: Uint8Array[]): Promise<void>;
  /** True when nobody reads the output any more. */
  isClosed(): boolean;
  close(): Promise<void>;
}

const NEWLINE = Buffer.from('\n');

function streamOutput(stream: NodeJS.WriteStream): Output {
  let closed = false;
  stream.once('error', () => (closed = true));
  return {
    async send(bodies) {
      if (closed || stream.write(Buffer.concat(bodies.flatMap(body => [body, NEWLINE])))) return;
      // An error is `closed`.
      await once(stream, 'drain').catch(() => {});
    },
    isClosed: () => closed,
    async close() {},
  };
}

/** The options that go with `--notify`. */
function readNotify(address: string, values: Partial<Record<keyof typeof OPTIONS, unknown>>) {
  const {
    envelope = ENVELOPES[0],
    deadline = '60',
    'alert-hold-ms': hold,
  } = values as Record<string, string>;
  if (!(Number(deadline) > 0)) throw usage(`--deadline is a number of seconds, not "${deadline}"`);
  const chosen = choice('--envelope', envelope, ENVELOPES);
  if (hold !== undefined && chosen !== 'alertmanager')
    throw usage('--alert-hold-ms goes with --envelope alertmanager');
  return {
    url: readNotifyAddress(address),
    envelope: chosen,
    deadlineMs: Number(deadline) * 1000,
    alertHoldMs: hold === undefined ? undefined : readHold(hold),
  };
}

function readHold(text: string): number {
  const holdMs = /^\d+$/.test(text) ? Number(text) : NaN;
  // An alert that has ended when it arrives is never reported.
  if (holdMs === 0 || (holdMs > ANSWER_TIMEOUT_MS && holdMs <= HOLD_MAX_MS)) return holdMs;
  throw usage(
    `--alert-hold-ms is a number of milliseconds, 0 or from ${ANSWER_TIMEOUT_MS + 1} to ${HOLD_MAX_MS}, not "${text}"`,
  );
}

async function notifierOutput(options: Omit<NotifyOptions, 'onRetry'>, io: Io): Promise<Output> {
  const notifier: Notifier = await openNotifier({
    ...options,
    onRetry(error, waitMs) {
      io.stderr.write(
        `earshot: an alert is not accepted yet: ${error}; trying again in ${(waitMs / 1000).toFixed(1)} s\n`,
      );
    },
  });
  return {
    async send(bodies) {
      for (const body of bodies) await notifier.send(body);
    },
    isClosed: () => false,
    close: () => notifier.close(),
  };
}

// ── The run ─────────────────────────────────────────────────────────────────────────────────────────

class Runner {
  private readonly startedAt = performance.now();
  private readonly module: MatcherModule;
  private readonly matcher: Matcher;
  private readonly output: Output;
  private readonly stop: AbortSignal;
  private readonly io: Io;
  private readonly progress: ReturnType<typeof openProgress>;
  private recordCount = 0;
  private byteCount = 0;
  private unreadableCount = 0;
  private alertCount = 0;
  /** Bodies of alerts that start at the file's time: of records without "@timestamp", and with one that is none. */
  private untimedCount = 0;
  private mistimedCount = 0;
  private firstMistimed = '';
  /** Bodies from the chunk under work. */
  private bodies: Uint8Array[] = [];

  constructor(module: MatcherModule, matcher: Matcher, output: Output, stop: AbortSignal, io: Io) {
    this.module = module;
    this.matcher = matcher;
    this.output = output;
    this.stop = stop;
    this.io = io;
    this.progress = openProgress(io.stderr, () => this.rates());
  }

  isDone(): boolean {
    return this.stop.aborted || this.output.isClosed();
  }

  async read(file: LogFile, strict: boolean): Promise<void> {
    const lines = new Lines(RECORD_SIZE_MAX);
    const take = this.takerOf(file, strict);
    const close = () => file.close();
    this.stop.addEventListener('abort', close);
    try {
      for await (const chunk of file.chunks) {
        this.byteCount += chunk.length;
        for (const line of lines.push(chunk)) take(line.bytes, line.number);
        await this.deliver();
        if (this.isDone()) return;
      }
      for (const line of lines.end()) take(line.bytes, line.number);
    } finally {
      this.stop.removeEventListener('abort', close);
      file.close();
      await this.deliver();
    }
  }

  /** Sends what the last records make due: an absence, and what the rate cap suppressed. */
  async finish(): Promise<void> {
    while (!this.isDone() && this.matcher.end() === ALERT) {
      const body = Buffer.from(this.matcher.alert());
      this.bodies.push(body);
      this.alertCount += alertsOf(body).length;
      await this.deliver();
    }
  }

  /** The function that takes each line of this file. */
  private takerOf(file: LogFile, strict: boolean) {
    const sec = Math.floor(file.timeMs / 1000);
    const nsec = (file.timeMs % 1000) * 1_000_000;
    const fileTime = Buffer.from(`"startsAt":"${new Date(file.timeMs).toISOString()}"`);
    return (record: Uint8Array | null, lineNumber: number) => {
      if (record !== null && isBlank(record)) return;
      const answer = record === null ? TOO_LARGE : this.matcher.matchWhole(record, sec, nsec);
      if (answer === NO_ALERT || answer === ALERT) this.recordCount++;
      else this.reject(record, `${file.name}:${lineNumber}`, answer, strict);
      if (answer === ALERT) this.keep(Buffer.from(this.matcher.alert()), fileTime, record!);
    };
  }

  private keep(body: Buffer, fileTime: Buffer, record: Uint8Array): void {
    this.bodies.push(body);
    this.alertCount += alertsOf(body).length;
    if (body.includes(fileTime)) this.noteTime(timestampOf(record));
  }

  private noteTime(timestamp: unknown): void {
    if (timestamp === undefined) this.untimedCount++;
    else if (this.mistimedCount++ === 0) this.firstMistimed = short(JSON.stringify(timestamp));
  }

  private async deliver(): Promise<void> {
    const { bodies } = this;
    this.bodies = [];
    if (bodies.length > 0) {
      this.progress.clear();
      await this.output.send(bodies);
    }
    this.progress.show();
  }

  /** The first line that is not a record is shown, the others are counted. */
  private reject(record: Uint8Array | null, place: string, answer: number, strict: boolean): void {
    this.unreadableCount++;
    const reason =
      answer === TOO_LARGE
        ? `the line is too long, ${formatCount(RECORD_SIZE_MAX)} bytes are allowed`
        : `not a JSON object: ${excerpt(record!)}`;
    if (strict) throw new UserError(`${place}: ${reason}`);
    if (this.unreadableCount > 1) return;
    this.progress.clear();
    this.io.stderr.write(`earshot: ${place}: ${reason}\n`);
  }

  private rates(): string {
    const seconds = (performance.now() - this.startedAt) / 1000;
    const perSecond = formatCount(Math.round(this.recordCount / seconds));
    const read = `${count(this.recordCount, 'record', 'records')}, ${formatCount(this.byteCount)} bytes`;
    const alerts = count(this.alertCount, 'alert', 'alerts');
    return `${read} in ${seconds.toFixed(seconds < 10 ? 2 : 0)} s (${perSecond} records/s), ${alerts}`;
  }

  summary(): string {
    this.progress.clear();
    const lines = [this.rates()];
    if (this.unreadableCount > 0)
      lines.push(`${count(this.unreadableCount, 'line is no record', 'lines are no records')}`);
    const atFileTime = (bodies: number) =>
      `${count(bodies, 'body of alerts starts', 'bodies of alerts start')} at the file's time`;
    if (this.untimedCount > 0) lines.push(`${atFileTime(this.untimedCount)}: the record has no "@timestamp"`);
    if (this.mistimedCount > 0)
      lines.push(
        `${atFileTime(this.mistimedCount)}: the "@timestamp" of the record cannot be read, such as ${this.firstMistimed}`,
      );
    const { alerts } = this.module.info;
    const matches = this.matcher.matches();
    const suppressed = this.matcher.suppressed();
    const width = Math.max(...alerts.map(alert => alert.length), 4);
    // The rules that matched most come first; a rule that never did is worth knowing too.
    const order = alerts.map((_, rule) => rule).sort((a, b) => matches[b]! - matches[a]! || a - b);
    const shown = order.slice(0, RULES_SHOWN);
    for (const rule of shown) {
      const unreported = suppressed.byRule[rule]!;
      const note = unreported > 0 ? `, ${formatCount(unreported)} of them suppressed at the end` : '';
      lines.push(`  ${alerts[rule]!.padEnd(width)}  ${count(matches[rule]!, 'match', 'matches')}${note}`);
    }
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
    return `${lines.join('\n')}\n`;
  }
}

function count(number: number, one: string, many: string): string {
  return `${formatCount(number)} ${number === 1 ? one : many}`;
}

const RULES_SHOWN = 40;
const EXCERPT_SIZE = 60;

function short(text: string): string {
  return text.length > EXCERPT_SIZE ? `${text.slice(0, EXCERPT_SIZE)}…` : text;
}

/** The module has read the record: this is for the summary only. */
function timestampOf(record: Uint8Array): unknown {
  try {
    return (JSON.parse(Buffer.from(record).toString()) as Record<string, unknown>)['@timestamp'];
  } catch {
    return undefined;
  }
}

function excerpt(record: Uint8Array): string {
  const text = Buffer.from(record.subarray(0, EXCERPT_SIZE)).toString();
  return JSON.stringify(text) + (record.length > EXCERPT_SIZE ? '…' : '');
}
