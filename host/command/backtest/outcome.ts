// What a backtest found, for the text and for the page.
import type { RuleStory } from './collect.ts';
import type { Grid } from './grid.ts';
import type { NeverMatched } from './never.ts';
import type { Reading } from './records.ts';

export interface Outcome {
  /** What was read. */
  source: string;
  rulesPath: string;
  reading: Reading;
  grid: Grid;
  stories: (RuleStory & { cappedCount: number })[];
  /** Of each rule, its share of the time; null: not measured. */
  costs: number[] | null;
  /** Of each rule, why it can have matches and no alert. */
  whyNoAlert: string[];
  never: NeverMatched[];
}
