// Rules → the tests by which Fluent Bit picks candidates: records that a rule may match.
//
// A line is one Onigmo regex on one field, of `grep` before the module or of rewrite_tag, and a record is a candidate when
// a line matches. The result is an over-approximation: whatever a rule matches, some line matches. It is
// made of required literals, values and nothing that could backtrack. How Fluent Bit sees a field:
// - as the bytes of a string; no regex matches a field that is absent or not a string;
// - before it becomes JSON: there, bytes that are not UTF-8 are U+E000 + byte or U+FFFD, or are gone (5.1.1
//   drops them, some with the byte after them). What can match those characters is no part of a literal. A
//   literal that only appears where bytes are dropped (`err\xffor`) is not seen: README says so.
// - as it folds case: its `(?i:)` takes U+017F for s and U+212A for k, as RE2 does, but not everywhere (`foldsAsOne`).
// Assumes strings that are msgpack strings, as most inputs of Fluent Bit make them: neither grep nor rewrite_tag matches
// the binary values that in_forward may pass on.
//
// Measured in grep of Fluent Bit 5.1.1, µs a record with a line of 110 bytes: the filter itself 0.9, a literal 0.1 (its
// search skips), `\A(?:a|b)\z` of any size 0.1, an alternation of 24 literals 4 to 13, because at most places some
// literal may begin. So the literals that share a line begin where a rare character is (`cutAtRare`): 24 of them 1.5,
// 1,000 of them 2.5; without regard to case 0.3 alone, 6 together. A list in a processor holds 10 values: with more Fluent Bit does not start.
import { bitsOf as bitsOfBytes, discountWords, utf8 } from '../compiler/literals.ts';
import type { Condition, FieldPath, Rule } from '../compiler/model.ts';
import { smallest, sum } from '../compiler/numbers.ts';
import { isPlain } from '../compiler/path.ts';
import type { CodePoints, Pattern } from '../compiler/pattern.ts';
import { literal } from '../compiler/pattern.ts';
import type { Pieces } from '../compiler/required.ts';
import { requiredPieces } from '../compiler/required.ts';

/** One `regex` of grep, or `rule` of rewrite_tag: a record accessor and a regex, neither with a blank in it. */
export interface PrefilterLine {
  accessor: string;
  regex: string;
}

export interface Prefilter {
  lines: PrefilterLine[];
  /** Rules because of which every record with some field is forked. */
  unselective: Array<{ alert: string; fields: FieldPath[] }>;
  /** Rules that can match a record without any string: the lines do not cover them. */
  unseen: string[];
  /** The lines before a module that may also see every record: none where they would cost more than they spare. */
  grep: { lines: PrefilterLine[]; reason: string };
}

/** A literal, or nearly: text positions that each take a few characters. */
interface Run {
  atStart: boolean;
  sets: CodePoints[];
}

/** What a record must have in one field, for a rule to match. */
type Need =
  | { accessor: string; field: FieldPath; kind: 'value'; values: string[] }
  | { accessor: string; field: FieldPath; kind: 'runs'; runs: Run[] }
  | { accessor: string; field: FieldPath; kind: 'string' };

/** Literals of a field that are looked for one by one; more of them share a line. */
const LINES_OF_ONE_MAX = 8;
/** Lines of a grep: two less than a list of a processor holds. One may be the clock's. */
const GREP_LINES_MAX = 8;
/** Bytes of a grep's regexes: what takes long to compile helps nobody. */
const GREP_SIZE_MAX = 64 * 1024;
/** Bytes of a regex: before 3.0 a line of a classic configuration had 4,095. */
const REGEX_SIZE_MAX = 3_500;
/** Bits that a value of a field like the namespace is worth: one record in 64. */
const VALUE_BITS = 6;
/** What is nested is mostly metadata: all lines of a container share it, however rare it looks. */
const NESTED_BITS_MAX = 8;
/** A run with fewer is found in every second line. */
const RUN_BITS_MIN = 6;
/** A line of some hundred bytes has 2⁷ places at which a literal may be by chance; its start is one of them. */
const LINE_BITS = 7;

const RUN_SIZE_MAX = 64;
const RANGE_COUNT_MAX = 4;

export function derivePrefilter(rules: Rule[]): Prefilter {
  const choices = [scoreOf, valuesFirst, literalsFirst].map(score =>
    rules.map(rule => needsOfRule(rule, score)),
  );
  const distinct = new Map(choices.map(needs => [JSON.stringify(needs), needs]));
  const plans = [...distinct.values()].map(needs => planOf(rules, needs));
  return plans.reduce((best, plan) => (costOf(plan) < costOf(best) ? plan : best)).prefilter;
}

