// `earshot tail`: alerts as they come, for a person who watches.
import { endOf, followRanges } from '../source/range.ts';
import { openFile } from '../source/file.ts';
import { jsonOutput, textOutput } from './alert-output.ts';
import type { Io } from './command.ts';
import { choice, readArguments, rulesAndLogs, usage } from './command.ts';
import { followFile } from './follow.ts';
import { openModule } from './module-file.ts';
import { Runner } from './runner.ts';
import { openTopicReader } from './topic.ts';

export function help(): string {
  return `Usage: earshot tail [OPTION…] (RULES | earshot.wasm) [FILE]
       earshot tail [OPTION…] --rules RULES… [FILE]
       earshot tail [OPTION…] (RULES | earshot.wasm) --brokers HOST:PORT,… --topic TOPIC

Prints the alerts of a live stream as they come, until it ends or Ctrl-C: of standard input, as in
\`kubectl logs -f POD | earshot tail rules.yaml\`, of a file that grows (rotation and truncation are
followed), or of a topic of Kafka, from now on. It joins no group and commits nothing. A line that is no
JSON object is a record with the field "log". RULES is a rules file, or a folder of them.

  --rules RULES   rules; may be given several times
  --brokers LIST  Kafka brokers; TLS and the login are set as for \`earshot function\`, by EARSHOT_TLS,
                  EARSHOT_SASL_MECHANISM and so on
  --topic TOPIC   the topic
  --all           the file from its start, not only what is added
  --text          every line is plain text, also one that is JSON
  --output FORM   text, for people (the default), or json, one body a line

A record without a time of its own is of now. An absence is reported when it is due by the clock.
`;
}

const OPTIONS = {
  rules: { type: 'string', multiple: true },
  brokers: { type: 'string' },
  topic: { type: 'string' },
  all: { type: 'boolean' },
  text: { type: 'boolean' },
  output: { type: 'string' },
} as const;

/** How often the rules are told the time. */
const TICK_MS = 1000;

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [rules, [path = '-', ...more]] = rulesAndLogs(values.rules, positionals);
  if (rules.length === 0 || more.length > 0) throw usage('tail takes a rules file or a module, and one file');
  const form = choice('--output', values.output ?? 'text', ['text', 'json']);
  const { brokers, topic } = values;
  if ((brokers === undefined) !== (topic === undefined)) throw usage('--brokers and --topic go together');
  if (topic !== undefined && path !== '-') throw usage('tail reads a file or a topic, not both');
  if (values.all && path === '-') throw usage('--all goes with a file');
  if (topic === undefined && path === '-' && io.stdin.isTTY)
    throw usage('tail needs a file, a topic, or records on standard input, as from `kubectl logs -f`');

  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const module = await openModule(rules, io);
  // Opened before anything is said of records: a wrong name is not a run.
  const read =
    brokers !== undefined && topic !== undefined
      ? await openTopic(brokers, topic, stop.signal, io)
      : await openLines(path, values.all ?? false, stop.signal, io);
  const output = form === 'text' ? await textOutput(module, io) : jsonOutput(io.stdout);
  const options = { lines: values.text ? 'text' : 'either', strict: false, isLive: true } as const;
  const runner = new Runner(module, await module.instantiate(), output, options, stop.signal, io);
  const clock = setInterval(() => {
    if (runner.isDone()) stop.abort();
    void runner.tick(Date.now());
  }, TICK_MS);
  try {
    await read(runner);
  } finally {
    clearInterval(clock);
    io.stderr.write(runner.summary());
  }
  return 0;
}

async function openLines(path: string, fromStart: boolean, stop: AbortSignal, { stdin }: Io) {
  const file = path === '-' ? await openFile(path, stdin) : await followFile(path, fromStart, stop);
  return (runner: Runner) => runner.read(file);
}

async function openTopic(brokers: string, topic: string, stop: AbortSignal, io: Io) {
  const reader = await openTopicReader(brokers, io);
  const ranges = await endOf(reader, topic).catch(async error => {
    await reader.close();
    throw error;
  });
  io.stderr.write(`earshot: reads ${topic} (${ranges.length} partitions) from now on; it commits nothing\n`);
  return async (runner: Runner) => {
    try {
      for await (const placed of followRanges(reader, ranges, stop)) {
        for (const { partition, message } of placed) runner.takeMessage(message, `${topic}/${partition}`);
        await runner.deliver();
        if (runner.isDone()) return;
      }
    } finally {
      await reader.close();
    }
  };
}
