// Rules that can never fire, by brute force: whatever `checkFiring` refuses, no record of a small world meets; and for
// what it accepts, that world has a record. The messages are in rules/never-fires.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkFiring } from '../../host/compiler/firing.ts';
import { parseRules } from '../../host/compiler/rules.ts';
import type { Problem } from '../../host/error.ts';

type Value = null | boolean | number | string | { c: Value };
type Test = { field: string; op: string; operand: unknown; ignoreCase?: boolean };
type Condition = { all: Condition[] } | { any: Condition[] } | { not: Condition } | Test;

const WORDS = ['a', 'b', 'ab', 'ba', 'bb'];
const PATTERNS = [
  'a',
  'ab',
  'a.b',
  '^a',
  'b$',
  '^ab$',
  '^b+$',
  '[ab]b',
  'a|bb',
  '(?i)AB',
  'aa+',
  '\\bb',
  'a\\B',
  '^$',
];
const NUMBERS = [0, 1, 1.5, 2, -1];

const word = fc.constantFrom(...WORDS);
const scalar = fc.constantFrom<unknown[]>(null, true, false, 0, 1, 2, ...WORDS);
const operation = (patterns: string[]) =>
  fc.oneof(
    fc.record({
      op: fc.constantFrom('contains', 'startsWith', 'endsWith'),
      operand: fc.oneof(word, fc.array(word, { minLength: 1, maxLength: 3 })),
    }),
    fc.record({ op: fc.constant('containsAll'), operand: fc.array(word, { minLength: 1, maxLength: 2 }) }),
    fc.record({ op: fc.constant('eq'), operand: scalar }),
    fc.record({ op: fc.constant('in'), operand: fc.array(scalar, { minLength: 1, maxLength: 3 }) }),
    fc.record({ op: fc.constant('exists'), operand: fc.boolean() }),
    fc.record({ op: fc.constantFrom('gt', 'gte', 'lt', 'lte'), operand: fc.constantFrom(...NUMBERS) }),
    ...(patterns.length > 0
      ? [fc.record({ op: fc.constant('regex'), operand: fc.constantFrom(...patterns) })]
      : []),
  );
const conditionOf = (patterns: string[]): fc.Arbitrary<Condition> =>
  fc.letrec<{ node: Condition }>(tie => ({
    node: fc.oneof(
      { maxDepth: 3, depthSize: 'small' },
      fc
        .tuple(fc.constantFrom('a', 'a', 'a', 'a', 'b', 'a.c'), operation(patterns), fc.boolean())
        .map(([field, { op, operand }, ignoreCase]) => {
          const hasCase = [operand].flat().some(text => typeof text === 'string') && patterns.length > 0;
          return { field, op, operand, ...(hasCase && ignoreCase && { ignoreCase }) };
        }),
      fc.array(tie('node'), { minLength: 1, maxLength: 4 }).map(all => ({ all })),
      fc.array(tie('node'), { minLength: 1, maxLength: 4 }).map(all => ({ all })),
      fc.array(tie('node'), { minLength: 1, maxLength: 3 }).map(any => ({ any })),
      tie('node').map(not => ({ not })),
    ),
  })).node;

/** JSON is YAML. */
function refusals(condition: Condition): string[] {
  const written = (node: Condition): object => {
    if ('all' in node) return { all: node.all.map(written) };
    if ('any' in node) return { any: node.any.map(written) };
    if ('not' in node) return { not: written(node.not) };
    const { field, op, operand, ignoreCase } = node;
    return { field, [op]: operand, ...(ignoreCase && { ignoreCase }) };
  };
  const rule = { alert: 'a', match: written(condition), annotations: { message: 'm' } };
  const problems: Problem[] = [];
  const report = (problem: Problem) => void (problem.severity === 'error' && problems.push(problem));
  const { rules } = parseRules(JSON.stringify({ groups: [{ name: 'g', rules: [rule] }] }), report);
  assert.deepEqual(problems, []);
  checkFiring(rules, report);
  return problems.map(({ message }) => message);
}

// -------------------------------------------------------------------------------------------- a small world

const SHORT = ['a', 'b', 'x'].reduce<string[]>((texts, _, __, letters) => texts.flatMap(text => [text, ...letters.map(letter => text + letter)]), ['', 'A', 'AB', 'a\n']); // prettier-ignore

/** Texts of all short ones, and of the words of the condition with something between. */
function valuesFor(words: string[]): Value[] {
  const parts = ['', ...words];
  const long = parts.flatMap(start =>
    parts.flatMap(one => parts.flatMap(two => parts.map(end => [start, one, two, end].join('x')))),
  );
  const numbers = NUMBERS.flatMap(number => [number, number - 0.1, number + 0.1]);
  const texts = [...SHORT, ...long, ...long.map(text => text.toUpperCase())];
  return [...new Set<Value>([null, true, false, ...numbers, ...numbers.map(String), ...texts])];
}

