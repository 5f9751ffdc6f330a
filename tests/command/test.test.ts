// `earshot test`: files of tests in promtool's shape, tests in rules, what a failure says, coverage, JUnit, --watch.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { compare } from '../../host/command/testing/compare.ts';
import type { SentAlert } from '../../host/command/testing/simulate.ts';
import fc from 'fast-check';
import { earshot, folder, start, write } from './program.ts';

write(
  'shop.yaml',
  `groups:
  - name: shop
    rules:
      - alert: Order failed
        match:
          all:
            - {field: ns, eq: shop}
            - {field: log, regex: 'order (?P<id>\\d+) failed'}
            - not: {field: log, contains: canary}
        realert: 10m
        labels: {severity: critical, ns: '{{ $record.ns }}'}
        annotations: {message: 'order {{ $captures.id }}'}
        tests:
          - record: {ns: shop, log: order 7 failed}
            expect: match
            labels: {ns: shop, severity: critical}
            annotations: {message: order 7}
          - {record: {ns: shop, log: order 7 failed (canary)}, expect: none}
          - {log: order 7 failed, expect: none}
      - alert: Errors
        match: {field: log, contains: error}
        threshold: {count: 10, within: 5m}
        annotations: {message: '{{ $value }} errors'}
      - alert: No backup
        match: {field: log, contains: backup done}
        absence: {for: 25h}
        annotations: {message: none for 25h}
`,
);

/** A file of tests for shop.yaml. */
const testsOf = (...tests: string[]) => `rule_files: [shop.yaml]\ntests:\n${tests.join('')}`;
const GOOD = `  - name: an order
    input_logs:
      - {at: 0s, log: order 1 failed, labels: {ns: shop}}
      - {at: 5m, log: order 2 failed, labels: {ns: shop}}
      - {at: 12m, log: order 3 failed, labels: {ns: shop}}
    alert_rule_test:
      - eval_time: 1m
        alertname: Order failed
        exp_alerts:
          - exp_labels: {severity: critical, ns: shop}
            exp_annotations: {message: order 1}
      # The one after the cool-down says how many it stands for.
      - eval_time: 20m
        since: 6m
        alertname: Order failed
        exp_alerts: [{exp_annotations: {message: order 3, suppressed: 1}}]
      - {eval_time: 20m, since: 15m, alertname: Order failed}
  - name: nine errors are none
    input_logs:
      - {at: 1m, log: an error, times: 9, every: 10s}
    alert_rule_test:
      - {eval_time: 10m, alertname: Errors, exp_alerts: []}
  - name: ten are
    input_logs:
      - {at: 1m, log: an error, times: 10, every: 10s}
    alert_rule_test:
      - {eval_time: 2m, alertname: Errors}
      - {eval_time: 2m30s, alertname: Errors, exp_alerts: [{exp_labels: {}, exp_annotations: {message: 10 errors}}]}
  - name: time passes
    input_logs:
      - {at: 1h, log: backup done}
      - {at: 40h, log: backup done}
    alert_rule_test:
      - {eval_time: 25h, alertname: No backup}
      - {eval_time: 26h, alertname: No backup, exp_alerts: [{exp_labels: {}}]}
      - {eval_time: 40h, alertname: No backup}
  - name: a backup that never came
    input_logs: []
    alert_rule_test:
      - {eval_time: 24h59m, alertname: No backup}
      - {eval_time: 25h, alertname: No backup, exp_alerts: [{}]}
`;

test('alerts, cool-downs, thresholds and absences at their times', async () => {
  write('good.yaml', testsOf(GOOD));
  assert.deepEqual(await earshot('test', 'good.yaml'), {
    code: 0,
    stdout: '14 passed (2 files)\n',
    stderr: '',
  });
});

