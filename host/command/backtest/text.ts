// A backtest as text: a table of the rules with their alerts over time, then each rule closer.
import { formatCount, formatDuration } from '../../error.ts';
import { count } from '../runner.ts';
import type { Paint } from '../style.ts';
import { seriesOf } from './collect.ts';
import type { Example, RuleStory } from './collect.ts';
import { spread } from './grid.ts';
import type { Outcome } from './outcome.ts';

const BARS = ' ▁▂▃▄▅▆▇█';
const CHART_WIDTH = 40;
const LABEL_SETS_SHOWN = 5;
const RULES_SHOWN = 100;
const TEXT_SHOWN = 120;
const NAME_WIDTH_MAX = 40;

export function backtestText(outcome: Outcome, paint: Paint): string {
  const matched = outcome.stories
    .map((story, rule) => ({ story, rule }))
    .filter(({ story }) => story.matchCount + story.alertCount > 0)
    .sort((a, b) => b.story.alertCount - a.story.alertCount || b.story.matchCount - a.story.matchCount);
  const shown = matched.slice(0, RULES_SHOWN);
  const parts = [headText(outcome), ''];
  if (shown.length > 0) parts.push(...tableLines(outcome, shown, paint), '');
  for (const { story, rule } of shown) parts.push(...storyLines(outcome, story, rule, paint), '');
  if (matched.length > shown.length)
    parts.push(`and ${formatCount(matched.length - shown.length)} rules more`, '');
  parts.push(...neverLines(outcome, paint));
  return `${parts.join('\n').trimEnd()}\n`;
}

function headText({ source, reading, grid }: Outcome): string {
  const { recordCount, byteCount, unreadableCount, seconds } = reading;
  const rate = formatCount(Math.round(recordCount / Math.max(seconds, 1e-3)));
  const lines = [
    `${source}: ${count(recordCount, 'record', 'records')}, ${formatCount(byteCount)} bytes in ${seconds.toFixed(2)} s (${rate} records/s)`,
  ];
  if (unreadableCount > 0) lines.push(count(unreadableCount, 'line is no record', 'lines are no records'));
  const { range, widthMs } = grid;
  if (range) lines.push(`matches from ${timeText(range.start * widthMs)} to ${timeText(range.end * widthMs)} UTC`); // prettier-ignore
  return lines.join('\n');
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 19).replace('T', ' ');
}

function tableLines(
  { grid, costs }: Outcome,
  shown: { story: RuleStory; rule: number }[],
  paint: Paint,
): string[] {
  const range = grid.range!;
  // A column of the chart is a whole number of columns of the grid.
  const joined = Math.ceil((range.end - range.start) / CHART_WIDTH);
  const columnCount = Math.ceil((range.end - range.start) / joined);
  const charted = { start: range.start, end: range.start + columnCount * joined };
  const charts = shown.map(({ story }) => spread(seriesOf(story).map(series => series.alerts), charted, columnCount)); // prettier-ignore
  const rows = shown.map(({ story, rule }) => [
    cut(story.alert, NAME_WIDTH_MAX),
    formatCount(story.matchCount),
    formatCount(story.alertCount),
    formatCount(story.cooledCount + heldByCap(story)),
    ...(costs === null ? [] : [`${Math.round(costs[rule]! * 100)} %`]),
  ]);
  const head = ['rule', 'matches', 'alerts', 'held back', ...(costs === null ? [] : ['cost'])];
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map(row => row[column]!.length)));
  const line = (row: string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  '); // prettier-ignore
  const title = `${line(head)}  alerts over time, a column is ${formatDuration(joined * grid.widthMs)}`;
  return [paint(title, 'bold'), ...rows.map((row, index) => `${line(row)}  ${paint(chart(charts[index]!), 'cyan')}`.trimEnd())]; // prettier-ignore
}

/** A bar for each column; what is there is seen, however little. */
function chart(counts: number[]): string {
  const most = Math.max(...counts);
  return counts
    .map(number => BARS[number === 0 ? 0 : Math.max(1, Math.round((number / most) * (BARS.length - 1)))])
    .join('');
}

function heldByCap(story: RuleStory & { cappedCount?: number }): number {
  return story.cappedCount ?? 0;
}

function storyLines({ whyNoAlert }: Outcome, story: RuleStory, rule: number, paint: Paint): string[] {
  const lines = [paint(story.alert, 'bold')];
  if (story.alertCount === 0) lines.push(`  no alert${whyNoAlert[rule]!}`);
  if (story.resolvedCount > 0) lines.push(`  ${count(story.resolvedCount, 'end of an alert', 'ends of alerts')}`); // prettier-ignore
  const capped = heldByCap(story);
  if (story.cooledCount + capped > 0)
    lines.push(`  held back: ${formatCount(story.cooledCount)} by the cool-down, ${formatCount(capped)} by the rate cap`); // prettier-ignore
  if (story.first) lines.push(`  first  ${exampleText(story.first)}`);
  if (story.last && story.matchCount > 1) lines.push(`  last   ${exampleText(story.last)}`);
  const sets = seriesOf(story).filter(series => series.matchCount > 0);
  for (const series of sets.length > 1 ? sets.slice(0, LABEL_SETS_SHOWN) : []) {
    const pairs = Object.entries(series.labels).map(([name, value]) => `${name}=${value}`);
    const name = series === story.others ? 'other labels' : pairs.join(', ') || 'no labels';
    lines.push(`  ${formatCount(series.matchCount).padStart(9)}  ${cut(name, TEXT_SHOWN)}`);
  }
  if (sets.length > LABEL_SETS_SHOWN)
    lines.push(`  ${' '.repeat(9)}  and ${formatCount(sets.length - LABEL_SETS_SHOWN)} label sets more`);
  return lines;
}

function exampleText({ place, timeMs, text }: Example): string {
  return `${timeText(timeMs)}  ${place}  ${cut(text, TEXT_SHOWN)}`;
}

function cut(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text;
}

function neverLines({ never }: Outcome, paint: Paint): string[] {
  if (never.length === 0) return [];
  const lines = [paint(`${count(never.length, 'rule', 'rules')} never matched`, 'bold')];
  for (const { alert, test, failedCount, recordCount } of never.slice(0, RULES_SHOWN)) {
    lines.push(`  ${alert}`);
    if (recordCount === 0) continue;
    const share = Math.round((failedCount / recordCount) * 100);
    lines.push(`    ${test.split('\n')[0]}`, `    failed last for ${share} % of ${count(recordCount, 'record', 'records')} looked at`); // prettier-ignore
  }
  if (never.length > RULES_SHOWN) lines.push(`  and ${formatCount(never.length - RULES_SHOWN)} rules more`);
  return lines;
}