interface Plan {
  prefilter: Prefilter;
  /** Without the grep, and with it: µs a record. */
  moduleCost: number;
  grepCost: number;
}

function costOf({ moduleCost, grepCost }: Plan): number {
  return Math.min(moduleCost, grepCost);
}

function planOf(rules: Rule[], needs: Array<Need[] | null>): Plan {
  const unselective = rules.flatMap((rule, i) => {
    const fields = (needs[i] ?? []).flatMap(need => (need.kind === 'string' ? [need.field] : []));
    return fields.length === 0 ? [] : [{ alert: rule.alert, fields }];
  });
  const unseen = rules.flatMap((rule, i) => (needs[i] === null ? [rule.alert] : []));
  const known = needs.flatMap(some => some ?? []);
  const fields = fieldsOf(known);
  const grepLines = linesOf(fields, GREP_SIZE_MAX);
  const moduleCost = MODULE_COST + MODULE_COST_OF_RULE * rules.length;
  const isSelective = unselective.length + unseen.length === 0;
  const share = isSelective ? shareOf(known) : 1;
  const grepCost = GREP_COST + sum(grepLines.map(costOfLine)) + share * moduleCost;
  let reason = '';
  if (unseen.length > 0) reason = `"${unseen[0]}" can match records without a string`;
  else if (unselective.length > 0)
    reason = `"${unselective[0]!.alert}" has no literal and no value to look for`;
  else if (grepLines.length > GREP_LINES_MAX || sizeOf(grepLines) > GREP_SIZE_MAX)
    reason = 'its regexes would be too many';
  else if (grepCost >= moduleCost) reason = 'it would leave out too little for what it costs';
  return {
    prefilter: {
      lines: linesOf(fields, REGEX_SIZE_MAX),
      unselective,
      unseen,
      grep: { lines: reason === '' ? grepLines : [], reason },
    },
    moduleCost,
    grepCost: reason === '' ? grepCost : Infinity,
  };
}

// ── Costs: µs a record, as measured ──

const GREP_COST = 0.9;
const LINE_COST = 0.1;
const FOLDED_LINE_COST = 0.3;
const SHARED_LINE_COST = 1.5;
const SHARED_FOLDED_LINE_COST = 6;
const MODULE_COST = 6;
const MODULE_COST_OF_RULE = 0.006;