interface World {
  a?: Value | undefined;
  b?: Value | undefined;
}

function* recordsFor(condition: Condition): Generator<World> {
  const tests = testsOf(condition);
  const words = tests.flatMap(({ operand }) => [operand].flat()).filter(text => typeof text === 'string');
  const values = valuesFor([...new Set(words.filter(text => WORDS.includes(text)))].slice(0, 5));
  const more = [...values, undefined];
  const isObject = tests.some(({ field }) => field === 'a.c');
  const ofA = [...more, ...(isObject ? more.map(c => ({ c: c as Value })) : [{ c: 0 }])];
  const ofB = tests.some(({ field }) => field === 'b') ? more : [undefined];
  // Fields are independent: each is tried with a few values of the other that its tests tell apart.
  for (const b of distinguish(ofB, tests, 'b')) for (const a of ofA) yield { a, b };
}

/** One value for each combination of answers of the field's tests. */
function distinguish<T extends Value | undefined>(values: T[], tests: Test[], field: string): T[] {
  const own = tests.filter(test => test.field === field);
  const byAnswers = new Map(values.map(value => [own.map(test => answer(test, value)).join(), value]));
  return [...byAnswers.values()];
}

function testsOf(node: Condition): Test[] {
  if ('all' in node) return node.all.flatMap(testsOf);
  if ('any' in node) return node.any.flatMap(testsOf);
  return 'not' in node ? testsOf(node.not) : [node];
}

function holds(node: Condition, record: World): boolean {
  if ('all' in node) return node.all.every(of => holds(of, record));
  if ('any' in node) return node.any.some(of => holds(of, record));
  if ('not' in node) return !holds(node.not, record);
  const { a, b } = record;
  if (node.field === 'a.c') return answer(node, typeof a === 'object' && a !== null ? a.c : undefined);
  return answer(node, node.field === 'a' ? a : b);
}

function answer(test: Test, value: Value | undefined): boolean {
  if (test.ignoreCase) {
    const small = (one: unknown) => (typeof one === 'string' ? one.toLowerCase() : one);
    const isPattern = test.op === 'regex';
    const operand = isPattern
      ? `(?i)${test.operand}`
      : Array.isArray(test.operand)
        ? test.operand.map(small)
        : small(test.operand);
    return answer(
      { ...test, operand, ignoreCase: false },
      isPattern ? value : (small(value) as Value | undefined),
    );
  }
  const { op, operand } = test;
  const texts = [operand].flat() as string[];
  switch (op) {
    case 'exists':
      return (value !== undefined) === operand;
    case 'eq':
      return value === operand;
    case 'in':
      return (operand as unknown[]).includes(value);
    case 'contains':
      return typeof value === 'string' && texts.some(text => value.includes(text));
    case 'containsAll':
      return typeof value === 'string' && texts.every(text => value.includes(text));
    case 'startsWith':
      return typeof value === 'string' && texts.some(text => value.startsWith(text));
    case 'endsWith':
      return typeof value === 'string' && texts.some(text => value.endsWith(text));
    case 'regex': {
      const source = operand as string;
      const pattern = new RegExp(source.replaceAll('(?i)', ''), source.startsWith('(?i)') ? 'iu' : 'u');
      return typeof value === 'string' && pattern.test(value);
    }
    default: {
      const isNumber =
        typeof value === 'number' || (typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value));
      if (!isNumber) return false;
      const number = Number(value);
      const bound = operand as number;
      return op === 'gt' ? number > bound : op === 'gte' ? number >= bound : op === 'lt' ? number < bound : number <= bound; // prettier-ignore
    }
  }
}

function witness(condition: Condition): World | undefined {
  for (const record of recordsFor(condition)) if (holds(condition, record)) return record;
  return undefined;
}

// ---------------------------------------------------------------------------------------------------- tests

test('no rule is refused that a record meets', () => {
  fc.assert(
    fc.property(conditionOf(PATTERNS), condition => {
      const messages = refusals(condition);
      if (messages.length > 0) assert.equal(witness(condition), undefined, messages.join());
    }),
    { numRuns: 1_500 },
  );
});

test('a rule that is accepted has a record that meets it', () => {
  let refused = 0;
  fc.assert(
    fc.property(conditionOf([]), condition => {
      if (refusals(condition).length > 0) refused++;
      else assert.ok(witness(condition) !== undefined, 'no record meets it');
    }),
    { numRuns: 1_500 },
  );
  assert.ok(refused > 100, `${refused} were refused`);
});

test('a condition that is too large to be looked through is accepted', () => {
  const some = (field: string) => ({
    any: Array.from({ length: 40 }, (_, i) => ({ field, op: 'eq', operand: i })),
  });
  const condition = { all: [some('a'), some('b'), some('a.c'), { field: 'b', op: 'eq', operand: 'x' }] };
  assert.ok(refusals(condition).length <= 1);
});
