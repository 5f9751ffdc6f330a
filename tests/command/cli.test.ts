// `earshot` as a user has it: build/earshot.js in a process of its own, away from the repository.
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, utimesSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ROOT, earshot, finish, folder, start, write } from './program.ts';
import type { Result } from './program.ts';

const RULES = `groups:
  - name: demo
    rules:
      - alert: Broken
        match:
          all:
            - {field: kubernetes.namespace_name, eq: shop}
            - {field: log, regex: 'order (?P<id>\\d+) failed'}
        realert: 0
        annotations: {message: '{{ $captures.id }}'}
`;
write('rules.yaml', RULES);
const record = (log: string, more: object = { '@timestamp': 1629856477.226 }) =>
  JSON.stringify({ ...more, log, kubernetes: { namespace_name: 'shop' } });
const failed = (id: number) => record(`order ${id} failed`);
const ids = (stdout: string) =>
  stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line).alerts[0].annotations.message as string);

describe('called wrongly', () => {
  const cases: [args: string[], message: string][] = [
    [['chekc', 'rules.yaml'], 'unknown command "chekc"; did you mean "check"?'],
    [['xyzzy'], 'unknown command "xyzzy"; `earshot --help` lists the commands'],
    [['--verison'], 'unknown option "--verison"; did you mean "--version"?'],
    [['run', 'rules.yaml', '--strickt', '-'], 'unknown option "--strickt"; did you mean "--strict"?'],
    [['run'], 'run needs a rules file or a module'],
    [['run', 'rules.yaml', '--deadline', '5', '-'], '--envelope and --deadline go with --notify'],
    [
      ['run', 'rules.yaml', '--notify', 'localhost', '-'],
      '--notify "localhost" is not an http:// or https:// address',
    ],
    [
      ['run', 'rules.yaml', '--notify', 'http://x', '--envelope', 'slack', '-'],
      '--envelope is one of notification-manager, alertmanager, not "slack"',
    ],
    [
      ['run', 'rule.yaml', '-'],
      'rule.yaml cannot be read: there is no such file; did you mean "rules.yaml"?',
    ],
    [['check'], 'check needs the rules files'],
    [['check', '--format', 'xml', 'rules.yaml'], '--format is one of text, json, sarif, not "xml"'],
    [['build', 'rules.yaml', '-o'], '-o needs a value'],
    [['build'], 'build needs the rules files'],
    [
      ['explain', 'rules.yaml', '-', '--rule', 'Brocken'],
      'there is no rule "Brocken"; did you mean "Broken"?',
    ],
    [['schema', 'x'], 'schema takes no arguments'],
    [['run', 'rules.yaml', '--output', 'xml', '-'], '--output is one of text, json, not "xml"'],
    [
      ['run', 'rules.yaml', '--output', 'text', '--notify', 'http://x', '-'],
      '--output goes with standard output, not with --notify',
    ],
  ];
  for (const [args, message] of cases) {
    test(args.join(' '), async () => {
      assert.deepEqual(await earshot(...args), { code: 2, stdout: '', stderr: `earshot: ${message}\n` });
    });
  }
});

test('--help and --version', async () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.deepEqual(await earshot('--version'), { code: 0, stdout: `${version}\n`, stderr: '' });
  const overview = await earshot();
  assert.deepEqual(await earshot('--help'), overview);
  const commands = [...overview.stdout.matchAll(/^  (\w+) /gm)].map(([, name]) => name!);
  assert.deepEqual(commands, [
    'new',
    'check',
    'test',
    'build',
    'run',
    'tail',
    'explain',
    'backtest',
    'diff',
    'function',
    'schema',
  ]);
  for (const name of commands) {
    const help = await earshot(name, '--help');
    assert.equal(help.code, 0);
    assert.ok(help.stdout.startsWith(`Usage: earshot ${name}`), help.stdout);
    assert.deepEqual(await earshot('help', name), help);
  }
});

test('schema is the file that the build writes', async () => {
  const { stdout } = await earshot('schema');
  assert.equal(stdout, readFileSync(join(ROOT, 'build/earshot.schema.json'), 'utf8'));
  assert.equal(JSON.parse(stdout).title, 'Earshot rules file');
});

describe('a pattern that gets no automaton', () => {
  write('large.yaml', RULES.replace(/regex: .*\}/, "regex: 'order.{900}(?P<id>\\d+) failed'}"));

  test('check warns of it, with what a byte of text costs and what to do', async () => {
    const { code, stdout } = await earshot('check', 'large.yaml');
    assert.equal(code, 0);
    assert.match(
      stdout,
      /warning: a pattern of rule "Broken" is too large for an automaton: a byte of text can take 914 steps, with a plain literal it takes 1\n/,
    );
    assert.match(stdout, /\nhint: use smaller or fewer counted repeats, .* linear in the text and bounded\n/);
    assert.doesNotMatch((await earshot('check', 'rules.yaml')).stdout, /automaton/);
  });

  test('build names its rule below the table', async () => {
    const line =
      /\nRules with a pattern too large for an automaton, and its steps for a byte of text: Broken \(914\)\n/;
    assert.match((await earshot('build', 'large.yaml', '-o', 'large.wasm')).stdout, line);
    assert.doesNotMatch(
      (await earshot('build', 'rules.yaml', '-o', 'large.wasm')).stdout,
      /for an automaton/,
    );
  });
});

