// `earshot explain`: for each record and rule, the tests in the order in which the matcher makes them, up to
// the one that decided. The results come from the module itself, atom by atom.
import * as layout from '../../assembly/layout.ts';
import type { CompiledRuleset } from '../compiler/compile.ts';
import type { Span } from '../error.ts';
import { UserError, formatProblem, nearest, quote } from '../error.ts';
import type { Doors } from '../matcher.ts';
import { openDoors } from '../matcher.ts';
import type { Decision, TestCondition } from '../compiler/compiled.ts';
import { formatDecimal, parseDecimal } from '../compiler/decimal.ts';
import { formatFieldPath } from '../compiler/field.ts';
import type { FieldPath, Rule } from '../compiler/model.ts';
import { captureOf, isList, isText } from '../compiler/path.ts';
import { Lines, isBlank, openFile } from '../source/file.ts';
import type { Line } from '../source/file.ts';
import type { Io } from './command.ts';
import { readArguments, rulesAndLogs, usage } from './command.ts';
import { openPrinter } from './printer.ts';
import type { RulesFile } from './rules-file.ts';
import { bakeModule, readRulesFile, requireRuleset } from './rules-file.ts';
import { textRecord } from './text.ts';

export function help(): string {
  return `Usage: earshot explain [OPTION…] RULES [FILE]
       earshot explain [OPTION…] --rules RULES… [FILE]

Shows for each record of FILE ("-", or none: standard input) and each rule which test decided, and where the
texts matched. Tests are asked cheapest first; what the earlier ones settle is not asked. Of a sequence each step is
shown. What a rule counts or suppresses over several records (threshold, realert, which steps came before) is not
looked at, only named.

  --rules RULES  a rules file, or a folder of them; may be given several times
  --only RULE    this rule only
  --misses       only the records that no rule is met by, each with the nearest miss: of the rule that came
                 furthest, the test that failed last
  --text         lines are plain text, not JSON: a line is the field "log"
`;
}

const OPTIONS = {
  rules: { type: 'string', multiple: true },
  only: { type: 'string' },
  rule: { type: 'string' }, // the same, as it was called before
  misses: { type: 'boolean' },
  text: { type: 'boolean' },
} as const;

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const [paths, [log = '-', ...more]] = rulesAndLogs(values.rules, positionals);
  if (paths.length === 0 || more.length > 0) throw usage('explain takes a rules file and one log file');
  const only = values.only ?? values.rule;
  const rules = await readRulesFile(...paths);
  const ruleset = requireRuleset(rules, io);
  const names = only === undefined ? null : requireRule(only, rules.file.rules);
  const module = await WebAssembly.compile((await bakeModule(ruleset)) as BufferSource);
  const doors = await openDoors(module);
  const explainer = { rules, ruleset, names, doors, missesOnly: values.misses };

  const file = await openFile(log, io.stdin);
  const printer = openPrinter(io.stdout);
  const lines = new Lines(layout.RECORD_SIZE_MAX);
  const explain = async ({ bytes, number }: Line) => {
    if (bytes !== null && isBlank(bytes)) return;
    const record = bytes !== null && values.text ? textRecord(bytes) : bytes;
    const text = explainRecord(explainer, record);
    if (text !== '') await printer.print(`${file.name}:${number}\n${text}\n`);
  };
  try {
    for await (const chunk of file.chunks) {
      for (const line of lines.push(chunk)) {
        await explain(line);
        if (printer.isClosed()) return 0;
      }
      await printer.flush();
    }
    for (const line of lines.end()) await explain(line);
    await printer.flush();
  } finally {
    file.close();
  }
  return 0;
}

function requireRule(name: string, rules: Rule[]): string {
  const names = rules.map(rule => rule.alert);
  if (names.includes(name)) return name;
  const near = nearest(name, names);
  throw new UserError(
    `there is no rule ${quote(name)}${near === undefined ? '' : `; did you mean ${quote(near)}?`}`,
    2,
  );
}

export interface Explainer {
  rules: RulesFile;
  ruleset: CompiledRuleset;
  /** The rule asked for, or null for all. */
  names: string | null;
  /** Only records that no rule is met by, each with its nearest miss. */
  missesOnly?: boolean;
  doors: Doors;
}

