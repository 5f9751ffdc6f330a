// Can each rule fire? A rule may have no mistake in its form and still ask for what no record has: two values of
// one field, a text that it excludes itself, a number in a text. A condition is taken apart into the tests that
// must hold together, and those on one field are tried in `demand`. What is reported is proven.
import type { Problem, Report } from '../error.ts';
import { quote } from '../error.ts';
import type { TestCondition } from './compiled.ts';
import { testsOf, textsIn } from './condition.ts';
import type { Demand } from './demand.ts';
import { canBeMet, kindOf, matchesNothing, workOf } from './demand.ts';
import { formatFieldPath } from './field.ts';
import type { Condition, FieldPath, Rule, TemplatePart } from './model.ts';
import type { Pattern } from './pattern.ts';
import { hasAssertion, parsePattern } from './pattern.ts';
import { captureOf, isList, isSamePath, isText, isWithin } from './path.ts';

/** Returns the rules that can fire. Errors are for the others, warnings for parts of rules. */
export function checkFiring(rules: Rule[], report: Report): Rule[] {
  const reportOnce = onceEach(report);
  return rules.filter(rule => {
    const canFire = rule.steps.map(step => checkStep(step, reportOnce));
    checkDistinct(rule, reportOnce);
    return canFire.every(Boolean);
  });
}

/** The condition of a group is in all of its rules. */
function onceEach(report: Report): Report {
  const seen = new Set<string>();
  return problem => {
    const key = `${problem.span.start}:${problem.span.end}:${problem.message}`;
    if (!seen.has(key)) report(problem);
    seen.add(key);
  };
}

function checkStep(step: Condition, report: Report): boolean {
  const compared = testsOf(step)
    .map(comparedTemplate)
    .filter(problem => problem !== undefined);
  for (const problem of compared) report(problem);
  if (compared.length > 0) return false;
  const clash = clashIn({ condition: step, isMet: true });
  if (clash) {
    report({ severity: 'error', ...clashMessage(clash) });
    return false;
  }
  for (const alternative of alternativesOf({ condition: step, isMet: true })) {
    const dead = clashIn(alternative);
    if (dead) report({ severity: 'warning', ...clashMessage(dead) });
  }
  return true;
}

/** Each `any` says more than one thing: also what cannot happen, as long as something can. */
function alternativesOf({ condition, isMet }: Part): Part[] {
  switch (condition.kind) {
    case 'test':
      return [];
    case 'not':
      return alternativesOf({ condition: condition.of, isMet: !isMet });
    default: {
      const parts = condition.of.map(of => ({ condition: of, isMet }));
      const isChoice = (condition.kind === 'any') === isMet;
      return isChoice
        ? parts.flatMap(part => [part, ...alternativesOf(part)])
        : parts.flatMap(alternativesOf);
    }
  }
}

// ------------------------------------------------------------------------------------------- contradictions

/** A condition that must hold, or must not. */
interface Part {
  condition: Condition;
  isMet: boolean;
}

/** The test that cannot be added to those before it; `other` is the one of them that excludes it, if it is one. */
interface Clash {
  demand: Demand;
  other?: Demand;
}

// A rule of ten tests needs some hundred. Beyond this bound a rule counts as one that can fire.
const WORK_MAX = 100_000;

interface Search {
  workLeft: number;
  /** The first that was found: an example, where a condition has alternatives. */
  clash?: Clash;
}

/** Why no record meets this; undefined if one does, or if that takes too long to say. */
function clashIn(part: Part): Clash | undefined {
  const search: Search = { workLeft: WORK_MAX };
  return canHold([part], [], search) ? undefined : search.clash;
}

/** Whether all parts can hold together with the demands. */
function canHold(parts: Part[], before: Demand[], search: Search): boolean {
  const demands = [...before];
  const choices: Part[] = [];
  const left = [...parts];
  for (let part = left.shift(); part; part = left.shift()) {
    const { condition, isMet } = part;
    if (condition.kind === 'not') left.unshift({ condition: condition.of, isMet: !isMet });
    else if (condition.kind === 'test') {
      if (!canAdd({ test: condition, isMet }, demands, search)) return false;
    } else if ((condition.kind === 'all') === isMet) {
      left.unshift(...condition.of.map(of => ({ condition: of, isMet })));
    } else choices.push(part);
  }
  const [choice, ...others] = choices;
  if (!choice || choice.condition.kind === 'test' || choice.condition.kind === 'not') return true;
  const { of } = choice.condition;
  return of.some(condition => canHold([{ condition, isMet: choice.isMet }, ...others], demands, search));
}

