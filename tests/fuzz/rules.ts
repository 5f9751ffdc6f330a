// Random rule sets. All rules of a set take their paths, texts, patterns and numbers from one small stock, so
// that they share gates, literals and patterns, and many of them nearly match one record.
import fc from 'fast-check';
import { patternArbitrary, textArbitrary } from '../compiler/random-pattern.ts';
import type { Dice } from './dice.ts';
import { CALLS } from './model.ts';
import type { Condition, Parse, Part, Path, Rule, Subject, Test, Value } from './model.ts';
import { compiled } from './oracle.ts';

export interface Stock {
  paths: Path[];
  /** Paths that most rules test with `eq` or `in`, as a namespace is. */
  gatePaths: Path[];
  words: string[];
  values: Value[];
  numbers: string[];
  patterns: StockPattern[];
}

interface StockPattern {
  /** Its named groups are g1 and g2. */
  source: string;
  /** Texts in which it is found. */
  examples: string[];
}

/** Keys of one and two words of memory, some that begin alike, some that need brackets or escapes. */
const KEYS = [
  'log', 'lo', 'logs', 'kubernetes', 'namespace_name', 'pod', 'a', 'b', 'c', 'A', 'é', 'ключ', '😀', 'a.b',
  'a"b', 'a\\b', 'a\nb', '0', '1234567', '12345678', '123456789', '123456781234567', '1234567812345678',
  '12345678123456789', 'app.kubernetes.io/name', 'x'.repeat(40), '@timestamp',
]; // prettier-ignore

const WORDS = [
  'error', 'Error', 'errors', 'err', 'warn', 'warning', 'time', 'timeout', 'time out', 'timed out', 'out of memory',
  'connection refused', 'connection reset', 'née', 'naïve', 'straße', 'Kelvin', 'ſ', '404', '4', 'ab', 'abab', 'aba',
  'x', '😀', '😀😀', '日本', 'a\nb', '\t', '"', '\\', '<&>', 'HTTP/1.1', 'GET /', '.*', '[a]', '\0', ' ', '\ufffd',
  'panic: runtime error', 'panic: runtime', 'abcdefgh', 'abcdefghi', 'abcdefg', 'bcdefgh',
]; // prettier-ignore

const NUMBERS = [
  '0', '-0', '0.0', '1', '1.0', '10', '1e1', '404', '404.0', '-404', '0.1', '0.10', '-0.5', '2147483648', '4294967296',
  '9007199254740992', '9007199254740993', '9007199254740993.5', '1e400', '1e-400', '-1e400', '9223372036854775807', '18446744073709551616',
  '1629856405.4800041234', '123456789012345678901234567890', '1e308', '1e-320', '.5', '+5',
]; // prettier-ignore

const VALUES: Value[] = ['true', 'false', 'null'].map(text => ({ kind: 'word', text }));

export function makeStock(dice: Dice): Stock {
  const isLarge = dice.chance(0.15); // many literals, patterns and fields
  const words = [
    ...dice.shuffle(WORDS).slice(0, dice.between(6, 30)),
    ...dice.times(isLarge ? 400 : dice.below(10), () => makeWord(dice)),
  ];
  const paths = dice.times(isLarge ? 150 : dice.between(3, 24), () => makePath(dice));
  for (const path of [...paths]) {
    if (path.length < 9 && dice.chance(0.2)) paths.push([...path, makeStep(dice)]); // a field that holds a field
  }
  const strings = dice.times(dice.between(4, 20), () => makeText(dice, words));
  const numbers = dice.times(dice.between(3, 12), () => makeNumber(dice));
  return {
    paths,
    gatePaths: dice.times(dice.between(1, 3), () => dice.pick(paths)),
    words,
    values: [
      ...VALUES,
      ...strings.map((text): Value => ({ kind: 'string', text })),
      ...numbers.map((text): Value => ({ kind: 'number', text })),
    ],
    numbers,
    patterns: makePatterns(dice, words, isLarge ? 250 : dice.between(5, 40)),
  };
}

function makePath(dice: Dice): Path {
  const rest = dice.times(dice.pick([0, 0, 0, 1, 1, 2, 3, 9]), () => makeStep(dice));
  return [dice.pick(KEYS), ...rest];
}

