// A short form of `npm run fuzz` with a fixed seed. EARSHOT_TEST_RUNS plays more rounds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RUNS } from '../core.ts';
import type { Disagreement } from './fuzz.ts';
import { SHORT_ROUND, describe, newCounts, playRound, replayCommand } from './fuzz.ts';

const SEED = 20_240_601;
const ROUNDS = 8 * RUNS;

test('many rules at once match as the oracle says, and no broken file makes a stack trace', async t => {
  const counts = newCounts();
  for (let round = 0; round < ROUNDS; round++) {
    const found = await playRound(SEED, round, SHORT_ROUND, counts);
    if (found !== null) assert.fail(messageOf(round, found));
  }
  t.diagnostic(describe(counts));
  // Rounds without a match would prove nothing.
  assert.ok(counts.matches > 100 * ROUNDS && counts.accepted > 0, describe(counts));
});

function messageOf(round: number, { what, files }: Disagreement): string {
  const shown = Object.entries(files).map(
    ([name, content]) => `${name}:\n${Buffer.from(content).toString()}`,
  );
  return [what, ...shown, `again: ${replayCommand(SEED, round, SHORT_ROUND)}`].join('\n');
}
