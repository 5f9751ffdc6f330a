// What the function needs of its topics, checked against the broker at the start: a topic that is missing, or whose
// records go before they are needed, is an error that names the topic and the remedy.

import { UserError } from '../error.ts';
import type { Log } from '../log.ts';
import type { MatcherModule } from '../matcher.ts';
import type { Settings } from './settings.ts';
import type { Source } from '../source/source.ts';

interface Parts {
  settings: Settings;
  module: MatcherModule;
  log: Log;
}

/** Throws a UserError when the function can't keep its promise with the hits topic as it is. */
export async function checkTopics(source: Source, { settings, module, log }: Parts): Promise<void> {
  const { hitsTopic, deadLetterTopic } = settings;
  const { lookBackMs } = module.info;
  const hits = await source.topic(hitsTopic);
  if (!hits)
    throw new UserError(
      `the topic ${hitsTopic} does not exist: matching hands its hits to counting there; create it, with retention.ms of at least ${retentionFor(lookBackMs)}, or name it with --hits-topic`,
    );
  if (hits.cleanupPolicy !== 'delete')
    throw new UserError(
      `the topic ${hitsTopic} has cleanup.policy=${hits.cleanupPolicy}: it would keep one hit of a key; set cleanup.policy=delete`,
    );
  if (hits.retentionMs >= 0 && hits.retentionMs < lookBackMs)
    throw new UserError(
      `the topic ${hitsTopic} keeps its records for ${hits.retentionMs} ms (retention.ms), and the rules look back ${lookBackMs} ms; set retention.ms to at least ${retentionFor(lookBackMs)}`,
    );
  if (!(await source.topic(deadLetterTopic)))
    log.error(
      { topic: deadLetterTopic },
      'the dead-letter topic does not exist: a poison record will stop its partition; create the topic',
    );
}

const DAY_MS = 86_400_000;

/** The look-back, and a day for an outage of the function. */
function retentionFor(lookBackMs: number): number {
  return lookBackMs + DAY_MS;
}
