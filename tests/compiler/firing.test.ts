// Rules that can never fire, by brute force: whatever `checkFiring` refuses, no record of a small world meets; and for
// what it accepts, that world has a record. The messages are in rules/never-fires.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkFiring } from '../../host/compiler/firing.ts';
import { parseRules } from '../../host/compiler/rules.ts';
import type { Problem } from '../../host/error.ts';

type Value = null | boolean | number | string | { c: Value };
type Test = { field: string; op: string; operand: unknown; ignoreCase?: true | undefined };
type Condition = { all: Condition[] } | { any: Condition[] } | { not: Condition } | Test;

const WORDS = ['a', 'b', 'ab', 'ba', 'bb', 'A', 'aB'];
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
const scalar = fc.constantFrom<unknown[]>(null, true, false, 0, 1, 2, '1', '1.5', ...WORDS);
const ignoreCase = fc.constantFrom(undefined, undefined, true as const);
const texts = fc.oneof(word, fc.array(word, { minLength: 1, maxLength: 3 }));
type Operation = Omit<Test, 'field'>;
const operation = (patterns: string[]): fc.Arbitrary<Operation> =>
  fc.oneof<fc.Arbitrary<Operation>[]>(
    fc.record({ op: fc.constantFrom('contains', 'startsWith', 'endsWith'), operand: texts, ignoreCase }),
    fc.record({
      op: fc.constant('containsAll'),
      operand: fc.array(word, { minLength: 1, maxLength: 3 }),
      ignoreCase,
    }),
    fc.record({ op: fc.constant('eq'), operand: word, ignoreCase }),
    fc.record({ op: fc.constant('eq'), operand: scalar }),
    fc.record({ op: fc.constant('in'), operand: fc.array(scalar, { minLength: 1, maxLength: 3 }) }),
    fc.record({ op: fc.constant('in'), operand: fc.array(word, { minLength: 1, maxLength: 3 }), ignoreCase }),
    fc.record({ op: fc.constant('exists'), operand: fc.boolean() }),
    fc.record({ op: fc.constantFrom('gt', 'gte', 'lt', 'lte'), operand: fc.constantFrom(...NUMBERS) }),
    ...(patterns.length > 0
      ? [fc.record({ op: fc.constant('regex'), operand: fc.constantFrom(...patterns), ignoreCase })]
      : []),
  );
