// What the function says at its start of topics that are not as they must be. The broker is made up: it says of each
// topic what a case says.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { UserError } from '../../host/error.ts';
import { OUTAGE_MS, checkTopics, retentionFor } from '../../host/function/topics.ts';
import type { TopicFacts } from '../../host/source/source.ts';

const LOOK_BACK_MS = 3_600_000;
const ENOUGH = 'retention.ms=90000000 or more';
const GOOD: TopicFacts = { partitionCount: 12, retentionMs: LOOK_BACK_MS, cleanupPolicy: 'delete' };

/** The error, or the lines of the log. */
async function check(topics: Record<string, TopicFacts>): Promise<string[]> {
  const lines: string[] = [];
  const add = (level: string) => (_: object, message: string) => void lines.push(`${level}: ${message}`);
  const log = { debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') };
  const settings = { hitsTopic: 'hits', deadLetterTopic: 'letters' };
  const module = { info: { lookBackMs: LOOK_BACK_MS } };
  try {
    await checkTopics({ topic: async name => topics[name] }, { settings, module, log });
  } catch (error) {
    assert.ok(error instanceof UserError, String(error)); // one line for a person, no stack
    lines.push(error.message);
  }
  return lines;
}

const cases: [title: string, hits: Partial<TopicFacts> | undefined, line: string][] = [
  ['a retention of the look-back is enough', {}, 'info: hits topic checked'],
  ['a retention without a limit is enough', { retentionMs: -1 }, 'info: hits topic checked'],
  ['one partition is enough', { partitionCount: 1 }, 'info: hits topic checked'],
  [
    'a retention below the look-back',
    { retentionMs: LOOK_BACK_MS - 1000 },
    `the topic "hits" keeps its records for 59m59s (retention.ms=3599000), and the rules look back 1h (3600000 ms): a restart would forget counts and cool-downs; set ${ENOUGH}`,
  ],
  [
    'a topic that is compacted',
    { cleanupPolicy: 'compact' },
    'the topic "hits" has cleanup.policy=compact: only the last hit of a key would stay, and counts would be wrong; set cleanup.policy=delete',
  ],
  [
    'a topic that is compacted, too',
    { cleanupPolicy: 'compact,delete' },
    'the topic "hits" has cleanup.policy=compact,delete: only the last hit of a key would stay, and counts would be wrong; set cleanup.policy=delete',
  ],
  [
    'no such topic',
    undefined,
    `Kafka has no topic "hits", where matching hands its hits to counting: create it with cleanup.policy=delete and ${ENOUGH}, or correct EARSHOT_HITS_TOPIC (is this user allowed to see it?)`,
  ],
];
for (const [title, hits, line] of cases)
  test(title, async () => {
    const topics = { letters: GOOD, ...(hits && { hits: { ...GOOD, ...hits } }) };
    assert.deepEqual(await check(topics), [line]);
  });

test('a dead-letter topic that does not exist is no reason to end', async () => {
  assert.deepEqual(await check({ hits: GOOD }), [
    'info: hits topic checked',
    'error: the dead-letter topic does not exist: a poison record will stop its partition; create the topic',
  ]);
});

test('the retention that is recommended leaves a day for an outage', () => {
  assert.deepEqual([OUTAGE_MS, retentionFor(0)], [86_400_000, 86_400_000]);
  assert.equal(retentionFor(LOOK_BACK_MS), 90_000_000);
});
