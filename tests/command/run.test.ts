// `earshot run` as a person at a terminal meets it: what the summary says, lines of plain text, readers that go away,
// sinks with the other envelope, and alerts as text.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { earshot, finish, folder, start, write } from './program.ts';
import { run } from '../../host/command/run.ts';
import { PassThrough } from 'node:stream';

write(
  'count.yaml',
  `groups:
  - name: demo
    rules:
      - alert: App error
        match: {field: log, contains: error}
        threshold: {count: 10, within: 5m}
        annotations: {message: '{{ $record.log }}'}
      - alert: Order
        match: {field: log, regex: 'order (?P<id>\\d+)'}
        realert: 0
        labels: {severity: critical}
        annotations: {message: 'order {{ $captures.id }}'}
`,
);
const timed = (log: string, second = 0) => JSON.stringify({ '@timestamp': 1629856400 + second, log });

/** The summary without the line of the rates. */
const notes = (stderr: string) => stderr.replace(/^.* records?, .*\n/m, '');

describe('the summary', () => {
  test('a threshold that is not reached, and alerts of each rule', async () => {
    const input = [timed('error'), timed('error', 1), timed('order 7', 2)].join('\n');
    const { code, stderr } = await finish(start('run', 'count.yaml', '-'), input);
    assert.equal(code, 0);
    assert.match(stderr, /^3 records, .*, 1 alert\n/);
    assert.equal(
      notes(stderr),
      `  App error  2 matches, no alert: the threshold of 10 within 5m is not reached
  Order      1 match, 1 alert
`,
    );
  });

  test('records without a time are all at one moment for a window', async () => {
    const input = Array.from({ length: 10 }, () => '{"log":"error"}').join('\n');
    const { stdout, stderr } = await finish(start('run', 'count.yaml', '-'), input);
    assert.equal(stdout.split('\n').length, 2);
    assert.equal(
      notes(stderr),
      `10 records that match have no "@timestamp", "timestamp" or "time": the file's time is taken
Name the field of their time with "timestamp" at the top of the rules file. For windows they are all at one moment.
  App error  10 matches, 1 alert
  Order      0 matches
`,
    );
  });

  test('rules of one name have no count of alerts of their own', async () => {
    write(
      'twins.yaml',
      `groups:
  - name: g
    rules:
      - {alert: Twin, match: {field: log, contains: aaa}, annotations: {message: x}}
      - {alert: Twin, match: {field: log, contains: bbb}, annotations: {message: y}}
`,
    );
    const { stderr } = await finish(start('run', 'twins.yaml', '-'), timed('aaa'));
    assert.match(stderr, /\n  Twin  1 match\n  Twin  0 matches\n$/);
  });
});

describe('lines of plain text', () => {
  const input = 'order 1\r\nerror\n\norder "2"\norder 3 \xff';

  test('without --text they are no records: exit 1, and what to do', async () => {
    const { code, stdout, stderr } = await finish(start('run', 'count.yaml', '-'), input);
    assert.deepEqual([code, stdout], [1, '']);
    assert.equal(
      notes(stderr).split('\n').slice(0, 3).join('\n'),
      `earshot: stdin:1: not a JSON object: "order 1\\r"
4 lines are no records
no line is a record: for lines of plain text use --text, the line is then the field "log"`,
    );
  });

  test('a JSON array is named as one', async () => {
    const { code, stderr } = await finish(start('run', 'count.yaml', '-'), `[${timed('order 1')}]`);
    assert.equal(code, 1);
    assert.match(stderr, /\nno line is a record: of a JSON array make lines with `jq -c \.\[\]`\n/);
  });

  test('with --text a line is the field "log"', async () => {
    const { code, stdout, stderr } = await finish(start('run', '--text', 'count.yaml', '-'), input);
    const messages = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).alerts[0].annotations.message);
    assert.deepEqual([code, messages], [0, ['order 1', 'order 3']], stderr);
  });

  test('explain --text', async () => {
    const { code, stdout } = await finish(start('explain', '--text', 'count.yaml', '-'), 'an error');
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `stdin:1
  App error: met, counted by threshold: {count: 10, within: 5m}
    yes {field: log, contains: error}
        an error
           ^^^^^
  Order: not met
    no  {field: log, regex: 'order (?P<id>\\d+)'}  it is "an error"

`,
    );
  });
});