describe('check', () => {
  write('wrong.yaml', RULES.replace('eq: shop', 'eqq: shop').replace('failed', '(failed'));
  write(
    'slow.yaml',
    RULES.replace(/regex: .*\}/, "regex: '[a-z]+[0-9]+'}").replace('{{ $captures.id }}', 'x'),
  );
  const every = RULES.replace(/regex: .*\}/, "regex: '(?s).*'}").replace('{{ $captures.id }}', 'x');
  write('every.yaml', every.replace('name: demo', 'name: every'));

  test('a good file', async () => {
    assert.deepEqual(await earshot('check', 'rules.yaml'), {
      code: 0,
      stdout: '1 rule: no errors, no warnings\n',
      stderr: '',
    });
  });

  test('every mistake of every file, in order', async () => {
    const { code, stdout } = await earshot('check', 'wrong.yaml', 'every.yaml');
    assert.equal(code, 1);
    const heads = stdout.split('\n').filter(line => /^\w+\.yaml:/.test(line));
    assert.deepEqual(
      heads.map(line => line.replace(/: .*/, '')),
      ['every.yaml:8:35', 'wrong.yaml:7:50', 'wrong.yaml:8:35'],
    );
    assert.match(heads[0]!, /this pattern matches every text/);
  });

  test('--format json', async () => {
    const { code, stdout } = await earshot('check', '--format', 'json', 'wrong.yaml');
    assert.equal(code, 1);
    const [first, second] = JSON.parse(stdout);
    assert.equal(`${first.file}:${first.line}:${first.column} ${first.severity}`, 'wrong.yaml:7:50 error');
    assert.equal(second.pattern.source, 'order (?P<id>\\d+) (failed');
    assert.deepEqual(JSON.parse((await earshot('check', '--format=json', 'rules.yaml')).stdout), []);
  });

  test('--format sarif', async () => {
    write('a b%.yaml', RULES.replace('eq: shop', 'eqq: shop'));
    const { code, stdout } = await earshot('check', '--format', 'sarif', 'a b%.yaml', 'no.yaml');
    assert.equal(code, 2);
    const { version, runs } = JSON.parse(stdout);
    const [{ tool, results, invocations, columnKind }] = runs;
    assert.deepEqual(
      [version, tool.driver.name, invocations, columnKind],
      ['2.1.0', 'earshot', [{ executionSuccessful: false }], 'utf16CodeUnits'],
    );
    assert.deepEqual(results[0], {
      ruleId: 'error',
      level: 'error',
      message: { text: 'unknown key "eqq"; did you mean "eq"?' },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: 'a%20b%25.yaml' },
            region: { startLine: 7, startColumn: 50, endLine: 7, endColumn: 53 },
          },
        },
      ],
    });
    assert.equal(results.length, 1);
    const { stdout: warned } = await earshot('check', '--format', 'sarif', 'slow.yaml');
    assert.match(JSON.parse(warned).runs[0].results[0].message.text, /^no literal: .*\nhint: /);
    const known = tool.driver.rules.map(({ id }: { id: string }) => id);
    for (const { ruleId } of results) assert.ok(known.includes(ruleId));
    assert.deepEqual(JSON.parse((await earshot('check', '--format', 'sarif', 'rules.yaml')).stdout).runs[0].results, []); // prettier-ignore
  });

  test('a rule without a literal is a warning', async () => {
    const { code, stdout } = await earshot('check', 'slow.yaml');
    assert.equal(code, 0);
    assert.match(
      stdout,
      /^slow\.yaml:\d+:\d+: warning: no literal: the pattern runs on every record that passes the "eq" or "in" beside it$/m,
    );
  });

  test('a rule that no record meets is a mistake, also for build', async () => {
    const never = RULES.replace('eq: shop}', 'eq: shop}\n            - {field: log, gt: 5}');
    write('never.yaml', never);
    const { code, stdout } = await earshot('check', 'never.yaml');
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^never\.yaml:9:15: error: no record can meet both "gt" and "regex" of field "log"\n[^]*\nno rules without errors: 1 error, no warnings\n$/,
    );
    const built = await earshot('build', 'never.yaml', '-o', 'never.wasm');
    assert.deepEqual([built.code, existsSync(join(folder, 'never.wasm'))], [1, false]);
  });

  test('warnings that say the same are printed once, by build and run too; JSON has each', async () => {
    const rule = (name: string) =>
      `      - {alert: ${name}, match: {field: log, contains: 'x.*y'}, annotations: {text: m}}\n`;
    const names = Array.from({ length: 1_000 }, (_, index) => `Rule ${index}`);
    write('alike.yaml', `groups:\n  - name: g\n    rules:\n${names.map(rule).join('')}`);
    const texts = [
      `alike.yaml:4:9: warning: alert "Rule 0" has no annotation "message" or "summary"`,
      `and 999 more like this: lines 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, …`,
      `alike.yaml:4:32: warning: "contains" takes "x.*y" letter by letter`,
      `and 999 more like this: lines 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, …`,
    ];
    const told = (text: string) => text.split('\n').filter(line => /^alike|^and /.test(line));
    const { code, stdout } = await earshot('check', 'alike.yaml');
    assert.deepEqual([code, told(stdout)], [0, texts]);
    assert.ok(stdout.endsWith('\n1000 rules: no errors, 2000 warnings\n'), stdout);
    assert.deepEqual(told((await earshot('build', 'alike.yaml', '-o', 'alike.wasm')).stderr), texts);
    assert.deepEqual(told((await finish(start('run', 'alike.yaml'))).stderr), texts);
    assert.equal(JSON.parse((await earshot('check', '--format', 'json', 'alike.yaml')).stdout).length, 2_000);
  });

  test('a file that is missing does not hide the others', async () => {
    const { code, stdout, stderr } = await earshot('check', 'none.yaml', 'wrong.yaml');
    assert.equal(code, 2);
    assert.match(stdout, /^wrong\.yaml:7:50: error/m);
    assert.match(stderr, /^earshot: none\.yaml cannot be read: there is no such file/);
  });
});

