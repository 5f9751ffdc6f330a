// Conditions → atoms, which the core can test, and a decision graph over them: after each atom, which one is
// tested next. Each decision keeps the test of the rule that it came from.
import * as layout from '../../assembly/layout.ts';
import type { Report } from '../error.ts';
import type { Atom, Decision, Tables, TestCondition } from './compiled.ts';
import { fieldOf } from './fields.ts';
import type { Condition, FieldPath, Scalar } from './model.ts';
import { derivedFrom, isList, isText } from './path.ts';
import { patternOf } from './patterns.ts';
import { indexOf, indexOfEqual } from './table.ts';
import type { WordList } from './words.ts';
import { wordsOf } from './words.ts';

/** Adds a decision in front of what is there, and returns it as a target. */
type Emit = (decision: Decision) => number;

/** The decision graph of a condition; its first decision is made first. */
export function decisionsOf(condition: Condition, tables: Tables, report: Report): Decision[] {
  // A decision is made after those that it leads to, so they are made in reverse, and targets count from the end.
  const reversed: Decision[] = [];
  const emit: Emit = decision => reversed.push(decision) - 1;
  emitCondition(condition, { onTrue: layout.CODE_MATCH, onFalse: layout.CODE_FAIL, isNegated: false });
  if (reversed.length >= layout.CODE_FAIL) reportTooMany(condition, reversed.length, report);
  const turn = (target: number) => (target >= layout.CODE_FAIL ? target : reversed.length - 1 - target);
  return reversed
    .map(decision => ({ ...decision, onTrue: turn(decision.onTrue), onFalse: turn(decision.onFalse) }))
    .reverse();

  /** Returns the target that tests the condition. */
  function emitCondition(node: Condition, exits: Exits): number {
    const { onTrue, onFalse, isNegated } = exits;
    switch (node.kind) {
      case 'all':
        return cheapestFirst(node.of).reduceRight(
          (next, child) => emitCondition(child, { ...exits, onTrue: next }),
          onTrue,
        );
      case 'any':
        return cheapestFirst(node.of).reduceRight(
          (next, child) => emitCondition(child, { ...exits, onFalse: next }),
          onFalse,
        );
      case 'not':
        return emitCondition(node.of, { onTrue: onFalse, onFalse: onTrue, isNegated: !isNegated });
      case 'test':
        return emitTest(node, exits, tables, report, emit);
    }
  }
}

/** Where a condition leads to. */
interface Exits {
  onTrue: number;
  onFalse: number;
  isNegated: boolean;
}

function emitTest(test: TestCondition, exits: Exits, tables: Tables, report: Report, emit: Emit): number {
  const { onTrue, onFalse, isNegated } = exits;
  const field = test.op === 'active' ? layout.NONE : fieldOf(tables.fields, test.field);
  const indexOfAtom = (atom: Atom) => indexOfEqual(tables.atoms, atom);
  /** Of a list one value must meet all atoms, of a field its only one. */
  const askAll = (atoms: Atom[], next = onFalse) =>
    emit({
      atom: isList(test.field)
        ? indexOfAtom({ op: 'each', field, atoms: atoms.map(indexOfAtom) })
        : indexOfAtom(atoms[0]!),
      onTrue,
      onFalse: next,
      test,
      isInverted: false,
      isNegated,
    });
  const ask = (atom: Atom, next = onFalse) => askAll([atom], next);
  switch (test.op) {
    case 'exists':
      if (test.value) return ask({ op: 'exists', field });
      return emitTest(
        { ...test, value: true },
        { onTrue: onFalse, onFalse: onTrue, isNegated },
        tables,
        report,
        decision => emit({ ...decision, test, isInverted: true }),
      );
    case 'eq':
    case 'in': {
      const values = test.op === 'eq' ? [test.value] : test.values;
      const atoms = anyOf({ field, isText: isText(test.field) }, values, test.ignoreCase ? tables : null);
      return atoms.reduceRight((next, atom) => ask(atom, next), onFalse);
    }
    case 'containsAll':
      return askAll(test.texts.map(text => contains(text)));
    case 'contains':
    case 'startsWith':
    case 'endsWith': {
      const { op, texts, ignoreCase = false } = test;
      if (ignoreCase || texts.length > 1)
        return ask(oneOf(field, { texts, ignoreCase, place: PLACES[op] }, tables));
      if (op === 'startsWith') return ask({ op: 'starts', field, text: texts[0]! });
      if (op === 'endsWith') return ask({ op: 'ends', field, text: texts[0]! });
      return ask({ op: 'pattern', field, pattern: patternOf(tables.patterns, field, test, report) });
    }
    case 'regex':
      return ask({ op: 'pattern', field, pattern: patternOf(tables.patterns, field, test, report) });
    case 'active':
      return ask({ op: 'active', field, spans: test.spans, timezone: test.timezone });
    default:
      return ask({ op: ORDERS[test.op], field, number: test.value });
  }

  function contains(text: string): Atom {
    const one: TestCondition = { ...test, op: 'contains', texts: [text] };
    return test.ignoreCase
      ? oneOf(field, { texts: [text], ignoreCase: true, place: 'anywhere' }, tables)
      : { op: 'pattern', field, pattern: patternOf(tables.patterns, field, one, report) };
  }
}

