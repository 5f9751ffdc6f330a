// What is wrong with a user's input, in a form that every stage can report without stopping: a stage
// calls `report(problem)` and carries on, so that one run shows every mistake. Offsets inside; line,
// column, excerpt and caret are added once, by `formatProblem`.

/** A position in a source text: UTF-16 offsets, `end` exclusive. */
export interface Span {
  start: number;
  end: number;
}

/** One mistake or warning in a rules file. `pattern` adds the second excerpt, for a bad regular expression. */
export interface Problem {
  severity: 'error' | 'warning';
  /** What is wrong, naming the thing in quotes. No final full stop. */
  message: string;
  /** What to do about it, or undefined when the message already says so. */
  hint?: string;
  /** Where in the rules file. */
  span: Span;
  /** The pattern itself and where in it: YAML escapes make offsets inside a scalar unreliable. */
  pattern?: { source: string; span: Span; note: string };
}

export type Report = (problem: Problem) => void;

/** A mistake of the user's: printed as a sentence, without a stack. Anything else that is thrown is a bug. */
export class UserError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
