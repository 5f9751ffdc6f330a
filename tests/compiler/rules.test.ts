import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { UserError, formatProblem } from '../../host/error.ts';
import type { Problem } from '../../host/error.ts';
import { checkFiring } from '../../host/compiler/firing.ts';
import { parseDuration } from '../../host/compiler/duration.ts';
import { formatFieldPath, parseFieldPath, parseRules } from '../../host/compiler/rules.ts';
import type { Condition, Rule } from '../../host/compiler/rules.ts';
import * as schema from '../../host/compiler/schema.ts';

// A case is NAME.yaml and what is said about it, NAME.expected. After a change of wording run the tests
// with UPDATE_EXPECTED=1 and read the difference.
const CASES = new URL('./rules/', import.meta.url);
const readCase = (name: string) => readFileSync(new URL(name, CASES), 'utf8');

function parse(source: string): { rules: Rule[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const { rules } = parseRules(source, problem => problems.push(problem));
  checkFiring(rules, problem => problems.push(problem));
  return { rules, problems: problems.sort((left, right) => left.span.start - right.span.start) };
}

function messages(source: string): string[] {
  return parse(source).problems.map(problem => problem.message);
}

/** One rule with a message; `rest` are further lines of it. */
function ruleText(...rest: string[]): string {
  const lines = ['- alert: a', ...rest.map(line => `  ${line}`), '  annotations: {message: m}'];
  return `groups:\n  - name: a\n    rules:\n${lines.map(line => `      ${line}\n`).join('')}`;
}

describe('all problems of a file are reported:', () => {
  for (const name of readdirSync(CASES).filter(name => name.endsWith('.yaml'))) {
    test(name, () => {
      const source = readCase(name);
      const told = parse(source).problems.map(problem => `${formatProblem(problem, name, source)}\n`);
      const expected = name.replace('.yaml', '.expected');
      if (process.env.UPDATE_EXPECTED) writeFileSync(new URL(expected, CASES), told.join('\n'));
      assert.equal(told.join('\n'), readCase(expected));
    });
  }
});

/** Without spans and pattern trees. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (key, item) => (key === 'span' || key === 'pattern' ? undefined : item)),
  );
}

describe('the model', () => {
  test('the rule of DESIGN.md', () => {
    const [rule] = parse(readCase('design-example.yaml')).rules;
    assert.deepEqual(plain(rule), {
      alert: '404 Request',
      group: 'wordpress',
      steps: [
        {
          kind: 'all',
          of: [
            {
              kind: 'test',
              field: ['kubernetes', 'namespace_name'],
              op: 'eq',
              value: { type: 'string', value: 'demo-project' },
            },
            {
              kind: 'test',
              field: ['kubernetes', 'pod_name'],
              op: 'regex',
              source: '^wordpress-v1-[A-Za-z0-9]{9}-[A-Za-z0-9]{5}$',
              captures: [],
            },
            {
              kind: 'test',
              field: ['log'],
              op: 'regex',
              source: String.raw`"(?P<method>[A-Z]+) (?P<path>/\S*) HTTP/[0-9.]+" 404 `,
              captures: ['method', 'path'],
            },
            { kind: 'not', of: { kind: 'test', field: ['log'], op: 'contains', texts: ['kube-probe'] } },
          ],
        },
      ],
      labels: [
        { name: 'method', parts: [{ kind: 'capture', name: 'method' }] },
        { name: 'namespace', parts: [{ kind: 'record', field: ['kubernetes', 'namespace_name'] }] },
        { name: 'pod', parts: [{ kind: 'record', field: ['kubernetes', 'pod_name'] }] },
        { name: 'severity', parts: [{ kind: 'text', text: 'warning' }] },
      ],
      annotations: [
        {
          name: 'message',
          parts: [
            { kind: 'capture', name: 'method' },
            { kind: 'text', text: ' ' },
            { kind: 'capture', name: 'path' },
            { kind: 'text', text: ' → 404 in ' },
            { kind: 'label', name: 'pod' },
            { kind: 'text', text: ' (' },
            { kind: 'value' },
            { kind: 'text', text: ' in 5m)' },
          ],
        },
      ],
      realertMs: 900_000,
      threshold: { count: 20, withinMs: 300_000, by: ['namespace', 'pod'] },
    });
  });

  test('the words of counting', () => {
    const labels = "labels: {user: '{{ $record.user }}'}";
    const countedBy = (...lines: string[]) => {
      const { rules, problems } = parse(ruleText('match: {field: log, eq: x}', labels, ...lines));
      assert.deepEqual(problems, [], lines.join());
      const { threshold, absence, firstSeen, ratio, resolveAfterMs } = rules[0]!;
      return plain({ threshold, absence, firstSeen, ratio, resolveAfterMs });
    };
    const by = ['user'];
    assert.deepEqual(countedBy('threshold: {rate: 5/s, within: 1m}'), {
      threshold: { count: 300, withinMs: 60_000, by },
    });
    assert.deepEqual(countedBy('threshold: {rate: 0.5/h, within: 2h}'), {
      threshold: { count: 1, withinMs: 7_200_000, by },
    });
    assert.deepEqual(countedBy('threshold: {below: 10, within: 1h}'), {
      absence: { forMs: 3_600_000, below: 10, by },
    });
    assert.deepEqual(
      countedBy('threshold: {below: 1, within: 1h}'),
      countedBy('absence: {for: 1h}'),
      'the same rule',
    );
    assert.deepEqual(countedBy('firstSeen: {for: 7d, learn: 1d}', 'resolveAfter: 10m'), {
      firstSeen: { forMs: 604_800_000, learnMs: 86_400_000, by },
      resolveAfterMs: 600_000,
    });
    assert.deepEqual(
      countedBy('firstSeen: {for: 1d}'),
      countedBy('firstSeen: {for: 1d, learn: 1d}'),
      'it learns as long',
    );
    assert.deepEqual(
      countedBy('ratio: {of: {field: status, gte: 500}, above: 0.5 %, within: 5m, atLeast: 100, by: []}'),
      { ratio: { above: 50, withinMs: 300_000, atLeast: 100, by: [] } },
    );
  });

  test('a ratio has two steps, of which a record meets one', () => {
    const { rules } = parse(
      ruleText(
        'match: {field: log, eq: x}',
        'ratio: {of: {field: status, gte: 500}, above: 5%, within: 5m, atLeast: 9}',
      ),
    );
    const match = { kind: 'test', field: ['log'], op: 'eq', value: { type: 'string', value: 'x' } };
    const of = { kind: 'test', field: ['status'], op: 'gte', value: '500' };
    assert.deepEqual(plain(rules[0]!.steps), [
      { kind: 'all', of: [match, { kind: 'not', of }] },
      { kind: 'all', of: [match, of] },
    ]);
  });

  test('spans are the positions of things', () => {
    const source = readCase('design-example.yaml');
    const [rule] = parse(source).rules;
    const at = ({ span }: { span: { start: number; end: number } }) => source.slice(span.start, span.end);
    assert.equal(at(rule!.threshold!), '{count: 20, within: 5m, by: [namespace, pod]}');
    assert.equal(at(rule!.labels[0]!), `'{{ $captures.method }}'`);
    assert.equal(at(rule!).slice(0, 18), 'alert: 404 Request');
    assert.equal(at(rule!).slice(-9), `} in 5m)'`);
  });

  test('every construct', () => {
    const { rules } = parse(readCase('every-construct.yaml'));
    assert.deepEqual(
      rules.map(({ alert, group, realertMs, threshold, sequence, absence }) =>
        plain({ alert, group, realertMs, threshold, sequence, absence }),
      ),
      [
        { alert: 'Every operator', group: 'conditions', realertMs: 300_000 },
        { alert: 'Aliases', group: 'conditions', realertMs: 0 },
        {
          alert: 'Sequence',
          group: 'conditions',
          realertMs: 300_000,
          sequence: { withinMs: 5_400_000, by: ['user'] },
        },
        {
          alert: 'Absence',
          group: 'conditions',
          realertMs: 86_400_000,
          absence: { forMs: 1000, by: ['pod'] },
        },
        {
          alert: 'Distinct',
          group: 'thresholds',
          realertMs: 300_000,
          threshold: { count: 250, withinMs: 5_000, by: [], distinct: ['user', 'name'] },
        },
        {
          alert: 'Counted',
          group: 'thresholds',
          realertMs: 300_000,
          threshold: { count: 1, withinMs: 2_592_000_000, by: [] },
        },
      ],
    );
    assert.deepEqual(rules[1]!.steps, rules[0]!.steps);
    assert.equal(rules[2]!.steps.length, 2);
    assert.deepEqual(plain(rules[2]!.annotations[0]!.parts), [
      { kind: 'alert' },
      { kind: 'text', text: ' of ' },
      { kind: 'label', name: 'alertname' },
      { kind: 'text', text: ', ' },
      { kind: 'record', field: ['a}}b', 'c'] },
      { kind: 'text', text: ' }' },
    ]);
  });

  test('scalars and numbers are exact', () => {
    const [rule] = parse(readCase('every-construct.yaml')).rules;
    const tests = (rule!.steps[0] as Condition & { kind: 'any' }).of as (Condition & { kind: 'test' })[];
    assert.deepEqual(
      tests.slice(0, 13).map(test => plain({ ...test, kind: undefined })),
      [
        { field: ['a'], op: 'eq', value: { type: 'string', value: 'text' } },
        { field: ['items', 0, 'name'], op: 'eq', value: { type: 'number', value: '12345678901234567890' } },
        { field: ['labels', 'app.kubernetes.io/name'], op: 'eq', value: { type: 'null' } },
        { field: ['labels', "it's"], op: 'eq', value: { type: 'boolean', value: true } },
        {
          field: ['status'],
          op: 'in',
          values: [
            { type: 'number', value: '404' },
            { type: 'string', value: '404' },
            { type: 'number', value: '31' },
            { type: 'number', value: '1.5' },
            { type: 'number', value: '1e+21' },
            { type: 'boolean', value: false },
            { type: 'null' },
          ],
        },
        { field: ['log-name@host/1'], op: 'contains', texts: ['x'] },
        { field: ['größe'], op: 'startsWith', texts: ['x'] },
        { field: ['a'], op: 'endsWith', texts: ['x'] },
        { field: ['a'], op: 'exists', value: true },
        { field: ['a'], op: 'gt', value: '1' },
        { field: ['a'], op: 'gte', value: '-1.5' },
        { field: ['a'], op: 'lt', value: '15' },
        { field: ['a'], op: 'lte', value: '1000' },
      ],
    );
  });

  test('a rule with a mistake is left out, the others stay', () => {
    const { rules } = parse(readCase('yaml-syntax.yaml').replace('contans', 'contains'));
    assert.deepEqual(
      rules.map(rule => rule.alert),
      ['This one is sound but for its meaning'],
    );
  });

  test('labels are sorted by bytes: capitals first', () => {
    const source = ruleText('match: {field: a, eq: 1}', 'labels: {b: x, _a: x, B: x, a: x, a1: x}');
    const [rule] = parse(source).rules;
    assert.equal(rule!.labels.map(label => label.name).join(' '), 'B _a a a1 b');
  });
});

describe('limits', () => {
  const nested = (depth: number) =>
    `match: ${'{not: '.repeat(depth - 1)}{field: a, eq: 1}${'}'.repeat(depth - 1)}`;

  test('nesting of conditions', () => {
    assert.deepEqual(messages(ruleText(nested(31))), []);
    assert.deepEqual(messages(ruleText(nested(32))), ['the condition matches almost every record']);
    assert.deepEqual(messages(ruleText(nested(33))), ['condition is nested too deeply, 32 levels allowed']);
  });

  test('nesting of YAML, also beyond the stack of the parser', () => {
    for (const depth of [201, 5_000, 100_000]) {
      const told = messages('['.repeat(depth));
      assert.ok(told.includes('the file is nested too deeply, 200 levels allowed'), String(depth));
    }
  });

  test('conditions in one', () => {
    const list = (count: number) => `match: {any: [${'{field: a, eq: 1},'.repeat(count)}]}`;
    assert.deepEqual(messages(ruleText(list(999))), []);
    assert.deepEqual(messages(ruleText(list(1_000))), ['more than 1,000 conditions in one']);
  });

  test('values of in', () => {
    const list = (count: number) => `match: {field: a, in: [${'1,'.repeat(count)}]}`;
    assert.deepEqual(messages(ruleText(list(10_000))), []);
    assert.deepEqual(messages(ruleText(list(10_001))), ['"in" has 10,001 values, 10,000 allowed']);
  });

  test('labels and annotations', () => {
    const names = Array.from({ length: 63 }, (_, index) => `l${index}: x`);
    const match = 'match: {field: a, eq: 1}';
    assert.deepEqual(messages(ruleText(match, `labels: {${names.slice(1).join()}}`)), []);
    assert.deepEqual(messages(ruleText(match, `labels: {${names.join()}}`)), ['63 labels, 62 allowed']);
  });

  test('sizes are reported in bytes', () => {
    const match = (text: string) => `match: {field: a, contains: ${text}}`;
    assert.deepEqual(messages(ruleText(match('ä'.repeat(2_048)))), []);
    assert.deepEqual(messages(ruleText(match('ä'.repeat(2_049)))), [
      '"contains" has 4,098 bytes, 4,096 allowed',
    ]);
    assert.deepEqual(messages(ruleText(`match: {field: ${'a'.repeat(257)}, eq: 1}`)), [
      'key of 257 bytes, 256 allowed',
    ]);
    assert.deepEqual(messages(ruleText('match: {field: a, eq: 1}', `labels: {a: ${'a'.repeat(4_097)}}`)), [
      'label "a" has 4,097 bytes, 4,096 allowed',
    ]);
    assert.deepEqual(
      messages(ruleText('match: {field: a, eq: 1}').replace('alert: a', `alert: ${'é'.repeat(129)}`)),
      ['"alert" has 258 bytes, 256 allowed'],
    );
    assert.deepEqual(messages(ruleText(`match: {field: a, eq: ${'9'.repeat(4_097)}}`)), [
      '"eq" has 4,097 bytes, 4,096 allowed',
    ]);
  });

  test('half a surrogate pair has no bytes', () => {
    assert.deepEqual(messages(ruleText(String.raw`match: {field: a, contains: "\ud800"}`)), [
      'the text holds half a surrogate pair',
    ]);
  });

  test('size of the file', () => {
    assert.deepEqual(messages('#'.repeat(schema.FILE_SIZE_MAX + 1)), [
      'the file has 16,777,217 bytes, 16,777,216 allowed',
    ]);
  });

  test('rules, and values that aliases stand for', () => {
    const rule = (index: number) => `{alert: a${index}, match: {field: a, eq: 1}, annotations: {message: m}}`;
    const groups = (count: number, size: number) =>
      Array.from({ length: count }, (_, index) => {
        const written = Array.from({ length: size }, (_, index) => rule(index));
        const rules = index === 0 ? `&rules [${written.join()}]` : '*rules';
        return `  - {name: g${index}, rules: ${rules}}\n`;
      }).join('');
    const full = parse(`groups:\n${groups(10, 1_000)}`);
    assert.deepEqual([full.rules.length, full.problems.length], [10_000, 0]);
    assert.deepEqual(messages(`groups:\n${groups(11, 1_000)}`), ['more than 10,000 rules in the file']);
    // 13 nodes a rule, 200 aliases of 400 rules.
    assert.ok(
      messages(`groups:\n${groups(200, 400)}`).includes(
        'aliases stand for more than 1,000,000 allowed values',
      ),
    );
  });
});

describe('field paths', () => {
  test('are parsed', () => {
    assert.deepEqual(parseFieldPath('kubernetes.pod_name'), ['kubernetes', 'pod_name']);
    assert.deepEqual(parseFieldPath(`a["b.c"]['d'][0].1`), ['a', 'b.c', 'd', 0, '1']);
    assert.deepEqual(parseFieldPath(String.raw`["\u00e4\n\"'"]`), [`ä\n"'`]);
    assert.deepEqual(parseFieldPath('@timestamp'), ['@timestamp']);
  });

  test('formatting and parsing are inverse', () => {
    const step = fc.oneof(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
      fc.constantFrom('$record', '$recordx', '0', 'a.b', "'", '"', '\\', ' ', '\u2028'),
      fc.nat(schema.STEPS_MAX),
    );
    const path = fc
      .tuple(fc.string({ minLength: 1 }), fc.array(step, { maxLength: 9 }))
      .map(([key, rest]) => [key, ...rest]);
    fc.assert(fc.property(path, path => assert.deepEqual(parseFieldPath(formatFieldPath(path)), path)));
  });

  test('the shortest form is used', () => {
    assert.equal(formatFieldPath(['kubernetes', 'labels', 'a.b', 0, 'x']), 'kubernetes.labels["a.b"][0].x');
  });

  test('any other text is a user error with a place in the text', () => {
    const text = fc.string({ unit: fc.constantFrom(...'ab.[]"\'\\ 0-{u$'), maxLength: 12 });
    fc.assert(
      fc.property(text, text => {
        try {
          assert.deepEqual(parseFieldPath(formatFieldPath(parseFieldPath(text))), parseFieldPath(text));
        } catch (error) {
          assert.ok(error instanceof UserError && 'span' in error, String(error));
          const { start, end } = error.span as { start: number; end: number };
          assert.ok(0 <= start && start <= end && end <= text.length);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

test('durations are those of Prometheus', () => {
  const table = { '15m': 900_000, '1h30m': 5_400_000, '500ms': 500, '1d': 86_400_000, '0s': 0, '0': 0, '4w2d': 30 * 86_400_000, '1m1ms': 60_001 }; // prettier-ignore
  for (const [text, durationMs] of Object.entries(table)) assert.equal(parseDuration(text), durationMs, text);
  for (const text of ['', '5', 'm', '1m1h', '1s1s', '-1s', ' 1s', '1S', '1y', '31d', '1.5h']) {
    assert.throws(() => parseDuration(text), UserError, text);
  }
});

describe('whatever the input is', () => {
  const sources = readdirSync(CASES).filter(name => name.endsWith('.yaml')).map(readCase); // prettier-ignore

  function checkSpans(source: string): void {
    for (const { span, pattern } of parse(source).problems) {
      assert.ok(0 <= span.start && span.start <= span.end && span.end <= source.length, JSON.stringify(span));
      if (!pattern) continue;
      const { start, end } = pattern.span;
      assert.ok(0 <= start && start <= end && end <= pattern.source.length, JSON.stringify(pattern));
    }
  }

  test('nothing is thrown, and every span lies in the file: random text', () => {
    const token = fc.constantFrom(
      ...[
        'groups',
        ':',
        '- ',
        '\n',
        '  ',
        '{',
        '}',
        '[',
        ']',
        ',',
        ' ',
        '"',
        "'",
        '|',
        '>',
        '&a',
        '*a',
        '!t',
        '#',
        '\t',
      ],
      ...[
        '---',
        '...',
        '%YAML 1.1',
        '?',
        'name',
        'rules',
        'alert',
        'match',
        'field',
        'eq',
        'all',
        'labels',
        '{{',
        '}}',
        '$record',
      ],
      ...[
        '<<',
        '\\',
        '\r\n',
        '\ufeff',
        '\u2028',
        '\ud800',
        '😀',
        '0',
        '1e999',
        '.inf',
        '~',
        'null',
        'true',
        '@',
        '`',
      ],
    );
    const text = fc.array(token, { maxLength: 40 }).map(tokens => tokens.join(''));
    fc.assert(fc.property(text, checkSpans), { numRuns: 2_000 });
  });

  test('nothing is thrown, and every span lies in the file: a few changes to a case', () => {
    const change = fc.record({
      at: fc.nat(),
      size: fc.nat(6),
      text: fc.string({ unit: 'binary', maxLength: 3 }),
    });
    const changed = fc
      .tuple(fc.constantFrom(...sources), fc.array(change, { maxLength: 4 }))
      .map(([source, changes]) =>
        changes.reduce((text, { at, size, text: inserted }) => {
          const start = at % (text.length + 1);
          return text.slice(0, start) + inserted + text.slice(start + size);
        }, source),
      );
    fc.assert(fc.property(changed, checkSpans), { numRuns: 300 });
  });

  test('nothing is thrown, and every span lies in the file: a case that ends anywhere', () => {
    const source = readCase('every-construct.yaml');
    for (let end = 0; end < source.length; end += 17) checkSpans(source.slice(0, end));
  });

  test('the order of the problems is the same each time', () => {
    for (const source of sources) assert.deepEqual(parse(source), parse(source));
  });
});

describe('the schema', () => {
  interface Node {
    [key: string]: unknown;
    properties?: Record<string, Node>;
  }
  const root = schema.rulesSchema() as Node;

  /** As much of JSON Schema as ours uses; the error is the path to the first mismatch. */
  function mismatch(node: Node, value: unknown, path = '$'): string | undefined {
    for (const [word, rule] of Object.entries(node)) {
      const message = KEYWORDS[word]!(rule as never, value, path, node);
      if (message !== undefined) return message;
    }
    return undefined;
  }
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const ok = (isOk: boolean, path: string, word: string) => (isOk ? undefined : `${path}: ${word}`);
  const typeOf = (value: unknown) =>
    value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const first = (values: (string | undefined)[]) => values.find(value => value !== undefined);
  const entriesOf = (value: unknown) => Object.entries(isObject(value) ? value : {});
  type Check = (rule: never, value: unknown, path: string, node: Node) => string | undefined;
  const annotation: Check = () => undefined;
  const KEYWORDS: Record<string, Check> = {
    $schema: annotation,
    title: annotation,
    description: annotation,
    $defs: annotation,
    $ref: (rule: string, value, path) =>
      mismatch((root.$defs as Record<string, Node>)[rule.replace('#/$defs/', '')]!, value, path),
    type: (rule: string | string[], value, path) => {
      const isInteger = rule === 'integer' && Number.isInteger(value);
      return ok(isInteger || [rule].flat().includes(typeOf(value)), path, `type ${String(rule)}`);
    },
    if: (rule: Node, value, path, node) => {
      const chosen = mismatch(rule, value, path) === undefined ? node.then : node.else;
      return mismatch(chosen as Node, value, path);
    },
    then: annotation, // both are read by "if"
    else: annotation,
    const: (rule, value, path) => ok(rule === value, path, 'const'),
    enum: (rule: unknown[], value, path) => ok(rule.includes(value), path, 'enum'),
    pattern: (rule: string, value, path) =>
      ok(typeof value !== 'string' || new RegExp(rule, 'u').test(value), path, 'pattern'),
    minLength: (rule: number, value, path) =>
      ok(typeof value !== 'string' || value.length >= rule, path, 'minLength'),
    maxLength: (rule: number, value, path) =>
      ok(typeof value !== 'string' || value.length <= rule, path, 'maxLength'),
    minimum: (rule: number, value, path) => ok(typeof value !== 'number' || value >= rule, path, 'minimum'),
    maximum: (rule: number, value, path) => ok(typeof value !== 'number' || value <= rule, path, 'maximum'),
    minItems: (rule: number, value, path) =>
      ok(!Array.isArray(value) || value.length >= rule, path, 'minItems'),
    maxItems: (rule: number, value, path) =>
      ok(!Array.isArray(value) || value.length <= rule, path, 'maxItems'),
    uniqueItems: (_, value, path) =>
      ok(!Array.isArray(value) || new Set(value).size === value.length, path, 'uniqueItems'),
    minProperties: (rule: number, value, path) =>
      ok(!isObject(value) || entriesOf(value).length >= rule, path, 'minProperties'),
    maxProperties: (rule: number, value, path) =>
      ok(!isObject(value) || entriesOf(value).length <= rule, path, 'maxProperties'),
    items: (rule: Node, value, path) =>
      first(
        (Array.isArray(value) ? value : []).map((item, index) => mismatch(rule, item, `${path}[${index}]`)),
      ),
    properties: (rule: Record<string, Node>, value, path) =>
      first(entriesOf(value).map(([key, item]) => rule[key] && mismatch(rule[key], item, `${path}.${key}`))),
    patternProperties: (rule: Record<string, Node>, value, path) =>
      first(entriesOf(value).flatMap(([key, item]) =>
        Object.entries(rule).map(([pattern, node]) => (new RegExp(pattern, 'u').test(key) ? mismatch(node, item, `${path}.${key}`) : undefined)),
      )), // prettier-ignore
    additionalProperties: (_: false, value, path, node) =>
      first(entriesOf(value).map(([key]) => {
        const patterns = Object.keys(node.patternProperties ?? {});
        const isKnown = Object.hasOwn(node.properties ?? {}, key) || patterns.some(pattern => new RegExp(pattern, 'u').test(key));
        return ok(isKnown, path, `additional ${key}`);
      })), // prettier-ignore
    propertyNames: (rule: Node, value, path) =>
      first(entriesOf(value).map(([key]) => mismatch(rule, key, path))),
    required: (rule: string[], value, path) =>
      first(rule.map(key => ok(!isObject(value) || key in value, path, `required ${key}`))),
    not: (rule: Node, value, path) => ok(mismatch(rule, value, path) !== undefined, path, 'not'),
    allOf: (rule: Node[], value, path) => first(rule.map(node => mismatch(node, value, path))),
    anyOf: (rule: Node[], value, path) =>
      ok(
        rule.some(node => mismatch(node, value, path) === undefined),
        path,
        'anyOf',
      ),
    oneOf: (rule: Node[], value, path) =>
      ok(rule.filter(node => mismatch(node, value, path) === undefined).length === 1, path, 'oneOf'),
  };

  test('takes the rules that the checker takes', () => {
    for (const name of [
      'design-example.yaml',
      'every-construct.yaml',
      'every-subject.yaml',
      'advice.yaml',
      'groups.yaml',
      'manifest.yaml',
    ]) {
      assert.equal(mismatch(root, parseYaml(readCase(name))), undefined, name);
    }
  });

  test('refuses what is wrong in form', () => {
    const form = [
      'unknown-keys',
      'missing-keys',
      'wrong-types',
      'conditions',
      'durations',
      'a-list',
      'no-groups',
    ];
    for (const name of form) {
      const file = parseYaml(readCase(`${name}.yaml`).replace('{{ $x }}: two', ''), { logLevel: 'silent' });
      assert.notEqual(mismatch(root, file), undefined, name);
    }
    const rule = (text: string) =>
      mismatch(root, parseYaml(ruleText(...text.split('\n'))))?.replace('$.groups[0].rules[0]', '');
    assert.equal(rule('match: {field: a, eq: 1}'), undefined);
    assert.equal(rule('match: {field: a, eq: 1, gt: 1}'), '.match: oneOf');
    assert.equal(rule('match: {any: [], field: a, eq: 1}'), '.match: oneOf');
    assert.equal(rule('match: {field: a, eq: 1}\nrealert: 5'), '.realert: anyOf');
    assert.equal(rule('match: {field: a, eq: 1}\nlabels: {alertname: x}'), '.labels: not');
    assert.equal(rule('match: {field: a, eq: 1}\nlabels: {a-b: x}'), '.labels: additional a-b');
    assert.equal(
      rule('match: {field: a, eq: 1}\nsequence: {steps: [{field: a, eq: 1}, {field: a, eq: 1}], within: 1s}'),
      ': oneOf',
    );
  });

  function objectsIn(value: unknown): Node[] {
    if (typeof value !== 'object' || value === null) return [];
    const inside = Object.values(value).flatMap(objectsIn);
    return 'type' in value && value.type === 'object' ? [value as Node, ...inside] : inside;
  }

  test('knows the same keys as the checker, with their descriptions, and no others', () => {
    const tables = [schema.FILE_KEYS, schema.MANIFEST_KEYS, schema.GROUP_KEYS, schema.RULE_KEYS, schema.THRESHOLD_KEYS, schema.SEQUENCE_KEYS, schema.ABSENCE_KEYS, schema.FIRST_SEEN_KEYS, schema.RATIO_KEYS, schema.RULE_TEST_KEYS, schema.SAMPLES_KEYS]; // prettier-ignore
    const defs = root.$defs as Record<string, Node>;
    const described = (node: Node) =>
      Object.fromEntries(
        Object.entries(node.properties!).map(([name, { description }]) => [name, description]),
      );
    const expected = (keys: schema.Keys) =>
      Object.fromEntries(Object.entries(keys).map(([name, { description }]) => [name, description]));
    assert.deepEqual(
      [
        defs.file!,
        root.then as Node,
        defs.group!,
        defs.rule!,
        defs.threshold!,
        defs.sequence!,
        defs.absence!,
        defs.firstSeen!,
        defs.ratio!,
        defs.test!,
        defs.samples!,
      ].map(described),
      tables.map(expected),
    );
    const forms = defs.condition!.oneOf as Node[];
    assert.deepEqual(Object.assign({}, ...forms.map(described)), expected(schema.CONDITION_KEYS));
  });

  test('knows the forms of a step', () => {
    const [, ...forms] = (root.$defs as { step: { oneOf: Node[] } }).step.oneOf;
    const names = forms.flatMap(({ properties }) => Object.keys(properties!));
    assert.deepEqual(names, Object.keys(schema.STEP_KEYS));
  });

  test('lets no unknown key through anywhere', () => {
    // Expected labels and annotations of a test are maps of any names.
    const objects = objectsIn(root).filter(node => typeof node.additionalProperties !== 'object');
    assert.equal(objects.length, 33);
    for (const node of objects) assert.equal(node.additionalProperties, false);
  });

  test('is JSON', () => {
    assert.deepEqual(JSON.parse(JSON.stringify(root)), root);
  });
});