describe('the nearest miss', () => {
  write(
    'near.yaml',
    `groups:
  - name: g
    rules:
      - alert: Far
        match: {field: ns, eq: park}
        annotations: {message: x}
      - alert: Near
        match: {all: [{field: ns, eq: shop}, {field: log, contains: order}, {field: log, regex: 'fail(ed|s)'}]}
        annotations: {message: x}
`,
  );
  const input = [
    '{"ns":"shop","log":"order 1 was paid"}',
    '{"ns":"shop","log":"order 1 failed"}',
    '{"ns":"garden"}',
  ].join('\n');

  test('--misses shows the records that no rule is met by, each with the test that failed last', async () => {
    const { code, stdout } = await finish(start('explain', '--misses', 'near.yaml', '-'), input);
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `stdin:1
  nearest: Near, 2 of 3 tests passed
    no  {field: log, regex: 'fail(ed|s)'}  it is "order 1 was paid"

stdin:3
  nearest: Far, 0 of 1 test passed
    no  {field: ns, eq: park}  it is "garden"

`,
    );
  });

  test('--only RULE is the nearest miss of this rule', async () => {
    const { stdout } = await finish(start('explain', '--misses', '--only', 'Far', 'near.yaml', '-'), input);
    assert.equal(stdout.match(/nearest: Far/g)?.length, 3);
    assert.ok(!stdout.includes('Near'));
  });

  test('without --misses it is named after the rules', async () => {
    const { stdout } = await finish(start('explain', 'near.yaml', '-'), input);
    assert.equal(stdout.match(/\n  no rule is met; the nearest is (?:Near|Far)\n\n/g)?.length, 2);
  });
});

test('explain ends when its reader has seen enough, long before its input ends', async () => {
  const child = start('explain', 'count.yaml', '-');
  child.stdin!.on('error', () => {});
  child.stdout!.once('data', () => child.stdout!.destroy());
  let stderr = '';
  child.stderr!.on('data', data => (stderr += data));
  const ended = new Promise(done => child.on('close', done));
  const line = `${timed('an error')}\n`.repeat(2000);
  let isEnded = false;
  void ended.then(() => (isEnded = true));
  let written = 0;
  while (!isEnded && written++ < 2000)
    if (!child.stdin!.write(line)) await Promise.race([new Promise(done => child.stdin!.once('drain', done)), ended]); // prettier-ignore
  assert.deepEqual([await ended, stderr], [0, '']);
  assert.ok(written < 1000, `it read ${written} parts`);
});

test('check names what a file is that is no rules file', async () => {
  await earshot('build', 'count.yaml', '-o', 'count.wasm');
  write('zeros.bin', new Uint8Array(10));
  for (const [name, what] of [
    ['count.wasm', /^earshot: count\.wasm is not a rules file: it is a module, which is built already; /],
    ['zeros.bin', /^earshot: zeros\.bin is not a rules file: it is not text\n$/],
  ] as const) {
    const { code, stdout, stderr } = await earshot('check', name);
    assert.deepEqual([code, stdout], [2, '']);
    assert.match(stderr, what);
  }
});

describe('run --notify with the envelope of the other sink', () => {
  // Their words as remembered and as in tests/sink/notification-manager.ts; not taken from a run of either.
  const answers = [
    [
      'notification-manager',
      '{"code":400,"message":"parsing alerts body from \\"\\" failed, because json: cannot unmarshal object into Go value of type models.PostableAlerts"}',
      'This is an Alertmanager: use --envelope alertmanager',
    ],
    [
      'alertmanager',
      '{"Status":400,"Message":"json: cannot unmarshal array into Go value of type template.Data"}',
      'This is a Notification Manager: use --envelope notification-manager',
    ],
  ] as const;
  for (const [envelope, answer, advice] of answers)
    test(advice, async () => {
      const server = createServer((_, response) => response.writeHead(400).end(answer));
      await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const child = start('run', 'count.yaml', '--notify', url, '--envelope', envelope, '-');
      const { code, stderr } = await finish(child, `${timed('order 1')}\n${timed('order 2')}\n`);
      server.close();
      assert.equal(code, 1);
      assert.ok(stderr.endsWith(`refused an alert: 400 ${answer}\n${advice}\n`), stderr);
      // What was not delivered is not counted as an alert.
      assert.match(stderr, /^2 records, .*, 0 alerts\n2 alerts are not delivered\n/);
      assert.match(stderr, /\n  Order {6}2 matches\n/);
    });
});

