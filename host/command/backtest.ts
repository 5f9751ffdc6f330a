// `earshot backtest`: what rules would have done.
import { replaceFile } from '../fluent-bit/folder.ts';
import { Collector } from './backtest/collect.ts';
import { costShares } from './backtest/cost.ts';
import { whyNever } from './backtest/never.ts';
import type { Outcome } from './backtest/outcome.ts';
import { RECORD_HELP, RECORD_OPTIONS, sourceOf } from './backtest/records.ts';
import type { Source } from './backtest/records.ts';
import { Replay } from './backtest/replay.ts';
import { backtestText } from './backtest/text.ts';
import type { Io } from './command.ts';
import { readArguments, rulesAndLogs, usage } from './command.ts';
import { openExplainer } from './misses.ts';
import { whyNone } from './runner.ts';
import { paintFor } from './style.ts';

export function help(): string {
  return `Usage: earshot backtest [OPTION…] RULES [FILE…]
       earshot backtest [OPTION…] --rules RULES… [FILE…]
       earshot backtest [OPTION…] RULES --brokers HOST:PORT,… --topic TOPIC --from 2h

Shows what rules would have done: alerts of each rule over time, what the cool-down and the rate cap held back,
the first and the last example, matches by labels, what a rule costs, and of rules that never matched the test
that failed most. Records are one JSON object a line, plain, gzip or zstd, from files, from standard input for
"-" or without FILE, or a time range of a topic. RULES is a rules file, or a folder of them.

  --rules RULES   rules; may be given several times
  --html FILE     also write one page with the time line, filters and examples; it needs nothing else
${RECORD_HELP}
A rule's cost is its share of the time that all rules need each on its own; it is measured for up to 50 rules.
`;
}

const OPTIONS = {
  rules: { type: 'string', multiple: true },
  html: { type: 'string' },
  ...RECORD_OPTIONS,
} as const;

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [rules, paths] = rulesAndLogs(values.rules, positionals);
  if (rules.length === 0) throw usage('backtest needs a rules file');
  const source = sourceOf(values, paths, io, 'backtest');
  const replay = await Replay.open(rules, io);
  const outcome = await backtest(replay, source);
  io.stdout.write(backtestText(outcome, paintFor(io.stdout, io.env)));
  if (values.html !== undefined) {
    const { backtestPage } = await import('./backtest/page.ts');
    await replaceFile(values.html, await backtestPage(outcome));
    io.stderr.write(`earshot: ${values.html} is written\n`);
  }
  return outcome.reading.recordCount === 0 && outcome.reading.unreadableCount > 0 ? 1 : 0;
}

async function backtest(replay: Replay, source: Source): Promise<Outcome> {
  const { rules, matcher } = replay;
  const explainer = await openExplainer(rules, rules.ruleset!, replay.bytes);
  const collector = new Collector(matcher.info, explainer.doors);
  const onAlert = collector.alert.bind(collector);
  const reading = await source.read((record, timeMs, place) => {
    const hits = record === null ? null : replay.take(record, timeMs, onAlert);
    if (record === null || hits === null) return false;
    collector.look(record);
    for (const hit of hits) collector.match(hit, record, place);
    return true;
  });
  replay.finish(onAlert);
  collector.finish(matcher.suppressed().byRule);
  const capped = matcher.capped();
  const neverMatched = collector.stories.flatMap(({ matchCount }, rule) => (matchCount === 0 ? [rule] : []));
  return {
    source: source.name,
    rulesPath: rules.path,
    reading,
    grid: collector.grid,
    stories: collector.stories.map((story, rule) => ({ ...story, cappedCount: capped[rule]! })),
    costs: await costShares(rules.file, collector.sample),
    whyNoAlert: matcher.info.rules.map(whyNone),
    never: whyNever(explainer, neverMatched, collector.sample),
  };
}
