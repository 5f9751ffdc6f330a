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
import { readArguments, usage } from './command.ts';
import { openExplainer } from './misses.ts';
import { whyNone } from './runner.ts';
import { paintFor } from './style.ts';

export function help(): string {
  return `Usage: earshot backtest [OPTION…] rules.yaml [FILE…]
       earshot backtest [OPTION…] rules.yaml --brokers HOST:PORT,… --topic TOPIC --from 2h

Shows what rules would have done: alerts of each rule over time, what the cool-down and the rate cap held back,
the first and the last example, matches by labels, what a rule costs, and of rules that never matched the test
that failed most. Records are one JSON object a line, plain, gzip or zstd, from files, from standard input for
"-" or without FILE, or a time range of a topic.

  --html FILE     also write one page with the time line, filters and examples; it needs nothing else
${RECORD_HELP}
A rule's cost is its share of the time that all rules need each on its own; it is measured for up to 50 rules.
`;
}

const OPTIONS = { html: { type: 'string' }, ...RECORD_OPTIONS } as const;

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [rulesPath, ...paths] = positionals;
  if (rulesPath === undefined) throw usage('backtest needs a rules file');
  const source = sourceOf(values, paths, io, 'backtest');
  const replay = await Replay.open(rulesPath, io);
  const outcome = await backtest(replay, rulesPath, source);
  io.stdout.write(backtestText(outcome, paintFor(io.stdout, io.env)));
  if (values.html !== undefined) {
    const { backtestPage } = await import('./backtest/page.ts');
    await replaceFile(values.html, await backtestPage(outcome));
    io.stderr.write(`earshot: ${values.html} is written\n`);
  }
  return outcome.reading.recordCount === 0 && outcome.reading.unreadableCount > 0 ? 1 : 0;
}

async function backtest(replay: Replay, rulesPath: string, source: Source): Promise<Outcome> {
  const { rules, matcher } = replay;
  const explainer = await openExplainer(rules, rules.ruleset!, replay.bytes);
  const collector = new Collector(matcher.info.alerts, explainer.doors);
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
    rulesPath,
    reading,
    grid: collector.grid,
    stories: collector.stories.map((story, rule) => ({ ...story, cappedCount: capped[rule]! })),
    costs: await costShares(rules.file, collector.sample),
    whyNoAlert: matcher.info.rules.map(whyNone),
    never: whyNever(explainer, neverMatched, collector.sample),
  };
}
