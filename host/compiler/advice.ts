// What a rule may say but rarely means: warnings about a rule that has no mistakes.
import { quote } from '../error.ts';
import type { Report, Span } from '../error.ts';
import type { TestCondition } from './compiled.ts';
import { testsOf, textsIn } from './condition.ts';
import { formatFieldPath } from './field.ts';
import { networkHint } from './foreign.ts';
import { matchesEverything } from './nfa.ts';
import type { Condition, FieldPath, Rule, Template, TemplatePart } from './model.ts';
import { isList, isPlain, isText } from './path.ts';
import type { CodePoints, Pattern } from './pattern.ts';
import { foldedForms } from './pattern.ts';
import { allPartsOf } from './template.ts';

/** `watched`: the labels that the rule counts or watches on their own, by name. */
export function adviseRule(rule: Rule, watched: Set<string>, report: Report): void {
  adviseMessage(rule, report);
  adviseTimes(rule, report);
  adviseRatio(rule, report);
  for (const condition of rule.steps) {
    adviseSelection(condition, report);
    adviseNumbers(testsOf(condition), report);
    for (const test of testsOf(condition)) {
      adviseLineEnd(test, report);
      adviseForm(test, report);
      adviseCase(test, report);
      adviseLabelKey(test, report);
    }
  }
  const captures = new Map(rule.steps.flatMap(testsOf).flatMap(capturesOf));
  for (const label of rule.labels) {
    if (!watched.has(label.name)) adviseCardinality(label, captures, report);
    adviseBraces('label', label, report);
  }
  for (const annotation of rule.annotations) adviseBraces('annotation', annotation, report);
  if (rule.samples) adviseBraces('the text of', { ...rule.samples, name: 'samples' }, report);
  adviseSamples(rule, report);
}

/** Two alerts with the same labels are one alert to whoever receives them. */
export function adviseNames(rules: Rule[], report: Report): void {
  const seen = new Set<string>();
  for (const { group, alert, labels, span } of rules) {
    const key = JSON.stringify([group, alert, labels.map(({ name, parts }) => [name, parts])]);
    if (seen.has(key)) {
      report({
        severity: 'warning',
        message: `second alert "${alert}" in group "${group}", with the same labels`,
        hint: 'receivers take both for one alert: give each its own name, or a label in which they differ',
        span: { start: span.start, end: span.start + 'alert'.length },
      });
    }
    seen.add(key);
  }
}

function adviseSamples({ samples, annotations }: Rule, report: Report): void {
  if (!samples || annotations.some(({ parts }) => parts.some(({ kind }) => kind === 'samples'))) return;
  report({
    severity: 'warning',
    message: '"samples" are kept and not shown',
    hint: "write {{ $samples }} in an annotation, such as message: '{{ $value }} failures: {{ $samples }}'",
    span: samples.span,
  });
}

function adviseMessage(rule: Rule, report: Report): void {
  if (rule.annotations.some(({ name }) => name === 'message' || name === 'summary')) return;
  report({
    severity: 'warning',
    message: `alert "${rule.alert}" has no annotation "message" or "summary"`,
    hint: 'Notification Manager shows one of these; without them the line in Slack is blank',
    span: rule.span,
  });
}

/** `parsed`: the fields that the rule itself names in "parse", and where. */
export function adviseParse(
  rule: Rule,
  parsed: Array<{ path: FieldPath; span: Span }>,
  report: Report,
): void {
  const parts = allPartsOf(rule);
  const used = [
    ...rule.steps.flatMap(testsOf).map(test => test.field),
    ...parts.flatMap(part => (part.kind === 'record' ? [part.field] : [])),
    ...(rule.threshold?.distinct ? [rule.threshold.distinct] : []),
  ];
  for (const { path, span } of parsed) {
    const name = formatFieldPath(path);
    // As it is written: the way to it may lead through other texts.
    const leadsIn = (other: FieldPath) =>
      other.some(
        (step, at) =>
          typeof step === 'object' && 'parse' in step && formatFieldPath(other.slice(0, at)) === name,
      );
    if (used.some(leadsIn)) continue;
    report({
      severity: 'warning',
      message: `"parse" names ${quote(name)}, and nothing in the rule looks into it`,
      hint: `a field in it is named after it, such as ${name}.level`,
      span,
    });
  }
}

/** Records at other times do not match, which is what an absence waits for. */
function adviseTimes(rule: Rule, report: Report): void {
  const test = rule.absence && rule.steps.flatMap(testsOf).find(({ op }) => op === 'active');
  if (!test) return;
  report({
    severity: 'warning',
    message: 'the time outside of "active" is a time without a match: this absence fires in it',
    hint: 'leave "active" out, and mute the alert at that time where it is sent from, with mute_time_intervals of Alertmanager',
    span: test.span,
  });
}