function canAdd(demand: Demand, demands: Demand[], search: Search): boolean {
  const clash = clashWith(demand, demands, search);
  demands.push(demand);
  search.clash ??= clash;
  return clash === undefined;
}

function clashWith(demand: Demand, demands: Demand[], search: Search): Clash | undefined {
  const { field } = demand.test;
  // Each test of a list may be met by another one of its values.
  const tested = isList(field) ? [] : demands.filter(({ test }) => isSamePath(test.field, field));
  const isThere = [...tested, demand].some(needsField);
  const same = [...tested, ...(isThere ? ofCapture(demand.test) : [])];
  search.workLeft -= demands.length + workOf([...same, demand]);
  if (search.workLeft < 0) return undefined;
  const inner = demands.find(other => needsField(other) && isWithin(other.test.field, field));
  if (!canBeMet([...same, demand], false)) {
    const other = tested.find(one => !canBeMet([one, demand], false));
    return { demand, ...(other && { other }) };
  }
  if (inner && !canBeMet([...same, demand], true)) return { demand, other: inner };
  if (!needsField(demand)) return undefined;
  const outer = demands.find(other => isWithin(field, other.test.field) && !canBeMet([other], true));
  return outer && { demand, other: outer };
}

/** Whether the field must be there. */
function needsField({ test, isMet }: Demand): boolean {
  return test.op === 'exists' ? test.value === isMet : isMet;
}

/** What a capture's own pattern demands of its text. None where what stands around it matters, too. */
function ofCapture({ field, span }: TestCondition): Demand[] {
  const captured = captureOf(field);
  if (captured === undefined) return [];
  const { capture, regex, ignoreCase } = captured;
  const group = groupNamed(parsePattern(regex, ignoreCase).pattern, capture);
  if (group === undefined || hasAssertion(group)) return [];
  const of: Pattern[] = [{ kind: 'assert', at: 'textStart' }, group, { kind: 'assert', at: 'textEnd' }];
  const pattern: Pattern = { kind: 'concat', of };
  const source = `(?P<${capture}>…)`;
  return [{ test: { kind: 'test', field, op: 'regex', source, pattern, captures: [], span }, isMet: true }];
}

function groupNamed(pattern: Pattern, name: string): Pattern | undefined {
  switch (pattern.kind) {
    case 'capture':
      return pattern.name === name ? pattern.of : groupNamed(pattern.of, name);
    case 'repeat':
      return groupNamed(pattern.of, name);
    case 'concat':
    case 'alternate':
      return pattern.of.map(of => groupNamed(of, name)).find(group => group !== undefined);
    default:
      return undefined;
  }
}

// ------------------------------------------------------------------------------------------------- messages

type Message = Pick<Problem, 'message' | 'hint' | 'span'>;

function clashMessage({ demand, other }: Clash): Message {
  const { test } = demand;
  const { span } = test;
  const field = formatFieldPath(test.field);
  if (test.op === 'regex' && demand.isMet && matchesNothing(test.pattern)) {
    const hint = 'nothing can come before "^" or after "$": write \\^ and \\$ for the characters';
    return { message: 'this pattern matches no text', hint, span };
  }
  if (test.op === 'active') {
    const hint = demand.isMet
      ? 'put them under "any" if one of the times is enough'
      : 'together they exclude every time';
    return { message: 'no time of the week can meet this "active" and the others', hint, span };
  }
  if (!other && isText(test.field)) {
    const isCapture = captureOf(test.field) !== undefined;
    return {
      message: isCapture
        ? `no text of capture ${quote(field)} can meet this`
        : `${quote(field)} is always a text, and no text can meet this`,
      hint: isCapture
        ? 'a capture is a text that its group in the pattern matches: put the value in quotes, or change the group'
        : 'put the value in quotes',
      span,
    };
  }
  if (!other) {
    return { message: `no record can meet all these tests of field ${quote(field)}`, hint: ONE_VALUE, span };
  }
  if (test.ofNamespaces !== other.test.ofNamespaces) return fenceMessage(test.ofNamespaces ? other : demand);
  if (!isSamePath(test.field, other.test.field)) return nestedMessage(demand, other);
  const message = `no record can meet both ${nameOf(other)} and ${nameOf(demand)} of field ${quote(field)}`;
  return { message, hint: clashHint(demand, other), span };
}