test('a failure shows both sides and the condition that decided', async () => {
  write(
    'bad.yaml',
    testsOf(`  - name: an order
    input_logs:
      - {at: 0s, log: order 1 failed, labels: {ns: shop}}
      - {at: 10s, log: order 2 failed, labels: {ns: park}}
    alert_rule_test:
      - eval_time: 1m
        alertname: Order failed
        exp_alerts:
          - exp_labels: {severity: critical, ns: park}
            exp_annotations: {message: order 2}
  - name: errors
    input_logs:
      - {at: 0s, log: an error, times: 9, every: 1s}
    alert_rule_test:
      - {eval_time: 1m, alertname: Errors, exp_alerts: [{exp_labels: {}}]}
      - {eval_time: 1m, alertname: Error}
`),
  );
  const { code, stdout, stderr } = await earshot('test', 'bad.yaml');
  assert.deepEqual([code, stderr], [1, '']);
  assert.equal(
    stdout,
    `FAILED bad.yaml:8: an order: Order failed at 1m
  1 expected and not there, 1 there and not expected
    expected               got
    alert                  alert
     labels                 labels
      ns: park           |   ns: shop
      severity: critical     severity: critical
     annotations            annotations
      message: order 2   |   message: order 1
    sent in this test: firing at 0s
    record 2 of input_logs, at 10s, does not match:
      no  {field: ns, eq: shop}  it is "park"
    1 record matches by then
    record 1 of input_logs, at 0s, matches:
      yes {field: ns, eq: shop}
          shop
          ^^^^
      yes not: {field: log, contains: canary}
      yes {field: log, regex: 'order (?P<id>\\d+) failed'}
          order 1 failed
          ^^^^^^^^^^^^^^

FAILED bad.yaml:17: errors: Errors at 1m
  1 expected and not there
    expected   got
    alert    |
     labels  |
             | no alert
    9 records match by then, and no alert is sent: the threshold of 10 within 5m is not reached

FAILED bad.yaml:18: errors: Error at 1m
  no rule is named "Error"; did you mean "Errors"?

3 passed, 3 failed (2 files)
`,
  );
});

describe('tests in a rule', () => {
  const WRONG = readFileSync(join(folder, 'shop.yaml'), 'utf8')
    .replace(
      'log: order 7 failed}\n            expect: match',
      'log: order x failed}\n            expect: match',
    )
    .replace('{log: order 7 failed, expect', '{name: no ns, record: {ns: shop, log: order 8 failed}, expect');

  test('a rules file is tested by itself', async () => {
    assert.deepEqual(await earshot('test', 'shop.yaml'), {
      code: 0,
      stdout: '3 passed (1 file)\n',
      stderr: '',
    });
    write('wrong.yaml', WRONG);
    const { code, stdout } = await earshot('test', 'wrong.yaml');
    assert.equal(code, 1);
    assert.equal(
      stdout,
      `FAILED wrong.yaml:14: Order failed: a record to match
  expected match, and the rule does not match it
    no  {field: log, regex: 'order (?P<id>\\d+) failed'}  it is "order x failed"

FAILED wrong.yaml:19: Order failed: no ns
  expected none, and the rule matches it
    its labels are {alertname=Order failed, ns=shop, severity=critical}; \`earshot explain\` shows which tests hold

1 passed, 2 failed (1 file)
`,
    );
  });

  test('check runs them: a failure is a mistake with its place', async () => {
    const good = await earshot('check', 'shop.yaml');
    assert.deepEqual([good.code, good.stdout], [0, '3 rules, 3 tests: no errors, no warnings\n']);
    write('wrong.yaml', WRONG);
    const { code, stdout } = await earshot('check', 'wrong.yaml');
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^wrong\.yaml:14:13: error: a test of rule "Order failed" fails: expected match, and /m,
    );
    assert.match(stdout, /\nhint: no  \{field: log, regex: .*\}  it is "order x failed"\n/);
    assert.match(stdout, /^wrong\.yaml:19:13: error: a test "no ns" of rule "Order failed" fails: /m);
  });

  test('labels and annotations that differ are named', async () => {
    write('labels.yaml', WRONG.replace('order x', 'order 7').replace('message: order 7', 'message: order 8').replace('{ns: shop, severity: critical}', '{ns: park, pod: x}')); // prettier-ignore
    const { stdout } = await earshot('test', 'labels.yaml');
    assert.match(
      stdout,
      /\n  expected match, and label ns is to be "park", it is "shop"; label pod is to be "x", it has none; annotation message is to be "order 8", it is "order 7"\n/,
    );
  });

  test('they are no part of the module: the same bytes, the same hash', async () => {
    write(
      'bare.yaml',
      readFileSync(join(folder, 'shop.yaml'), 'utf8').replace(/ {8}tests:\n(?: {10}.*\n)+/, ''),
    );
    assert.ok(!readFileSync(join(folder, 'bare.yaml'), 'utf8').includes('expect'));
    await earshot('build', 'bare.yaml', '-o', 'bare.wasm');
    await earshot('build', 'shop.yaml', '-o', 'tested.wasm');
    assert.deepEqual(readFileSync(join(folder, 'tested.wasm')), readFileSync(join(folder, 'bare.wasm')));
  });
});

