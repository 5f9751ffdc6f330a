// The named groups of a rule's patterns: what a template, a test or "distinct" can name.
import { nearest, quote } from '../error.ts';

export interface StepCaptures {
  captures: Map<string, 'found' | 'underNot'>;
  /** False if a pattern was refused: any name could have been one of its captures. */
  capturesAreKnown: boolean;
}

/** An alert is filled in from the record of the last step. */
export function captureProblem(
  name: string,
  steps: StepCaptures[],
): { message: string; hint?: string } | undefined {
  const last = steps.at(-1);
  if (!last?.capturesAreKnown || last.captures.get(name) === 'found') return undefined;
  if (last.captures.has(name)) {
    return {
      message: `capture ${quote(name)} is under "not"`,
      hint: 'a record that matches has no text for it',
    };
  }
  if (steps.some(step => step.captures.get(name) === 'found')) {
    const hint = 'an alert is filled in from the record of the last step';
    return { message: `capture ${quote(name)} is not of the last step`, hint };
  }
  const known = [...last.captures].filter(([, state]) => state === 'found').map(([known]) => known);
  const none = `no pattern of the rule has a named group: (?P<${name}>…)`;
  return unknownName('capture', name, known, none);
}

export function unknownName(
  noun: string,
  name: string,
  known: string[],
  none: string,
): { message: string; hint: string } {
  const near = nearest(name, known);
  const message = `unknown ${noun} ${quote(name)}${near === undefined ? '' : `; did you mean "${near}"?`}`;
  return { message, hint: known.length > 0 ? `known ${noun}s: ${known.join(', ')}` : none };
}