describe('build', () => {
  test('the same rules, the same bytes', async () => {
    const first = await earshot('build', 'rules.yaml', '-o', 'first.wasm');
    assert.equal(first.code, 0, first.stderr);
    assert.match(
      first.stdout,
      /^first\.wasm  [\d,]+ bytes, .* % of a ConfigMap; [\d,]+ of them are rules\nhash [0-9a-f]{16}, 1 rule, /,
    );
    assert.match(first.stdout, /^log +\d+ +\d+/m);
    await earshot('build', 'rules.yaml', '--output=second.wasm');
    assert.deepEqual(readFileSync(join(folder, 'first.wasm')), readFileSync(join(folder, 'second.wasm')));
  });

  /** Rules as `[alert, keys beside match]`. */
  const rulesOf = (...rules: [alert: string, keys: string][]) =>
    `groups:\n  - name: g\n    rules:\n${rules
      .map(
        ([alert, keys]) =>
          `      - {alert: ${alert}, match: {field: log, eq: x}, annotations: {message: m}, ${keys}}\n`,
      )
      .join('')}`;
  const AWAKE =
    'With Kafka, what comes by the clock needs a counter that is always awake (minReplicaCount: 1):';
  const hitsTopic = (retentionMs: number, lookBack: string) =>
    `With Kafka, the hits topic needs cleanup.policy=delete, retention.ms=${retentionMs} or more (look-back ${lookBack}, outage 1d), and a partition for each counter`;
  const DAY = 86_400_000;
  const needs: [title: string, rules: [string, string][], lines: string[]][] = [
    ['nothing is looked back at', [['a', 'realert: 0s']], [hitsTopic(DAY, '0s')]],
    ['the default realert', [['a', '']], [hitsTopic(DAY + 300_000, '5m')]],
    [
      'realert and twice the longest within of all rules',
      [
        ['a', 'realert: 1h'],
        ['b', 'threshold: {count: 2, within: 90m}'],
      ],
      [hitsTopic(DAY + 11_100_000, '3h5m')],
    ],
    [
      'the longest realert of all rules',
      [
        ['a', 'realert: 2d'],
        ['b', 'threshold: {count: 2, within: 90m}'],
      ],
      [hitsTopic(DAY + 2 * DAY, '2d')],
    ],
    [
      'an absence is named, and other rules are not',
      [
        ['a', 'realert: 1h'],
        ['BackupMissing', 'absence: {for: 25h}'],
      ],
      [hitsTopic(DAY + 90_300_000, '1d1h5m'), `${AWAKE} BackupMissing`],
    ],
    [
      'what else comes by the clock is named, and what is first seen is looked for as far back as it says',
      [
        ['Few', 'threshold: {below: 10, within: 1h}'],
        ['Over', 'resolveAfter: 10m'],
        ['New', "firstSeen: {for: 7d}, labels: {user: '{{ $record.user }}'}"],
      ],
      [hitsTopic(DAY + 7 * DAY + 300_000, '7d5m'), `${AWAKE} Few, Over`],
    ],
    [
      'five absences are named',
      ['a', 'b', 'c', 'd', 'e'].map(alert => [alert, 'absence: {for: 1m}']),
      [hitsTopic(DAY + 360_000, '6m'), `${AWAKE} a, b, c, d, e`],
    ],
    [
      'more absences are counted',
      ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(alert => [alert, 'absence: {for: 1m}']),
      [hitsTopic(DAY + 360_000, '6m'), `${AWAKE} a, b, c, d, e and 2 more`],
    ],
  ];
  for (const [title, rules, lines] of needs) {
    test(`what Kafka must have: ${title}`, async () => {
      const { code, stdout, stderr } = await earshot(
        'build',
        write('needs.yaml', rulesOf(...rules)),
        '-o',
        'needs.wasm',
      );
      assert.deepEqual([code, stderr], [0, '']);
      assert.deepEqual(
        stdout.split('\n').filter(line => line.startsWith('With Kafka')),
        lines,
      );
      assert.ok(stdout.endsWith(`\n\n${lines.join('\n')}\n`), stdout); // a paragraph of its own, the last
    });
  }

  test('--fluent-bit writes a folder with the same module in it, and says what it promises', async () => {
    const { code, stdout, stderr } = await earshot('build', 'rules.yaml', '--fluent-bit', 'edge');
    assert.deepEqual([code, stderr], [0, '']);
    const name = /^edge\/(earshot-[0-9a-f]{16}\.wasm) /.exec(stdout)?.[1];
    assert.ok(name, stdout);
    assert.match(
      stdout,
      /\n\nFluent Bit: (?:no )?grep .*\nFluent Bit to Alertmanager at 127\.0\.0\.1:9093: counts on the/,
    );
    await earshot('build', 'rules.yaml', '-o', 'first.wasm');
    assert.deepEqual(readFileSync(join(folder, 'edge', name)), readFileSync(join(folder, 'first.wasm')));
    assert.match(
      readFileSync(join(folder, 'edge/earshot.yaml'), 'utf8'),
      new RegExp(`wasm_path: '?edge/${name}`),
    );
  });

  test('--to, --address, --match and --path go into the configuration', async () => {
    const { code } = await earshot(
      ...['build', 'rules.yaml', '--fluent-bit', 'hits', '--to', 'kafka', '--address', 'a:1,b:2'],
      ...['--match', 'app.*', '--path', '/fluent-bit/etc/earshot'],
    );
    assert.equal(code, 0);
    const text = readFileSync(join(folder, 'hits/earshot.yaml'), 'utf8');
    assert.match(text, /brokers: 'a:1,b:2'/);
    assert.match(text, /match: app\.\*/);
    assert.match(text, /wasm_path: \/fluent-bit\/etc\/earshot\/earshot-/);
  });

  const refused: Array<[string[], RegExp]> = [
    [['--to', 'kafka'], /^earshot: --to goes with --fluent-bit/],
    [
      ['--fluent-bit', 'no', '--to', 'slack'],
      /^earshot: --to is one of kafka, function, alertmanager, notification-manager/,
    ],
    [['--fluent-bit', 'no', '--address', 'http://x'], /^earshot: --address is host:port, not "http:\/\/x"/],
    [['--fluent-bit', 'no', '--match', 'a b'], /^earshot: --match /],
    [['--fluent-bit', 'no', '--path', '${HOME}/x'], /^earshot: --path /],
  ];
  for (const [args, message] of refused)
    test(`refused: ${args.join(' ')}`, async () => {
      const { code, stderr } = await earshot('build', 'rules.yaml', ...args);
      assert.equal(code, 2);
      assert.match(stderr, message);
      assert.equal(existsSync(join(folder, 'no')), false);
    });

  test('--fluent-bit leaves a configuration of somebody else, or writes nothing', async () => {
    mkdirSync(join(folder, 'theirs'));
    write('theirs/fluent-bit.conf', '[SERVICE]\n');
    const first = await earshot('build', 'rules.yaml', '--fluent-bit', 'theirs');
    assert.equal(first.code, 0);
    assert.match(
      first.stderr,
      /^earshot: note: theirs\/fluent-bit\.conf was not made by .* and is left as it is/,
    );
    assert.equal(readFileSync(join(folder, 'theirs/fluent-bit.conf'), 'utf8'), '[SERVICE]\n');
    write('theirs/earshot.conf', '# mine\n');
    const second = await earshot('build', 'rules.yaml', '--fluent-bit', 'theirs', '--to', 'kafka');
    assert.equal(second.code, 1);
    assert.match(second.stderr, /^earshot: theirs\/earshot\.conf: not made by .* nothing is written/);
    assert.doesNotMatch(readFileSync(join(folder, 'theirs/earshot.yaml'), 'utf8'), /brokers/);
  });

  test('wrong rules give no module', async () => {
    const { code, stdout, stderr } = await earshot('build', 'wrong.yaml', '-o', 'none.wasm');
    assert.deepEqual([code, stdout, existsSync(join(folder, 'none.wasm'))], [1, '', false]);
    assert.match(stderr, /earshot: wrong\.yaml has 2 mistakes\n$/);
  });

  test('a place that cannot be written', async () => {
    const { code, stderr } = await earshot('build', 'rules.yaml', '-o', 'no/such/folder.wasm');
    assert.equal(code, 1);
    assert.equal(
      stderr,
      'earshot: no/such/folder.wasm cannot be written: there is no folder no/such; make it first: mkdir -p no/such\n',
    );
  });
});

