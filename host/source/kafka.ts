// The source on kafkajs 2.2.4. Nothing else imports kafkajs. Its defaults lose records; what is set here and why:
//
// - `autoCommit: false` and `eachBatchAutoResolve: false`: kafkajs would resolve the whole batch of a handler that
//   returned early, and commit it on the way out.
// - `fromBeginning: true`: otherwise a first start, an expired offset and a new partition all begin at the end.
// - Every exception is kept away from kafkajs, except its own: a TypeError of ours would end the consumer for good
//   while the process lives on.
// - A batch belongs to a generation, counted here: kafkajs lets a handler of the last generation resolve and commit
//   in the next one.
// - Commits go through the door that a batch brings: `consumer.commitOffsets` does nothing while stopping, and
//   repeats a commit in the generation after.
// - All codecs are registered: a batch in an unknown one ends the consumer.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import type {
  Admin,
  EachBatchPayload,
  KafkaConfig,
  KafkaJSProtocolError,
  logCreator,
  Producer,
  SASLOptions,
} from 'kafkajs';
import { registerCodecs } from './codec.ts';
import type { Log } from '../log.ts';
import type { Batch, DeadLetter, Handler, Position, Source, TopicPartition } from './source.ts';

// Below the session timeout by a wide margin, so that a lost heartbeat is no lost session.
const HEARTBEATS_PER_SESSION = 10;
// A fetch holds up stop and rebalance for this long.
const FETCH_WAIT_MS = 500;
const PARTITION_SIZE_MAX = 1024 * 1024; // Bytes of one partition in a fetch; a larger record still comes, alone.
// kafkajs restarts its consumer for ever. After as many crashes in a row Kubernetes shall start a fresh process.
const CRASHES_MAX = 10;
const START_POSITIONS_RETRY_MS = 5000;
// Enough to pass over one broker that is away or a leader that has moved: a second or so.
const PRODUCE_RETRY = { retries: 2, initialRetryTime: 100, maxRetryTime: 500 };

const ENDS_GENERATION = [
  'REBALANCE_IN_PROGRESS',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'NOT_COORDINATOR_FOR_GROUP',
];

/** How to reach the brokers, and what to read. */
export interface KafkaOptions {
  brokers: readonly string[];
  topics: string[];
  group: string;
  clientId: string;
  /** Partitions that are worked on at the same time. */
  concurrency: number;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  tls: boolean;
  tlsCaFile?: string;
  tlsCertFile?: string;
  tlsKeyFile?: string;
  saslMechanism?: 'plain' | 'scram-sha-256' | 'scram-sha-512' | 'oauthbearer';
  saslUsername?: string;
  saslPassword?: string;
  saslTokenFile?: string;
}

