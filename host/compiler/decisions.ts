// Conditions → atoms, which the core can test, and a decision graph over them: after each atom, which one is
// tested next. Each decision keeps the test of the rule that it came from.
import * as layout from '../../assembly/layout.ts';
import type { Report } from '../error.ts';
import type { Atom, Decision, Tables, TestCondition } from './compiled.ts';
import type { Condition, Scalar } from './model.ts';
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
  const field = indexOfEqual(tables.fields, test.field);
  const ask = (atom: Atom, next = onFalse) =>
    emit({
      atom: indexOfEqual(tables.atoms, atom),
      onTrue,
      onFalse: next,
      test,
      isInverted: false,
      isNegated,
    });
  const askNot = (atom: Atom, next = onTrue) =>
    emit({
      atom: indexOfEqual(tables.atoms, atom),
      onTrue: onFalse,
      onFalse: next,
      test,
      isInverted: true,
      isNegated,
    });
  switch (test.op) {
    case 'exists':
      return (test.value ? ask : askNot)({ op: 'exists', field });
    case 'eq':
    case 'in': {
      const values = test.op === 'eq' ? [test.value] : test.values;
      const atoms = anyOf(field, values, test.ignoreCase ? tables : null);
      return atoms.reduceRight((next, atom) => ask(atom, next), onFalse);
    }
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
    case 'lt':
      return ask({ op: 'less', field, number: test.value });
    case 'lte':
      return ask({ op: 'lessOrEqual', field, number: test.value });
    case 'gt':
    case 'gte': {
      // Not less, and numeric.
      const op = test.op === 'gt' ? 'lessOrEqual' : 'less';
      return askNot({ op, field, number: test.value }, ask({ op: 'numeric', field }));
    }
  }
}

function equalTo(field: number, value: Scalar): Atom {
  switch (value.type) {
    case 'string':
      return { op: 'values', field, values: [value.value] };
    case 'number':
      return { op: 'equal', field, number: value.value };
    case 'boolean':
      return { op: 'type', field, type: value.value ? layout.TYPE_TRUE : layout.TYPE_FALSE };
    case 'null':
      return { op: 'type', field, type: layout.TYPE_NULL };
  }
}

/** Atoms of which one must hold; the strings are one atom. `folding`: they are compared without regard to case. */
function anyOf(field: number, values: Scalar[], folding: Tables | null): Atom[] {
  const strings = values.flatMap(value => (value.type === 'string' ? [value.value] : []));
  const atoms = values.filter(value => value.type !== 'string').map(value => equalTo(field, value));
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
      switch (condition.op) {
        case 'exists':
          return 1;
        case 'eq':
        case 'in':
          return 2;
        case 'startsWith':
        case 'endsWith':
          return 5;
        case 'contains':
          return 20;
        case 'regex':
          return 30;
        default:
          return 4;
      }
  }
}