/** Each match of a ratio is a hit, also one that is only for the whole. */
function adviseRatio({ ratio, steps: [rest] }: Rule, report: Report): void {
  const match = ratio && rest?.kind === 'all' ? rest.of[0]! : undefined;
  if (!match || isNarrow(match)) return;
  report({
    severity: 'warning',
    message: 'each record that meets "match" is sent to be counted, and nothing in it names an application',
    hint: 'let "match" name a namespace or a container, such as {field: kubernetes.namespace_name, eq: shop}',
    span: ratio!.span,
  });
}

/** Whether a record must have a certain value, or a text. */
function isNarrow(condition: Condition): boolean {
  if (condition.kind === 'all') return condition.of.some(isNarrow);
  if (condition.kind === 'any') return condition.of.every(isNarrow);
  return condition.kind === 'test' && !['exists', 'gt', 'gte', 'lt', 'lte'].includes(condition.op);
}

/** Warns when a record needs no particular field to match: then almost every record matches. */
function adviseSelection(condition: Condition, report: Report): void {
  if (isSelective(condition, false)) return;
  report({
    severity: 'warning',
    message: 'the condition matches almost every record',
    hint: 'say too what a record must hold, not only what it must not',
    span: condition.span,
  });
}

function isSelective(condition: Condition, isUnderNot: boolean): boolean {
  switch (condition.kind) {
    case 'not':
      return isSelective(condition.of, !isUnderNot);
    case 'test':
      if (condition.op === 'active') return false;
      return condition.op === 'exists' ? condition.value !== isUnderNot : !isUnderNot;
    default: {
      // Under "not" the two change places: not (a and b) is (not a) or (not b).
      const needsAll = (condition.kind === 'all') !== isUnderNot;
      const selective = (of: Condition) => isSelective(of, isUnderNot);
      return needsAll ? condition.of.some(selective) : condition.of.every(selective);
    }
  }
}

// --------------------------------------------------------------------- texts that look like something else

/** Wildcards, patterns and delimiters where they are plain characters. */
function adviseForm(test: TestCondition, report: Report): void {
  const problem =
    test.op === 'regex'
      ? patternForm(test.source, test.pattern)
      : textsIn(test)
          .map(text => textForm(test.op, text))
          .find(found => found !== undefined);
  if (problem) report({ severity: 'warning', ...problem, span: test.span });
}

interface Form {
  message: string;
  hint: string;
}

function patternForm(source: string, pattern: Pattern): Form | undefined {
  const [, inner, flags] = /^\/(.+)\/([gimsuy]*)$/s.exec(source) ?? [];
  if (inner !== undefined && (flags !== '' || inner.startsWith('^') || inner.endsWith('$'))) {
    const meant = `${flags!.includes('i') ? '(?i)' : ''}${inner}`;
    return {
      message: 'the slashes around this pattern are part of it',
      hint: `if they are not meant, write regex: '${meant}'`,
    };
  }
  if (!canOnlyBeEmpty(pattern) || matchesEverything(pattern)) return undefined;
  const isEmpty = source.includes('^') || source.includes('A');
  return {
    message: 'the pattern asks for no character',
    hint: isEmpty
      ? 'it matches an empty text only, and a log line ends with a newline: write \\n? before the end, or what the text must hold'
      : 'write what the text must hold',
  };
}

function canOnlyBeEmpty(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case 'set':
      return false;
    case 'concat':
    case 'alternate':
      return pattern.of.every(canOnlyBeEmpty);
    case 'capture':
      return canOnlyBeEmpty(pattern.of);
    case 'repeat':
      return pattern.max === 0 || canOnlyBeEmpty(pattern.of);
    default:
      return true;
  }
}