const conditionOf = (patterns: string[]): fc.Arbitrary<Condition> =>
  fc.letrec<{ node: Condition }>(tie => ({
    node: fc.oneof(
      { maxDepth: 3, depthSize: 'small' },
      fc
        .tuple(fc.constantFrom('a', 'a', 'a', 'a', 'b', 'a.c'), operation(patterns))
        .map(([field, operation]) => ({ field, ...operation })),
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
    return { field: node.field, [node.op]: node.operand, ...(node.ignoreCase && { ignoreCase: true }) };
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

/** The world has texts with so many words of the condition. */
const WORDS_MAX = 8;

const LETTERS = ['', 'a', 'b', 'x'];
const SHORT = LETTERS.flatMap(one => LETTERS.flatMap(two => LETTERS.map(three => one + two + three)));
const OTHERS = ['A', 'B', 'AB', 'a\n', '1', '1.5', '2', '0.9', '1.1', '-2', '9'];

/** Short texts, and those that begin and end with one of the words, and hold some of them, with something between. */
function valuesFor(words: string[]): Value[] {
  const ends = ['', ...words];
  const sets = words.reduce<string[][]>((sets, word) => sets.flatMap(set => [set, [...set, word]]), [[]]);
  const long = sets.flatMap(set => ends.flatMap(start => ends.map(end => [start, ...set, end].join('x'))));
  const numbers = NUMBERS.flatMap(number => [number, number - 0.1, number + 0.1]);
  return [...new Set<Value>([null, true, false, ...numbers, ...SHORT, ...OTHERS, ...words, ...long])];
}

interface World {
  a?: Value | undefined;
  b?: Value | undefined;
}

function* recordsFor(condition: Condition, wordCount: number): Generator<World> {
  const tests = testsOf(condition);
  yield* recordsOf(tests, valuesFor([])); // mostly there is one among these
  yield* recordsOf(tests, valuesFor(wordsOf(tests).slice(0, wordCount)));
}

function wordsOf(tests: Test[]): string[] {
  const words = tests.flatMap(({ operand }) => [operand].flat()).filter(text => typeof text === 'string');
  const written = tests.some(test => test.ignoreCase) ? words.flatMap(text => [text, swapCase(text)]) : words;
  return [...new Set(written.filter(text => /^[ab]+$/i.test(text)))];
}

function* recordsOf(tests: Test[], values: Value[]): Generator<World> {
  const more = [...values, undefined];
  const isObject = tests.some(({ field }) => field === 'a.c');
  const ofA = [...more, ...(isObject ? more.map(c => ({ c: c as Value })) : [{ c: 0 }])];
  const ofB = tests.some(({ field }) => field === 'b') ? more : [undefined];
  for (const a of distinguish(ofA, tests, a => ({ a })))
    for (const b of distinguish(ofB, tests, b => ({ b }))) yield { a, b };
}

/** Of a text that is asked for without its letter case, one that nothing else asks for. */
function swapCase(text: string): string {
  return Array.from(text, letter => (letter < 'a' ? letter.toLowerCase() : letter.toUpperCase())).join('');
}

/** One value for each combination of answers. */
function distinguish<T>(values: T[], tests: Test[], record: (value: T) => World): T[] {
  const answers = (value: T) => tests.map(test => holds(test, record(value))).join();
  return [...new Map(values.map(value => [answers(value), value])).values()];
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

function answer({ op, operand, ignoreCase }: Test, found: Value | undefined): boolean {
  const same = <T>(text: T) => (ignoreCase && typeof text === 'string' ? text.toLowerCase() : text);
  const value = same(found);
  const [first, ...rest] = [operand].flat().map(same);
  const some = (holds: (text: string, sought: string) => boolean) =>
    typeof value === 'string' && [first, ...rest].some(sought => holds(value, sought as string));
  switch (op) {
    case 'exists':
      return (value !== undefined) === operand;
    case 'eq':
    case 'in':
      return [first, ...rest].includes(value);
    case 'contains':
      return some((text, sought) => text.includes(sought));
    case 'containsAll':
      return typeof value === 'string' && [first, ...rest].every(sought => value.includes(sought as string));
    case 'startsWith':
      return some((text, sought) => text.startsWith(sought));
    case 'endsWith':
      return some((text, sought) => text.endsWith(sought));
    case 'regex': {
      const source = operand as string;
      const flags = ignoreCase || source.startsWith('(?i)') ? 'iu' : 'u';
      return typeof found === 'string' && new RegExp(source.replace('(?i)', ''), flags).test(found);
    }
    default: {
      const number = typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
      if (typeof number !== 'number') return false;
      const bound = operand as number;
      return op === 'gt' ? number > bound : op === 'gte' ? number >= bound : op === 'lt' ? number < bound : number <= bound; // prettier-ignore
    }
  }
}

function witness(condition: Condition, wordCount: number): World | undefined {
  for (const record of recordsFor(condition, wordCount)) if (holds(condition, record)) return record;
  return undefined;
}

// ---------------------------------------------------------------------------------------------------- tests

test('no rule is refused that a record meets', () => {
  fc.assert(
    fc.property(conditionOf(PATTERNS), condition => {
      const messages = refusals(condition);
      if (messages.length > 0) assert.equal(witness(condition, 3), undefined, messages.join());
    }),
    { numRuns: 300, endOnFailure: true },
  );
});

test('a rule that is accepted has a record that meets it', () => {
  let refused = 0;
  fc.assert(
    fc.property(conditionOf([]), condition => {
      fc.pre(wordsOf(testsOf(condition)).length <= WORDS_MAX);
      if (refusals(condition).length > 0) refused++;
      else assert.ok(witness(condition, WORDS_MAX) !== undefined, 'no record meets it');
    }),
    { numRuns: 500, endOnFailure: true },
  );
  assert.ok(refused > 50, `${refused} were refused`);
});

test('a condition that is too large to be looked through is accepted', () => {
  const some = (field: string) => ({
    any: Array.from({ length: 40 }, (_, i) => ({ field, op: 'eq', operand: i })),
  });
  const condition = { all: [some('a'), some('b'), some('a.c'), { field: 'b', op: 'eq', operand: 'x' }] };
  assert.ok(refusals(condition).length <= 1);
});