function costOfLine({ regex }: PrefilterLine): number {
  const isFolded = regex.includes(FOLDED) || /\[[A-Z][a-z]/.test(regex);
  const isShared = regex.includes('|') && !regex.startsWith('\\A');
  if (isShared) return isFolded ? SHARED_FOLDED_LINE_COST : SHARED_LINE_COST;
  return isFolded ? FOLDED_LINE_COST : LINE_COST;
}

/** What a value of the metadata, which all records of some container have, chooses: nobody knows it beforehand. */
const METADATA_SHARE = 1 / 32;

/** The part of all records that the needs choose, if the rules match nothing. */
function shareOf(needs: Need[]): number {
  const distinct = new Map<string, number>();
  for (const need of needs) {
    const least = need.field.length > 1 ? METADATA_SHARE : 0;
    if (need.kind === 'value')
      for (const value of need.values)
        distinct.set(`${need.accessor} ${value}`, Math.max(least, 2 ** -VALUE_BITS));
    if (need.kind === 'runs')
      for (const run of need.runs)
        distinct.set(
          `${need.accessor} ${positionsOf(run).join('')}`,
          Math.max(least, 2 ** -bitsOfRunIn(need.field, run)),
        );
  }
  return Math.min(1, sum([...distinct.values()]));
}

function sizeOf(lines: PrefilterLine[]): number {
  return sum(lines.map(({ regex }) => Buffer.byteLength(regex)));
}

// ── Conditions → needs ──

type Score = (needs: Need[]) => number;

/** Needs of which every record that takes part in the rule must meet one; null when there are none. */
function needsOfRule(rule: Rule, score: Score): Need[] | null {
  return anyOf(rule.steps.map(step => needsOf(step, score)));
}

function needsOf(condition: Condition, score: Score): Need[] | null {
  switch (condition.kind) {
    case 'not':
      return null;
    case 'all':
      return condition.of
        .map(child => needsOf(child, score))
        .reduce(
          (best, needs) => (needs !== null && (best === null || score(needs) > score(best)) ? needs : best),
          null,
        );
    case 'any':
      return anyOf(condition.of.map(child => needsOf(child, score)));
    case 'test': {
      const accessor = accessorOf(condition.field);
      const need = accessor === null ? null : needOfTest(condition, accessor);
      return need && [need];
    }
  }
}

function anyOf(options: Array<Need[] | null>): Need[] | null {
  return options.every(needs => needs !== null) ? options.flat() : null;
}

function needOfTest(test: Extract<Condition, { kind: 'test' }>, accessor: string): Need | null {
  const { field } = test;
  switch (test.op) {
    case 'eq':
    case 'in': {
      const values = test.op === 'eq' ? [test.value] : test.values;
      const texts = values.flatMap(value => (value.type === 'string' ? [value.value] : []));
      if (texts.length < values.length) return null;
      if (test.ignoreCase) return needOfRuns(accessor, field, runsOfTexts(texts, true, true));
      return texts.every(isSafe)
        ? { accessor, field, kind: 'value', values: texts }
        : { accessor, field, kind: 'string' };
    }
    case 'startsWith':
    case 'contains':
    case 'endsWith':
      return needOfRuns(
        accessor,
        field,
        runsOfTexts(test.texts, test.op === 'startsWith', test.ignoreCase === true),
      );
    case 'regex':
      return needOfRuns(accessor, field, requiredRuns(test.pattern));
    default:
      return null;
  }
}

function needOfRuns(accessor: string, field: FieldPath, runs: Run[] | null): Need {
  return runs === null ? { accessor, field, kind: 'string' } : { accessor, field, kind: 'runs', runs };
}

/** The field as rewrite_tag names it, or null when its record accessor has no way to say it. */
export function accessorOf(path: FieldPath): string | null {
  if (!isPlain(path)) return null;
  const [first, ...rest] = path;
  if (typeof first !== 'string' || !/^[_A-Za-z][\w/-]*$/.test(first) || first.startsWith('TAG')) return null;
  let accessor = `$${first}`;
  for (const step of rest) {
    if (typeof step === 'string' && !/^[\w./@:-]+$/.test(step)) return null;
    accessor += typeof step === 'string' ? `['${step}']` : `[${step}]`;
  }
  return accessor;
}

/** How well needs choose: the bits of the poorest, and each further need costs. */
function scoreOf(needs: Need[]): number {
  const bits = needs.flatMap(need => {
    if (need.kind === 'runs') return need.runs.map(run => bitsOfRunIn(need.field, run));
    return need.kind === 'value' ? need.values.map(() => VALUE_BITS) : [0];
  });
  return smallest(bits) - Math.log2(bits.length);
}

function bitsOfRunIn(field: FieldPath, run: Run): number {
  const bits = Math.max(0.1, bitsOf(run) - LINE_BITS);
  return field.length > 1 ? Math.min(NESTED_BITS_MAX, bits) : bits;
}

function valuesFirst(needs: Need[]): number {
  return scoreOf(needs) + (needs.every(need => need.kind === 'value') ? 1_000 : 0);
}

function literalsFirst(needs: Need[]): number {
  return scoreOf(needs) + (needs.every(need => need.kind === 'runs') ? 1_000 : 0);
}

// ── Patterns → runs ──

const EMPTY: Run = { atStart: false, sets: [] };

const RUNS: Pieces<Run> = {
  empty: EMPTY,
  ofSet: set => (isPart(set) ? [{ atStart: false, sets: [set] }] : null),
  ofAssertion: at => (at === 'textStart' ? { atStart: true, sets: [] } : EMPTY),
  join: joinRuns,
  distinct: runs => runs, // `linesOf` finds equal ones
  usable: usableRuns,
  selectivity: runs => smallest(runs.map(bitsOf)) - 2 * Math.log2(runs.length),
};

function requiredRuns(pattern: Pattern): Run[] | null {
  return requiredPieces(pattern, RUNS);
}

/** May a set of characters be a position of a run? Not when Fluent Bit's JSON makes such characters from other bytes. */
function isPart(set: CodePoints): boolean {
  if (set.length === 0 || set.length > 2 * RANGE_COUNT_MAX) return false;
  return !overlaps(set, 0xe000, 0xe0ff) && !overlaps(set, 0xfffd, 0xfffd) && !overlaps(set, 0xd800, 0xdfff);
}

function overlaps(set: CodePoints, low: number, high: number): boolean {
  for (let i = 0; i < set.length; i += 2) if (set[i]! <= high && set[i + 1]! >= low) return true;
  return false;
}

function isSafe(text: string): boolean {
  return !/[\ue000-\ue0ff\ufffd]|\p{Surrogate}/u.test(text);
}

/** Runs of which one is in every text that has one of these; null when one of these has none. */
function runsOfTexts(texts: string[], atStart: boolean, ignoreCase: boolean): Run[] | null {
  const start: Pattern[] = atStart ? [{ kind: 'assert', at: 'textStart' }] : [];
  const runs = texts.map(text => requiredRuns({ kind: 'concat', of: [...start, literal(text, ignoreCase)] }));
  return runs.every(some => some !== null) ? runs.flat() : null;
}

function joinRuns(a: Run, b: Run): Run | null {
  if (a.sets.length + b.sets.length > RUN_SIZE_MAX || foldsAsOne(a.sets.at(-1), b.sets[0])) return null;
  return { atStart: a.atStart || (b.atStart && a.sets.length === 0), sets: [...a.sets, ...b.sets] };
}

/**
 * Onigmo folds some sequences as one: ss is also ß, st is also ﬆ. Where such a sequence is a string of its own it
 * does not find all that its letters fold to one by one: `(?i:ss\x20k)` misses "ſſ k". Those of s are the ones
 * whose letters have a third form (ſ), so that a literal ends between them. The others (ff, fi, fl, ffi, ffl, and
 * letters before a combining mark) have two forms a letter, and Onigmo finds them all; a test asks Fluent Bit.
 */
function foldsAsOne(first: CodePoints | undefined, second: CodePoints | undefined): boolean {
  if (first === undefined || second === undefined) return false;
  const isFolded = letterOf(first) !== null || letterOf(second) !== null;
  return isFolded && /^s[st]$/.test(baseOf(first) + baseOf(second));
}

/** The letter that a position takes, in one case or in both; empty when it is something else. */
function baseOf(set: CodePoints): string {
  return (
    letterOf(set) ??
    (set.length === 2 && set[0] === set[1] ? String.fromCodePoint(set[0]!).toLowerCase() : '')
  );
}

function usableRuns(runs: Run[]): Run[] | null {
  const trimmed = runs.map(trim);
  return trimmed.every(run => bitsOf(run) >= RUN_BITS_MIN) ? trimmed : null;
}

/** Without positions at either end that exclude almost nothing: a literal that begins and ends with characters is found fastest. */
function trim({ atStart, sets }: Run): Run {
  let start = 0;
  let end = sets.length;
  while (!atStart && start < end && bitsOfSet(sets[start]!) < 2) start++;
  while (start < end && bitsOfSet(sets[end - 1]!) < 2) end--;
  return { atStart, sets: sets.slice(start, end) };
}

function bitsOf({ atStart, sets }: Run): number {
  const text = sets
    .map(set => (set[0]! < 0x80 && set.length <= 4 ? String.fromCodePoint(set[0]!) : '\u{80}'))
    .join('');
  return sum(discountWords(text, sets.map(bitsOfSet))) + (atStart && sets.length > 0 ? LINE_BITS : 0);
}

const SET_SIZE_MAX = 128; // a larger one is taken to say nothing
const KNOWN_BITS = new Map<string, number>();

function bitsOfSet(set: CodePoints): number {
  const key = set.join();
  const known = KNOWN_BITS.get(key);
  if (known !== undefined) return known;
  let share = 0;
  let count = 0;
  for (let i = 0; i < set.length && count <= SET_SIZE_MAX; i += 2) {
    for (let code = set[i]!; code <= set[i + 1]! && count++ <= SET_SIZE_MAX; code++) {
      share += 2 ** -Math.min(12, sum(bitsOfBytes(utf8(String.fromCodePoint(code)))));
    }
  }
  const bits = count > SET_SIZE_MAX ? 0 : Math.max(0, -Math.log2(share));
  KNOWN_BITS.set(key, bits);
  return bits;
}

// ── Needs → lines ──

interface FieldNeeds {
  anyString: boolean;
  values: Set<string>; // as regexes
  starts: Map<string, Run>; // by their positions: runs that fold other letters of one text may have the same regex
  free: Map<string, Run>;
  /** As `cutAtRare` makes them of `free`. */
  cut?: string[][];
}

function fieldsOf(needs: Need[]): Map<string, FieldNeeds> {
  const fields = new Map<string, FieldNeeds>();
  for (const need of needs) {
    const own = fields.get(need.accessor) ?? {
      anyString: false,
      values: new Set(),
      starts: new Map(),
      free: new Map(),
    };
    fields.set(need.accessor, own);
    if (need.kind === 'string') own.anyString = true;
    else if (need.kind === 'value')
      for (const value of need.values) own.values.add(positionsOf(runOf(value)).join(''));
    else
      for (const run of need.runs)
        (run.atStart ? own.starts : own.free).set(positionsOf(run).join('\n'), run);
  }
  for (const own of fields.values()) own.free = withoutLonger(own.free);
  return fields;
}

/** `size` is the most bytes of a regex. */
function linesOf(fields: Map<string, FieldNeeds>, size: number): PrefilterLine[] {
  const lines = (ofOneMax: number) =>
    [...fields].flatMap(([accessor, own]) =>
      regexesOf(own, ofOneMax, size).map(regex => ({ accessor, regex })),
    );
  const single = lines(LINES_OF_ONE_MAX);
  return single.length <= GREP_LINES_MAX ? single : lines(1);
}

/** The cheapest first: a record that one line matches is not tested with the next. */
function regexesOf(own: FieldNeeds, ofOneMax: number, size: number): string[] {
  const { anyString, values, starts, free } = own;
  if (anyString) return ['\\A'];
  return [
    ...alternations([...values].sort(), '\\A', '\\z', size),
    ...alternations(regexesOfAll(starts).sort(), '\\A', '', size),
    ...(free.size <= ofOneMax
      ? regexesOfAll(free)
      : tries((own.cut ??= cutAtRare([...free.values()])), size)),
  ];
}

/** Bits that a literal keeps when its beginning is cut off. */
const CUT_BITS_MIN = 24;
const CUT_COUNT_MAX = 5_000;

/**
 * The literals without their beginnings, so that few and rare characters begin them all: where none of these is, Onigmo
 * skips. Which characters: again and again the one that begins the most literals for how often it is in a text.
 */
function cutAtRare(runs: Run[]): string[][] {
  const texts = runs.map(run => ({ run, positions: positionsOf(run) }));
  if (runs.length > CUT_COUNT_MAX) return texts.map(({ positions }) => positions);
  const places = texts.map(({ run }) => Array.from({ length: lastCut(run) + 1 }, (_, i) => i));
  const shares = new Map<string, number>();
  for (const { run, positions } of texts)
    positions.forEach((position, i) => shares.set(position, 2 ** -bitsOfSet(run.sets[i]!)));
  const chosen = new Set<string>();
  for (let open = texts.map((_, i) => i); open.length > 0;) {
    const counts = new Map<string, number>();
    for (const i of open)
      for (const position of new Set(places[i]!.map(place => texts[i]!.positions[place]!)))
        counts.set(position, (counts.get(position) ?? 0) + 1);
    let best: string | undefined;
    let most = -1;
    for (const [position, count] of counts) {
      const worth = count / shares.get(position)!;
      if (worth > most) [best, most] = [position, worth];
    }
    chosen.add(best!);
    open = open.filter(i => !places[i]!.some(place => chosen.has(texts[i]!.positions[place]!)));
  }
  return texts.map(({ positions }, i) =>
    positions.slice(places[i]!.find(place => chosen.has(positions[place]!))),
  );
}

/** The last place at which a literal may begin: what follows has enough bits, and the less the later. */
function lastCut({ sets }: Run): number {
  let [low, high] = [0, sets.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (bitsOf({ atStart: false, sets: sets.slice(middle) }) >= CUT_BITS_MIN) low = middle;
    else high = middle - 1;
  }
  return low;
}

function regexesOfAll(runs: Map<string, Run>): string[] {
  return [...new Set([...runs.values()].map(run => regexOf(positionsOf(run))))];
}

/** Leaves out literals that contain another one: the same positions match no more texts than that one. */
function withoutLonger(free: Map<string, Run>): Map<string, Run> {
  const texts = [...free.keys()].map(positions => `\n${positions}\n`);
  return new Map(
    [...free].filter(
      (_, i) =>
        !texts.some((text, j) => j !== i && text.length < texts[i]!.length && texts[i]!.includes(text)),
    ),
  );
}

function alternations(regexes: string[], before: string, after: string, size: number): string[] {
  return inLines(regexes, size, regex => Buffer.byteLength(regex) + 1).map(line =>
    line.length === 1 && after === '' ? before + line[0]! : `${before}(?:${line.join('|')})${after}`,
  );
}

function tries(runs: string[][], size: number): string[] {
  const sorted = runs
    .map(positions => positions.map(withoutFold))
    .sort((a, b) => (a.join('') < b.join('') ? -1 : 1));
  return inLines(sorted, size, positions => Buffer.byteLength(positions.join('')) + 6).map(trie);
}

/** Among others a class of both cases costs a fifth of `(?i:)`, whose letters Onigmo does not skip to. */
function withoutFold(position: string): string {
  if (!position.startsWith(FOLDED)) return position;
  const letter = position.slice(FOLDED.length, -1);
  return `[${letter.toUpperCase()}${letter}${MORE_FORMS[letter] ?? ''}]`;
}

/** Texts that begin alike share their beginning. One that is the beginning of another makes the other unnecessary. */
function trie(runs: string[][]): string {
  const branches = new Map<string, string[][]>();
  for (const [first, ...rest] of runs) {
    if (first === undefined) return '';
    branches.set(first, [...(branches.get(first) ?? []), rest]);
  }
  const parts = [...branches].map(([first, rests]) => first + trie(rests));
  return parts.length === 1 ? parts[0]! : `(?:${parts.join('|')})`;
}

function inLines<T>(items: T[], sizeMax: number, sizeOf: (item: T) => number): T[][] {
  const lines: T[][] = [];
  let size = Infinity;
  for (const item of items) {
    size += sizeOf(item);
    if (size > sizeMax) {
      lines.push([]);
      size = sizeOf(item);
    }
    lines.at(-1)!.push(item);
  }
  return lines;
}

// ── Runs → Onigmo ──

const FOLDED = '(?i:';
/** Of k and s, which RE2 folds to them. */
const MORE_FORMS: Record<string, string> = { k: '\\x{212a}', s: '\\x{17f}' };

function runOf(text: string): Run {
  return {
    atStart: false,
    sets: Array.from(text, character => [character.codePointAt(0)!, character.codePointAt(0)!]),
  };
}

/** The regex of a run’s positions, without its anchor. If one letter may have either case, all may: that keeps the search fast. */
function regexOf(positions: string[]): string {
  if (!positions.some(position => position.startsWith(FOLDED))) return positions.join('');
  return `${FOLDED}${positions.map(position => (position.startsWith(FOLDED) ? position.slice(FOLDED.length, -1) : position)).join('')})`;
}

function positionsOf({ sets }: Run): string[] {
  return sets.map(set => {
    if (set.length === 2 && set[0] === set[1]) return escape(set[0]!, false);
    const letter = letterOf(set);
    return letter === null ? classOf(set) : `${FOLDED}${letter})`;
  });
}

/** The letter of which a set has both cases, as `(?i)` makes it: with U+212A for k, and U+017F for s. */
function letterOf(set: CodePoints): string | null {
  const letter = String.fromCodePoint(set[0]!).toLowerCase();
  const both = [...new Set([...letter.toUpperCase(), letter])].map(character => character.codePointAt(0)!);
  const more = letter === 'k' ? [0x212a] : letter === 's' ? [0x17f] : [];
  const expected = [...both, ...more].flatMap(code => [code, code]);
  return /^[a-z]$/.test(letter) && expected.join() === set.join() ? letter : null;
}

function classOf(set: CodePoints): string {
  let text = '';
  for (let i = 0; i < set.length; i += 2) {
    const [low, high] = [set[i]!, set[i + 1]!];
    text += escape(low, true);
    if (high > low) text += (high > low + 1 ? '-' : '') + escape(high, true);
  }
  return `[${text}]`;
}

const PLAIN = /[A-Za-z0-9_,:;<>=!%~'@]/;
const ESCAPABLE = /[.*+?()|[\]^\\/]/;

/** Writes no blank (it ends a token of the rule), no quotation mark (it begins one), no `$` (a variable), `#` or brace. */
function escape(code: number, inClass: boolean): string {
  const character = String.fromCodePoint(code);
  if (code < 0x80) {
    if (PLAIN.test(character) || (character === '-' && !inClass)) return character;
    return ESCAPABLE.test(character) ? `\\${character}` : `\\x${code.toString(16).padStart(2, '0')}`;
  }
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(character) ? character : `\\x{${code.toString(16)}}`;
}