function explainRecord(explainer: Explainer, bytes: Uint8Array | null): string {
  const { ruleset, rules, names, doors, missesOnly } = explainer;
  const refusal = examine(doors, bytes);
  if (bytes === null || refusal !== null) return `  ${refusal}\n`;
  const record = parse(bytes);
  const answers = ruleset.compiled.steps
    .map((step, index) => ({ step, index, rule: rules.file.rules[step.rule]! }))
    .filter(({ rule }) => names === null || rule.alert === names)
    .map(({ step, index, rule }) => ({ step, rule, ...ask(explainer, index) }));
  const nameOf = ({ step, rule }: (typeof answers)[number]) => nameOfStep(rule, step.ordinal);
  const nearest = answers.some(({ isMet }) => isMet) ? undefined : nearestMiss(answers);
  if (missesOnly) {
    if (nearest === undefined) return '';
    const { asked } = nearest;
    const place = `${asked.length - 1} of ${plural(testCount(nearest.step), 'test')} passed`;
    return `  nearest: ${nameOf(nearest)}, ${place}\n${showAnswer(explainer, asked.at(-1)!, record)}`;
  }
  const shown = answers.map(answer => {
    const outcome = answer.isMet ? `met${countedBy(rules, answer.rule)}` : 'not met';
    return `  ${nameOf(answer)}: ${outcome}\n${answer.asked.map(one => showAnswer(explainer, one, record)).join('')}`;
  });
  if (nearest && answers.length > 1) shown.push(`  no rule is met; the nearest is ${nameOf(nearest)}\n`);
  return shown.join('');
}

/** Of the answers that are no, the one with the most tests passed before the one that failed last; the first of equals. */
export function nearestMiss<T extends { isMet: boolean; asked: Answer[] }>(answers: T[]): T | undefined {
  let nearest: T | undefined;
  for (const answer of answers)
    if (!answer.isMet && (nearest === undefined || answer.asked.length > nearest.asked.length))
      nearest = answer;
  return nearest;
}

function testCount({ code }: { code: Decision[] }): number {
  return new Set(code.map(({ test }) => test.span.start)).size;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Reads a record for `ask`; returns what is wrong with it, or null. */
export function examine(doors: Doors, bytes: Uint8Array | null): string | null {
  const block = bytes === null ? 0 : doors.malloc(bytes.length);
  if (bytes === null || block === 0) return `too long: ${layout.RECORD_SIZE_MAX} bytes are allowed`;
  new Uint8Array(doors.memory.buffer).set(bytes, block);
  return doors.examine(block, bytes.length) === 0 ? null : 'not a JSON object';
}

/** One match is not an alert of such a rule: what it counts by, as it is written. */
function countedBy({ source }: RulesFile, rule: Rule): string {
  for (const [key, value] of Object.entries(rule)) {
    const span = COUNTING_KEYS.includes(key) ? (value as { span?: Span } | undefined)?.span : undefined;
    if (span === undefined) continue;
    const written = source.slice(span.start, span.end).replace(/\s+/g, ' ');
    return key === 'sequence' ? ', as a step of its sequence' : `, counted by ${key}: ${written}`;
  }
  return '';
}

const COUNTING_KEYS = ['threshold', 'ratio', 'sequence', 'firstSeen', 'absence'];

/** `Job hangs, step 2 of 3 (unless)`: a step that must not be met is met by what takes the sequence back. */
function nameOfStep({ alert, steps, sequence, ratio }: Rule, ordinal: number): string {
  if (ratio) return `${alert}, ${ordinal === layout.RATIO_PART ? 'with' : 'without'} "of"`;
  if (steps.length === 1) return alert;
  const count = sequence?.counts?.[ordinal] ?? 1;
  const note = count === 0 ? ' (unless)' : count > 1 ? ` (${count} times)` : '';
  return `${alert}, step ${ordinal + 1} of ${steps.length}${note}`;
}

/** The core has read it: this is for showing values only. */
export function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return {};
  }
}

/** The last decision of a test, and whether the test holds. */
export interface Answer extends Decision {
  isTrue: boolean;
}

/** Walks a step's decision graph. A test may be several decisions in a row: the last one settles it. */
export function ask({ ruleset, doors }: Explainer, step: number): { isMet: boolean; asked: Answer[] } {
  const { code } = ruleset.compiled.steps[step]!;
  const asked: Answer[] = [];
  let at = 0;
  while (at < layout.CODE_FAIL) {
    const decision = code[at]!;
    const holds = Boolean(doors.testAtom(decision.atom));
    if (isSame(asked.at(-1)?.test.span, decision.test.span)) asked.pop();
    asked.push({ ...decision, isTrue: holds !== decision.isInverted });
    at = holds ? decision.onTrue : decision.onFalse;
  }
  return { isMet: at === layout.CODE_MATCH, asked };
}

/** Tests of one span are one test of the file: a "containsAll" is several. */
function isSame(a: Span | undefined, b: Span): boolean {
  return a !== undefined && a.start === b.start && a.end === b.end;
}

export function showAnswer({ rules, doors }: Explainer, answer: Answer, record: unknown): string {
  const { test, isNegated, atom, isTrue } = answer;
  const written = rules.source.slice(test.span.start, test.span.end).replace(/\s+/g, ' ');
  const span = narrowed(spanOf(doors, atom), test);
  const isMet = isTrue !== isNegated;
  const missing = 'ofAll' in test ? `without ${quote(test.texts[0]!)}, ` : '';
  const isShown = test.op === 'active' || !(isMet || isTrue);
  const found =
    test.op === 'active' ? timeIn(test.timezone, doors.examinedTime()) : valueAt(record, test, span);
  const value = isShown ? `  ${missing}it is ${found}` : '';
  const line = `    ${isMet ? 'yes' : 'no '} ${isNegated ? 'not: ' : ''}${written}${value}\n`;
  return isTrue && span && span.end > span.start ? line + underline(span).join('') : line;
}

