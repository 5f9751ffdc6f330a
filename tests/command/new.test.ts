// `earshot new`: lines to templates, a template to a rule with a test.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { draftRule, hasLiteral } from '../../host/command/drafting/draft.ts';
import { Clusters, wordsOf } from '../../host/command/drafting/drain.ts';
import { readRulesFile } from '../../host/command/rules-file.ts';
import { runRuleTests } from '../../host/command/testing/rule-tests.ts';
import { earshot, finish, folder, start, write } from './program.ts';

const LINES = [
  ...Array.from({ length: 20 }, (_, i) => `2026-03-0${1 + (i % 9)} 10:00:${10 + i} user u${i} logged in from 10.0.0.${i}`),
  ...Array.from({ length: 5 }, (_, i) => `payment ${i} failed: card ${'abcdef'[i]} declined after ${i * 7}ms`),
  'disk full',
  '',
].join('\n'); // prettier-ignore

test('the templates of a file and their counts', async () => {
  write('app.log', LINES);
  const { code, stdout, stderr } = await earshot('new', 'app.log');
  assert.deepEqual([code, stderr], [0, '']);
  assert.equal(
    stdout,
    `  #  lines   share  template
  1     20    77 %  <*> <*> user u<*> logged in from <*>
  2      5    19 %  payment <*> failed: card <*> declined after <*>ms
  3      1   3.8 %  disk full

a rule for one of them: earshot new … --pick N -o rule.yaml
`,
  );
});

test('--pick writes a rule that passes check and its own test', async () => {
  const { code, stdout } = await finish(start('new', '--pick', '2', '-'), LINES);
  assert.equal(code, 0);
  assert.equal(
    stdout,
    `# yaml-language-server: $schema=earshot.schema.json
groups:
  - name: drafts
    rules:
      # 5 lines were like this: payment <*> failed: card <*> declined after <*>ms
      - alert: 'Payment failed card declined'
        match: {field: log, regex: 'payment\\s+\\S*\\s+failed:\\s+card\\s+\\S*\\s+declined\\s+after\\s+\\S*ms'}
        labels:
          severity: warning
        annotations:
          message: '{{ $record.log }}'
        tests:
          - record: '{"log":"payment 0 failed: card a declined after 0ms"}'
            expect: match
`,
  );
  await finish(start('new', '--pick', '2', '--alert', 'Card: declined', '-o', 'card.yaml', '-'), LINES);
  assert.match(readFileSync(join(folder, 'card.yaml'), 'utf8'), /alert: 'Card: declined'/);
  assert.deepEqual((await earshot('check', 'card.yaml')).stdout, '1 rule, 1 test: no errors, no warnings\n');
  const found = await earshot('run', '--text', 'card.yaml', 'app.log');
  assert.match(found.stderr, /\n  Card: declined  5 matches/);
});

test('where records come from is in the rule when all of them come from there', async () => {
  const records = ['shop', 'shop', 'park'].map((ns, i) =>
    JSON.stringify({
      message: `order ${i} is late`,
      kubernetes: { namespace_name: ns, container_name: 'web' },
    }),
  );
  const { stdout } = await finish(start('new', '--pick', '1', '-'), records.join('\n'));
  assert.match(stdout, /- \{field: kubernetes\.container_name, eq: web\}\n/);
  assert.match(stdout, /- \{field: message, regex: /);
  assert.doesNotMatch(stdout, /field: kubernetes.namespace_name|namespace:/);
});

test('--unmatched shows what no rule meets', async () => {
  await finish(start('new', '--pick', '1', '-o', 'login.yaml', '-'), LINES);
  const { stdout } = await finish(start('new', '--unmatched', 'login.yaml', '-'), LINES);
  assert.match(stdout, /^  1 +5 +83 %  payment /m);
  assert.doesNotMatch(stdout, /logged in/);
});

describe('called wrongly', () => {
  const cases: [args: string[], code: number, message: string][] = [
    [['--pick', 'x', 'app.log'], 2, '--pick is a number from 1 on, not "x"'],
    [['-o', 'x.yaml', 'app.log'], 2, '--output and --alert go with --pick'],
    [['--field', 'a..b', 'app.log'], 2, '--field: empty key in a field path'],
    [['--pick', '9', 'app.log'], 1, 'there is no template 9: 3 templates are found'],
    [['--pick', '1', 'numbers.log'], 1, 'template 1 has no fixed word that a rule could look for: <*> <*>'],
  ];
  for (const [args, code, message] of cases)
    test(message, async () => {
      write('app.log', LINES);
      write('numbers.log', '1 2\n3 4\n');
      const result = await earshot('new', ...args);
      assert.deepEqual([result.code, result.stdout, result.stderr], [code, '', `earshot: ${message}\n`]);
    });
});

test('whatever the lines, a rule that is written can be built, and matches its example', async () => {
  const word = fc.oneof(
    fc.constantFrom('user', 'error:', '[x]', "it's", '"a"', '{b}', '10.0.0.1', '5ms', '<*>', '#1', 'a|b', '\\d+', '支付', '$x', '%'),
    fc.string({ minLength: 1, maxLength: 6 }),
  ); // prettier-ignore
  const lines = fc.array(fc.array(word, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 6 });
  const path = join(folder, 'any.yaml');
  await fc.assert(
    fc.asyncProperty(lines, async all => {
      const clusters = new Clusters();
      for (const words of all) {
        const text = words.join(' ');
        const example = { text, record: JSON.stringify({ log: text }), place: '' };
        clusters.add(wordsOf(text), new Map(), () => example);
      }
      for (const cluster of clusters.all.filter(hasLiteral)) {
        writeFileSync(path, draftRule(cluster, { alert: 'Any', field: ['log'] }));
        const rules = await readRulesFile(path);
        assert.deepEqual(
          rules.problems.filter(({ severity }) => severity === 'error'),
          [],
        );
        const [result] = await runRuleTests(rules);
        assert.equal(result!.failure, undefined, readFileSync(path, 'utf8'));
      }
    }),
    { numRuns: 60 },
  );
});

test('a line that is no record is told as one', async () => {
  const { stderr } = await finish(start('new', '-'), 'disk full\n{bad\n{"a": 1}\n');
  assert.match(stderr, /^earshot: 1 line is no record\nearshot: 1 record has no text in log, message, msg; /);
});