describe('run', () => {
  test('what the last record makes due is told at the end: an absence that ended between two records', async () => {
    const rules = write(
      'absence.yaml',
      `groups:
  - name: demo
    rules:
      - alert: BackupMissing
        match: {field: log, eq: backup ok}
        absence: {for: 25h}
`,
    );
    const days = [1, 2, 5, 6, 9];
    const records = days.map(day =>
      JSON.stringify({ '@timestamp': `2024-01-0${day}T03:00:00Z`, log: 'backup ok' }),
    );
    const { code, stdout } = await finish(start('run', rules, '-'), records.join('\n'));
    assert.equal(code, 0);
    const told = stdout
      .trimEnd()
      .split('\n')
      .flatMap(line => JSON.parse(line).alerts)
      .map(alert => [alert.status, alert.startsAt.slice(8, 13)]);
    assert.deepEqual(told, [
      ['firing', '03T04'],
      ['resolved', '03T04'],
      ['firing', '07T04'],
      ['resolved', '07T04'],
    ]);
  });

  test('files, plain and gzip, and standard input, in order', async () => {
    write('one.ndjson', `${failed(1)}\n${record('fine')}\n${failed(2)}\n`);
    write('two.ndjson.gz', Buffer.concat([gzipSync(`${failed(3)}\n`), gzipSync(failed(4))]));
    const child = start('run', 'rules.yaml', 'one.ndjson', '-', 'two.ndjson.gz');
    const { code, stdout, stderr } = await finish(child, `${failed(10)}\n`);
    assert.deepEqual([code, ids(stdout)], [0, ['1', '2', '10', '3', '4']]);
    assert.match(
      stderr,
      /^6 records, [\d,]+ bytes in [\d.]+ s \([\d,]+ records\/s\), 5 alerts\n  Broken  5 matches, 5 alerts\n$/,
    );
  });

  test('a module gives the same alerts as its rules', async () => {
    await earshot('build', 'rules.yaml', '-o', 'same.wasm');
    const input = [1, 2, 3].map(failed).join('\n');
    const fromModule = await finish(start('run', 'same.wasm'), input);
    assert.equal(fromModule.stdout, (await finish(start('run', 'rules.yaml'), input)).stdout);
    assert.deepEqual(ids(fromModule.stdout), ['1', '2', '3']);
  });

  test('byte order mark, CRLF, blank lines, no newline at the end, gzip on standard input', async () => {
    const text = `\ufeff${failed(1)}\r\n\r\n \t\n${failed(2)}\r\n${failed(3)}`;
    for (const input of [text, gzipSync(text)]) {
      const { code, stdout, stderr } = await finish(start('run', 'rules.yaml'), input);
      assert.deepEqual([code, ids(stdout)], [0, ['1', '2', '3']]);
      assert.match(stderr, /^3 records/);
    }
  });

  test('lines longer than a chunk, and longer than allowed', async () => {
    const long = record(`${'x'.repeat(3 << 20)} order 7 failed`);
    const tooLong = record('x'.repeat(33 << 20));
    const { code, stdout, stderr } = await finish(
      start('run', 'rules.yaml'),
      `${long}\n${tooLong}\n${failed(8)}`,
    );
    assert.deepEqual([code, ids(stdout)], [0, ['7', '8']]);
    assert.match(stderr, /^earshot: stdin:2: the line is too long, 33,554,432 bytes are allowed\n2 records/);
  });

  const broken = [failed(1), failed(2).slice(0, -1), 'plain text', '[1]', 'null', '{"a":1}}', failed(3)].join(
    '\n',
  );

  test('a line that is no record is counted, and the first one shown', async () => {
    const { code, stdout, stderr } = await finish(start('run', 'rules.yaml', '-'), broken);
    assert.deepEqual([code, ids(stdout)], [0, ['1', '3']]);
    assert.match(
      stderr,
      /^earshot: stdin:2: not a JSON object: ".*"…\n2 records, .*\n5 lines are no records\n/,
    );
  });

  test('--strict ends there, after the alerts before it', async () => {
    const { code, stdout, stderr } = await finish(start('run', '--strict', 'rules.yaml', '-'), broken);
    assert.deepEqual([code, ids(stdout)], [1, ['1']]);
    assert.match(stderr, /earshot: stdin:2: not a JSON object: /);
  });

  test('an alert starts at the @timestamp of its record', async () => {
    const { stdout, stderr } = await finish(start('run', 'rules.yaml'), failed(1));
    assert.equal(JSON.parse(stdout).alerts[0].startsAt, '2021-08-25T01:54:37.226Z');
    assert.doesNotMatch(stderr, /file's time/);
  });

  test('the summary says whether @timestamp is missing or cannot be read', async () => {
    const times = [{}, { '@timestamp': null }, { '@timestamp': '02/Mar/2026:10:00:00' }, { '@timestamp': 1 }];
    write('times.ndjson', times.map((time, index) => record(`order ${index} failed`, time)).join('\n'));
    const { stderr } = await earshot('run', 'rules.yaml', 'times.ndjson');
    assert.match(
      stderr,
      /\n2 records that match have a time in "@timestamp" that cannot be read, such as null: the file's time is taken\n1 record that matches has no "@timestamp", "timestamp" or "time": the file's time is taken\nName the field of their time with "timestamp" at the top of the rules file\.\n  Broken/,
    );
  });

  test('without @timestamp an alert starts at the last change of the file', async () => {
    write('untimed.ndjson', record('order 1 failed', {}));
    utimesSync(join(folder, 'untimed.ndjson'), 1600000000, 1600000000.25);
    const { stdout, stderr } = await earshot('run', 'rules.yaml', 'untimed.ndjson');
    assert.equal(JSON.parse(stdout).alerts[0].startsAt, '2020-09-13T12:26:40.250Z');
    assert.match(
      stderr,
      /\n1 record that matches has no "@timestamp", "timestamp" or "time": the file's time is taken\nName/,
    );
  });

  test('a gzip file that is cut short', async () => {
    write('cut.gz', gzipSync(`${failed(1)}\n`.repeat(1000)).subarray(0, 100));
    const { code, stderr } = await earshot('run', 'rules.yaml', 'cut.gz');
    assert.equal(code, 1);
    assert.match(stderr, /earshot: cut\.gz is cut short: its gzip stream has no end\n$/);
  });

  test('files that cannot be read', async () => {
    mkdirSync(join(folder, 'logs'));
    assert.match(
      (await earshot('run', 'rules.yaml', 'logs')).stderr,
      /logs cannot be read: it is a directory\n$/,
    );
    assert.match(
      (await earshot('run', 'rules.yaml', 'none')).stderr,
      /none cannot be read: there is no such file\n$/,
    );
    write('x.zst', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0));
    assert.match(
      (await earshot('run', 'rules.yaml', 'x.zst')).stderr,
      /earshot: x\.zst is cut short: its zstd stream has no end\n$/,
    );
  });

  test('a module that is damaged, cut, or without rules', async () => {
    await earshot('build', 'rules.yaml', '-o', 'good.wasm');
    const good = readFileSync(join(folder, 'good.wasm'));
    const damaged = Buffer.from(good);
    damaged[damaged.lastIndexOf('Broken')]! ^= 1;
    write('damaged.wasm', damaged);
    write('cut.wasm', good.subarray(0, good.length - 10));
    copyFileSync(join(ROOT, 'build/core.wasm'), join(folder, 'core.wasm'));
    for (const [name, reason] of [
      ['damaged.wasm', /the rules inside this module are damaged .*; copy the file again/],
      ['cut.wasm', /not a whole WebAssembly module .*; copy the file again/],
      ['core.wasm', /this module has no rules in it; build one/],
    ] as const) {
      const { code, stdout, stderr } = await finish(start('run', name, '-'), failed(1));
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, new RegExp(`^earshot: ${name}: ${reason.source}`));
    }
  });

  test('a reader that has seen enough ends the run', async () => {
    const child = start('run', 'rules.yaml', '-');
    const pump = setInterval(() => child.stdin!.write(`${failed(1)}\n`.repeat(1000)), 1);
    child.stdin!.on('error', () => {});
    child.stdout!.once('data', () => child.stdout!.destroy());
    let stderr = '';
    child.stderr!.on('data', data => (stderr += data));
    const code = await new Promise(done => child.on('close', done));
    clearInterval(pump);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^[\d,]+ records/);
  });

  test('an interrupt ends the run with its summary', async () => {
    const child = start('run', 'rules.yaml', '-');
    child.stdout!.once('data', () => child.kill('SIGINT'));
    child.stdin!.write(`${failed(1)}\n`);
    const result: Result = { code: null, stdout: '', stderr: '' };
    child.stderr!.on('data', data => (result.stderr += data));
    result.code = await new Promise(done => child.on('close', done));
    assert.equal(result.code, 130);
    assert.match(result.stderr, /^1 record, .* 1 alert\n/);
  });
});