export function openKafka(options: KafkaOptions, log: Log): Source {
  registerCodecs();
  const client = new kafkajs.Kafka({ ...connection(options), logCreator: forwardTo(log, onLine) });
  const consumer = client.consumer({
    groupId: options.group,
    sessionTimeout: options.sessionTimeoutMs,
    rebalanceTimeout: options.rebalanceTimeoutMs,
    heartbeatInterval: Math.floor(options.sessionTimeoutMs / HEARTBEATS_PER_SESSION),
    maxWaitTimeInMs: FETCH_WAIT_MS,
    minBytes: 1,
    maxBytesPerPartition: PARTITION_SIZE_MAX,
    allowAutoTopicCreation: false, // A misspelt topic is an error, not a new and silent topic.
    retry: { retries: 8, initialRetryTime: 300, maxRetryTime: 10_000 },
  });

  let handler: Handler;
  let generation = 0;
  let owned: TopicPartition[] = [];
  /** The generation that the broker has declared over; its batches are not live although nobody has joined again yet. */
  let over = -1;
  /** Only a refused commit says that it is over. When the broker takes a later heartbeat or commit, it is not. */
  let doubtful = false;
  let stopping = false;
  let crashes = 0;
  /** Commits for the current generation, once a batch has brought it. */
  let door: EachBatchPayload['commitOffsetsIfNecessary'] | undefined;
  let commits: Promise<unknown> = Promise.resolve();
  let fail: (error: Error) => void;
  let finish: () => void;
  const resumes = new Set<NodeJS.Timeout>();
  /** Ends the wait of whatever waits to try again. */
  const halt = new AbortController();
  let startPositions: Promise<unknown> = Promise.resolve();

  function onJoin(assignment: Record<string, number[]>): void {
    generation++;
    door = undefined;
    owned = Object.entries(assignment).flatMap(([topic, partitions]) =>
      partitions.map(partition => ({ topic, partition })),
    );
    handler.assigned(generation, owned);
    beginAtStartPositions();
  }

  function beginAtStartPositions(): void {
    startPositions = Promise.all([startPositions, commitStartPositions(generation)]);
  }

  function onCrash(error: Error, restart: boolean): void {
    over = generation;
    doubtful = false;
    if (restart && ++crashes < CRASHES_MAX) return;
    fail(new Error(`the Kafka client ended for good: ${error.message}`, { cause: error }));
  }

  /** kafkajs tells only its log that an offset was out of range and that it committed −2, "the earliest", in its place. */
  function onLine(message: string, { topic, partition }: Partial<TopicPartition>): void {
    if (!message.startsWith('Offset out of range, resetting')) return;
    handler.skipped({ topic: topic!, partition: partition! });
    beginAtStartPositions();
  }

  async function eachBatch(payload: EachBatchPayload): Promise<void> {
    const { topic, partition } = payload.batch;
    const mine = generation;
    // After a rebalance kafkajs still hands over what was fetched before it.
    if (mine === over || !owned.some(known => known.topic === topic && known.partition === partition)) return;
    door = payload.commitOffsetsIfNecessary;
    let failure: unknown;
    const current = () => mine === generation && mine !== over;
    const batch: Batch = {
      topic,
      partition,
      generation: mine,
      start: Number((payload.batch as unknown as { fetchedOffset: string }).fetchedOffset),
      end: Number(payload.batch.lastOffset()) + 1,
      highWatermark: Number(payload.batch.highWatermark),
      messages: payload.batch.messages,
      live: () => current() && !stopping && !failure,
      async heartbeat() {
        if (!current() || failure) return;
        try {
          await payload.heartbeat();
        } catch (error) {
          failure = error;
          noteEnd(mine, error);
          doubtful = false; // kafkajs hears of it too, and joins again.
        }
      },
      advance(offset) {
        if (current()) payload.resolveOffset(String(offset - 1));
      },
      seek(offset) {
        if (current()) consumer.seek({ topic, partition, offset: String(offset) });
      },
      pause(durationMs) {
        if (!current()) return;
        const resume = payload.pause();
        const timer = setTimeout(() => (resumes.delete(timer), resume()), durationMs);
        resumes.add(timer);
      },
    };
    try {
      await handler.batch(batch);
    } catch (error) {
      fail(error as Error); // A bug: nothing of this batch is acknowledged, and a fresh process shall try again.
      return;
    }
    // Not when it joins: a consumer that cannot read what it fetches joins again and again.
    crashes = 0;
    if (failure) throw failure;
  }

  function noteEnd(mine: number, error: unknown): void {
    if (mine === generation && ENDS_GENERATION.includes((error as KafkaJSProtocolError).type)) over = mine;
  }

  /** Without this a coordinator that errs once would leave the consumer a member, alive, and idle for ever. */
  function goOn(): void {
    if (doubtful) over = -1;
    doubtful = false;
  }

  /**
   * Commits the first offset of every partition that has none. Without it KEDA takes the whole log for lag and never scales to
   * zero, and the group's offsets expire while it is at zero.
   */
  async function commitStartPositions(mine: number): Promise<void> {
    while (mine === generation && mine !== over && !stopping) {
      try {
        const positions = await withAdmin(admin => missingPositions(admin));
        if (mine !== generation || stopping || positions.length === 0) return;
        await inTurn(() =>
          consumer.commitOffsets(
            positions.map(({ topic, partition, offset }) => ({ topic, partition, offset: String(offset) })),
          ),
        );
      } catch (error) {
        log.warn({ error: (error as Error).message }, 'start positions are not committed yet');
      }
      // Also after a commit: kafkajs drops one in silence while it does not run, so the broker is asked again.
      await sleep(START_POSITIONS_RETRY_MS, undefined, { signal: halt.signal }).catch(() => {});
    }
  }

  async function missingPositions(admin: Admin): Promise<Position[]> {
    const missing: Position[] = [];
    const committed = await admin.fetchOffsets({ groupId: options.group, topics: options.topics });
    for (const { topic, partitions } of committed) {
      const first = new Map(
        (await admin.fetchTopicOffsets(topic)).map(({ partition, low }) => [partition, Number(low)]),
      );
      for (const { partition, offset } of partitions) {
        const low = first.get(partition);
        if (low === undefined || !owned.some(known => known.topic === topic && known.partition === partition))
          continue;
        if (Number(offset) < 0) missing.push({ topic, partition, offset: low });
      }
    }
    return missing;
  }

  /** One commit at a time, so that an older one never overtakes a newer. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = commits.then(work, work);
    commits = turn.catch(() => {});
    return turn;
  }

  let admins = 0;
  let sharedAdmin: Promise<Admin> | undefined;
  /** An admin connection for as long as somebody needs it: an idle one costs a timer a millisecond. */
  async function withAdmin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    admins++;
    sharedAdmin ??= (async () => {
      const admin = client.admin();
      await admin.connect();
      return admin;
    })();
    const opening = sharedAdmin;
    try {
      return await use(await opening);
    } finally {
      if (--admins === 0) {
        sharedAdmin = undefined;
        void opening.then(admin => admin.disconnect()).catch(() => {});
      }
    }
  }

  let producer: Promise<Producer> | undefined;
  async function openProducer(): Promise<Producer> {
    // Who produces tries again itself, and keeps the session alive between two attempts. kafkajs' own retries, 40 s of
    // them for a topic that does not exist, would hold up the other partitions of the fetch.
    const impatient = new kafkajs.Kafka({
      ...connection(options),
      logCreator: forwardTo(log, () => {}),
      retry: PRODUCE_RETRY,
    });
    const opened = impatient.producer({
      allowAutoTopicCreation: false,
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    });
    await opened.connect();
    return opened;
  }

  return {
    async run(given) {
      handler = given;
      const ended = new Promise<void>((resolve, reject) => ((finish = resolve), (fail = reject)));
      ended.catch(() => {}); // Awaited below; a failure before that is not unhandled.
      consumer.on('consumer.group_join', ({ payload }) => onJoin(payload.memberAssignment));
      consumer.on('consumer.heartbeat', () => {
        goOn();
        handler.heartbeat();
      });
      consumer.on('consumer.crash', ({ payload }) => onCrash(payload.error, payload.restart));
      consumer.on('consumer.network.request', ({ payload }) => {
        if (payload.apiName === 'JoinGroup') log.debug({ sentAt: payload.sentAt }, 'JoinGroup was sent');
      });
      await consumer.connect();
      await consumer.subscribe({ topics: options.topics, fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: options.concurrency,
        eachBatch,
      });
      await ended;
    },

    commit(mine, positions) {
      return inTurn(async () => {
        if (mine !== generation || !door) return false;
        try {
          await door({ topics: byTopic(positions) });
          goOn();
          return true;
        } catch (error) {
          doubtful ||= over !== mine;
          noteEnd(mine, error);
          log.warn(
            { error: (error as Error).message, positions },
            'a commit was refused; its records will be read again',
          );
          return false;
        }
      });
    },

    async offsetAt({ topic, partition }, timestampMs) {
      const offsets = await withAdmin(admin => admin.fetchTopicOffsetsByTimestamp(topic, timestampMs));
      return Number(offsets.find(entry => entry.partition === partition)?.offset ?? 0);
    },

    async exists(topic) {
      return withAdmin(async admin => (await admin.listTopics()).includes(topic));
    },

    async produce(topic, letters: DeadLetter[]) {
      const mine = (producer ??= openProducer());
      try {
        const messages = letters.map(({ value, ...letter }) => ({
          ...letter,
          value: value && Buffer.from(value.buffer, value.byteOffset, value.byteLength),
        }));
        await (await mine).send({ topic, acks: -1, messages });
      } catch (error) {
        // Of several that fail at once only the first gives up the producer they share.
        if (producer === mine) {
          producer = undefined;
          void mine.then(opened => opened.disconnect()).catch(() => {});
        }
        throw error;
      }
    },

    drain() {
      stopping = true;
    },

    async stop() {
      stopping = true;
      for (const timer of resumes) clearTimeout(timer);
      halt.abort();
      await Promise.all([consumer.disconnect(), startPositions]);
      await producer?.then(opened => opened.disconnect()).catch(() => {});
      finish();
    },
  };
}

