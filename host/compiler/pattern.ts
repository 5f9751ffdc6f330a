// A regular expression in RE2 syntax → a tree with RE2's meaning.
//
// The syntax is that of Go's regexp/syntax in its Perl mode, which is also what Prometheus and Loki speak.
// What RE2 cannot match in linear time is refused with a reason. Case folding and Unicode properties come
// from JavaScript's own regular expressions, so their Unicode version is that of the Node that compiles.

import { CAPTURE_COUNT_MAX } from '../../assembly/layout.ts';
import { UserError } from '../error.ts';
import type { Span } from '../error.ts';

/** A set of code points: sorted, disjoint, inclusive pairs [low, high, low, high, …]. */
export type CodePoints = number[];

export type Assertion =
  'textStart' | 'textEnd' | 'lineStart' | 'lineEnd' | 'wordBoundary' | 'notWordBoundary';

/** Flags are resolved: case folding is in the sets, `(?s)`, `(?m)` and `(?U)` in the kind of node. */
export type Pattern =
  | { kind: 'empty' }
  | { kind: 'set'; set: CodePoints } // one code point out of the set; an empty set matches nothing
  | { kind: 'assert'; at: Assertion }
  | { kind: 'capture'; name: string; of: Pattern } // named groups only: nothing else can be referred to
  | { kind: 'concat'; of: Pattern[] }
  | { kind: 'alternate'; of: Pattern[] } // the first is preferred
  | { kind: 'repeat'; of: Pattern; min: number; max: number; lazy: boolean }; // max Infinity: no bound

/** A longer pattern is a word list or generated code, and belongs in several rules. */
export const PATTERN_LENGTH_MAX = 16_384; // UTF-16 units

/** Every stage walks the tree by recursion; this many levels fit well into the default stack of Node. */
export const GROUP_NESTING_MAX = 250;

/** RE2's own limit, on one repeat and on the product of repeats within repeats: each is a copy in the automaton. */
export const REPEAT_MAX = 1000;

/** A pattern that is refused. The span counts UTF-16 units within the pattern; the note goes beside the caret. */
export class PatternError extends UserError {
  readonly span: Span;
  readonly note: string;
  readonly hint?: string;
  constructor(message: string, span: Span, note: string, hint?: string) {
    super(message);
    this.span = span;
    this.note = note;
    this.hint = hint;
  }
}

/** `captures` has the names of all groups in the order of their opening, also of those that can never match. */
export function parsePattern(source: string, ignoreCase = false): { pattern: Pattern; captures: string[] } {
  refuseUnreadable(source);
  const input: Input = { source, at: 0, flags: { ...NO_FLAGS, ignoreCase }, captures: [], nesting: 0 };
  const pattern = parseAlternatives(input);
  if (input.at < source.length) {
    throw new PatternError(
      'pattern has a ")" without a "("',
      { start: input.at, end: input.at + 1 },
      'closes nothing',
      'write "\\)" for the character',
    );
  }
  return { pattern, captures: input.captures };
}

/** The pattern that matches exactly this text, in this or any letter case. */
export function literal(text: string, ignoreCase = false): Pattern {
  const sets = Array.from(text, character => single(character.codePointAt(0)!));
  return concat(sets.map(set => ({ kind: 'set', set: ignoreCase ? fold(set) : set })));
}

/** What a character is equal to without regard to letter case, itself included: k, K and the Kelvin sign. */
export function foldedForms(character: string): string[] {
  const set = fold(single(character.codePointAt(0)!));
  const forms: string[] = [];
  for (let i = 0; i < set.length; i += 2)
    for (let code = set[i]!; code <= set[i + 1]!; code++) forms.push(String.fromCodePoint(code));
  return forms;
}

interface Flags {
  ignoreCase: boolean;
  multiLine: boolean;
  dotAll: boolean;
  ungreedy: boolean;
}

const NO_FLAGS: Flags = { ignoreCase: false, multiLine: false, dotAll: false, ungreedy: false };

const FLAG_OF_LETTER = new Map<string, keyof Flags>([
  ['i', 'ignoreCase'],
  ['m', 'multiLine'],
  ['s', 'dotAll'],
  ['U', 'ungreedy'],
]);

/** What is being parsed: the source, how far it is read, and what holds at that place. */
interface Input {
  readonly source: string;
  at: number;
  flags: Flags;
  captures: string[];
  nesting: number;
}