function fenceMessage(own: Demand): Message {
  const field = quote(formatFieldPath(own.test.field));
  return {
    message: `no record of the group's "namespaces" can meet ${nameOf(own)} of field ${field}`,
    hint: 'the rules of a group match in its namespaces only: add the namespace there, or move the rule to another group',
    span: own.test.span,
  };
}

function nameOf({ test, isMet }: Demand): string {
  return `${isMet ? '' : 'not '}"${'ofAll' in test ? 'containsAll' : test.op}"`;
}

function clashHint(demand: Demand, other: Demand): string {
  if (demand.isMet !== other.isMet) return 'what one of them asks for, the other excludes';
  if (!demand.isMet) return 'together they exclude every value';
  if (other.test.op === 'exists' || demand.test.op === 'exists') return 'a missing field meets no other test';
  return kindHint(other.test.op, demand.test.op) ?? ONE_VALUE;
}

const ONE_VALUE = 'a field has one value: put them under "any" if one is enough';

/** For operators of which one looks at texts and the other at numbers. */
export function kindHint(left: string, right: string): string | undefined {
  const [text, number] = kindOf(left) === 'text' ? [left, right] : [right, left];
  if (kindOf(text) !== 'text' || kindOf(number) !== 'number') return undefined;
  return `"${number}" takes the whole field for a number: name the number in the pattern, (?P<ms>\\d+), and test {capture: ms, ${number}: …}`;
}

function nestedMessage(demand: Demand, other: Demand): Message {
  const [inner, outer] = isWithin(demand.test.field, other.test.field) ? [demand, other] : [other, demand];
  const field = formatFieldPath(outer.test.field);
  return {
    message: `no record has both ${nameOf(outer)} of field ${quote(field)} and a field ${quote(formatFieldPath(inner.test.field))}`,
    hint: `${quote(field)} cannot be a value and hold fields; ${JSON_HINT}`,
    span: demand.test.span,
  };
}

export const JSON_HINT =
  'where it is a string that holds JSON, name it in "parse" of the rule, such as parse: {log: json}';

// ------------------------------------------------------------------------------------------ fixed texts

const TEMPLATE = /\{\{\s*\$(record|captures|labels|value|alert)\b|^\$(?:record|captures|labels)[.[]/;

/** A test compares with a text; a template in it would be compared letter by letter. */
function comparedTemplate(test: TestCondition): Problem | undefined {
  const text = textsIn(test).find(text => TEMPLATE.test(text));
  if (text === undefined) return undefined;
  return {
    severity: 'error',
    message: `"${test.op}" compares with a fixed text, not with a template`,
    hint: 'write the value out; two fields cannot be compared with each other: let Fluent Bit add a field that says whether they are equal',
    span: test.span,
  };
}

// ------------------------------------------------------------------------------------------------- distinct

function isReferenceTo(part: TemplatePart, path: FieldPath): boolean {
  const captured = captureOf(path);
  if (captured) return part.kind === 'capture' && part.name === captured.capture;
  return part.kind === 'record' && isSamePath(part.field, path);
}

/** A key that has the field among its labels never sees a second value of it. */
function checkDistinct(rule: Rule, report: Report): void {
  const { threshold } = rule;
  if (!threshold?.distinct || threshold.count < 2) return;
  const { distinct } = threshold;
  const label = rule.labels.find(
    ({ name, parts }) =>
      threshold.by.includes(name) &&
      parts.some(part => isReferenceTo(part, distinct)) &&
      parts.every(part => part.kind === 'record' || part.kind === 'capture' || part.kind === 'text'),
  );
  if (!label) return;
  report({
    severity: 'warning',
    message: `"distinct" never counts to ${threshold.count}: each value of ${quote(formatFieldPath(distinct))} is counted on its own, as it is in label "${label.name}"`,
    hint: 'name in "by" the labels without it; all labels count if "by" is left out',
    span: threshold.span,
  });
}