function connection(options: KafkaOptions): KafkaConfig {
  const { tls, tlsCaFile: ca, tlsCertFile: cert, tlsKeyFile: key } = options;
  return {
    clientId: options.clientId,
    brokers: [...options.brokers],
    connectionTimeout: 10_000,
    retry: { retries: 8, initialRetryTime: 300, maxRetryTime: 10_000 },
    ...(tls && { ssl: ca || cert ? { ca, cert, key } : true }),
    ...(options.saslMechanism && { sasl: login(options) }),
  };
}

function login(options: KafkaOptions): SASLOptions {
  const { saslMechanism, saslUsername, saslPassword, saslTokenFile } = options;
  if (saslMechanism === 'oauthbearer')
    return {
      mechanism: 'oauthbearer',
      oauthBearerProvider: async () => ({ value: readFileSync(saslTokenFile!, 'utf8').trim() }),
    };
  // In range: readSettings requires both for plain and scram.
  return { mechanism: saslMechanism!, username: saslUsername!, password: saslPassword! } as SASLOptions;
}

function byTopic(positions: Position[]) {
  const topics = [...new Set(positions.map(position => position.topic))];
  return topics.map(topic => ({
    topic,
    partitions: positions
      .filter(position => position.topic === topic)
      .map(({ partition, offset }) => ({ partition, offset: String(offset) })),
  }));
}

function forwardTo(log: Log, onLine: (message: string, fields: object) => void): logCreator {
  const names = {
    [kafkajs.logLevel.ERROR]: 'error',
    [kafkajs.logLevel.WARN]: 'warn',
    [kafkajs.logLevel.INFO]: 'info',
  } as const;
  return () =>
    ({ namespace, level, log: { message, timestamp, logger, ...fields } }) => {
      onLine(message, fields);
      log[names[level as keyof typeof names] ?? 'debug']({ kafkajs: namespace, ...fields }, message);
    };
}
