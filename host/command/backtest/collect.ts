// What a backtest remembers of each rule. It is bounded, whatever the size of the logs: label sets beyond the most frequent
// are joined, texts are cut, and of the records a sample stays.
import { printable } from '../../error.ts';
import type { Doors, RulesetInfo } from '../../matcher.ts';
import { matchedText } from '../spans.ts';
import { Grid } from './grid.ts';
import type { Counts } from './grid.ts';
import type { Place } from './records.ts';
import type { Hit, ReplayedAlert } from './replay.ts';

/** Label sets that are told apart: when a rule has more than twice as many, the rarest are joined. */
const LABEL_SETS_KEPT = 100;
const TEXT_SIZE_MAX = 1000;
const OWN_LABELS = ['alertname', 'rule_level'];
/** Records that are looked at again: for the cost of a rule, and for why one never matched. */
const SAMPLE_COUNT_MAX = 2000;
const SAMPLE_RECORD_SIZE_MAX = 64 * 1024;

export interface Example {
  place: string;
  timeMs: number;
  text: string;
}

/** The matches and alerts of one label set of a rule. */
export interface Series {
  labels: Record<string, string>;
  matchCount: number;
  alertCount: number;
  matches: Counts;
  alerts: Counts;
  /** Of the last alert, and how often it was told again. */
  startsMs: number | undefined;
  againCount: number;
  example: Example | undefined;
}

export interface RuleStory {
  alert: string;
  matchCount: number;
  alertCount: number;
  resolvedCount: number;
  /** Matches that the cool-down held back, as alerts report them. */
  cooledCount: number;
  first: Example | undefined;
  last: Example | undefined;
  series: Map<string, Series>;
  /** The label sets that were joined. */
  others: Series;
}

export class Collector {
  readonly grid = new Grid();
  readonly stories: RuleStory[];
  readonly sample: Buffer[] = [];
  private readonly doors: Doors;
  private readonly ruleOf: Map<string, number>;
  private readonly realertMs: number[];
  private stride = 1;
  private seenCount = 0;

  constructor({ alerts, rules }: RulesetInfo, doors: Doors) {
    this.doors = doors;
    this.realertMs = rules.map(({ realertMs }) => realertMs);
    this.stories = alerts.map(alert => ({
      alert,
      matchCount: 0,
      alertCount: 0,
      resolvedCount: 0,
      cooledCount: 0,
      first: undefined,
      last: undefined,
      series: new Map(),
      others: this.newSeries({}),
    }));
    // Of rules that share a name the first has the alerts.
    this.ruleOf = new Map(alerts.map((alert, rule): [string, number] => [alert, rule]).toReversed());
  }

  /** Every `stride`-th record stays. When there are too many, every second of them goes. */
  look(record: Uint8Array): void {
    if (this.seenCount++ % this.stride !== 0 || record.length > SAMPLE_RECORD_SIZE_MAX) return;
    this.sample.push(Buffer.from(record));
    if (this.sample.length < SAMPLE_COUNT_MAX) return;
    const kept = this.sample.filter((_, index) => index % 2 === 0);
    this.sample.splice(0, this.sample.length, ...kept);
    this.stride *= 2;
  }

  match({ rule, timeMs, labels }: Hit, record: Uint8Array, place: Place): void {
    const story = this.stories[rule]!;
    story.matchCount++;
    const series = this.seriesOf(story, labels);
    series.matchCount++;
    this.grid.add(series.matches, timeMs);
    // Of each record the text is asked for only when it is kept: the last example is made at the end.
    const needsText = story.first === undefined || series.example === undefined;
    const example = needsText ? this.exampleOf(rule, record, place, timeMs) : undefined;
    story.first ??= example;
    series.example ??= example;
    this.lastSeen[rule] = { record: Buffer.from(record.subarray(0, SAMPLE_RECORD_SIZE_MAX)), place, timeMs };
  }

  private readonly lastSeen: { record: Buffer; place: Place; timeMs: number }[] = [];

  alert({ status, labels, annotations, startsAt }: ReplayedAlert): void {
    const rule = this.ruleOf.get(labels.alertname ?? '');
    if (rule === undefined) return;
    const story = this.stories[rule]!;
    if (status === 'resolved') {
      story.resolvedCount++;
      return;
    }
    story.alertCount++;
    story.cooledCount += Number(annotations.suppressed ?? 0) || 0;
    const series = this.seriesOf(story, labels);
    series.alertCount++;
    this.grid.add(series.alerts, this.toldMs(series, rule, Date.parse(startsAt)));
  }

  /** An absence that lasts is told again each `realert`, with the time at which it began. */
  private toldMs(series: Series, rule: number, startsMs: number): number {
    const isAgain = series.startsMs === startsMs;
    series.againCount = isAgain ? series.againCount + 1 : 0;
    series.startsMs = startsMs;
    return startsMs + series.againCount * this.realertMs[rule]!;
  }

  finish(unreported: number[]): void {
    for (const [rule, story] of this.stories.entries()) {
      story.cooledCount += unreported[rule]!;
      const last = this.lastSeen[rule];
      if (last) story.last = this.exampleOf(rule, last.record, last.place, last.timeMs);
    }
  }

  private exampleOf(rule: number, record: Uint8Array, { source, number }: Place, timeMs: number): Example {
    const text = matchedText(this.doors, [rule], record)?.text ?? Buffer.from(record).toString();
    const cut = text.length > TEXT_SIZE_MAX ? `${text.slice(0, TEXT_SIZE_MAX)}…` : text.trimEnd();
    return { place: `${source}:${number}`, timeMs, text: printable(cut) };
  }

  private newSeries(labels: Record<string, string>): Series {
    return {
      labels,
      matchCount: 0,
      alertCount: 0,
      matches: this.grid.newCounts(),
      alerts: this.grid.newCounts(),
      startsMs: undefined,
      againCount: 0,
      example: undefined,
    };
  }

  private seriesOf(story: RuleStory, labels: Record<string, string>): Series {
    const own = Object.entries(labels).filter(([name]) => !OWN_LABELS.includes(name));
    const key = JSON.stringify(own);
    const known = story.series.get(key);
    if (known) return known;
    if (story.series.size >= 2 * LABEL_SETS_KEPT) this.joinRarest(story);
    const series = this.newSeries(Object.fromEntries(own));
    story.series.set(key, series);
    return series;
  }

  private joinRarest(story: RuleStory): void {
    const sorted = [...story.series].sort(([, a], [, b]) => b.matchCount - a.matchCount);
    for (const [key, series] of sorted.slice(LABEL_SETS_KEPT)) {
      story.series.delete(key);
      const { others } = story;
      others.matchCount += series.matchCount;
      others.alertCount += series.alertCount;
      addCounts(others.matches, series.matches);
      addCounts(others.alerts, series.alerts);
      this.grid.drop(series.matches);
      this.grid.drop(series.alerts);
    }
  }
}

function addCounts(target: Counts, source: Counts): void {
  for (const [column, count] of source) target.set(column, (target.get(column) ?? 0) + count);
}

/** All label sets of a rule, the most frequent first; the joined ones last. */
export function seriesOf({ series, others }: RuleStory): Series[] {
  const sorted = [...series.values()].sort(
    (a, b) => b.matchCount - a.matchCount || b.alertCount - a.alertCount,
  );
  return others.matchCount + others.alertCount > 0 ? [...sorted, others] : sorted;
}