test('--coverage lists the conditions that no test decided', async () => {
  write(
    'some.yaml',
    testsOf(`  - input_logs:
      - {at: 0s, log: an error, times: 10, every: 1s}
    alert_rule_test:
      - {eval_time: 1m, alertname: Errors, exp_alerts: [{}]}
`),
  );
  const { code, stdout } = await earshot('test', '--coverage', 'some.yaml');
  assert.equal(code, 0);
  assert.equal(
    stdout,
    `4 passed (2 files)
coverage: 3 of 5 conditions are decided both ways (60 %)
  shop.yaml:8: Order failed: {field: log, regex: 'order (?P<id>\\d+) failed'}
    no record is kept out by it alone: without it, every test would pass
  shop.yaml:25: No backup: {field: log, contains: backup done}
    no record matches because of it
`,
  );
});

test('--junit writes what CI systems show', async () => {
  write('xml.yaml', testsOf(`  - name: a < b & "c"
    input_logs: [{at: 0s, log: "\\x01 order"}]
    alert_rule_test:
      - {eval_time: 1m, alertname: Order failed, exp_alerts: [{exp_labels: {}}]}
`)); // prettier-ignore
  const { code } = await earshot('test', '--junit', 'out.xml', 'xml.yaml', 'zz.yaml');
  assert.equal(code, 2);
  const xml = readFileSync(join(folder, 'out.xml'), 'utf8').replace(/time="[\d.]+"/, 'time="0"');
  assert.equal(
    xml,
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="earshot test" tests="5" failures="1" errors="1" time="0">
  <testsuite name="shop.yaml" tests="3" failures="0" errors="0">
    <testcase name="Order failed: a record to match" classname="shop.yaml" file="shop.yaml" line="14"/>
    <testcase name="Order failed: a record not to match" classname="shop.yaml" file="shop.yaml" line="18"/>
    <testcase name="Order failed: a record not to match" classname="shop.yaml" file="shop.yaml" line="19"/>
  </testsuite>
  <testsuite name="xml.yaml" tests="1" failures="1" errors="0">
    <testcase name="a &lt; b &amp; &quot;c&quot;: Order failed at 1m" classname="xml.yaml" file="xml.yaml" line="6"><failure message="1 expected and not there">expected   got
alert    |
 labels  |
         | no alert
record 1 of input_logs, at 0s, does not match:
  no  {field: ns, eq: shop}  it is missing</failure></testcase>
  </testsuite>
  <testsuite name="earshot" tests="1" failures="0" errors="1">
    <testcase name="usable" classname="earshot"><error message="earshot: zz.yaml cannot be read: there is no such file">earshot: zz.yaml cannot be read: there is no such file</error></testcase>
  </testsuite>
</testsuites>
`,
  );
});

test('rule files are found from the folder of the tests, also by a pattern', async () => {
  mkdirSync(join(folder, 'deep/rules'), { recursive: true });
  write('deep/rules/a.yaml', readFileSync(join(folder, 'shop.yaml')));
  write('deep/good.yaml', testsOf(GOOD).replace('[shop.yaml]', "['rules/*.yaml']"));
  assert.equal((await earshot('test', 'deep/good.yaml')).stdout, '14 passed (2 files)\n');
});

describe('a file that cannot be used is exit 2, with the place of each mistake', () => {
  const cases: [title: string, text: string, expected: RegExp][] = [
    ['an unknown key', testsOf('  - {input_logs: [], alert_rule_tests: []}\n'), /bad\.yaml:3:22: error: unknown key "alert_rule_tests"; did you mean "alert_rule_test"\?/],
    ['promtool’s series', testsOf('  - {input_series: [], alert_rule_test: []}\n'), /error: unknown key "input_series"\n.*\n.*\nhint: write input_logs: \[\{at: 0s, log: …\}\]/],
    ['no record', testsOf('  - {input_logs: [{at: 1m}], alert_rule_test: [{eval_time: 1m, alertname: x}]}\n'), /an item of "input_logs" has no record\n.*\n.*\nhint: log: a line of text, or record: \{…\}/],
    ['both', testsOf('  - {input_logs: [{log: a, record: {}}], alert_rule_test: [{eval_time: 1m, alertname: x}]}\n'), /"record" cannot be used with "log"/],
    ['a time that is none', testsOf('  - {input_logs: [{log: a, at: soon}], alert_rule_test: [{eval_time: 1m, alertname: x}]}\n'), /bad\.yaml:3:32: error: "soon" is not a duration/],
    ['a start without a zone', testsOf('  - {start: "2026-03-02", input_logs: [], alert_rule_test: [{eval_time: 1m, alertname: x}]}\n'), /"start" must be a time with its zone/],
    ['a field that is none', testsOf('  - {input_logs: [{log: a, labels: {"a..b": x}}], alert_rule_test: [{eval_time: 1m, alertname: x}]}\n'), /bad\.yaml:3:37: error: empty key in a field path/],
    ['no rules file', testsOf(GOOD).replace('shop.yaml', 'shp.yaml'), /^earshot: shp\.yaml cannot be read: there is no such file; did you mean "shop\.yaml"\?/],
    ['a pattern without files', testsOf(GOOD).replace('shop.yaml', "'none*.yaml'"), /error: no file is named "none\*\.yaml"/],
    ['an empty file', 'rule_files:\ntests:\n', /"rule_files" has no value/],
  ]; // prettier-ignore
  for (const [title, text, expected] of cases)
    test(title, async () => {
      write('bad.yaml', text);
      const { code, stdout } = await earshot('test', 'bad.yaml');
      assert.equal(code, 2, stdout);
      assert.match(stdout, expected);
      assert.match(stdout, /\d+ passed, and some files cannot be used/);
    });

  test('rules with a mistake', async () => {
    write('broken.yaml', readFileSync(join(folder, 'shop.yaml'), 'utf8').replace('eq: shop', 'eqq: shop'));
    write('bad.yaml', testsOf(GOOD).replace('shop.yaml', 'broken.yaml'));
    const { code, stdout } = await earshot('test', 'bad.yaml');
    assert.equal(code, 2);
    assert.match(stdout, /^broken\.yaml:7:27: error: unknown key "eqq"/);
  });
});

test('--watch runs again when a file changes, and ends with the last result', async () => {
  write('watched.yaml', readFileSync(join(folder, 'shop.yaml')));
  const child = start('test', '--watch', 'watched.yaml');
  let text = '';
  child.stdout!.on('data', data => (text += data));
  const until = async (wanted: RegExp) => {
    for (let tries = 0; !wanted.test(text); tries++) {
      assert.ok(tries < 400, text);
      await sleep(25);
    }
  };
  await until(/^3 passed \(1 file\)\n\nwaits for a change of watched\.yaml\n/);
  writeFileSync(join(folder, 'watched.yaml'), readFileSync(join(folder, 'shop.yaml'), 'utf8').replace('expect: none', 'expect: match')); // prettier-ignore
  await until(/2 passed, 1 failed/);
  child.kill('SIGINT');
  assert.equal(await new Promise(done => child.on('close', done)), 1);
});

test('alerts are compared as sets: equal to any order of themselves, and to nothing else', () => {
  const alert = (name: string): SentAlert => ({ atMs: 0, status: 'firing', labels: { alertname: 'a', name }, annotations: {}, fingerprint: name, input: null }); // prettier-ignore
  const names = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 6 });
  fc.assert(
    fc.property(names, names, (expected, got) => {
      const wanted = expected.map(name => ({ labels: { name }, annotations: undefined }));
      const { isEqual, missing, extra } = compare(wanted, got.map(alert));
      assert.equal(isEqual, expected.toSorted().join() === got.toSorted().join());
      assert.equal(missing.length - extra.length, expected.length - got.length);
    }),
  );
});

test('a rule of what is new learns from the start of the test, as a counter does', async () => {
  write(
    'new-user.yaml',
    `groups: [{name: g, rules: [{alert: New user, match: {field: user, exists: true}, firstSeen: {for: 7d, learn: 1h}, labels: {user: '{{ $record.user }}'}, annotations: {message: x}}]}]`,
  );
  write(
    'new-user-tests.yaml',
    `rule_files: [new-user.yaml]
tests:
  - input_logs: [{at: 2h, record: {user: eve}}]
    alert_rule_test: [{eval_time: 3h, alertname: New user, exp_alerts: [{exp_labels: {user: eve, alertname: New user}}]}]
`,
  );
  assert.deepEqual(await earshot('test', 'new-user-tests.yaml'), {
    code: 0,
    stdout: '1 passed (2 files)\n',
    stderr: '',
  });
});

test('a folder has files of tests beside its rules', async () => {
  mkdirSync(join(folder, 'both'), { recursive: true });
  write('both/new-user.yaml', readFileSync(join(folder, 'new-user.yaml')));
  write('both/tests.yaml', readFileSync(join(folder, 'new-user-tests.yaml')));
  assert.equal((await earshot('test', 'both')).stdout, '1 passed (2 files)\n');
  assert.equal((await earshot('check', 'both')).stdout, '1 rule: no errors, no warnings\n');
});