describe('run --notify', () => {
  type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

  /** Runs two failing records against a sink that answers so. */
  async function notify(answer: Answer, ...args: string[]) {
    const posts: { url: string; body: any }[] = [];
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', text => (body += text));
      request.on('end', () => {
        posts.push({ url: request.url!, body: JSON.parse(body) });
        answer(request, response, body);
      });
    });
    await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const result = await finish(
      start('run', 'rules.yaml', '--notify', url, ...args, '-'),
      `${failed(1)}\n${failed(2)}`,
    );
    server.close();
    return { ...result, url, posts };
  }

  const status = (...codes: number[]): Answer => {
    return (_, response) => response.writeHead(codes.length > 1 ? codes.shift()! : codes[0]!).end('no');
  };

  test('posts each body and waits for 2xx', async () => {
    const { code, stdout, posts } = await notify(status(200));
    assert.deepEqual([code, stdout], [0, '']);
    assert.deepEqual(
      posts.map(({ url, body }) => [url, body.alerts[0].annotations.message]),
      [
        ['/api/v2/alerts', '1'],
        ['/api/v2/alerts', '2'],
      ],
    );
  });

  test('the envelope of Alertmanager is the bare array', async () => {
    const { posts } = await notify(status(200), '--envelope', 'alertmanager');
    assert.deepEqual(
      posts.map(({ body }) => body[0].annotations.message),
      ['1', '2'],
    );
  });

  test('what may pass is tried again', async () => {
    for (const passing of [408, 425, 429, 500, 503]) {
      const { code, posts, stderr } = await notify(status(passing, 202));
      assert.deepEqual(
        [code, posts.map(({ body }) => body.alerts[0].annotations.message)],
        [0, ['1', '1', '2']],
      );
      assert.match(stderr, new RegExp(`an alert is not accepted yet: ${passing} no; trying again in`));
    }
  });

  test('after the deadline the run ends with the address', async () => {
    const { code, posts, stderr, url } = await notify(status(503), '--deadline', '0.5');
    assert.equal(code, 1);
    assert.ok(posts.length > 1 && posts.every(({ body }) => body.alerts[0].annotations.message === '1'));
    assert.ok(
      stderr.endsWith(`earshot: ${url}/api/v2/alerts did not take an alert within 0.5 s: 503 no\n`),
      stderr,
    );
  });

  test('what will never pass ends the run at once', async () => {
    for (const final of [400, 401, 404, 422]) {
      const { code, posts, stderr, url } = await notify(status(final));
      assert.deepEqual([code, posts.length], [1, 1]);
      assert.ok(stderr.endsWith(`earshot: ${url}/api/v2/alerts refused an alert: ${final} no\n`), stderr);
    }
  });

  test('nobody listens there', async () => {
    const child = start(
      'run',
      'rules.yaml',
      '--notify',
      'http://127.0.0.1:9/api/v2/alerts',
      '--deadline',
      '0.3',
      '-',
    );
    const { code, stderr } = await finish(child, failed(1));
    assert.equal(code, 1);
    assert.match(
      stderr,
      /earshot: http:\/\/127\.0\.0\.1:9\/api\/v2\/alerts did not take an alert within 0\.3 s: .*ECONNREFUSED/,
    );
  });
});