const ORDERS = { lt: 'less', lte: 'lessOrEqual', gt: 'greater', gte: 'greaterOrEqual' } as const;

/** A field, and whether it is always text: then a number is one that the text is. */
interface Subject {
  field: number;
  isText: boolean;
}

function equalTo({ field, isText }: Subject, value: Scalar): Atom {
  switch (value.type) {
    case 'string':
      return { op: 'values', field, values: [value.value] };
    case 'number':
      return { op: isText ? 'sameNumber' : 'equal', field, number: value.value };
    case 'boolean':
      return { op: 'type', field, type: value.value ? layout.TYPE_TRUE : layout.TYPE_FALSE };
    case 'null':
      return { op: 'type', field, type: layout.TYPE_NULL };
  }
}

/** Atoms of which one must hold; the strings are one atom. `folding`: they are compared without regard to case. */
function anyOf(subject: Subject, values: Scalar[], folding: Tables | null): Atom[] {
  const { field } = subject;
  const strings = values.flatMap(value => (value.type === 'string' ? [value.value] : []));
  const atoms = values.filter(value => value.type !== 'string').map(value => equalTo(subject, value));
  const exact = folding === null ? strings : strings.filter(text => text === ''); // which words cannot be
  const texts = folding === null ? [] : strings.filter(text => text !== '');
  if (exact.length > 0) atoms.push({ op: 'values', field, values: distinct(exact) });
  if (texts.length > 0) atoms.push(oneOf(field, { texts, ignoreCase: true, place: 'whole' }, folding!));
  return atoms;
}

const PLACES = { contains: 'anywhere', startsWith: 'start', endsWith: 'end' } as const;

function oneOf(field: number, list: WordList, { words }: Tables): Atom {
  const sorted = { ...list, texts: distinct(list.texts) };
  return { op: 'words', field, words: indexOf(words, JSON.stringify(sorted), () => wordsOf(sorted)) };
}

function distinct(texts: string[]): string[] {
  return [...new Set(texts)].sort();
}

function reportTooMany(condition: Condition, count: number, report: Report): void {
  report({
    severity: 'error',
    message: `the condition has ${count} tests, ${layout.CODE_FAIL - 1} are allowed`,
    span: condition.span,
  });
}

function cheapestFirst(conditions: Condition[]): Condition[] {
  return conditions
    .map(condition => ({ condition, cost: cost(condition) }))
    .sort((a, b) => a.cost - b.cost)
    .map(({ condition }) => condition);
}

/** Roughly the steps that a test costs; what decides a rule for less is tested first. */
function cost(condition: Condition): number {
  switch (condition.kind) {
    case 'not':
      return cost(condition.of);
    case 'all':
    case 'any':
      return condition.of.reduce((sum, child) => sum + cost(child), 0);
    case 'test':
      return costOfTest(condition) * costOfField(condition.field);
  }
}

/** What is derived costs a pass over a text when it is first asked for; every string of a record costs most. */
function costOfField(path: FieldPath): number {
  const derived = derivedFrom(path);
  if (derived === null) return isList(path) ? 2 : 1;
  return 'every' in derived.step ? 100 : 10;
}

function costOfTest(test: TestCondition): number {
  switch (test.op) {
    case 'exists':
      return 1;
    case 'eq':
    case 'in':
      return 2;
    case 'startsWith':
    case 'endsWith':
      return 5;
    case 'contains':
    case 'containsAll':
      return 20;
    case 'regex':
      return 30;
    default:
      return 4;
  }
}
