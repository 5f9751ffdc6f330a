// What the function needs from its topics, checked against the broker at the start: a topic that is missing, or whose
// records are deleted before they are needed, is an error that names the topic and the remedy. `earshot build` says the
// same beforehand. The number of partitions is not judged: one is right where one counter is enough.

import { UserError, formatDuration } from '../error.ts';
import type { Log } from '../log.ts';
import type { MatcherModule } from '../matcher.ts';
import type { KafkaSettings } from './settings.ts';
import { SourceEnd } from '../source/source.ts';
import type { Source } from '../source/source.ts';

/** How long an outage of the function may last without losing hits, in addition to the look-back. */
export const OUTAGE_MS = 86_400_000;

/** The least retention.ms of the hits topic that is recommended. */
export function retentionFor(lookBackMs: number): number {
  return lookBackMs + OUTAGE_MS;
}

interface Parts {
  settings: Pick<KafkaSettings, 'hitsTopic' | 'deadLetterTopic'>;
  module: { info: Pick<MatcherModule['info'], 'lookBackMs'> };
  log: Log;
}

/**
 * Throws a UserError when the function can't keep its promise with the hits topic as it is, and a SourceEnd when no broker
 * answers. That the topics could not be checked is only a warning.
 */
export async function checkTopics(source: Pick<Source, 'topic'>, parts: Parts): Promise<void> {
  await check(source, parts).catch(error => {
    if (error instanceof UserError || error instanceof SourceEnd) throw error;
    const { hitsTopic, deadLetterTopic } = parts.settings;
    parts.log.warn(
      { topics: [hitsTopic, deadLetterTopic], error: (error as Error).message },
      'the topics could not be checked; the user needs Describe and DescribeConfigs on them',
    );
  });
}

async function check(source: Pick<Source, 'topic'>, { settings, module, log }: Parts): Promise<void> {
  const { hitsTopic, deadLetterTopic } = settings;
  const { lookBackMs } = module.info;
  const retention = `retention.ms=${retentionFor(lookBackMs)} or more`;
  const hits = await source.topic(hitsTopic);
  if (!hits)
    throw new UserError(
      `Kafka has no topic "${hitsTopic}", where matching hands its hits to counting: create it with cleanup.policy=delete and ${retention}, or correct EARSHOT_HITS_TOPIC (is this user allowed to see it?)`,
    );
  const { partitionCount, retentionMs, cleanupPolicy } = hits;
  if (cleanupPolicy !== 'delete')
    throw new UserError(
      `the topic "${hitsTopic}" has cleanup.policy=${cleanupPolicy}: only the last hit of a key would stay, and counts would be wrong; set cleanup.policy=delete`,
    );
  if (retentionMs >= 0 && retentionMs < lookBackMs)
    throw new UserError(
      `the topic "${hitsTopic}" keeps its records for ${formatDuration(retentionMs)} (retention.ms=${retentionMs}), and the rules look back ${formatDuration(lookBackMs)} (${lookBackMs} ms): a restart would forget counts and cool-downs; set ${retention}`,
    );
  log.info({ topic: hitsTopic, partitions: partitionCount, retentionMs, lookBackMs }, 'hits topic checked');
  if (!(await source.topic(deadLetterTopic)))
    log.error(
      { topic: deadLetterTopic },
      'the dead-letter topic does not exist: a poison record will stop its partition; create the topic',
    );
}
