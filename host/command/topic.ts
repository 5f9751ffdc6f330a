// A topic as a source of records for a person: read without a group, from anywhere in its time.
import { UserError } from '../error.ts';
import { readConnection } from '../function/settings.ts';
import { openLog } from '../log.ts';
import { openReader } from '../source/kafka.ts';
import type { Reader } from '../source/kafka.ts';
import type { Io } from './command.ts';

/** Connects, or says in a sentence why not. */
export async function openTopicReader(brokers: string, { env }: Io): Promise<Reader> {
  const settings = readConnection(brokers, env);
  try {
    // Errors come as what they are; lines of a log would be in between.
    return await openReader({ ...settings, group: 'earshot-reader' }, openLog('silent'));
  } catch (error) {
    throw new UserError((error as Error).message);
  }
}
