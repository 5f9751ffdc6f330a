// The page of a backtest: one file with the data, the chart and all that it needs; it loads nothing.
import { readAssets } from './assets.ts';
import { seriesOf } from './collect.ts';
import type { Series } from './collect.ts';
import type { Counts } from './grid.ts';
import type { Outcome } from './outcome.ts';

/** Label sets with a time line of their own in the page: a browser draws that many at once. */
const SERIES_MAX = 5000;

export async function backtestPage(outcome: Outcome): Promise<string> {
  const { chartScript, chartStyle, script, style } = await readAssets();
  // A "<" in the data could end the script.
  const data = JSON.stringify(dataOf(outcome)).replaceAll('<', '\\u003c');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>Earshot backtest</title>
<style>${chartStyle}
${style}</style>
</head>
<body>
<main id="page"><noscript>This page needs JavaScript; it loads nothing.</noscript></main>
<script type="application/json" id="data">${data}</script>
<script>${chartScript.replaceAll('</script', '<\\/script')}</script>
<script>${script.replaceAll('</script', '<\\/script')}</script>
</body>
</html>
`;
}

function dataOf({ source, rulesPath, reading, grid, stories, costs, never }: Outcome): object {
  const least = leastShown(stories.flatMap(story => seriesOf(story)));
  return {
    source,
    rulesPath,
    reading,
    widthMs: grid.widthMs,
    range: grid.range,
    rules: stories
      .map((story, rule) => {
        const all = seriesOf(story);
        const own = all.filter(series => series !== story.others && weightOf(series) >= least);
        return {
          alert: story.alert,
          matches: story.matchCount,
          alerts: story.alertCount,
          cooled: story.cooledCount,
          capped: story.cappedCount,
          cost: costs === null ? null : costs[rule],
          first: story.first,
          last: story.last,
          series: [...own.map(seriesData), ...joined(all.filter(series => !own.includes(series)))],
        };
      })
      .filter(({ matches, alerts }) => matches + alerts > 0),
    never,
  };
}

function weightOf({ matchCount, alertCount }: Series): number {
  return matchCount + alertCount;
}

/** What a series must have to be shown on its own. */
function leastShown(all: Series[]): number {
  if (all.length <= SERIES_MAX) return 0;
  return all.map(weightOf).sort((a, b) => b - a)[SERIES_MAX]! + 1;
}

function seriesData({ labels, matchCount, alertCount, matches, alerts, example }: Series): object {
  return { labels, matchCount, alertCount, matches: [...matches], alerts: [...alerts], example };
}

/** The others, as one. */
function joined(series: Series[]): object[] {
  if (series.length === 0) return [];
  const total = (of: (one: Series) => number) => series.reduce((sum, one) => sum + of(one), 0);
  const sum = (of: (one: Series) => Counts) => {
    const counts = new Map<number, number>();
    for (const one of series)
      for (const [column, count] of of(one)) counts.set(column, (counts.get(column) ?? 0) + count);
    return [...counts];
  };
  return [
    {
      labels: null,
      matchCount: total(one => one.matchCount),
      alertCount: total(one => one.alertCount),
      matches: sum(one => one.matches),
      alerts: sum(one => one.alerts),
    },
  ];
}