function makeStep(dice: Dice): string | number | null {
  if (dice.chance(0.06)) return null;
  return dice.chance(0.2) ? dice.below(4) : dice.pick(KEYS);
}

/** Of few letters, so that many words begin, end and go on alike. */
function makeWord(dice: Dice): string {
  const letters = dice.pick(['ab', 'abc', 'eort', 'aé日']);
  return dice.times(dice.between(2, 14), () => dice.pick([...letters])).join('');
}

/** Texts of all sizes; now and then the empty one, and one longer than what is cut in a label. */
function makeText(dice: Dice, words: string[]): string {
  const text = dice.times(dice.below(4), () => dice.pick(words)).join(dice.pick(['', ' ']));
  return dice.chance(0.03) ? text.repeat(dice.between(10, 300)).slice(0, 1200) : text;
}

function makeNumber(dice: Dice): string {
  if (dice.chance(0.7)) return dice.pick(NUMBERS);
  const digits = dice.times(dice.between(1, 25), () => dice.below(10)).join('');
  return digits.replace(/^0+(?=\d)/, '') + dice.pick(['', `.${dice.below(1000)}`, `e${dice.below(400)}`]);
}

// ── Patterns ──

const RANDOM_PATTERN_COUNT_MAX = 20;

function makePatterns(dice: Dice, words: string[], count: number): StockPattern[] {
  const wordy = dice.times(count, () => wordyPattern(dice, dice.pick(words), dice.pick(words)));
  const sources = fc.sample(patternArbitrary, {
    seed: dice.below(2 ** 31),
    numRuns: dice.below(RANDOM_PATTERN_COUNT_MAX),
  });
  const texts = fc.sample(textArbitrary, { seed: dice.below(2 ** 31), numRuns: 40 });
  const random = sources.map(source => ({ source: withTwoGroups(source), examples: texts }));
  return [...wordy, ...random]
    .map(({ source, examples }) => ({
      source,
      examples: examples.filter(text => compiled(source).matcher(text).find()),
    }))
    .filter(({ source }) => source !== '' && !compiled(source).matcher('').find());
}

/** A pattern as people write them, around literals. */
function wordyPattern(dice: Dice, first: string, second: string): StockPattern {
  const a = escapePattern(first);
  const b = escapePattern(second);
  const [source, ...examples] = dice.pick([
    [a, first],
    [`${a}.*${b}`, `${first}${second}`, `${first} and ${second}`],
    [`(?s)${a}.${b}`, `${first}\n${second}`, `${first}é${second}`],
    [`^${a}`, first, `${first}${second}`],
    [`${a}$`, first, `${second}${first}`],
    [`^${a}$`, first],
    [`(?i)${a}`, first.toUpperCase(), first.toLowerCase(), first],
    [`(?i:${a})${b}`, `${first.toUpperCase()}${second}`],
    [`${a}|${b}`, first, second],
    [`(?:${a}|${b})\\d+`, `${first}7`, `${second}42`],
    [`\\b${a}\\b`, first, ` ${first}.`],
    [`(?m)^${a}$`, first, `x\n${first}\ny`],
    [`[a-f]${a}`, `a${first}`, `f${first}${second}`],
    [`${a}.{0,20}${b}`, `${first}${second}`, `${first}12345678901234567890${second}`],
    [`[a-q][^u-z]{13}${a}`, `a0123456789012${first}`],
    [`(?P<g1>\\w+) ${a}`, `word ${first}`, `${second}x ${first}`],
    [`${a} (?P<g1>\\S+)(?: (?P<g2>${b}))?`, `${first} word`, `${first} x ${second}`],
    [`${a}\\s*=\\s*(?P<g1>\\d+)`, `${first}=1`, `${first} = 007`],
    [`(?:(?P<g1>${a})|(?P<g2>${b}))+!`, `${first}!`, `${first}${second}!`],
  ]) as [string, ...string[]];
  return { source, examples };
}

function escapePattern(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&').replaceAll('\0', '\\x00');
}

