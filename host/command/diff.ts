// `earshot diff`: which records match under one rules file and not under the other.
import { formatCount, printable } from '../error.ts';
import { Replay } from './backtest/replay.ts';
import type { ReplayedAlert } from './backtest/replay.ts';
import { RECORD_HELP, RECORD_OPTIONS, sourceOf } from './backtest/records.ts';
import type { Place } from './backtest/records.ts';
import type { Io } from './command.ts';
import { readArguments, usage } from './command.ts';
import { answersTo, openExplainer, showMiss } from './misses.ts';
import { nearestMiss } from './explain.ts';
import type { Explainer } from './explain.ts';
import { count } from './runner.ts';
import { matchedText } from './spans.ts';
import { paintFor } from './style.ts';
import type { Paint } from './style.ts';

export function help(): string {
  return `Usage: earshot diff [OPTION…] OLD.yaml NEW.yaml [FILE…]

Runs two rules files over the same records, and shows by rule which records match under one and not under the
other, with the test that decided, and how many alerts come or go. The last line is a sentence for a pull
request. Records are one JSON object a line, plain, gzip or zstd; standard input for "-" or without FILE.

  --exit-code     end with 1 when a record or an alert differs, for CI
  --examples N    records shown for a rule and side (3)
${RECORD_HELP}
Exit code: 0 done, 1 with --exit-code: they differ; 2 called wrongly.
`;
}

const OPTIONS = {
  'exit-code': { type: 'boolean' },
  examples: { type: 'string' },
  ...RECORD_OPTIONS,
} as const;

const EXAMPLES_DEFAULT = '3';
/** Characters of a record that are shown. */
const RECORD_SHOWN = 160;

type Side = 'old' | 'new';

/** What was found of the rules of one name. */
interface Change {
  both: number;
  /** Records that match under one side only. */
  only: Record<Side, number>;
  examples: Record<Side, { place: string; record: Buffer }[]>;
  alerts: Record<Side, number>;
}

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [oldPath, newPath, ...paths] = positionals;
  if (oldPath === undefined || newPath === undefined)
    throw usage('diff takes two rules files, the old one and the new one');
  const examplesMax = readExamples(values.examples ?? EXAMPLES_DEFAULT);
  const source = sourceOf(values, paths, io, 'diff');
  const replays = { old: await Replay.open([oldPath], io), new: await Replay.open([newPath], io) };
  const changes = new Map<string, Change>();
  const changeOf = (name: string) => {
    const known = changes.get(name) ?? newChange();
    changes.set(name, known);
    return known;
  };
  for (const { rules } of [replays.old, replays.new])
    for (const { alert } of rules.file.rules) changeOf(alert);
  const onAlert = (side: Side) => (alert: ReplayedAlert) => {
    if (alert.status === 'firing') changeOf(alert.labels.alertname!).alerts[side]++;
  };
  const [onOld, onNew] = [onAlert('old'), onAlert('new')];
  const span = { fromMs: Infinity, toMs: -Infinity };
  const reading = await source.read((record, timeMs, place) => {
    if (record === null) return false;
    const before = replays.old.take(record, timeMs, onOld);
    const after = replays.new.take(record, timeMs, onNew);
    if (before === null || after === null) return false;
    if (before.length === 0 && after.length === 0) return true;
    for (const { timeMs: at } of [...before, ...after]) {
      span.fromMs = Math.min(span.fromMs, at);
      span.toMs = Math.max(span.toMs, at);
    }
    const names = { old: new Set(before.map(hit => hit.alert)), new: new Set(after.map(hit => hit.alert)) };
    for (const name of new Set([...names.old, ...names.new])) {
      const change = changeOf(name);
      if (names.old.has(name) && names.new.has(name)) change.both++;
      else note(change, names.old.has(name) ? 'old' : 'new', record, place, examplesMax);
    }
    return true;
  });
  replays.old.finish(onOld);
  replays.new.finish(onNew);
  const explainers = { old: await explainerOf(replays.old), new: await explainerOf(replays.new) };
  const paint = paintFor(io.stdout, io.env);
  const differing = [...changes].filter(([, change]) => isDifferent(change));
  for (const [name, change] of differing)
    io.stdout.write(changeText(name, change, replays, explainers, paint));
  if (reading.unreadableCount > 0)
    io.stderr.write(
      `earshot: ${count(reading.unreadableCount, 'line is no record', 'lines are no records')}\n`,
    );
  io.stdout.write(`${sentence(differing, reading.recordCount, span, source.name)}\n`);
  return values['exit-code'] && differing.length > 0 ? 1 : 0;
}

