// `earshot diff`: what two rules files make of the same records.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { earshot, finish, start, write } from './program.ts';

const rules = (...texts: string[]) => `groups:\n  - name: g\n    rules:\n${texts.join('')}`;
const NOT_FOUND = (status: string) => `      - alert: Not found
        match: {field: log, regex: ' ${status} '}
        realert: 0
        annotations: {message: '{{ $record.log }}'}
`;
const ERRORS = (count: number) => `      - alert: Errors
        match: {field: log, contains: error}
        threshold: {count: ${count}, within: 5m}
        annotations: {message: '{{ $value }} errors'}
`;
write('old.yaml', rules(NOT_FOUND('404'), ERRORS(3)));
write('new.yaml', rules(NOT_FOUND('4[0-9]4'), ERRORS(2)));
const lines = [' 404 a', ' 414 b', ' 424 c', ' 200 d', 'error 1', 'error 2']
  .map((log, second) => JSON.stringify({ '@timestamp': 1629856400 + second, log }))
  .join('\n');
write('logs.ndjson', lines);

test('records by rule and side, the test that decided, and a sentence', async () => {
  const { code, stdout, stderr } = await earshot('diff', 'old.yaml', 'new.yaml', 'logs.ndjson');
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(
    stdout,
    `Not found: +2 records, 1 under both, alerts 1 → 3
  + logs.ndjson:2  414 b
    under the old rules: no  {field: log, regex: ' 404 '}  it is " 414 b"
  + logs.ndjson:3  424 c
    under the old rules: no  {field: log, regex: ' 404 '}  it is " 424 c"

Errors: 2 under both, alerts 0 → 1

Over 6 records of logs.ndjson, matches from 2021-08-25 01:53 to 2021-08-25 01:53 UTC: +2 alerts of \`Not found\`, +1 alert of \`Errors\`.
`,
  );
});

test('the other way round, and --examples', async () => {
  const { stdout } = await earshot('diff', '--examples', '1', 'new.yaml', 'old.yaml', 'logs.ndjson');
  assert.match(
    stdout,
    /^Not found: −2 records, 1 under both, alerts 3 → 1\n  − logs\.ndjson:2  414 b\n    under the new rules: no .*\n\n/,
  );
  assert.match(stdout, /: −2 alerts of `Not found`, −1 alert of `Errors`\.\n$/);
});

describe('--exit-code', () => {
  test('is 1 when they differ and 0 when they do not', async () => {
    assert.equal((await earshot('diff', '--exit-code', 'old.yaml', 'new.yaml', 'logs.ndjson')).code, 1);
    const same = await earshot('diff', '--exit-code', 'old.yaml', 'old.yaml', 'logs.ndjson');
    assert.deepEqual(
      [same.code, same.stdout],
      [
        0,
        'Over 6 records of logs.ndjson, matches from 2021-08-25 01:53 to 2021-08-25 01:53 UTC: no difference.\n',
      ],
    );
  });
});

test('rules that are new or removed are named so, from standard input and gzip', async () => {
  write('less.yaml', rules(ERRORS(3)));
  write('logs.gz', gzipSync(lines));
  const { stdout } = await finish(start('diff', 'less.yaml', 'old.yaml', '-', 'logs.gz'), lines);
  assert.match(
    stdout,
    /^Not found \(new\): \+2 records, 0 under both, alerts 0 → 2\n  \+ stdin:1  404 a\n  \+ logs\.gz:1  404 a\n\n/,
  );
  const back = await finish(start('diff', 'old.yaml', 'less.yaml', '-'), lines);
  assert.match(back.stdout, /^Not found \(removed\): −1 record, 0 under both, alerts 1 → 0\n/);
});

describe('called wrongly', () => {
  const cases: [args: string[], message: string][] = [
    [['old.yaml'], 'diff takes two rules files, the old one and the new one'],
    [['old.yaml', 'new.yaml', '--examples', 'x'], '--examples is a number of records, not "x"'],
    [['old.yaml', 'new.yaml', '--from', '2h'], '--from and --to go with --topic'],
    [['old.yaml', 'new.yaml', '--topic', 'x'], '--brokers and --topic go together'],
    [['old.yaml', 'new.yaml', 'a', '--topic', 'x', '--brokers', 'a:1'], 'diff reads files or a topic, not both'],
    [['old.yaml', 'new.yaml', '--topic', 'x', '--brokers', 'a:1', '--from', 'soon'], '--from is a time such as 2026-03-02T09:00:00Z, or how long ago, such as 2h, not "soon"'],
    [['old.yaml', 'new.yaml', '--topic', 'x', '--brokers', 'a:1', '--from', '1h', '--to', '2h'], '--from must be before --to'],
  ]; // prettier-ignore
  for (const [args, message] of cases)
    test(message, async () => {
      assert.deepEqual(await earshot('diff', ...args), {
        code: 2,
        stdout: '',
        stderr: `earshot: ${message}\n`,
      });
    });
});