function refuseUnreadable(source: string) {
  if (source.length > PATTERN_LENGTH_MAX) {
    throw new PatternError(
      `pattern is ${thousands(source.length)} characters long; ${thousands(PATTERN_LENGTH_MAX)} are allowed`,
      { start: PATTERN_LENGTH_MAX, end: source.length },
      'over the limit',
      'split it into several conditions under "any"',
    );
  }
  const surrogate = source.search(/\p{Surrogate}/u);
  if (surrogate >= 0) {
    throw new PatternError(
      'pattern has half of a surrogate pair, which is not a character',
      { start: surrogate, end: surrogate + 1 },
      'half a character',
      'write the character itself, or "\\x{1F600}"',
    );
  }
}

function parseAlternatives(input: Input): Pattern {
  const branches = [parseConcat(input)];
  while (take(input, '|')) branches.push(parseConcat(input));
  return alternate(branches);
}

function parseConcat(input: Input): Pattern {
  const items: Pattern[] = [];
  let previousRepeat: Span | undefined; // the operator just before this one
  let repeated: Pattern | undefined; // the last item that an operator was applied to
  while (input.at < input.source.length && !'|)'.includes(peek(input))) {
    const start = input.at;
    const repeat = scanRepeat(input);
    const operator = { start, end: input.at };
    if (repeat) {
      // In "a*(?i)*" the second repeat applies to the first: the tree gets deeper without a group.
      if (repeated && items.at(-1) === repeated) enter(input, operator);
      repeated = repeatLast(input, items, repeat, operator, previousRepeat);
    } else items.push(...parseItems(input));
    previousRepeat = repeat && operator;
  }
  return concat(items);
}

interface Repeat {
  min: number;
  max: number;
  lazy: boolean;
}

/** Reads a repeat operator. A "{" that does not open one, as in "a{,2}" or "a{02}", is a literal in RE2. */
function scanRepeat(input: Input): Repeat | undefined {
  const match = scan(input, /[*+?]|\{(0|[1-9]\d*)(,(0|[1-9]\d*)?)?\}/y);
  if (!match) return undefined;
  const lazy = take(input, '?') !== input.flags.ungreedy;
  const [operator, min, comma, max] = match;
  if (operator === '*') return { min: 0, max: Infinity, lazy };
  if (operator === '+') return { min: 1, max: Infinity, lazy };
  if (operator === '?') return { min: 0, max: 1, lazy };
  const atLeast = count(min!);
  if (comma === undefined) return { min: atLeast, max: atLeast, lazy };
  return { min: atLeast, max: max === undefined ? Infinity : count(max), lazy };
}

