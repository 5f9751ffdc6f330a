import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatCount, formatDuration, formatProblem, nearest, problemToJson, quote } from '../host/error.ts';
import type { Problem } from '../host/error.ts';

const SOURCE = 'groups:\n  - name: a\n    match: "(GET|POST /login"\n';

function problem(source: string, marked: string, rest: Partial<Problem> = {}): Problem {
  const start = source.indexOf(marked);
  return { severity: 'error', message: 'bad', span: { start, end: start + marked.length }, ...rest };
}

/** The excerpt and the carets for `marked` in `source`. */
function excerpt(source: string, marked: string): string {
  return formatProblem(problem(source, marked), 'f', source).split('\n').slice(1).join('\n');
}

test('a bad pattern has two excerpts', () => {
  const text = formatProblem(
    problem(SOURCE, '"(GET|POST /login"', {
      message: 'pattern has an unclosed group',
      hint: 'close it with ")"',
      pattern: { source: '(GET|POST /login', span: { start: 0, end: 1 }, note: 'opened here' },
    }),
    'rules.yaml',
    SOURCE,
  );
  assert.equal(
    text,
    `rules.yaml:3:12: error: pattern has an unclosed group
3 |     match: "(GET|POST /login"
  |            ^^^^^^^^^^^^^^^^^^
  (GET|POST /login
  ^ opened here
hint: close it with ")"`,
  );
});

test('the same as JSON', () => {
  const given = problem(SOURCE, '"(GET|POST /login"', {
    severity: 'warning',
    hint: 'h',
    pattern: { source: '(', span: { start: 0, end: 1 }, note: 'n' },
  });
  assert.deepEqual(problemToJson(given, 'rules.yaml', SOURCE), {
    file: 'rules.yaml',
    line: 3,
    column: 12,
    endLine: 3,
    endColumn: 30,
    severity: 'warning',
    message: 'bad',
    hint: 'h',
    pattern: { source: '(', column: 1, endColumn: 2, note: 'n' },
  });
  assert.deepEqual(Object.keys(problemToJson(problem(SOURCE, 'name'), 'f', SOURCE)), [
    'file',
    'line',
    'column',
    'endLine',
    'endColumn',
    'severity',
    'message',
  ]);
});

test('a span over several lines is marked on its first', () => {
  assert.equal(excerpt('a: b\nc: d\n', 'b\nc'), '1 | a: b\n  |    ^');
  assert.equal(problemToJson(problem('a: b\nc: d\n', 'b\nc'), 'f', 'a: b\nc: d\n').endLine, 2);
});

test('an empty span, the end of a line and the end of the file have a caret', () => {
  assert.equal(excerpt('ab\n', ''), '1 | ab\n  | ^');
  assert.equal(excerpt('ab\ncd\n', '\nc'), '1 | ab\n  |   ^');
  const atEnd: Problem = { severity: 'error', message: 'm', span: { start: 3, end: 3 } };
  assert.equal(formatProblem(atEnd, 'f', 'ab\n'), 'f:2:1: error: m\n2 |\n  | ^');
  const empty: Problem = { severity: 'error', message: 'm', span: { start: 0, end: 0 } };
  assert.equal(formatProblem(empty, 'f', ''), 'f:1:1: error: m\n1 |\n  | ^');
});

test('carets stand under tabs, wide and combined characters', () => {
  assert.equal(excerpt('\tx', 'x'), '1 |     x\n  |     ^');
  assert.equal(excerpt('a\tx', '\t'), '1 | a   x\n  |  ^^^');
  assert.equal(excerpt('漢字: x', '字'), '1 | 漢字: x\n  |   ^^');
  assert.equal(excerpt('😀x', 'x'), '1 | 😀x\n  |   ^');
  assert.equal(excerpt('e\u0301x', 'x'), '1 | e\u0301x\n  |  ^');
});

