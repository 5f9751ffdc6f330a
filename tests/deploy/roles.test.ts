// What each role must be told.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readSettings } from '../../host/function/settings.ts';

const LEAST = {
  EARSHOT_BROKERS: 'kafka:9092',
  EARSHOT_TOPICS: 'logs',
  EARSHOT_DEAD_LETTER_TOPIC: 'logs-dlq',
};
const MANAGER = 'http://manager:19093';

const NO_SINK =
  'EARSHOT_SINK_URL is not set: EARSHOT_SINK=notification-manager needs the address of the sink';
const cases: [title: string, environment: Record<string, string>, mistake: string | undefined][] = [
  ['a matcher needs no sink', { EARSHOT_ROLE: 'match' }, undefined],
  ['a counter needs one', { EARSHOT_ROLE: 'count' }, NO_SINK],
  ['so does who has both roles', {}, NO_SINK],
  ['a counter with a sink', { EARSHOT_ROLE: 'count', EARSHOT_SINK_URL: MANAGER }, undefined],
  [
    'hits are no logs',
    { EARSHOT_TOPICS: 'logs,hits', EARSHOT_HITS_TOPIC: 'hits', EARSHOT_SINK_URL: MANAGER },
    'EARSHOT_HITS_TOPIC is one of EARSHOT_TOPICS: hits would be matched as logs; name another topic',
  ],
  [
    'dead letters are no hits',
    { EARSHOT_HITS_TOPIC: 'logs-dlq', EARSHOT_SINK_URL: MANAGER },
    'EARSHOT_HITS_TOPIC and EARSHOT_DEAD_LETTER_TOPIC are the same: dead letters would be counted, and buried again; name another topic',
  ],
];
for (const [title, environment, mistake] of cases)
  test(title, () => {
    const read = () => readSettings(['earshot.wasm'], { ...LEAST, ...environment });
    if (mistake === undefined) read();
    else assert.throws(read, { message: mistake, exitCode: 2 });
  });