// What is in a pattern and hardly in a log: `.*`, `\d+`, `[a-z]+`, `(?i)`.
const PATTERN_SIGNS = /\.[*+]|\\[dwsDWS][+*{]|\][+*]|\(\?[:iP<]/;
const ALTERNATIVES = /^\w+(?:\|\w+)+$/;

function textForm(op: TestCondition['op'], text: string): Form | undefined {
  const isWhole = op === 'eq' || op === 'in';
  const [, before, inner, after] = /^([*%]?)([^*%]+)([*%]?)$/s.exec(text) ?? [];
  const isGlob = isWhole ? before || after : before && after;
  if (isGlob || (isWhole && text === '*')) {
    const sign = text[0] === '%' || text.at(-1) === '%' ? '%' : '*';
    const operator = before === after ? 'contains' : before ? 'endsWith' : 'startsWith';
    const hint = inner === undefined ? 'write exists: true' : `write ${operator}: '${inner}'`;
    return {
      message: `"${op}" takes "${sign}" as a plain character`,
      hint: `if any text is meant by it, ${hint}`,
    };
  }
  const network = op === 'contains' ? undefined : networkHint(text);
  if (network !== undefined)
    return { message: `"${op}" takes the network ${quote(text)} letter by letter`, hint: network };
  if (!PATTERN_SIGNS.test(text) && !ALTERNATIVES.test(text)) return undefined;
  return {
    message: `"${op}" takes ${quote(text)} letter by letter`,
    hint: 'if a pattern is meant, write it as "regex"',
  };
}

/** Kubernetes' labels and annotations have no keys below theirs. */
function adviseLabelKey({ field, span }: TestCondition, report: Report): void {
  const at = field.findIndex((step, index) => index > 0 && (step === 'labels' || step === 'annotations'));
  if (!isPlain(field) || field[at - 1] !== 'kubernetes' || field.length < at + 3) return;
  const key = field.slice(at + 1).join('.');
  report({
    severity: 'warning',
    message: `${quote(formatFieldPath(field))} is a field within a ${String(field[at]).slice(0, -1)}, and these hold only text`,
    hint: `if the key has dots, write ${formatFieldPath([...field.slice(0, at + 1), key])}`,
    span,
  });
}

// References without braces, and braces of other tools: they are text.
const BARE_REFERENCE = /\$(?:record|captures|labels)[.[][\w@]/;
const FOREIGN_REFERENCE = /^[$%]?\{[\w.@[\]"'/-]+\}$|\$\{[\w.]+\}|%\{[\w.@[\]]+\}/;

function adviseBraces(noun: string, { name, parts, span }: Template, report: Report): void {
  const found = parts.flatMap(part =>
    part.kind === 'text' ? (BARE_REFERENCE.exec(part.text) ?? FOREIGN_REFERENCE.exec(part.text) ?? []) : [],
  );
  if (found.length === 0) return;
  report({
    severity: 'warning',
    message: `${noun} "${name}" has ${quote(found[0]!)} as plain text`,
    hint: 'a reference stands in double braces: {{ $record.kubernetes.pod_name }}',
    span,
  });
}

// ------------------------------------------------------------------------------------ `$` on a log line

const NEWLINE = 0x0a;

function adviseLineEnd(test: TestCondition, report: Report): void {
  if (test.op !== 'regex' || test.field.at(-1) !== 'log' || !missesNewline(test.pattern)) return;
  const end = test.source.length;
  const size = test.source.endsWith('\\z') ? 2 : test.source.endsWith('$') ? 1 : 0;
  const pattern = { source: test.source, span: { start: end - size, end }, note: 'after the newline' };
  report({
    severity: 'warning',
    message: 'the pattern ends at the end of the text, but a log line ends with a newline',
    hint: 'container runtimes leave the newline in "log": write \\n?$',
    span: test.span,
    ...(size > 0 && { pattern }),
  });
}

/** Whether the pattern can only end at the end of the text, with something other than a newline before it. */
function missesNewline(pattern: Pattern): boolean {
  if (pattern.kind === 'capture') return missesNewline(pattern.of);
  if (pattern.kind === 'alternate') return pattern.of.some(missesNewline);
  if (pattern.kind === 'assert') return pattern.at === 'textEnd';
  if (pattern.kind !== 'concat') return false;
  const last = pattern.of.at(-1);
  if (last?.kind !== 'assert') return last !== undefined && missesNewline(last);
  return last.at === 'textEnd' && !mayEndWithNewline(pattern.of.slice(0, -1));
}

function mayEndWithNewline(parts: Pattern[]): boolean {
  const last = parts.at(-1);
  switch (last?.kind) {
    case 'set':
      return holds(last.set, NEWLINE, NEWLINE);
    case 'concat':
      return mayEndWithNewline(last.of);
    case 'alternate':
      return last.of.some(of => mayEndWithNewline([of]));
    case 'capture':
    case 'repeat':
      return mayEndWithNewline([last.of]);
    default:
      return false;
  }
}

// ------------------------------------------------------------------------------------ numbers as strings

/** A field that is compared in both ways: "500" is 500 for the one, and not for the other. */
function adviseNumbers(tests: TestCondition[], report: Report): void {
  const keyOf = ({ field }: TestCondition) => JSON.stringify(field);
  const ordered = new Map(tests.flatMap(test => (isOrder(test) ? [[keyOf(test), test.op]] : [])));
  for (const test of tests) {
    const op = ordered.get(keyOf(test));
    if (
      op === undefined ||
      isText(test.field) ||
      isList(test.field) ||
      (test.op !== 'eq' && test.op !== 'in')
    )
      continue;
    const values = test.op === 'eq' ? [test.value] : test.values;
    const strings = values.flatMap(value => (value.type === 'string' ? [value.value] : []));
    const number = values.find(value => value.type === 'number' && !strings.includes(value.value));
    if (number?.type !== 'number') continue;
    report({
      severity: 'warning',
      message: `the string "${number.value}" does not meet "${test.op}", which compares the type; "${op}" takes it for a number`,
      hint: `if records have it as a string, write in: [${number.value}, "${number.value}"]`,
      span: test.span,
    });
  }
}

function isOrder({ op }: TestCondition): boolean {
  return op === 'gt' || op === 'gte' || op === 'lt' || op === 'lte';
}

// ---------------------------------------------------------------------------------------- letter case

function adviseCase(test: TestCondition, report: Report): void {
  if (!test.ignoreCase || textsIn(test).some(text => Array.from(text).some(hasForms))) return;
  report({
    severity: 'warning',
    message: '"ignoreCase" changes nothing: there is no letter with an upper and a lower case',
    hint: 'leave it out',
    span: test.span,
  });
}

function hasForms(character: string): boolean {
  return foldedForms(character).length > 1;
}

// ------------------------------------------------------------------------------------- labels' variety

function adviseCardinality(label: Template, captures: Map<string, Pattern>, report: Report): void {
  const source = label.parts.map(part => varietySource(part, captures)).find(text => text !== undefined);
  if (source === undefined) return;
  report({
    severity: 'warning',
    message: `label "${label.name}" has high cardinality: ${source}`,
    hint: 'put it in an annotation: each new value is a new alert, which nothing suppresses',
    span: label.span,
  });
}

/** Why a label takes new values again and again, in words; undefined when its values repeat. */
function varietySource(part: TemplatePart, captures: Map<string, Pattern>): string | undefined {
  if (part.kind === 'record') {
    const key = part.field.findLast(step => typeof step === 'string') ?? '';
    const isVaried = VARIED_KEY.test(String(key)) || ID_KEY.test(String(key));
    return isVaried ? `$record.${formatFieldPath(part.field)} differs from record to record` : undefined;
  }
  const pattern = part.kind === 'capture' ? captures.get(part.name) : undefined;
  if (part.kind !== 'capture' || !pattern || !isVaried(pattern)) return undefined;
  return `capture "${part.name}" can be almost any text`;
}

const VARIED_KEY = /^(log|message|msg|@timestamp|timestamp|time|date|ts)$/i;
// docker_id, container_hash, traceId, request-id, uuid: but not "valid" or "hashtag".
const ID_KEY = /(^|[_.-])(id|uid|uuid|guid|hash|digest)$|[a-z](Id|ID|Uid|UID|Uuid|UUID|Hash)$/;

function capturesOf(test: TestCondition): [string, Pattern][] {
  return test.op === 'regex' ? namedGroups(test.pattern) : [];
}

function namedGroups(pattern: Pattern): [string, Pattern][] {
  if (pattern.kind === 'capture') return [[pattern.name, pattern.of], ...namedGroups(pattern.of)];
  return inner(pattern).flatMap(namedGroups);
}

function inner(pattern: Pattern): Pattern[] {
  if (pattern.kind === 'concat' || pattern.kind === 'alternate') return pattern.of;
  return pattern.kind === 'capture' || pattern.kind === 'repeat' ? [pattern.of] : [];
}

// `[0-9]{3}` is a status, `\d{6}` is an id.
const VARIED_LENGTH = 6;

/** Long runs of anything, or of digits: `\S*`, `[^"]+`, `\d+`. Runs of letters are words: `[A-Z]+`, `\w+`. */
function isVaried(pattern: Pattern): boolean {
  const isLong = pattern.kind === 'repeat' && pattern.max >= VARIED_LENGTH;
  return (isLong && holdsVariedSet(pattern.of)) || inner(pattern).some(isVaried);
}

function holdsVariedSet(pattern: Pattern): boolean {
  return pattern.kind === 'set' ? isVariedSet(pattern.set) : inner(pattern).some(holdsVariedSet);
}

// Latin letters of both cases, digits, `_` and `-` are 64.
const WORD_SET_SIZE = 64;
// Digits alone, hexadecimal digits of both cases, and a separator or two are numbers and ids, not words.
const NUMBER_SET_SIZE = 24;

function isVariedSet(set: CodePoints): boolean {
  const size = sizeOf(set);
  return size > WORD_SET_SIZE || (size <= NUMBER_SET_SIZE && holds(set, 0x30, 0x39));
}

function sizeOf(set: CodePoints): number {
  let size = 0;
  for (let index = 0; index < set.length; index += 2) size += set[index + 1]! - set[index]! + 1;
  return size;
}

function holds(set: CodePoints, first: number, last: number): boolean {
  return set.some((low, index) => index % 2 === 0 && low <= first && last <= set[index + 1]!);
}