/** Infinity means no bound, so however many digits there are, a count stays below it. */
function count(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

function repeatLast(
  input: Input,
  items: Pattern[],
  repeat: Repeat,
  operator: Span,
  previousRepeat?: Span,
): Pattern {
  refuseCounts(input, repeat, operator);
  if (previousRepeat) throw nestedRepeat(input, operator, previousRepeat);
  const last = items.pop();
  if (!last) {
    throw new PatternError(
      `pattern has a "${text(input, operator)}" with nothing to repeat`,
      operator,
      'repeats nothing',
      `write "\\${peekAt(input, operator.start)}" for the character`,
    );
  }
  const repeated = repeatOf(last, repeat);
  refuseCopies(repeated, operator);
  items.push(repeated);
  return repeated;
}

function refuseCounts(input: Input, { min, max }: Repeat, operator: Span) {
  if (min > REPEAT_MAX || (max > REPEAT_MAX && max !== Infinity)) {
    throw new PatternError(
      `pattern has a repeat "${text(input, operator)}" of more than ${thousands(REPEAT_MAX)} times`,
      operator,
      'too many times',
      'write "*" or "+" if the exact count does not matter',
    );
  }
  if (min > max) {
    throw new PatternError(
      `pattern has a repeat "${text(input, operator)}" whose minimum is over its maximum`,
      operator,
      'wrong order',
      `write "{${max},${min}}"`,
    );
  }
}

function nestedRepeat(input: Input, operator: Span, previousRepeat: Span): PatternError {
  const span = { start: previousRepeat.start, end: operator.end };
  const possessive = peekAt(input, operator.start) === '+';
  return new PatternError(
    `pattern has a repeat of a repeat "${text(input, span)}"`,
    span,
    possessive ? 'possessive repeat' : 'repeats a repeat',
    possessive
      ? 'leave out the last "+": RE2 never backtracks, so it has no possessive repeats'
      : 'leave one out, or put the inner repeat into a group "(?:...)"',
  );
}

function refuseCopies(pattern: Pattern, operator: Span) {
  const copyCount = copies(pattern);
  if (copyCount <= REPEAT_MAX) return;
  throw new PatternError(
    `pattern has repeats within repeats, ${thousands(copyCount)} times in all; ${thousands(REPEAT_MAX)} are allowed`,
    operator,
    'multiplies the repeats within',
    'write "*" or "+" for one of them if the exact count does not matter',
  );
}

/** How often the innermost thing is copied. An open end counts as its minimum, "*" as one, as in RE2. */
function copies(pattern: Pattern): number {
  switch (pattern.kind) {
    case 'concat':
    case 'alternate':
      return pattern.of.reduce((most, part) => Math.max(most, copies(part)), 1);
    case 'capture':
      return copies(pattern.of);
    case 'repeat':
      return Math.max(1, pattern.max === Infinity ? pattern.min : pattern.max) * copies(pattern.of);
    default:
      return 1;
  }
}

/** One item, or none for "(?i)", or many for "\Q...\E": a repeat after those applies to the last item before it. */
function parseItems(input: Input): Pattern[] {
  if (peek(input) === '(') return parseGroup(input);
  const quoted = scan(input, /\\Q([^]*?)(?:\\E|$)/y);
  if (quoted) return Array.from(quoted[1]!, character => literalNode(input, character.codePointAt(0)!));
  return [parseAtom(input)];
}

function parseGroup(input: Input): Pattern[] {
  const start = input.at;
  refuseUnsupportedGroup(input);
  if (scan(input, /\(\?P?</y)) {
    const name = parseGroupName(input, start);
    return [{ kind: 'capture', name, of: parseGroupBody(input, start, input.flags) }];
  }
  const match = scan(input, /\(\?([imsU]*)(?:-([imsU]+))?([:)])/y);
  if (match) {
    const flags = changeFlags(input.flags, match[1]!, match[2] ?? '');
    if (match[3] === ':') return [parseGroupBody(input, start, flags)];
    input.flags = flags; // until the end of the group around
    return [];
  }
  if (input.source.startsWith('(?', start)) throw badFlags(input);
  take(input, '(');
  return [parseGroupBody(input, start, input.flags)];
}

const UNSUPPORTED_GROUPS: [start: RegExp, name: string, hint: string][] = [
  [/\(\?=/y, 'a look-ahead', 'match the text itself, or test for it in a second condition'],
  [/\(\?!/y, 'a negative look-ahead', 'test for that text in a second condition under "not"'],
  [/\(\?<=/y, 'a look-behind', 'match the text itself, and capture the part after it'],
  [/\(\?<!/y, 'a negative look-behind', 'test for that text in a second condition under "not"'],
  [/\(\?>/y, 'an atomic group', 'write "(?:...)": RE2 never backtracks, so it needs no atomic groups'],
  [/\(\?#/y, 'a comment', 'put the comment beside the pattern'],
  [/\(\?\(/y, 'a conditional', 'write the two cases as alternatives "(?:...|...)"'],
  [/\(\?\|/y, 'a branch reset', 'write "(?:...)" and give each group its own name'],
  [/\(\?P=/y, 'a backreference', 'RE2 cannot require the same text twice; match each part on its own'],
  [/\(\?(?:R|P>|&|[-+]?\d)/y, 'a recursion', 'write the nesting out to the depth that you need'],
  [/\(\?'/y, 'a quoted group name', 'write "(?P<name>...)"'],
];

function refuseUnsupportedGroup(input: Input) {
  const start = input.at;
  for (const [opening, name, hint] of UNSUPPORTED_GROUPS) {
    const match = scan(input, opening);
    if (!match) continue;
    throw new PatternError(
      `pattern has ${name} "${match[0]}", which RE2 does not have`,
      { start, end: input.at },
      'not in RE2',
      hint,
    );
  }
}

function parseGroupName(input: Input, groupStart: number): string {
  const nameStart = input.at;
  const name = scan(input, /([^>]*)>/y)?.[1];
  if (name === undefined) {
    throw new PatternError(
      'pattern has a group name without a ">"',
      { start: groupStart, end: nameStart },
      'opened here',
      'write "(?P<name>...)"',
    );
  }
  const span = { start: nameStart, end: nameStart + name.length };
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new PatternError(
      `pattern has a bad group name "${name}"`,
      span,
      'bad name',
      'a name has ASCII letters, digits and "_", and does not begin with a digit',
    );
  }
  if (input.captures.includes(name)) {
    throw new PatternError(
      `pattern has two groups named "${name}"`,
      span,
      'the second one',
      'give each group its own name',
    );
  }
  if (input.captures.push(name) > CAPTURE_COUNT_MAX) {
    throw new PatternError(
      `pattern has ${input.captures.length} named groups or more; ${CAPTURE_COUNT_MAX} are allowed`,
      span,
      'one too many',
      'write "(?:...)" for groups that no template uses',
    );
  }
  return name;
}

/** Parses up to the ")" that closes the group whose opening, from `start`, has just been read. */
function parseGroupBody(input: Input, start: number, flags: Flags): Pattern {
  const opening = { start, end: input.at };
  const outerFlags = input.flags;
  input.flags = flags;
  enter(input, opening);
  const body = parseAlternatives(input);
  if (!take(input, ')')) throw unclosedGroup(opening);
  input.nesting--;
  input.flags = outerFlags;
  return body;
}

function enter(input: Input, span: Span) {
  if (++input.nesting <= GROUP_NESTING_MAX) return;
  throw new PatternError(
    `pattern is nested ${input.nesting} levels deep or more; ${GROUP_NESTING_MAX} are allowed`,
    span,
    'one level too many',
    'leave out groups that are not needed',
  );
}

function unclosedGroup(opening: Span): PatternError {
  return new PatternError(
    'pattern has an unclosed group',
    opening,
    'opened here',
    'close it with ")", or write "\\(" for the character',
  );
}

function changeFlags(flags: Flags, setLetters: string, clearedLetters: string): Flags {
  const changed = { ...flags };
  for (const letter of setLetters) changed[FLAG_OF_LETTER.get(letter)!] = true;
  for (const letter of clearedLetters) changed[FLAG_OF_LETTER.get(letter)!] = false;
  return changed;
}

function badFlags(input: Input): PatternError {
  const start = input.at;
  scan(input, /\(\?[imsU]*(?:-[imsU]*)?/y);
  if (input.at === input.source.length) return unclosedGroup({ start, end: input.at });
  const span = { start: input.at, end: input.at + takeCharacter(input).length };
  const hint = 'the flags are i, m, s and U, as in "(?i)" or "(?s-i:...)"; a plain group is "(?:...)"';
  const letter = text(input, span);
  if (letter === ':' || letter === ')') {
    return new PatternError('pattern has a "-" without a flag after it', span, 'expected a flag', hint);
  }
  return new PatternError(`pattern has an unknown group flag "${letter}"`, span, 'not a flag', hint);
}

function parseAtom(input: Input): Pattern {
  const { multiLine, dotAll } = input.flags;
  switch (peek(input)) {
    case '[':
      return parseClass(input);
    case '\\':
      return parseEscape(input);
  }
  const character = takeCharacter(input);
  switch (character) {
    case '.':
      return { kind: 'set', set: dotAll ? ANY : NOT_NEWLINE };
    case '^':
      return { kind: 'assert', at: multiLine ? 'lineStart' : 'textStart' };
    case '$':
      return { kind: 'assert', at: multiLine ? 'lineEnd' : 'textEnd' };
  }
  return literalNode(input, character.codePointAt(0)!);
}

function literalNode(input: Input, codePoint: number): Pattern {
  return { kind: 'set', set: withFlags(input, single(codePoint)) };
}

/** Every set is folded before it is negated: "(?i)[^k]" excludes "K" and the Kelvin sign too. */
function withFlags(input: Input, set: CodePoints): CodePoints {
  return input.flags.ignoreCase ? fold(set) : set;
}

function parseClass(input: Input): Pattern {
  const start = input.at;
  take(input, '[');
  const negated = take(input, '^');
  const sets: CodePoints[] = [];
  // A "]" that comes first is a member, not the end.
  while (sets.length === 0 || !take(input, ']')) {
    if (input.at >= input.source.length) throw unclosedClass(start);
    sets.push(parseNamedClass(input) ?? parseClassEscape(input) ?? parseRange(input));
  }
  const set = union(...sets);
  return { kind: 'set', set: negated ? negate(set) : set };
}

function unclosedClass(start: number): PatternError {
  return new PatternError(
    'pattern has an unclosed class',
    { start, end: start + 1 },
    'opened here',
    'close it with "]", or write "\\[" for the character',
  );
}

/** Reads "[:alpha:]" within a class. Without a ":]" anywhere after it, the "[" is a member like any other. */
function parseNamedClass(input: Input): CodePoints | undefined {
  const start = input.at;
  const match = scan(input, /\[:(\^?)([^]*?):\]/y);
  if (!match) return undefined;
  const set = NAMED_CLASSES.get(match[2]!);
  if (!set) {
    throw new PatternError(
      `pattern has an unknown class "${match[0]}"`,
      { start, end: input.at },
      'unknown',
      `the classes are ${[...NAMED_CLASSES.keys()].join(', ')}`,
    );
  }
  return signed(withFlags(input, set), match[1] === '^');
}

/** Reads an escape that stands for many characters: "\d" or "\pL". */
function parseClassEscape(input: Input): CodePoints | undefined {
  const match = scan(input, /\\[dswDSW]/y);
  if (!match) return parseProperty(input);
  const letter = match[0][1]!;
  return signed(withFlags(input, ESCAPED_CLASSES.get(letter.toLowerCase())!), letter < 'a');
}

/** Reads "\pL" or "\p{Greek}"; a capital P and a "^" before the name negate, and cancel each other out. */
function parseProperty(input: Input): CodePoints | undefined {
  const start = input.at;
  if (!scan(input, /\\(?=[pP])/y)) return undefined;
  const match = scan(input, /([pP])(?:\{(\^?)([^}]*)\}|([^{]))/uy);
  if (!match) {
    throw new PatternError(
      'pattern has an unclosed property',
      { start, end: input.at + 1 },
      'opened here',
      'write "\\pL" or "\\p{Greek}"',
    );
  }
  const set = propertySet(match[3] ?? match[4]!);
  if (!set) {
    throw new PatternError(
      `pattern has an unknown property "${input.source.slice(start, input.at)}"`,
      { start, end: input.at },
      'unknown',
      'write a general category, "\\p{Lu}", or a script, "\\p{Greek}"',
    );
  }
  return signed(withFlags(input, set), (match[1] === 'P') !== (match[2] === '^'));
}

function signed(set: CodePoints, negated: boolean): CodePoints {
  return negated ? negate(set) : set;
}

/** Reads one member of a class, "a", or a range of them, "a-z". A "-" before the "]" is a member. */
function parseRange(input: Input): CodePoints {
  const start = input.at;
  const low = parseMember(input);
  const lowEnd = input.at;
  if (!scan(input, /-(?=[^\]])/y)) return withFlags(input, single(low));
  const highStart = input.at;
  refuseClassAsEnd(input, start);
  const high = parseMember(input);
  if (high < low) {
    const span = { start, end: input.at };
    const swapped = `${input.source.slice(highStart, input.at)}-${input.source.slice(start, lowEnd)}`;
    throw new PatternError(
      `pattern has a range in the wrong order "${text(input, span)}"`,
      span,
      'wrong order',
      `write "${swapped}"`,
    );
  }
  return withFlags(input, [low, high]);
}

function refuseClassAsEnd(input: Input, start: number) {
  const match = scan(input, /\\[dswDSWpP]/y);
  if (!match) return;
  throw new PatternError(
    `pattern has a range that ends in a class "${input.source.slice(start, input.at)}"`,
    { start, end: input.at },
    'not one character',
    'put the "-" last in the class, or write "\\-" for the character',
  );
}

function parseMember(input: Input): number {
  if (peek(input) !== '\\') return takeCharacter(input).codePointAt(0)!;
  return parseCharacterEscape(input, UNSUPPORTED_IN_CLASS);
}

const ASSERTIONS = new Map<string, Assertion>([
  ['\\A', 'textStart'],
  ['\\z', 'textEnd'],
  ['\\b', 'wordBoundary'],
  ['\\B', 'notWordBoundary'],
]);

function parseEscape(input: Input): Pattern {
  const assertion = scan(input, /\\[AzbB]/y);
  if (assertion) return { kind: 'assert', at: ASSERTIONS.get(assertion[0])! };
  const set = parseClassEscape(input);
  if (set) return { kind: 'set', set };
  return literalNode(input, parseCharacterEscape(input, UNSUPPORTED_ESCAPES));
}

const CONTROL_CHARACTERS = new Map([
  ['a', 0x07],
  ['f', 0x0c],
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['v', 0x0b],
]);

/** Reads an escape that stands for one character; `refused` has the reasons for those that do not. */
function parseCharacterEscape(input: Input, refused: Map<string, string>): number {
  const start = input.at;
  take(input, '\\');
  // One digit other than 0 would be a backreference, which RE2 does not have.
  const octal = scan(input, /0[0-7]{0,2}|[1-7][0-7]{1,2}/y);
  if (octal) return parseInt(octal[0], 8);
  if (peek(input) === 'x') return parseHex(input, start);
  const character = takeCharacter(input);
  const control = CONTROL_CHARACTERS.get(character);
  if (control !== undefined) return control;
  if (/^[^A-Za-z0-9\u{80}-\u{10FFFF}]$/u.test(character)) return character.codePointAt(0)!;
  throw badEscape(character, { start, end: input.at }, refused);
}

function parseHex(input: Input, start: number): number {
  const match = scan(input, /x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\})/y);
  const codePoint = match ? parseInt(match[1] ?? match[2]!, 16) : Infinity;
  if (codePoint <= MAX_CODE_POINT) return codePoint;
  throw new PatternError(
    match ? 'pattern has a "\\x" escape over the last character' : 'pattern has a bad "\\x" escape',
    { start, end: match ? input.at : start + 2 },
    match ? 'over 10FFFF' : 'not a character',
    'write two hex digits, "\\x41", or one to six in braces, "\\x{1F600}"',
  );
}

const UNSUPPORTED_ESCAPES = new Map([
  ['C', 'write "." or "(?s:.)": one byte may be only a part of a character'],
  ['E', 'it only closes a "\\Q"; leave it out'],
  ['G', 'write "\\A" for the start of the text'],
  ['H', 'write "[^\\t\\p{Zs}]"'],
  ['K', 'capture the part after it in a named group'],
  ['N', 'write "."'],
  ['R', 'write "\\r?\\n"'],
  ['V', 'write "[^\\n\\v\\f\\r]"'],
  ['X', 'write "\\PM\\pM*"'],
  ['Z', 'write "\\z" for the end of the text, or "\\n?\\z"'],
  ['c', 'write the character as "\\x01"'],
  ['e', 'write "\\x1b"'],
  ['h', 'write "[\\t\\p{Zs}]"'],
  ['u', 'write "\\x{00E9}"'],
]);

const UNSUPPORTED_IN_CLASS = new Map([
  ...UNSUPPORTED_ESCAPES,
  ['A', 'move it out of the class: it matches no character'],
  ['B', 'move it out of the class: it matches no character'],
  ['Q', 'escape each character on its own within a class'],
  ['b', 'write "\\x08" for a backspace; a word boundary is written outside a class'],
  ['z', 'move it out of the class: it matches no character'],
]);

function badEscape(character: string, span: Span, refused: Map<string, string>): PatternError {
  if (character === '') {
    return new PatternError(
      'pattern ends in a "\\"',
      span,
      'escapes nothing',
      'write "\\\\" for the character',
    );
  }
  if (/[1-9gk]/.test(character)) {
    return new PatternError(
      `pattern has a backreference "\\${character}", which RE2 does not have`,
      span,
      'not in RE2',
      'RE2 cannot require the same text twice; match each part on its own',
    );
  }
  const hint = refused.get(character);
  if (hint)
    return new PatternError(
      `pattern has an unsupported escape "\\${character}"`,
      span,
      'not supported',
      hint,
    );
  return new PatternError(
    `pattern has an unknown escape "\\${character}"`,
    span,
    'unknown',
    `write "${character}" for the character`,
  );
}

// Reading.

function peek(input: Input): string {
  return peekAt(input, input.at);
}

function peekAt(input: Input, offset: number): string {
  return input.source[offset] ?? '';
}

function text(input: Input, span: Span): string {
  return input.source.slice(span.start, span.end);
}

function take(input: Input, expected: string): boolean {
  if (!input.source.startsWith(expected, input.at)) return false;
  input.at += expected.length;
  return true;
}

/** Takes what the sticky expression matches here. */
function scan(input: Input, sticky: RegExp): RegExpExecArray | null {
  sticky.lastIndex = input.at;
  const match = sticky.exec(input.source);
  if (match) input.at += match[0].length;
  return match;
}

/** Takes one whole code point; at the end of the source, nothing. */
function takeCharacter(input: Input): string {
  const codePoint = input.source.codePointAt(input.at);
  if (codePoint === undefined) return '';
  const character = String.fromCodePoint(codePoint);
  input.at += character.length;
  return character;
}

function thousands(count: number): string {
  return count.toLocaleString('en-US');
}

// Building. Each of these keeps the meaning and spares the next stage a case.

function concat(items: Pattern[]): Pattern {
  const of = items.flatMap(item => (item.kind === 'concat' ? item.of : item.kind === 'empty' ? [] : [item]));
  if (of.length === 0) return { kind: 'empty' };
  return of.length === 1 ? of[0]! : { kind: 'concat', of };
}

function alternate(branches: Pattern[]): Pattern {
  const of = mergeSets(branches.flatMap(branch => (branch.kind === 'alternate' ? branch.of : [branch])));
  return of.length === 1 ? of[0]! : { kind: 'alternate', of };
}

/** "a|b|c" is "[abc]": of branches that each take one code point, at most one matches, so order does not matter. */
function mergeSets(branches: Pattern[]): Pattern[] {
  const merged: Pattern[] = [];
  let run: CodePoints[] = [];
  for (const branch of [...branches, undefined]) {
    if (branch?.kind === 'set') {
      run.push(branch.set);
      continue;
    }
    if (run.length > 0) merged.push({ kind: 'set', set: union(...run) });
    run = [];
    if (branch) merged.push(branch);
  }
  return merged;
}

function repeatOf(of: Pattern, { min, max, lazy }: Repeat): Pattern {
  if (max === 0) return { kind: 'empty' };
  if (min === 1 && max === 1) return of;
  return { kind: 'repeat', of, min, max, lazy };
}

// Sets. They are shared between nodes and caches, so none is ever changed in place. Some hold surrogates, since
// leaving them out would split many ranges in two; no text contains any.

const MAX_CODE_POINT = 0x10ffff;
const FIRST_SURROGATE = 0xd800;
const SURROGATE_COUNT = 0x800;

const ANY: CodePoints = [0, MAX_CODE_POINT];
const NOT_NEWLINE: CodePoints = negate([0x0a, 0x0a]);

/** A set from its text: pairs of characters. */
function pairs(characters: string): CodePoints {
  return Array.from(characters, character => character.codePointAt(0)!);
}

// "\s" has no "\v" and "[:space:]" has: RE2 follows older versions of Perl 5 here.
const ESCAPED_CLASSES = new Map([
  ['d', pairs('09')],
  ['s', pairs('\t\n\f\r  ')],
  ['w', pairs('09AZ__az')],
]);

const NAMED_CLASSES = new Map([
  ['alnum', pairs('09AZaz')],
  ['alpha', pairs('AZaz')],
  ['ascii', [0x00, 0x7f]],
  ['blank', pairs('\t\t  ')],
  ['cntrl', [0x00, 0x1f, 0x7f, 0x7f]],
  ['digit', pairs('09')],
  ['graph', pairs('!~')],
  ['lower', pairs('az')],
  ['print', pairs(' ~')],
  ['punct', pairs('!/:@[`{~')],
  ['space', pairs('\t\r  ')],
  ['upper', pairs('AZ')],
  ['word', pairs('09AZ__az')],
  ['xdigit', pairs('09AFaf')],
]);

function single(codePoint: number): CodePoints {
  return [codePoint, codePoint];
}

export function negate(set: CodePoints): CodePoints {
  const negated: CodePoints = [];
  let next = 0; // the first code point above the ranges seen so far
  for (let index = 0; index < set.length; index += 2) {
    if (next < set[index]!) negated.push(next, set[index]! - 1);
    next = set[index + 1]! + 1;
  }
  if (next <= MAX_CODE_POINT) negated.push(next, MAX_CODE_POINT);
  return negated;
}

export function union(...sets: CodePoints[]): CodePoints {
  if (sets.length === 1) return sets[0]!;
  const ranges: [low: number, high: number][] = [];
  for (const set of sets) {
    for (let index = 0; index < set.length; index += 2) ranges.push([set[index]!, set[index + 1]!]);
  }
  ranges.sort((left, right) => left[0] - right[0]);
  const merged: CodePoints = [];
  for (const [low, high] of ranges) {
    const last = merged.length - 1;
    if (last >= 0 && low <= merged[last]! + 1) merged[last] = Math.max(merged[last]!, high);
    else merged.push(low, high);
  }
  return merged;
}

// Case folding. An orbit is all that are equal without regard to case: k, K and the Kelvin sign U+212A.

interface Folding {
  codePoints: number[]; // all that are in an orbit of two or more, sorted
  orbits: Map<number, CodePoints>;
}

const foldedSets = new WeakMap<CodePoints, CodePoints>();

function fold(set: CodePoints): CodePoints {
  let folded = foldedSets.get(set);
  if (!folded) foldedSets.set(set, (folded = union(set, ...orbitsWithin(set))));
  return folded;
}

function orbitsWithin(set: CodePoints): CodePoints[] {
  const { codePoints, orbits } = folding(set);
  const found = new Set<CodePoints>();
  for (let index = 0; index < set.length; index += 2) {
    let at = firstNotBelow(codePoints, set[index]!);
    for (; at < codePoints.length && codePoints[at]! <= set[index + 1]!; at++) {
      found.add(orbits.get(codePoints[at]!)!);
    }
  }
  return [...found];
}

function firstNotBelow(sorted: number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

let asciiFolding: Folding | undefined;
let unicodeFolding: Folding | undefined;

/** Most patterns are ASCII, and the table for all of Unicode takes a tenth of a second to make. */
function folding(set: CodePoints): Folding {
  const last = set.at(-1) ?? 0;
  if (last < 0x80)
    return (asciiFolding ??= foldingOf('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\u017f\u212a'));
  return (unicodeFolding ??= foldingOf(
    allCodePoints().replace(/[^\p{Changes_When_Casefolded}\p{Changes_When_Casemapped}]+/gu, ''),
  ));
}

/** With the flags i and u, JavaScript compares by simple case folding, as RE2 does: its matches are the orbits. */
function foldingOf(cased: string): Folding {
  const orbits = new Map<number, CodePoints>();
  for (const character of cased) {
    if (orbits.has(character.codePointAt(0)!)) continue;
    const orbit = Array.from(cased.match(new RegExp(character, 'giu'))!, member => member.codePointAt(0)!);
    const set = union(...orbit.map(single));
    if (orbit.length > 1) for (const member of orbit) orbits.set(member, set);
  }
  return { codePoints: [...orbits.keys()].sort((left, right) => left - right), orbits };
}

// Unicode properties.

const propertySets = new Map<string, CodePoints | undefined>();

function propertySet(name: string): CodePoints | undefined {
  if (!propertySets.has(name)) {
    const matcher = propertyMatcher(name);
    propertySets.set(name, matcher && matchedCodePoints(matcher));
  }
  return propertySets.get(name);
}

const OTHER_PROPERTIES = ['Any', 'Assigned', 'ASCII'];

// RE2 knows scripts by their long names only, and all their codes have four letters. These names have four letters too.
const FOUR_LETTER_SCRIPTS = ['Ahom', 'Cham', 'Kawi', 'Lisu', 'Miao', 'Modi', 'Newa', 'Thai', 'Toto'];

function propertyMatcher(name: string): RegExp | undefined {
  if (!/^[A-Za-z_]+$/.test(name)) return undefined;
  if (OTHER_PROPERTIES.includes(name)) return new RegExp(`\\p{${name}}+`, 'gu');
  const category = tryRegExp(`\\p{General_Category=${name}}+`);
  if (category || (name.length === 4 && !FOUR_LETTER_SCRIPTS.includes(name))) return category;
  return tryRegExp(`\\p{Script=${name}}+`);
}

/** JavaScript has no list of its property names; it only refuses those that it does not know. */
function tryRegExp(source: string): RegExp | undefined {
  try {
    return new RegExp(source, 'gu');
  } catch {
    return undefined;
  }
}

/** One search through all code points takes 40 ms; testing each on its own takes several times as long. */
function matchedCodePoints(matcher: RegExp): CodePoints {
  const set: CodePoints = [];
  for (const match of allCodePoints().matchAll(matcher)) {
    set.push(codePointOfUnit(match.index), codePointOfUnit(match.index + match[0].length - 1));
  }
  return set;
}

let allCodePointsText: string | undefined;

/** All code points in order, without the surrogates: in a text they would combine into other characters. */
function allCodePoints(): string {
  if (allCodePointsText !== undefined) return allCodePointsText;
  const blocks: string[] = [];
  for (let low = 0; low <= MAX_CODE_POINT; low += SURROGATE_COUNT) {
    if (low === FIRST_SURROGATE) continue;
    blocks.push(String.fromCodePoint(...Array.from({ length: SURROGATE_COUNT }, (_, index) => low + index)));
  }
  return (allCodePointsText = blocks.join(''));
}

/** The code point at a UTF-16 offset in the text of all code points. */
function codePointOfUnit(offset: number): number {
  if (offset < FIRST_SURROGATE) return offset;
  const firstPair = 0x10000 - SURROGATE_COUNT;
  if (offset < firstPair) return offset + SURROGATE_COUNT;
  return 0x10000 + Math.floor((offset - firstPair) / 2);
}

/** Whether this node, or one in it, is sought. */
export function some(node: Pattern, isSought: (node: Pattern) => boolean): boolean {
  if (isSought(node)) return true;
  if (node.kind === 'concat' || node.kind === 'alternate') return node.of.some(of => some(of, isSought));
  return (node.kind === 'capture' || node.kind === 'repeat') && some(node.of, isSought);
}

export function hasAssertion(pattern: Pattern): boolean {
  return some(pattern, node => node.kind === 'assert');
}
