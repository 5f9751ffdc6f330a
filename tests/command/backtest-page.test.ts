// The page of `earshot backtest --html`: one file that loads nothing, opened by a headless Chromium where there is one.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { earshot, folder, write } from './program.ts';

const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome'];
const browser = BROWSERS.find(name => spawnSync(name, ['--version']).status === 0);

write(
  'page.yaml',
  `groups:
  - name: g
    rules:
      - alert: Not found
        match: {field: log, regex: ' 404 '}
        realert: 1m
        labels: {ns: '{{ $record.ns }}'}
        annotations: {message: '{{ $record.log }}'}
      - alert: Errors
        match: {field: log, contains: an error}
        annotations: {message: '{{ $record.log }}'}
      - {alert: Never, match: {field: log, contains: panic}, annotations: {message: x}}
`,
);
// What a stranger writes into a log must stay text.
const HOSTILE = '</script><script>document.title="owned"</script><img src=x onerror=alert(1)> 404 ';
const line = (second: number, log: string, ns: string) =>
  JSON.stringify({ '@timestamp': 1629856400 + second, log, ns });
write(
  'page.ndjson',
  [
    line(0, HOSTILE, 'shop'),
    line(30, 'x 404 y', 'park'),
    line(40, 'x 404 z', 'park'),
    line(99, 'an error', 'shop'),
  ].join('\n'),
);
const made = earshot('backtest', 'page.yaml', 'page.ndjson', '--html', 'page.html');
const PAGE = join(folder, 'page.html');

test('one file, which loads nothing', async () => {
  const { code, stderr } = await made;
  assert.deepEqual([code, stderr], [0, 'earshot: page.html is written\n']);
  const html = readFileSync(PAGE, 'utf8');
  assert.ok(html.length < 200_000);
  assert.ok(html.includes("default-src 'none'"));
  assert.doesNotMatch(html, /<(?:link|img|iframe)\b|<script[^>]* src=|@import|url\(/i);
  assert.equal(html.match(/<\/script>/g)!.length, 3);
});

describe('in Chromium', { skip: browser === undefined && `no ${BROWSERS.join(', ')} on the PATH` }, () => {
  /** The document after its script has run, as text with a line an element. */
  async function open(fragment: string): Promise<{ dom: string; part(id: string): string }> {
    await made;
    const profile = join(folder, 'browser');
    const args = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--no-first-run',
      `--user-data-dir=${profile}`,
    ];
    const dom = execFileSync(
      browser!,
      [...args, '--virtual-time-budget=5000', '--dump-dom', `file://${PAGE}${fragment}`],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 },
    );
    return {
      dom,
      part(id) {
        const [, table = ''] = new RegExp(`<table id="${id}">(.*?)</table>`, 's').exec(dom) ?? [];
        const rows = table.split('</tr>').map(row => row.split(/<\/t[dh]>/).map(cell => cell.replace(/<[^>]*>/g, '')).slice(0, -1)); // prettier-ignore
        return rows
          .filter(row => row.length > 0)
          .map(row => row.join(' | '))
          .join('\n');
      },
    };
  }

  test('rules, label sets with their records, and the rule that never matched', async () => {
    const { dom, part } = await open('');
    assert.match(dom, /<title>Earshot backtest<\/title>/);
    assert.match(
      dom,
      /page\.ndjson: 4 records, \d+ bytes; matches from 2021-08-25 01:53:20 to 2021-08-25 01:55:00 UTC/,
    );
    assert.match(dom, /<canvas/);
    assert.equal(
      part('rules').replace(/ \| \d+ %/g, ' | NN %'),
      `rule | matches | alerts | by the cool-down | by the rate cap | cost
Not found | 3 | 2 | 1 | 0 | NN %
Errors | 1 | 1 | 0 | 0 | NN %`,
    );
    assert.match(
      part('examples'),
      /^Not found \| ns=park \| 2 \| 1 \| x 404 y2021-08-25 01:53:50 UTC, page\.ndjson:2$/m,
    );
    assert.ok(
      part('examples').includes('&lt;/script&gt;&lt;script&gt;document.title="owned"&lt;/script&gt;'),
    );
    assert.match(part('never'), /^Never \| no {2}\{field: log, contains: panic\} .* \| 100 %$/m);
  });

  test('the filters of the address', async () => {
    const byRule = await open('#rule=Errors&show=matches');
    assert.match(byRule.part('rules'), /\nErrors \| 1 \| 1 /);
    assert.ok(!byRule.part('rules').includes('Not found'));
    assert.match(byRule.dom, /<option value="matches" selected="true">/);
    const byLabel = await open('#label=ns=park');
    assert.match(byLabel.part('rules'), /\nNot found \| 2 \| 1 /);
    assert.equal(byLabel.part('examples').split('\n').length, 2);
  });
});
