// `earshot backtest`: what rules would have done over files and over a time range of a topic.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import kafkajs from 'kafkajs';
import { Grid, spread } from '../../host/command/backtest/grid.ts';
import { kafkaMissing, startKafka, uniqueName } from '../kafka.ts';
import { earshot, finish, folder, start, write } from './program.ts';

write(
  'back.yaml',
  `groups:
  - name: g
    rules:
      - alert: Not found
        match: {field: log, regex: ' 404 '}
        realert: 1m
        labels: {ns: '{{ $record.ns }}'}
        annotations: {message: '{{ $record.log }}'}
      - alert: Errors
        match: {field: log, contains: error}
        threshold: {count: 10, within: 5m}
        annotations: {message: '{{ $value }} errors'}
      - alert: Never
        match: {all: [{field: ns, eq: shop}, {field: log, contains: panic}]}
        annotations: {message: x}
`,
);
const line = (second: number, log: string, ns = 'shop') =>
  JSON.stringify({ '@timestamp': 1629856400 + second, log, ns });
const LINES = [
  line(0, 'GET / 404 a'),
  line(10, 'GET / 404 b'),
  line(20, 'an error'),
  line(30, 'GET / 404 c', 'park'),
  line(90, 'GET / 404 d'),
  'no record',
  line(100, 'fine', 'garden'),
];
/** Without what differs from run to run. */
const steady = (stdout: string) =>
  stdout.replace(/ in [\d.]+ s \([\d,]+ records\/s\)/, '').replace(/ {2}[ \d]\d %/g, '  NN %').replace(/ 100 %/g, ' NN %'); // prettier-ignore

test('a table with the alerts over time, each rule closer, and why a rule never matched', async () => {
  write('back.ndjson', LINES.join('\n'));
  const { code, stdout, stderr } = await earshot('backtest', 'back.yaml', 'back.ndjson');
  assert.deepEqual([code, stderr], [0, '']);
  const bars = (...columns: number[]) =>
    Array.from({ length: 31 }, (_, column) => (columns.includes(column) ? '█' : ' '))
      .join('')
      .trimEnd();
  assert.equal(
    steady(stdout)
      .replace(/held back +cost/, 'held back  cost')
      .replace(/^(Not found|Errors)( .*?) +NN %/gm, '$1$2  NN %')
      .replace(/(Errors .*)  0 %/, '$1 NN %'),
    `back.ndjson: 6 records, ${LINES.join('\n').length} bytes
1 line is no record
matches from 2021-08-25 01:53:20 to 2021-08-25 01:54:51 UTC

rule       matches  alerts  held back  cost  alerts over time, a column is 3s
Not found        4       3          1  NN %  ${bars(0, 10, 30)}
Errors           1       0          0  NN %

Not found
  held back: 1 by the cool-down, 0 by the rate cap
  first  2021-08-25 01:53:20  back.ndjson:1  GET / 404 a
  last   2021-08-25 01:54:50  back.ndjson:5  GET / 404 d
          3  ns=shop
          1  ns=park

Errors
  no alert: the threshold of 10 within 5m is not reached
  first  2021-08-25 01:53:40  back.ndjson:3  an error

1 rule never matched
  Never
    no  {field: log, contains: panic}  it is "GET / 404 a"
    failed last for 67 % of 6 records looked at
`,
  );
});

test('it counts as run does', async () => {
  const logs = Array.from({ length: 3000 }, (_, i) =>
    line(i, ['an error', 'x 404 y', 'fine'][i % 3]!, `ns${i % 7}`),
  );
  write('many.ndjson', logs.join('\n'));
  const ran = (await earshot('run', 'back.yaml', 'many.ndjson')).stdout.trim().split('\n');
  const alerts = (name: string) =>
    ran.filter(body => JSON.parse(body).alerts[0].labels.alertname === name).length;
  const { stdout } = await earshot('backtest', 'back.yaml', 'many.ndjson');
  for (const name of ['Not found', 'Errors'])
    assert.match(stdout, new RegExp(`^${name} +1,000 +${alerts(name)} `, 'm'));
});

test('label sets beyond the most frequent are joined, and the frequent ones stay', async () => {
  const logs = Array.from({ length: 5000 }, (_, i) => line(i, 'x 404 y', i % 2 ? 'often' : `rare${i}`));
  const { stdout } = await finish(start('backtest', 'back.yaml', '-'), logs.join('\n'));
  assert.match(stdout, /\n {6}2,500  ns=often\n/);
  assert.match(stdout, /\n {9} +[\d,]+  (?:other labels|ns=rare\d+)\n/);
  assert.match(stdout, /and \d+ label sets more\n/);
});

test('only lines that are no records are exit 1', async () => {
  const { code } = await finish(start('backtest', 'back.yaml', '-'), 'plain text\n');
  assert.equal(code, 1);
  assert.equal((await finish(start('backtest', '--text', 'back.yaml', '-'), 'an error\n')).code, 0);
});

test('a grid keeps every count, whatever the times and their order', () => {
  const times = fc.array(fc.integer({ min: 0, max: 4e12 }), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(times, all => {
      const grid = new Grid();
      const counts = grid.newCounts();
      for (const time of all) grid.add(counts, time);
      const range = grid.range!;
      assert.ok(range.end - range.start <= 400);
      const sums = spread([counts], range);
      assert.equal(
        sums.reduce((sum, number) => sum + number, 0),
        all.length,
      );
      for (const [column, number] of sums.entries()) {
        const [from, to] = [range.start + column, range.start + column + 1].map(edge => edge * grid.widthMs);
        assert.equal(number, all.filter(time => from! <= time && time < to!).length);
      }
    }),
  );
});

