// What is in a condition: its tests, in order, and the texts that a test compares with.
import type { TestCondition } from './compiled.ts';
import type { Condition } from './model.ts';

export function testsOf(condition: Condition): TestCondition[] {
  if (condition.kind === 'test') return [condition];
  return condition.kind === 'not' ? testsOf(condition.of) : condition.of.flatMap(testsOf);
}

export function textsIn(test: TestCondition): string[] {
  switch (test.op) {
    case 'eq':
      return test.value.type === 'string' ? [test.value.value] : [];
    case 'in':
      return test.values.flatMap(value => (value.type === 'string' ? [value.value] : []));
    case 'contains':
    case 'containsAll':
    case 'startsWith':
    case 'endsWith':
      return test.texts;
    case 'regex':
      return [test.source];
    default:
      return [];
  }
}
