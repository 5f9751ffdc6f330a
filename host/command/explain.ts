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
import { Lines, isBlank, openFile } from '../source/file.ts';
import type { Io } from './command.ts';
import { readArguments, usage } from './command.ts';
import type { RulesFile } from './rules-file.ts';
import { bakeModule, readRulesFile, requireRuleset } from './rules-file.ts';

export function help(): string {
  return `Usage: earshot explain [OPTION…] rules.yaml [FILE]

Shows for each record of FILE ("-", or none: standard input) and each rule which test decided, and where the
texts matched. Tests are asked cheapest first; what the earlier ones settle is not asked. What a
rule counts or suppresses over several records (threshold, realert) is not looked at.

  --rule NAME   this rule only
`;
}

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, { rule: { type: 'string' } });
  const [path, log = '-', ...more] = positionals;
  if (path === undefined || more.length > 0) throw usage('explain takes a rules file and one log file');
  const rules = await readRulesFile(path);
  const ruleset = requireRuleset(rules, io);
  const names = values.rule === undefined ? null : requireRule(values.rule, rules.file.rules);
  const module = await WebAssembly.compile((await bakeModule(ruleset)) as BufferSource);
  const doors = await openDoors(module);
  const explainer = { rules, ruleset, names, doors };

  const file = await openFile(log, io.stdin);
  const lines = new Lines(layout.RECORD_SIZE_MAX);
  const explain = (bytes: Uint8Array | null, number: number) => {
    if (bytes === null || !isBlank(bytes))
      io.stdout.write(`${file.name}:${number}\n${explainRecord(explainer, bytes)}\n`);
  };
  for await (const chunk of file.chunks) {
    for (const { bytes, number } of lines.push(chunk)) explain(bytes, number);
    if (io.stdout.destroyed) return 0;
  }
  for (const { bytes, number } of lines.end()) explain(bytes, number);
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

interface Explainer {
  rules: RulesFile;
  ruleset: CompiledRuleset;
  /** The rule asked for, or null for all. */
  names: string | null;
  doors: Doors;
}

function explainRecord(explainer: Explainer, bytes: Uint8Array | null): string {
  const { ruleset, rules, names, doors } = explainer;
  const block = bytes === null ? 0 : doors.malloc(bytes.length);
  if (bytes === null || block === 0) return `  too long: ${layout.RECORD_SIZE_MAX} bytes are allowed\n`;
  new Uint8Array(doors.memory.buffer).set(bytes, block);
  if (doors.examine(block, bytes.length) !== 0) return '  not a JSON object\n';
  const record = parse(bytes);
  return ruleset.compiled.steps
    .map((step, index) => ({ step, index, rule: rules.file.rules[step.rule]! }))
    .filter(({ rule }) => names === null || rule.alert === names)
    .map(({ step, index, rule }) => {
      const answers = ask(explainer, index);
      const name = nameOf(rule, step.ordinal);
      return `  ${name}: ${answers.isMet ? 'met' : 'not met'}\n${answers.asked.map(answer => showAnswer(explainer, answer, record)).join('')}`;
    })
    .join('');
}

function nameOf({ alert, steps, ratio }: Rule, ordinal: number): string {
  if (ratio) return `${alert}, ${ordinal === layout.RATIO_PART ? 'with' : 'without'} "of"`;
  return steps.length === 1 ? alert : `${alert}, step ${ordinal + 1}`;
}

/** The core has read it: this is for showing values only. */
function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return {};
  }
}

/** The last decision of a test, and whether the test holds. */
interface Answer extends Decision {
  isTrue: boolean;
}

/** Walks a step's decision graph. A test may be several decisions in a row: the last one settles it. */
function ask({ ruleset, doors }: Explainer, step: number): { isMet: boolean; asked: Answer[] } {
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

function showAnswer({ rules, doors }: Explainer, answer: Answer, record: unknown): string {
  const { test, isNegated, atom, isTrue } = answer;
  const written = rules.source.slice(test.span.start, test.span.end).replace(/\s+/g, ' ');
  const span = narrowed(spanOf(doors, atom), test);
  const isMet = isTrue !== isNegated;
  const missing = 'ofAll' in test ? `without ${quote(test.texts[0]!)}, ` : '';
  const value = isMet || isTrue ? '' : `  ${missing}it is ${valueAt(record, test, span)}`;
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
  if (number === null || (test.op !== 'eq' && test.op !== 'in')) return '';
  const written = formatDecimal(number);
  const values = test.op === 'eq' ? [test.value] : test.values;
  const isMeant = values.some(value => value.type === 'number' && value.value === written);
  return isMeant ? ', a string: "eq" and "in" compare the type, too' : '';
}

const JSON_NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/;

/** The value as a person reads it; the text of a string as the matcher reads it. */
function valueAt(record: unknown, test: TestCondition, span: MatchedSpan | null): string {
  let value: unknown = record;
  for (const [index, step] of test.field.entries()) {
    if (typeof value === 'string')
      return `missing${holdsJson(value) ? jsonNote(test.field.slice(0, index)) : ''}`;
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return 'missing';
    value = (value as Record<string | number, unknown>)[step];
  }
  if (typeof value === 'string') {
    const text = span?.text ?? value;
    return quote(text).replaceAll('\n', '␊') + noteOn(text, test);
  }
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return value === null ? 'null' : `the ${typeof value} ${value}`;
}

/** The record has the fields, but as text. */
function holdsJson(text: string): boolean {
  if (!/^\s*[{[]/.test(text)) return false;
  try {
    return typeof JSON.parse(text) === 'object';
  } catch {
    return false;
  }
}

function jsonNote(path: FieldPath): string {
  const name = quote(formatFieldPath(path));
  return `: ${name} is a string that holds JSON; let Fluent Bit parse it (Merge_Log, or a parser filter), or test its text`;
}