describe('alerts as text', () => {
  const input = [timed('error'), timed('a failed order 7 of \x1b[31mx\u202e'), timed('order 8', 1)].join(
    '\n',
  );

  test('--output text: one line, and the text that matched below it when it says more', async () => {
    const { stdout } = await finish(start('run', '--output', 'text', 'count.yaml', '-'), input);
    assert.equal(
      stdout,
      `2021-08-25 01:53:20 Order  order 7  {severity=critical}
  a failed order 7 of ␛[31mx�
2021-08-25 01:53:21 Order  order 8  {severity=critical}
`.replace(/:2([01]) /g, ':2$1.000 '),
    );
  });

  test('a module prints the same', async () => {
    await earshot('build', 'count.yaml', '-o', 'count.wasm');
    const [rules, module] = await Promise.all(
      ['count.yaml', 'count.wasm'].map(name => finish(start('run', '--output', 'text', name, '-'), input)),
    );
    assert.equal(module!.stdout, rules!.stdout);
  });

  /** Runs in this process, with a terminal as standard output. */
  async function onTerminal(env: NodeJS.ProcessEnv): Promise<string> {
    let text = '';
    const stdout = Object.assign(new PassThrough(), {
      isTTY: true,
      columns: 60,
      getColorDepth: (given: NodeJS.ProcessEnv) => ('NO_COLOR' in given ? 1 : 8),
    });
    stdout.on('data', chunk => (text += chunk));
    const stderr = new PassThrough().resume();
    const stdin = new PassThrough().end(input);
    const io = { stdin, stdout, stderr, env } as unknown as Parameters<typeof run>[1];
    assert.equal(await run([join(folder, 'count.yaml'), '-'], io), 0);
    return text;
  }

  test('a terminal gets text, in colour, with the matching part underlined', async () => {
    const [first, second] = (await onTerminal({})).split('\n');
    assert.ok(first!.includes('\x1b[1;31mOrder\x1b[0m  order 7'), first);
    assert.equal(second, '  \x1b[2ma failed \x1b[0m\x1b[4;1morder 7\x1b[0m\x1b[2m of ␛[31mx�\x1b[0m');
  });

  test('NO_COLOR is honoured', async () => {
    assert.ok(!(await onTerminal({ NO_COLOR: '1' })).includes('\x1b'));
  });
});

test(
  'zstd, also of several frames',
  { skip: spawnSync('zstd', ['--version']).error && 'no zstd' },
  async () => {
    const pack = (text: string) => spawnSync('zstd', ['-c'], { input: text }).stdout;
    const lines = (from: number) =>
      Array.from({ length: 20_000 }, (_, i) => `${timed(`order ${from + i}`)}\n`).join('');
    write('two.zst', Buffer.concat([pack(lines(0)), pack(lines(20_000))]));
    const { code, stdout, stderr } = await earshot('run', 'count.yaml', 'two.zst');
    assert.equal(code, 0, stderr);
    const ids = stdout.trim().split('\n').map(line => JSON.parse(line).alerts[0].annotations.message); // prettier-ignore
    assert.deepEqual(
      ids,
      Array.from({ length: 40_000 }, (_, i) => `order ${i}`),
    );
    write('damaged.zst', Buffer.concat([pack(lines(0)), Buffer.alloc(100, 'x')]));
    assert.match((await earshot('run', 'count.yaml', 'damaged.zst')).stderr, /damaged\.zst is damaged: /);
  },
);