describe('a topic', { skip: kafkaMissing() }, () => {
  test('a range of its time, of all partitions in the order of their times, without a group', async () => {
    const kafka = await startKafka();
    after(() => kafka.stop());
    const client = new kafkajs.Kafka({ brokers: [kafka.brokers], logLevel: kafkajs.logLevel.NOTHING });
    const topic = uniqueName('logs');
    const admin = client.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 4 }] });
    const producer = client.producer();
    await producer.connect();
    // A record each 10 s over the last 4 hours: an error in turn on each partition.
    const nowMs = Date.now();
    const messages = Array.from({ length: 1440 }, (_, i) => ({
      value: JSON.stringify({ log: 'an error', n: i }),
      partition: i % 4,
      timestamp: String(nowMs - 4 * 3_600_000 + i * 10_000),
    }));
    await producer.send({ topic, messages, compression: kafkajs.CompressionTypes.GZIP });
    const from = ['backtest', 'back.yaml', '--brokers', kafka.brokers, '--topic', topic];
    const all = await earshot(...from);
    assert.equal(all.code, 0, all.stderr);
    assert.match(all.stdout, new RegExp(`^${topic}: 1,440 records, `));
    // In order there are 30 errors in 5 minutes; the records have no time of their own: the message's counts.
    const part = await earshot(...from, '--from', '2h', '--to', '1h');
    assert.match(part.stdout, new RegExp(`^${topic}: 360 records, `));
    assert.match(part.stdout, /^Errors +360 +12 /m);
    const none = await earshot(...from, '--to', '1d');
    assert.deepEqual([none.code, none.stderr], [1, `earshot: ${topic} has no records in this time\n`]);
    assert.deepEqual((await admin.listGroups()).groups, []);
    const compared = await earshot('diff', 'back.yaml', ...from.slice(1), '--exit-code');
    assert.equal(compared.code, 0, compared.stderr);
    await Promise.all([admin.disconnect(), producer.disconnect()]);
  });
});

test('an absence that lasts is counted at each time at which it is told', async () => {
  write(
    'silent.yaml',
    `groups: [{name: g, rules: [{alert: Silent, match: {field: log, eq: beat}, absence: {for: 10m}, realert: 1h, annotations: {message: silent}}]}]`,
  );
  const logs = [
    line(0, 'beat', 'a'),
    ...Array.from({ length: 60 }, (_, i) => line((i + 1) * 600, 'fine', 'a')),
  ];
  const { stdout } = await finish(start('backtest', 'silent.yaml', '-'), logs.join('\n'));
  const [row = ''] = stdout.split('\n').filter(text => text.startsWith('Silent  '));
  assert.ok([...row].filter(cell => cell === '█').length > 3, stdout);
});

test('rules are a folder, or several files', async () => {
  mkdirSync(join(folder, 'rules-of-two/sub'), { recursive: true });
  const rule = (group: string, text: string) =>
    `groups: [{name: ${group}, rules: [{alert: ${text}, match: {field: log, contains: ${text}}, annotations: {message: x}}]}]`;
  write('rules-of-two/a.yaml', rule('a', 'one'));
  write('rules-of-two/sub/b.yaml', rule('b', 'two'));
  write('rules-of-two/tests.yaml', 'rule_files: [.]\ntests: []\n');
  const input = [line(0, 'one', 'a'), line(1, 'two', 'a')].join('\n');
  for (const args of [['rules-of-two'], ['--rules', 'rules-of-two/a.yaml', '--rules', 'rules-of-two/sub']]) {
    const { stdout } = await finish(start('backtest', ...args, '-'), input);
    assert.match(stdout, /\none +1 +1 /);
    assert.match(stdout, /\ntwo +1 +1 /);
    const tailed = await finish(start('tail', '--output', 'json', ...args, '-'), input);
    assert.equal(tailed.stdout.trim().split('\n').length, 2, tailed.stderr);
  }
});

test('why rules that match have no alert', async () => {
  write(
    'quiet.yaml',
    `groups:
  - name: g
    rules:
      - {alert: Share, match: {field: log, exists: true}, ratio: {of: {field: log, eq: an error}, above: 50%, within: 5m, atLeast: 10}, annotations: {message: x}}
      - {alert: New, match: {field: ns, exists: true}, firstSeen: {for: 1d}, labels: {ns: '{{ $record.ns }}'}, annotations: {message: x}}
`,
  );
  const { stderr } = await finish(start('run', 'quiet.yaml', '-'), line(0, 'an error', 'a'));
  assert.match(stderr, /Share +1 match, no alert: the share is not above its limit, or of too few matches\n/);
  assert.match(stderr, /New +1 match, no alert: nothing was new, or it was still learning what is not\n/);
});

test('active rules beside others change no count', async () => {
  const rule = (name: string, match: string) =>
    `      - {alert: ${name}, match: ${match}, annotations: {message: x}}\n`;
  write(
    'active.yaml',
    `groups:\n  - name: g\n    rules:\n${rule('Day', "{all: [{field: log, contains: an}, {active: {hours: '00:00-24:00'}}]}")}${['a', 'b', 'c', 'd'].map(name => rule(name, `{field: log, eq: ${name}}`)).join('')}`,
  );
  const { stdout } = await finish(
    start('backtest', 'active.yaml', '-'),
    Array.from({ length: 20 }, (_, i) => line(i, 'an error', 'a')).join('\n'),
  );
  assert.match(stdout, /Day\n {2}held back: 19 by the cool-down, 0 by the rate cap\n/);
  assert.doesNotMatch(stdout, /held back: \d+ by the cool-down, [1-9]/);
});