/** Other groups lose their name: a rule can hold only so many. */
function withTwoGroups(source: string): string {
  return source.replace(/\(\?P?<(g\d+)>/g, (group, name) => (name === 'g1' || name === 'g2' ? group : '('));
}

// ── Rules ──

export function makeRules(dice: Dice, stock: Stock, count: number): Rule[] {
  return dice.times(count, index => makeRule(dice, stock, `r${index}`));
}

// Texts that hold fields, and what a rule may parse of them. Other rules have the same paths and parse nothing.
const TEXT = 'text';
const PAIRS = 'pairs';
const PARSES: Parse[][] = [
  [{ path: [TEXT], format: 'json' }],
  [{ path: [PAIRS], format: 'logfmt' }],
  [
    { path: [TEXT], format: 'json' },
    { path: [TEXT, 'a'], format: 'json' },
  ],
  [
    { path: [PAIRS], format: 'logfmt' },
    { path: [PAIRS, 'a'], format: 'json' },
  ],
  [{ path: [TEXT, null], format: 'json' }],
];
const PAIR_KEYS = KEYS.filter(key => /^[^\s="]+$/.test(key));

function makeRule(dice: Dice, base: Stock, alert: string): Rule {
  const captures: string[] = [];
  const parse = dice.chance(0.3) ? dice.pick(PARSES) : [];
  const inTexts = dice.times(parse.length > 0 || dice.chance(0.1) ? 6 : 0, () => pathInText(dice, parse));
  const stock = { ...base, paths: [...base.paths, ...inTexts, ...inTexts] };
  const match = dice.chance(0.5) ? usualCondition(dice, stock, captures) : guarded(dice, stock, captures);
  const labels: Record<string, Part[]> = {};
  for (const name of dice.shuffle(['namespace', 'pod', 'a', 'Z_1']).slice(0, dice.below(4)))
    labels[name] = makeParts(dice, stock, captures, null);
  const annotations: Record<string, Part[]> = {};
  for (const name of dice.shuffle(['message', 'summary', 'z']).slice(0, dice.below(3)))
    annotations[name] = makeParts(dice, stock, captures, Object.keys(labels));
  return { alert, parse, match, labels, annotations };
}

function pathInText(dice: Dice, parse: Parse[]): Path {
  const path = parse.length > 0 ? dice.pick(parse).path : [TEXT];
  const isPair = path.length === 1 && path[0] === PAIRS;
  if (dice.chance(0.1)) return path;
  return isPair ? [PAIRS, dice.pick(PAIR_KEYS)] : [...path, ...makePath(dice).slice(0, 4)];
}

/** `labels` are the names that an annotation may refer to; a label has none, and no `$value`, which comes after it. */
function makeParts(dice: Dice, stock: Stock, captures: string[], labels: string[] | null): Part[] {
  return dice.times(dice.between(1, 3), (): Part => {
    if (dice.chance(0.25)) return makePipe(dice, stock, captures);
    if (captures.length > 0 && dice.chance(0.5)) return { kind: 'capture', name: dice.pick(captures) };
    if (labels !== null && labels.length > 0 && dice.chance(0.3))
      return { kind: 'label', name: dice.pick(labels) };
    const path = dice.pick(stock.paths);
    if (dice.chance(0.5) && !path.includes(null)) return { kind: 'record', path };
    const others: Part[] = [{ kind: 'text', text: ' → ' }, { kind: 'text', text: '<&>' }, { kind: 'alert' }];
    return dice.pick(labels === null ? others : [...others, { kind: 'value' }]);
  });
}

function makePipe(dice: Dice, stock: Stock, captures: string[]): Part {
  const of = dice.times(dice.between(1, 3), (): Part => {
    if (captures.length > 0 && dice.chance(0.4)) return { kind: 'capture', name: dice.pick(captures) };
    // A list has many values: a template refuses it.
    return { kind: 'record', path: dice.pick(stock.paths.filter(path => !path.includes(null))) };
  });
  if (dice.chance(0.4)) of.push({ kind: 'text', text: dice.pick(['?', 'a | b', '"x" <é>', ' \\ ']) });
  return { kind: 'pipe', of, calls: dice.times(dice.below(3), () => dice.pick(CALLS)) };
}

/** As people write them: a namespace or two, a text, perhaps an exception. */
function usualCondition(dice: Dice, stock: Stock, captures: string[]): Condition {
  const test = (isUnderNot = false) => makeTest(dice, stock, isUnderNot ? null : captures);
  const of = [gate(dice, stock), test(), ...(dice.chance(0.4) ? [test()] : [])];
  if (dice.chance(0.3)) of.push({ kind: 'not', of: test(true) });
  if (dice.chance(0.2)) of.push({ kind: 'any', of: [test(), gate(dice, stock)] });
  return { kind: 'all', of: dice.shuffle(of) };
}

/** More than the compiler makes gates of. */
const MANY_VALUES = 300;

function gate(dice: Dice, stock: Stock): Condition {
  const path = dice.pick(stock.gatePaths);
  const values = dice.times(dice.chance(0.02) ? MANY_VALUES : dice.pick([1, 1, 1, 2, 3]), (i): Value =>
    i > 20 ? { kind: 'string', text: `value ${i}` } : dice.pick(stock.values),
  );
  const tests = values.map((value): Condition => ({
    kind: 'test',
    path,
    test: { op: 'eq', value, ignoreCase: false },
  }));
  if (values.length === 1) return tests[0]!;
  return dice.chance(0.5)
    ? { kind: 'any', of: tests }
    : { kind: 'test', path, test: { op: 'in', values, ignoreCase: false } };
}

/** Anything, mostly with a test that keeps it from matching most records. */
function guarded(dice: Dice, stock: Stock, captures: string[]): Condition {
  const tree = makeTree(dice, stock, captures, 3);
  return dice.chance(0.8) ? { kind: 'all', of: [makeTest(dice, stock, captures), tree] } : tree;
}

/** `captures` collects the names that templates may use; it is null under `not`. */
function makeTree(dice: Dice, stock: Stock, captures: string[] | null, depth: number): Condition {
  if (depth === 0 || dice.chance(0.3)) return makeTest(dice, stock, captures);
  if (dice.chance(0.2)) return { kind: 'not', of: makeTree(dice, stock, null, depth - 1) };
  const of = dice.times(dice.between(1, 4), () =>
    dice.chance(0.2) ? gate(dice, stock) : makeTree(dice, stock, captures, depth - 1),
  );
  return { kind: dice.pick(['all', 'any']), of };
}

function makeTest(dice: Dice, stock: Stock, captures: string[] | null): Condition {
  const path = makeSubject(dice, stock, captures);
  const isCapture = typeof path === 'object' && 'capture' in path;
  const pick = path === 'anyField' ? dice.pick([0, 1, 6, 7, 8, 9, 15, 18]) : dice.below(20);
  const test = (of: Test): Condition => ({ kind: 'test', path, test: of });
  const ignoreCase = dice.chance(0.4);
  const texts = () =>
    dice.times(dice.chance(0.05) ? 200 : dice.pick([1, 1, 1, 2, 3, 8]), () => dice.pick(stock.words));
  if (pick < 6)
    return test({
      op: 'regex',
      source: useOf(dice.pick(stock.patterns), isCapture ? null : captures),
      ignoreCase,
    });
  if (pick < 8) return test({ op: 'contains', texts: texts(), ignoreCase });
  if (pick < 9) return test({ op: dice.pick(['startsWith', 'endsWith']), texts: texts(), ignoreCase });
  if (pick < 10) return test({ op: 'containsAll', texts: texts().slice(0, 3), ignoreCase });
  if (pick < 13) return test({ op: dice.pick(['gt', 'gte', 'lt', 'lte']), number: dice.pick(stock.numbers) });
  if (pick < 15) return test({ op: 'exists', value: dice.chance(0.6) });
  const values = dice.times(pick < 18 ? 1 : dice.between(1, 6), () => dice.pick(stock.values));
  const cased = ignoreCase && values.some(({ kind }) => kind === 'string');
  if (pick < 18) return test({ op: 'eq', value: values[0]!, ignoreCase: cased });
  return test({ op: 'in', values, ignoreCase: cased });
}

function makeSubject(dice: Dice, stock: Stock, captures: string[] | null): Subject {
  if (captures !== null && captures.length > 0 && dice.chance(0.15)) return { capture: dice.pick(captures) };
  return dice.chance(0.05) ? 'anyField' : dice.pick(stock.paths);
}

/** A rule may have a name of a capture once, so that the first pattern has g1_0, the second g1_1, … */
function useOf({ source }: StockPattern, captures: string[] | null): string {
  if (captures === null) return source.replace(/\(\?P?<g\d>/g, '(');
  const use = captures.length;
  return source.replace(/<(g\d)>/g, (_, name) => {
    captures.push(`${name}_${use}`);
    return `<${name}_${use}>`;
  });
}
