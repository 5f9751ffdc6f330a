// `earshot run`: records from files or standard input, alerts to standard output or to a sink.
import { ANSWER_TIMEOUT_MS, ENVELOPES, readNotifyAddress } from '../notify.ts';
import { HOLD_MAX_MS, holdsOf } from '../sink/hold.ts';
import { openFile } from '../source/file.ts';
import { jsonOutput, notifierOutput, textOutput } from './alert-output.ts';
import type { Io } from './command.ts';
import { choice, readArguments, rulesAndLogs, usage } from './command.ts';
import { openModule } from './module-file.ts';
import { Runner } from './runner.ts';

export function help(): string {
  return `Usage: earshot run [OPTION…] (RULES | earshot.wasm) [FILE…]
       earshot run [OPTION…] --rules RULES… [FILE…]

Matches log records, one JSON object a line, plain, gzip or zstd, from files, or from standard input for
"-" or without FILE. RULES is a rules file, or a folder of them. Alerts go to standard output, a summary to
standard error.

  --rules RULES      rules, or a module; may be given several times, for several rules
  --notify URL       post the alerts instead, and end when the sink does not accept one
  --envelope NAME    what is posted: ${ENVELOPES.join(' or ')} (${ENVELOPES[0]})
  --deadline SECONDS how long a post is tried again (60)
  --alert-hold-ms MS alertmanager only: an alert ends this long after its post, 0: after Alertmanager's
                     resolve_timeout; by default after its rule's cool-down and 10 minutes more (and its
                     resolveAfter), and an absence when it is over
  --output FORM      text: alerts as people read them, with the text that matched; json: one body a line;
                     by default text on a terminal and json elsewhere. NO_COLOR is honoured
  --text             lines are plain text, not JSON: a line is the field "log"
  --strict           end at the first line that is not a record

An alert starts at its record's time ("@timestamp", "timestamp", "time", or what the rules name); without
one, at the file's last change, or, on standard input, at the start of the run.

Exit code: 0 done, 1 no line was a record or the sink did not accept an alert, 2 called wrongly.
`;
}

const OPTIONS = {
  rules: { type: 'string', multiple: true },
  notify: { type: 'string' },
  envelope: { type: 'string' },
  deadline: { type: 'string' },
  'alert-hold-ms': { type: 'string' },
  output: { type: 'string' },
  text: { type: 'boolean' },
  strict: { type: 'boolean' },
} as const;

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [rules, paths] = rulesAndLogs(values.rules, positionals);
  if (rules.length === 0) throw usage('run needs a rules file or a module');
  if (!values.notify && (values.envelope || values.deadline))
    throw usage('--envelope and --deadline go with --notify');
  if (!values.notify && values['alert-hold-ms']) throw usage('--alert-hold-ms goes with --notify');
  if (values.notify && values.output) throw usage('--output goes with standard output, not with --notify');
  const form = choice('--output', values.output ?? (io.stdout.isTTY ? 'text' : 'json'), ['text', 'json']);
  const notify = values.notify === undefined ? undefined : readNotify(values.notify, values);
  if (paths.length === 0 && io.stdin.isTTY) throw usage('run needs log files, or records on standard input');

  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const module = await openModule(rules, io);
  const output = notify
    ? await notifierOutput({ ...notify, holdOf: holdsOf(module.info.rules), stop: stop.signal }, io)
    : form === 'text'
      ? await textOutput(module, io)
      : jsonOutput(io.stdout);
  const options = { lines: values.text ? 'text' : 'json', strict: values.strict ?? false } as const;
  const runner = new Runner(module, await module.instantiate(), output, options, stop.signal, io);
  try {
    for (const path of paths.length === 0 ? ['-'] : paths) {
      if (!runner.isDone()) await runner.read(await openFile(path, io.stdin));
    }
    await runner.finish();
  } finally {
    io.stderr.write(runner.summary());
    await output.close();
  }
  if (stop.signal.aborted) return 130;
  return runner.foundNoRecord() ? 1 : 0;
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