interface MatchedSpan {
  text: string;
  start: number;
  end: number;
}

/** What an atom found in its field's text; null when the field is not a string. */
function spanOf(doors: Doors, atom: number): MatchedSpan | null {
  if (!doors.spanOf(atom)) return null;
  const at = doors.spanText();
  const bytes = Buffer.from(doors.memory.buffer, at, doors.spanTextSize());
  // Offsets count bytes in the module and UTF-16 units here.
  const offset = (address: number) => bytes.subarray(0, address - at).toString().length;
  return { text: bytes.toString(), start: offset(doors.spanStart()), end: offset(doors.spanEnd()) };
}

/** Where one of the texts is; the module says of a list only that one is there. */
function narrowed(span: MatchedSpan | null, test: TestCondition): MatchedSpan | null {
  if (span === null || !('texts' in test) || span.end === span.start) return span;
  const texts = test.texts
    .toSorted((a, b) => b.length - a.length)
    .map(text => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  const start = test.op === 'startsWith' ? '^' : '';
  const end = test.op === 'endsWith' ? '$' : '';
  const found = new RegExp(`${start}(?:${texts.join('|')})${end}`, test.ignoreCase ? 'iu' : 'u').exec(
    span.text,
  );
  return found === null ? span : { ...span, start: found.index, end: found.index + found[0].length };
}

/** The text with carets, as for a mistake in a pattern. */
function underline({ text, start, end }: MatchedSpan): string[] {
  const pattern = { source: text, span: { start, end }, note: '' };
  const whole = formatProblem(
    { severity: 'error', message: '', span: { start: 0, end: 0 }, pattern },
    '',
    '',
  );
  return whole
    .split('\n')
    .slice(-2)
    .map(line => `      ${line}\n`);
}

/** Why a text does not meet a test of numbers. */
function noteOn(text: string, test: TestCondition): string {
  const number = JSON_NUMBER.test(text) ? parseDecimal(text) : null;
  if (test.op === 'gt' || test.op === 'gte' || test.op === 'lt' || test.op === 'lte')
    return number === null ? ', no number' : '';
  if (number === null || isText(test.field) || (test.op !== 'eq' && test.op !== 'in')) return '';
  const written = formatDecimal(number);
  const values = test.op === 'eq' ? [test.value] : test.values;
  const isMeant = values.some(value => value.type === 'number' && value.value === written);
  return isMeant ? ', a string: "eq" and "in" compare the type, too' : '';
}

const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/;

/** The value as a person reads it; the text of a string as the matcher reads it. */
function valueAt(record: unknown, test: TestCondition, span: MatchedSpan | null): string {
  if (isList(test.field)) return span === null ? 'an empty list' : 'a list in which no value meets it';
  if (isText(test.field)) return span === null ? `missing${whyMissing(test)}` : showText(span.text, test);
  let value: unknown = record;
  for (const [index, step] of test.field.entries()) {
    if (typeof step === 'object') {
      if (typeof value === 'string') value = parseText(value);
      if (value === undefined)
        return `missing: ${quote(formatFieldPath(test.field.slice(0, index)))} holds no JSON`;
      continue;
    }
    if (typeof value === 'string')
      return `missing${holdsJson(value) ? jsonNote(test.field.slice(0, index)) : ''}`;
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return 'missing';
    value = (value as Record<string | number, unknown>)[step];
  }
  if (typeof value === 'string') return showText(span?.text ?? value, test);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return value === null ? 'null' : `the ${typeof value} ${value}`;
}

/** As `active` sees it. */
function timeIn(timeZone: string, ms: number): string {
  if (ms === 0) return 'not known: the record does not say its time';
  const form = { timeZone, weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
  return `${new Intl.DateTimeFormat('en-GB', form).format(ms)} in ${timeZone}`;
}

function showText(text: string, test: TestCondition): string {
  return quote(text).replaceAll('\n', '␊') + noteOn(text, test);
}

function whyMissing({ field }: TestCondition): string {
  return captureOf(field) ? ': its pattern is not found, or the group has no part in what is found' : '';
}

/** The record has the fields, but as text. */
function holdsJson(text: string): boolean {
  return parseText(text) !== undefined;
}

/** The object or array that the text is. */
function parseText(text: string): unknown {
  if (!/^\s*[{[]/.test(text)) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function jsonNote(path: FieldPath): string {
  const name = quote(formatFieldPath(path));
  return `: ${name} is a string that holds JSON; write parse: {${formatFieldPath(path)}: json} in the rule`;
}