describe('explain', () => {
  test('shows which test decided, and where the text matched', async () => {
    const input = [
      failed(42),
      record('fine'),
      '{"kubernetes":{"namespace_name":7}}',
      '{"a"',
      record('支付 order 9 failed'),
    ].join('\n');
    const { code, stdout } = await finish(start('explain', 'rules.yaml'), input);
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `stdin:1
  Broken: met
    yes {field: kubernetes.namespace_name, eq: shop}
        shop
        ^^^^
    yes {field: log, regex: 'order (?P<id>\\d+) failed'}
        order 42 failed
        ^^^^^^^^^^^^^^^

stdin:2
  Broken: not met
    yes {field: kubernetes.namespace_name, eq: shop}
        shop
        ^^^^
    no  {field: log, regex: 'order (?P<id>\\d+) failed'}  it is "fine"

stdin:3
  Broken: not met
    no  {field: kubernetes.namespace_name, eq: shop}  it is the number 7

stdin:4
  not a JSON object

stdin:5
  Broken: met
    yes {field: kubernetes.namespace_name, eq: shop}
        shop
        ^^^^
    yes {field: log, regex: 'order (?P<id>\\d+) failed'}
        支付 order 9 failed
             ^^^^^^^^^^^^^^

`,
    );
  });

  test('each answer is that of its own test, however alike two tests are', async () => {
    write(
      'alike.yaml',
      `groups:
  - name: g
    rules:
      - alert: pattern and text
        match: {all: [{field: a, regex: 'a.b'}, {field: a, contains: 'a.b'}]}
        annotations: {message: x}
      - alert: true and false
        match: {any: [{field: b, eq: true}, {field: b, eq: false}]}
        annotations: {message: x}
      - alert: more or less
        match: {all: [{field: c, gte: 5}, {not: {field: c, lt: 5}}, {field: c, gt: 5}, {not: {field: c, lte: 5}}]}
        annotations: {message: x}
      - alert: some of many
        match: {any: [{field: d, in: [a, b, true]}, {field: d, in: [b, c, null]}]}
        annotations: {message: x}
`,
    );
    const { code, stdout } = await finish(
      start('explain', 'alike.yaml'),
      '{"a":"axb","b":false,"c":6,"d":null}',
    );
    assert.equal(code, 0);
    assert.equal(
      stdout,
      `stdin:1
  pattern and text: not met
    no  {field: a, contains: 'a.b'}  it is "axb"
  true and false: met
    no  {field: b, eq: true}  it is the boolean false
    yes {field: b, eq: false}
        false
        ^^^^^
  more or less: met
    yes {field: c, gte: 5}
        6
        ^
    yes not: {field: c, lt: 5}
    yes {field: c, gt: 5}
        6
        ^
    yes not: {field: c, lte: 5}
  some of many: met
    no  {field: d, in: [a, b, true]}  it is null
    yes {field: d, in: [b, c, null]}
        null
        ^^^^

`,
    );
  });

  test('a field within a string that holds JSON is missing, and why is said', async () => {
    write('json.yaml', RULES.replace('kubernetes.namespace_name', 'log.kubernetes.namespace_name').replace(/ *- .field: log, .*\n/, '').replace('{{ $captures.id }}', 'x')); // prettier-ignore
    const inner = JSON.stringify({ kubernetes: { namespace_name: 'shop' } });
    const input = [inner, 'shop', '{"kubernetes'].map(log => record(log)).join('\n');
    const { stdout } = await finish(start('explain', 'json.yaml'), input);
    assert.deepEqual(
      stdout.split('\n').flatMap(line => line.split('  it is ')[1] ?? []),
      [
        'missing: "log" is a string that holds JSON; write parse: {log: json} in the rule',
        'missing',
        'missing',
      ],
    );
  });

  test('captures, lists, any field, texts that are parsed, and the time', async () => {
    write(
      'words.yaml',
      `groups:
  - name: words
    rules:
      - alert: capture
        match: {all: [{field: log, regex: 'took (?P<ms>\\d+)( for (?P<who>\\w+))?'}, {capture: ms, gt: 500}, {capture: who, eq: al}]}
      - {alert: list, match: {field: 'tags[*]', contains: red}}
      - {alert: any field, match: {anyField: true, contains: boom}}
      - {alert: JSON, parse: {json: json}, match: {field: json.code, gte: 500}}
      - {alert: logfmt, parse: {pairs: logfmt}, match: {field: pairs.code, gte: 500}}
      - {alert: time, match: {active: {days: [mon], timezone: Europe/Berlin}}}
`,
    );
    const records = [
      { '@timestamp': '2026-03-02T08:30:00Z', log: 'took 600 for al', tags: ['x', 'is red'], z: [{ y: 'a boom' }], json: '{"code":500}', pairs: 'code=500' },
      { '@timestamp': '2026-03-03T08:30:00Z', log: 'took 600', tags: ['x'], json: '{"code":404}', pairs: 'code=404' },
      { log: 'took 5', tags: [], json: 'code', pairs: 'x' },
    ]; // prettier-ignore
    const { stdout } = await finish(start('explain', 'words.yaml'), records.map(one => JSON.stringify(one)).join('\n')); // prettier-ignore
    const [met, unmet, missing] = stdout.split('stdin:').slice(1);
    assert.doesNotMatch(met!, /not met|  no /);
    assert.match(met!, /is red\n +\^{3}/); // where it is in the element
    assert.match(met!, /a boom\n +\^{4}/);
    assert.match(met!, /it is Mon 09:30 in Europe\/Berlin/);
    assert.deepEqual(
      [unmet!, missing!].map(text => text.split('\n').flatMap(line => line.split('  it is ')[1] ?? [])),
      [
        [
          'missing: its pattern is not found, or the group has no part in what is found',
          'a list in which no value meets it',
          'a list in which no value meets it',
          'the number 404',
          '"404"',
          'Tue 09:30 in Europe/Berlin',
        ],
        [
          'missing: its pattern is not found, or the group has no part in what is found',
          'an empty list',
          'a list in which no value meets it',
          'missing: "json" holds no JSON',
          'missing',
          'not known: the record does not say its time',
        ],
      ],
    );
  });

  test('every kind of test', async () => {
    const tests: [test: string, value: unknown, met: boolean][] = [
      ['exists: true', 0, true],
      ['exists: false', 0, false],
      ['eq: 1', 1.0, true],
      ['eq: true', false, false],
      ['eq: null', null, true],
      ['in: [a, 2, false]', 2, true],
      ['in: [a, 2, false]', 'b', false],
      ['contains: bc', 'abcd', true],
      ['startsWith: ab', 'abcd', true],
      ['endsWith: ab', 'abcd', false],
      ['gt: 5', 6, true],
      ['gte: 5', 4, false],
      ['gt: 5', 'six', false],
      ['lt: 5', 5, false],
      ['lte: 5', 5, true],
    ];
    const rules = tests.map(
      ([text], index) =>
        `      - {alert: a${index}, match: {any: [{field: f${index}, ${text}}, {not: {field: f${index}, ${text}}}]}, annotations: {message: x}}\n`,
    );
    write('tests.yaml', `groups:\n  - name: g\n    rules:\n${rules.join('')}`);
    const input = JSON.stringify(Object.fromEntries(tests.map(([, value], index) => [`f${index}`, value])));
    const { code, stdout, stderr } = await finish(start('explain', 'tests.yaml'), input);
    assert.equal(code, 0, stderr);
    tests.forEach(([text, , met], index) => {
      const [first] = stdout.split(`  a${index}: met\n`)[1]!.split('\n');
      assert.ok(
        first!.startsWith(`    ${met ? 'yes' : 'no '} {field: f${index}, ${text}}`),
        `${text}: ${first}`,
      );
    });
  });
});

test('the main job of README: the sample logs give alerts', async () => {
  const [rules, logs] = ['fluent-bit/rules.yaml', 'fluent-bit/logs/demo.ndjson'].map(path =>
    join(ROOT, path),
  );
  const { code, stdout, stderr } = await earshot('run', rules!, logs!);
  assert.equal(code, 0);
  const names = stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line).alerts[0].labels.alertname);
  assert.deepEqual([...new Set(names)].sort(), [
    '404 Request',
    'Go panic',
    'Java out of memory',
    'Payment failed',
  ]);
  assert.match(stderr, /\n38 records, .*\n1 line is no record\n/);
});