test('line ends of Windows are not shown', () => {
  assert.equal(excerpt('a: b\r\nc: d\r\n', 'b'), '1 | a: b\n  |    ^');
});

test('a long line is cut to 100 columns around the caret', () => {
  const line = `${'a'.repeat(300)}X${'b'.repeat(300)}`;
  assert.equal(excerpt(line, 'X'), `1 | …${'a'.repeat(47)}X${'b'.repeat(46)}…\n  |  ${' '.repeat(47)}^`);
  assert.equal(excerpt(`X${line}`.replace('X', 'Y'), 'Y'), `1 | Y${'a'.repeat(93)}…\n  | ^`);
  const cutLeft = excerpt(`${'a'.repeat(300)}X`, 'X');
  assert.equal(cutLeft, `1 | …${'a'.repeat(93)}X\n  |  ${' '.repeat(93)}^`);
  const long = excerpt(`ab ${'X'.repeat(300)}`, 'X'.repeat(300));
  assert.equal(long, `1 | ab ${'X'.repeat(91)}…\n  |    ${'^'.repeat(91)}`);
});

test('no excerpt is wider than 100 columns, and none takes long', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '漢', '\t', 'e\u0301', '😀', '\n'), maxLength: 400 });
  fc.assert(
    fc.property(text, fc.nat(400), fc.nat(400), (source, start, size) => {
      const span = { start: Math.min(start, source.length), end: Math.min(start + size, source.length) };
      const [, line, carets] = formatProblem({ severity: 'error', message: 'm', span }, 'f', source).split(
        '\n',
      );
      const columns = [...line!].reduce(
        (sum, c) => sum + (c === '\u0301' ? 0 : c === '漢' || c === '😀' ? 2 : 1),
        0,
      );
      assert.ok(columns <= 100, `${columns}: ${line}`);
      assert.ok(carets!.length <= 101 && carets!.endsWith('^'), carets);
    }),
    { numRuns: 500 },
  );
  const huge = 'x'.repeat(16 * 1024 * 1024);
  assert.equal(excerpt(huge, 'x').length, 99 + 1 + 5);
});

test('control characters and reversed text of a stranger are not printed', () => {
  const source = 'a: \x1b[31m\u202e\x9b';
  const given = problem(source, '\x1b', { message: '\x1b[2J\x07', hint: '\r' });
  assert.equal(
    formatProblem(given, 'f', source),
    'f:1:4: error: ␛[2J␇\n1 | a: ␛[31m\ufffd\ufffd\n  |    ^\nhint: ␍',
  );
});

test('the nearest word', () => {
  const keys = ['alert', 'match', 'labels', 'annotations', 'startsWith', 'by'];
  const meant = { mach: 'match', macth: 'match', Alert: 'alert', startswith: 'startsWith', anotation: 'annotations', lable: 'labels' }; // prettier-ignore
  for (const [word, key] of Object.entries(meant)) assert.equal(nearest(word, keys), key, word);
  for (const word of ['', 'x', 'b', 'colour', 'matchmaker', 'x'.repeat(100_000)])
    assert.equal(nearest(word, keys), undefined, word);
  assert.equal(nearest('cat', ['bat', 'rat']), 'bat', 'the first of equals');
});

test('user text in messages is short, and quoted by the quote it does not hold', () => {
  assert.equal(quote('a'), '"a"');
  assert.equal(quote('"a"'), `'"a"'`);
  assert.equal(quote('a'.repeat(100)), `"${'a'.repeat(57)}…"`);
  assert.equal(formatCount(1), '1');
  assert.equal(formatCount(1234567), '1,234,567');
});

test('durations are written as in a rules file', () => {
  const written = [0, 1, 999, 1000, 61_000, 300_000, 3_600_000, 90_000_000, 2_592_000_000].map(
    formatDuration,
  );
  assert.deepEqual(written, ['0s', '1ms', '999ms', '1s', '1m1s', '5m', '1h', '1d1h', '30d']);
});