function readExamples(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw usage(`--examples is a number of records, not "${text}"`);
}

function newChange(): Change {
  return { both: 0, only: { old: 0, new: 0 }, examples: { old: [], new: [] }, alerts: { old: 0, new: 0 } };
}

function note(change: Change, side: Side, record: Uint8Array, place: Place, examplesMax: number): void {
  change.only[side]++;
  const examples = change.examples[side];
  if (examples.length < examplesMax)
    examples.push({ place: `${place.source}:${place.number}`, record: Buffer.from(record) });
}

function isDifferent({ only, alerts }: Change): boolean {
  return only.old + only.new > 0 || alerts.old !== alerts.new;
}

async function explainerOf({ rules, bytes }: Replay): Promise<Explainer> {
  return openExplainer(rules, rules.ruleset!, bytes);
}

function changeText(
  name: string,
  { both, only, examples, alerts }: Change,
  replays: Record<Side, Replay>,
  explainers: Record<Side, Explainer>,
  paint: Paint,
): string {
  const isThere = (side: Side) => replays[side].rules.file.rules.some(({ alert }) => alert === name);
  const state = !isThere('old') ? ' (new)' : !isThere('new') ? ' (removed)' : '';
  const counts = [
    ...(only.new > 0 ? [paint(`+${records(only.new)}`, 'green')] : []),
    ...(only.old > 0 ? [paint(`−${records(only.old)}`, 'red')] : []),
    `${formatCount(both)} under both`,
    `alerts ${formatCount(alerts.old)} → ${formatCount(alerts.new)}`,
  ];
  const lines = [`${paint(name, 'bold')}${state}: ${counts.join(', ')}`];
  for (const side of ['new', 'old'] as const) {
    const other = side === 'new' ? 'old' : 'new';
    for (const { place, record } of examples[side]) {
      lines.push(`  ${side === 'new' ? paint('+', 'green') : paint('−', 'red')} ${place} ${shownText(explainers[side], name, record)}`); // prettier-ignore
      if (isThere(other)) lines.push(...decidedBy(explainers[other], name, record, other));
    }
  }
  return `${lines.join('\n')}\n\n`;
}

/** The text in which the record matches, or the record itself. */
function shownText({ doors, rules }: Explainer, name: string, record: Buffer): string {
  const own = rules.file.rules.flatMap(({ alert }, rule) => (alert === name ? [rule] : []));
  const text = (matchedText(doors, own, record)?.text ?? record.toString()).trimEnd();
  return printable(text.length > RECORD_SHOWN ? `${text.slice(0, RECORD_SHOWN)}…` : text);
}

/** The test that the record fails under the other side. */
function decidedBy(explainer: Explainer, name: string, record: Buffer, side: Side): string[] {
  const rules = explainer.rules.file.rules;
  const answers = answersTo(explainer, record, rule => rules[rule]!.alert === name) ?? [];
  const miss = nearestMiss(answers);
  if (!miss || answers.some(({ isMet }) => isMet)) return [];
  return [`    under the ${side} rules: ${showMiss(explainer, miss, record).trim()}`];
}

function records(number: number): string {
  return count(number, 'record', 'records');
}

/** "Over 38 records (2021-08-25 01:53 to 02:01): +12 alerts of `404 Request`, −1 of `Go panic`." */
function sentence(
  differing: [string, Change][],
  recordCount: number,
  { fromMs, toMs }: { fromMs: number; toMs: number },
  source: string,
): string {
  const minutes = (timeMs: number) => new Date(timeMs).toISOString().slice(0, 16).replace('T', ' ');
  const time = fromMs <= toMs ? `, matches from ${minutes(fromMs)} to ${minutes(toMs)} UTC` : '';
  const over = `Over ${records(recordCount)} of ${source}${time}:`;
  const changes = differing.flatMap(([name, { alerts, only }]) => {
    const difference = alerts.new - alerts.old;
    const sign = difference > 0 ? '+' : '−';
    if (difference !== 0) return `${sign}${count(Math.abs(difference), 'alert', 'alerts')} of \`${name}\``;
    return `other matches of \`${name}\` (+${formatCount(only.new)} −${formatCount(only.old)}), as many alerts`;
  });
  return changes.length === 0 ? `${over} no difference.` : `${over} ${changes.join(', ')}.`;
}
