// The source on kafkajs 2.2.4. Only host/source/ imports kafkajs. Its defaults lose records. What is set here, and why:
//
// - `autoCommit: false` and `eachBatchAutoResolve: false`: kafkajs would resolve the whole batch of a handler that
//   returned early, and commit it on the way out.
// - `fromBeginning: true`: otherwise a first start, an expired offset and a new partition all begin at the end.
// - kafkajs sees no exception but its own: after a TypeError of ours the consumer would end for good, and the process
//   would live on.
// - A batch belongs to a generation, counted here: kafkajs lets a handler of one generation resolve and commit in the
//   next one.
// - Commits are sent from here, as the member that we were when the generation began: `consumer.commitOffsets` does
//   nothing while the consumer stops, and repeats a commit in the next generation.
// - kafkajs' producer is not used: produce.ts says why.
// - host/source/cluster.ts repairs the rest.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import kafkajs from 'kafkajs';
import type {
  Admin,
  EachBatchPayload,
  Kafka as KafkaClient,
  KafkaConfig,
  KafkaJSProtocolError,
  logCreator,
  SASLOptions,
} from 'kafkajs';
import { isUnreachable, mendCluster, openFetcher, openSender } from './cluster.ts';
import type { Committed, CommittedTopic, Fetcher, Group, Member, Sender } from './cluster.ts';
import type { BatchMessage } from './fetch.ts';
import type { Log } from '../log.ts';
import { partitionOfKey } from './produce.ts';
import { piecesOf } from './records.ts';
import { SourceEnd } from './source.ts';
import type { Handler, Lease, Position, Source, TopicFacts, TopicPartition } from './source.ts';

// Below the session timeout by a wide margin, so that one lost heartbeat does not lose the session.
const HEARTBEATS_PER_SESSION = 10;
// A fetch can delay a stop or a rebalance for this long.
const FETCH_WAIT_MS = 500;
const FETCH_SIZE_MAX = 4 * 1024 * 1024; // Bytes of one broker's answer, as stored; they wait in memory.
const PARTITION_SIZE_MAX = 1024 * 1024; // Bytes of one partition in it; a larger batch comes alone.
// kafkajs restarts its consumer for ever. After this many crashes in a row the process ends, and Kubernetes starts another.
const CRASHES_MAX = 10;
/** Commits refused in a row, with accepted heartbeats between them. A fresh process may not have what is wrong here. */
const REFUSED_COMMITS_MAX = 10;
const EXAMINE_RETRY_MS = 1000;
/** How often to look for topics that were created again. Until then their records are read from the old offset. */
const TOPIC_CHECK_MS = 5000;
const UNREACHED_LOG_MS = 30_000;
/** About 40 s in all. The longest wait is short, so that a broker that returns is found soon. */
const RETRY = { retries: 20, initialRetryTime: 200, maxRetryTime: 2000 };

/** Few: the caller tries again itself, and other partitions go on meanwhile. */
const PRODUCE_RETRY = { retries: 2, initialRetryTime: 100, maxRetryTime: 500 };

const BEAT_MS = 500; // How often a wait looks at the heartbeat.

const ENDS_GENERATION = ['REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID'];
const CONNECTION_NAMESPACES = ['Connection', 'BrokerPool'];
const UNREACHED = /^(Connection|Failed to connect)/;

/** Where the brokers are, and what to read. */
export interface KafkaOptions {
  brokers: readonly string[];
  topics: string[];
  group: string;
  clientId: string;
  /** Partitions that are handled at the same time. */
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

interface FailingLease extends Lease {
  /** Why a heartbeat was refused. kafkajs needs the error in order to join again. */
  failure?: unknown;
}

export function openKafka(options: KafkaOptions, log: Log): Source {
  const client = new kafkajs.Kafka({
    ...connection(options),
    logCreator: forwardTo(log, onLine, () => stopping),
  });
  let group!: Group; // Set below: kafkajs creates the assigner together with the consumer.
  const consumer = client.consumer({
    groupId: options.group,
    sessionTimeout: options.sessionTimeoutMs,
    rebalanceTimeout: options.rebalanceTimeoutMs,
    heartbeatInterval: Math.floor(options.sessionTimeoutMs / HEARTBEATS_PER_SESSION),
    maxWaitTimeInMs: FETCH_WAIT_MS,
    minBytes: 1,
    maxBytes: FETCH_SIZE_MAX,
    maxBytesPerPartition: PARTITION_SIZE_MAX,
    allowAutoTopicCreation: false, // A misspelt topic is an error, not a new and silent topic.
    retry: { ...RETRY, restartOnFailure: async () => !stopping },
    partitionAssigners: [
      config => {
        const { sessionTimeoutMs, group: groupId } = options;
        group = mendCluster(config.cluster, { groupId, sessionTimeoutMs, onHeartbeat });
        return kafkajs.PartitionAssigners.roundRobin(config);
      },
    ],
  });

  const carrier = openCarrier(client, options.group);

  let handler: Handler;
  let generation = 0;
  let owned: TopicPartition[] = [];
  /** Our identity when the generation began. */
  let member: Member | undefined;
  /** The generation that the broker says is over: its batches are no longer live, even before the next join. */
  let over = -1;
  /** Only a refused commit says that it is over. If the broker accepts a later heartbeat or commit, it is not. */
  let doubtful = false;
  let stopping = false;
  /** Nothing connects any more. */
  let closed = false;
  let crashes = 0;
  let commits: Promise<unknown> = Promise.resolve();
  let refusedInARow = 0;
  /** Of those, the ones with an accepted heartbeat before them. */
  let refusedAlive = 0;
  let beatSinceRefusal = false;
  /** Keys of the partitions with a commit in this generation. */
  let committed = new Set<string>();
  let topicIds = new Map<string, string>();
  let fail: (error: Error) => void;
  let finish = () => {}; // Until it runs, nothing waits.
  const resumes = new Set<NodeJS.Timeout>();
  /** Ends every wait between two tries. */
  const halt = new AbortController();
  /** Whether the committed offsets were examined in this generation. There is no commit before that. */
  let examination: Promise<boolean> = Promise.resolve(false);
  let examinations: Promise<unknown> = Promise.resolve();

  function onJoin(assignment: Record<string, number[]>): void {
    const partitions = Object.entries(assignment).flatMap(([topic, numbers]) =>
      numbers.map(partition => ({ topic, partition })),
    );
    member = group.member();
    beginGeneration(partitions);
  }

  function beginGeneration(partitions: TopicPartition[]): void {
    generation++;
    owned = partitions;
    committed = new Set();
    handler.assigned(generation, owned);
    examineOffsets();
  }

  function examineOffsets(): void {
    examinations = Promise.all([examinations, untilExamined(generation)]);
  }

  function onHeartbeat(): void {
    beatSinceRefusal = true;
    goOn();
    handler?.heartbeat();
  }

  async function onCrash(error: Error, restart: boolean): Promise<void> {
    over = generation;
    doubtful = false;
    if (restart && ++crashes < CRASHES_MAX) return;
    fail((await missingTopics()) ?? new SourceEnd(`the Kafka client ended for good: ${error.message}`));
  }

  /** kafkajs reports only in its log that an offset was out of range and that it committed −2, "the earliest", instead. */
  function onLine(message: string, { topic, partition }: Partial<TopicPartition>): void {
    if (!message.startsWith('Offset out of range, resetting')) return;
    const place = { topic: topic!, partition: partition! };
    handler.skipped(place);
    committed.delete(keyOf(place));
    examineOffsets();
  }

  /** Handles what was fetched from a partition: decodes its record batches and passes them on piece by piece. */
  async function eachBatch(payload: EachBatchPayload): Promise<void> {
    const { topic, partition } = payload.batch;
    const mine = generation;
    // After a rebalance or a seek, kafkajs still passes on what was fetched before it.
    if (mine === over || payload.isStale() || !isOwned({ topic, partition })) return;
    const lease = leaseOf(payload, mine);
    try {
      await handlePieces(payload, mine, lease);
    } catch (error) {
      fail(error as Error); // A bug: nothing of this batch is acknowledged, and a fresh process tries again.
      return;
    }
    // Not after a join: a consumer that cannot read what it fetches joins again and again.
    crashes = 0;
    if (lease.failure) throw lease.failure;
  }

  async function handlePieces(payload: EachBatchPayload, mine: number, lease: FailingLease): Promise<void> {
    const { batch } = payload;
    const fetched = (batch.messages as unknown as BatchMessage[]).map(message => message.batch);
    // Control records may follow the last batch; nobody reads them.
    const fetchedEnd = Number(batch.lastOffset()) + 1;
    let position = Number((batch as unknown as { fetchedOffset: string }).fetchedOffset);
    const pieces = piecesOf(fetched, position, fetchedEnd);
    try {
      // Not before: a topic that was created again since the last commit is read from its beginning, and the ids of hits have
      // the id of their topic. Without it the same record would be counted twice.
      while (!(await whileBeating(examination, lease))) {
        if (!lease.live()) return;
        await whileBeating(pauseBeforeRetry(), lease);
      }
      for (;;) {
        const next = await whileBeating(pieces.next(), lease);
        if (next.done || !lease.live()) return;
        const { messages, end } = next.value;
        const start = position;
        await handler.batch({
          ...lease,
          start,
          end,
          messages,
          generation: mine,
          highWatermark: Number(batch.highWatermark),
          advance(offset) {
            if (!isCurrent(mine)) return;
            position = offset;
            payload.resolveOffset(String(offset - 1));
          },
          seek(offset) {
            if (isCurrent(mine)) consumer.seek({ ...keyless(batch), offset: String(offset) });
          },
          pause(durationMs) {
            if (!isCurrent(mine)) return;
            const resume = payload.pause();
            const timer = setTimeout(() => (resumes.delete(timer), resume()), durationMs);
            resumes.add(timer);
          },
        });
        // The partition is paused, or something else is to be read first.
        if (position !== end) return;
      }
    } finally {
      await pieces.return();
    }
  }

  function leaseOf(payload: EachBatchPayload, mine: number): FailingLease {
    const lease: FailingLease = {
      ...keyless(payload.batch),
      live: () => isCurrent(mine) && !stopping && !lease.failure,
      async heartbeat() {
        if (!isCurrent(mine) || lease.failure) return;
        try {
          await payload.heartbeat();
        } catch (error) {
          lease.failure = error;
          noteEnd(mine, error);
          doubtful = false;
        }
      },
    };
    return lease;
  }

  function isCurrent(mine: number): boolean {
    return mine === generation && mine !== over;
  }

  function isOwned({ topic, partition }: TopicPartition): boolean {
    return owned.some(known => known.topic === topic && known.partition === partition);
  }

  function noteEnd(mine: number, error: unknown): void {
    if (mine === generation && ENDS_GENERATION.includes((error as KafkaJSProtocolError).type)) over = mine;
  }

  /** Otherwise one wrong answer of the coordinator would leave the consumer in the group and idle for ever. */
  function goOn(): void {
    if (doubtful) over = -1;
    doubtful = false;
  }

  function noteRefusal(mine: number, error: Error, positions: Position[]): void {
    doubtful ||= over !== mine;
    noteEnd(mine, error);
    const level = refusedInARow++ === 0 ? 'warn' : 'debug';
    log[level]({ error: error.message, positions }, 'a commit was refused; it is tried again');
    if (!beatSinceRefusal) return;
    beatSinceRefusal = false;
    if (++refusedAlive < REFUSED_COMMITS_MAX) return;
    fail(
      new SourceEnd(
        `the group coordinator refused ${refusedInARow} commits in a row and accepted the heartbeats between them: ${error.message}`,
      ),
    );
  }

  async function untilExamined(mine: number): Promise<void> {
    for (let tries = 1; isCurrent(mine) && !stopping; tries++) {
      examination = examine(mine).then(
        () => true,
        (error: Error) => {
          const level = tries === 1 ? 'warn' : 'debug';
          log[level](
            { topics: options.topics, error: error.message },
            'the committed offsets are not examined yet',
          );
          return false;
        },
      );
      if (await examination) return;
      await pauseBeforeRetry();
    }
  }

  async function pauseBeforeRetry(): Promise<void> {
    await sleep(EXAMINE_RETRY_MS, undefined, { signal: halt.signal }).catch(() => {});
  }

  /**
   * Examines what is committed for our partitions. A commit for a topic that was created again since then is void. A
   * partition without a commit gets its first offset: otherwise KEDA counts the whole log as lag and never scales to
   * zero, and the group's offsets expire while it is at zero.
   */
  async function examine(mine: number): Promise<void> {
    await checkTopics();
    const found = (await group.committed(owned)).filter(isOwned);
    if (!isCurrent(mine)) return;
    const isVoid = ({ topic, metadata }: Committed) => {
      const { id } = readMetadata(metadata);
      return id !== undefined && topicIds.has(topic) && id !== topicIds.get(topic);
    };
    const voided = found.filter(isVoid).map(({ topic }) => topic);
    if (voided.length > 0) return beginAgain([...new Set(voided)]);
    const first = await group.firstOffsets(found.filter(({ offset }) => offset < 0));
    await inTurn(async () => {
      // A commit since our question is for a later offset.
      const missing = first.filter(position => !committed.has(keyOf(position)));
      if (isCurrent(mine) && missing.length > 0) await group.commit(member!, byTopic(missing, topicIds));
    });
  }

  /** Finds topics that were created again: their ids have changed. */
  async function checkTopics(): Promise<void> {
    const found = await group.topicIds(options.topics);
    if (!found) return; // These brokers know no ids.
    const unknown = options.topics.filter(topic => !found.has(topic));
    if (unknown.length > 0) throw new Error(`the broker does not know the id of ${unknown.join(', ')} yet`);
    const recreated = [...found].filter(([topic, id]) => (topicIds.get(topic) ?? id) !== id);
    topicIds = new Map([...topicIds, ...found]);
    if (recreated.length > 0) beginAgain(recreated.map(([topic]) => topic));
  }

  /** Reads the topics from their beginning. Batches under work are void, as after a rebalance. */
  function beginAgain(topics: string[]): void {
    for (const topic of topics) handler.recreated(topic);
    const positions = owned
      .filter(({ topic }) => topics.includes(topic))
      .map(({ topic, partition }) => ({ topic, partition, offset: 0 }));
    beginGeneration(owned);
    const mine = generation;
    for (const { topic, partition } of positions) consumer.seek({ topic, partition, offset: '0' });
    void inTurn(async () => {
      if (mine === generation) await group.commit(member!, byTopic(positions, topicIds));
    }).catch(() => {}); // Then the old commit has the old id, and the next join finds it.
  }

  /** One commit at a time, so that an older one never overtakes a newer. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = commits.then(work, work);
    commits = turn.catch(() => {});
    return turn;
  }

  let admins = 0;
  let sharedAdmin: Promise<Admin> | undefined;
  /** Shares an admin connection while it is in use. An idle one would cost a timer every millisecond. */
  async function withAdmin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    if (closed) throw new SourceEnd('the source is closed');
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

  async function join(): Promise<void> {
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: options.topics, fromBeginning: true });
    } catch (error) {
      throw unreachable(error, options) ?? (await missingTopics()) ?? error;
    }
    if (stopping) return consumer.disconnect();
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: options.concurrency,
      eachBatch,
    });
  }

  /** The reason to end if a topic does not exist. */
  async function missingTopics(): Promise<SourceEnd | undefined> {
    const there = await withAdmin(admin => admin.listTopics()).catch(() => options.topics);
    const missing = options.topics.filter(topic => !there.includes(topic));
    if (missing.length === 0) return undefined;
    const names = missing.map(topic => `"${topic}"`).join(', ');
    return new SourceEnd(
      `Kafka has no topic ${names}: create it, or correct EARSHOT_TOPICS (is this user allowed to see it?)`,
    );
  }

  let topicChecks: NodeJS.Timeout | undefined;

  return {
    async run(given) {
      handler = given;
      const ended = new Promise<void>((resolve, reject) => ((finish = resolve), (fail = reject)));
      ended.catch(() => {}); // Awaited below; a failure before that is not unhandled.
      consumer.on('consumer.group_join', ({ payload }) => onJoin(payload.memberAssignment));
      consumer.on('consumer.crash', ({ payload }) => onCrash(payload.error, payload.restart));
      consumer.on('consumer.network.request', ({ payload }) => {
        if (payload.apiName === 'JoinGroup') log.debug({ sentAt: payload.sentAt }, 'JoinGroup was sent');
      });
      await join();
      // It may have been stopped meanwhile, and what begins now would never end.
      if (!stopping) topicChecks = setInterval(() => void checkTopics().catch(() => {}), TOPIC_CHECK_MS);
      await ended;
    },

    topicId: topic => topicIds.get(topic),

    async commit(mine, positions) {
      if (!(await examination)) return false;
      return inTurn(async () => {
        if (mine !== generation || !member) return false;
        try {
          await group.commit(member, byTopic(positions, topicIds));
          for (const position of positions) committed.add(keyOf(position));
          refusedInARow = refusedAlive = 0;
          goOn();
          return true;
        } catch (error) {
          noteRefusal(mine, error as Error, positions);
          return false;
        }
      });
    },

    async offsetAt({ topic, partition }, timestampMs) {
      const offsets = await withAdmin(admin => admin.fetchTopicOffsetsByTimestamp(topic, timestampMs));
      return Number(offsets.find(entry => entry.partition === partition)?.offset ?? 0);
    },

    async standing({ topic, partition }) {
      const [offsets, [stored]] = await Promise.all([
        withAdmin(admin => admin.fetchTopicOffsets(topic)),
        group.committed([{ topic, partition }]),
      ]);
      const held = offsets.find(entry => entry.partition === partition);
      if (!held) throw new Error(`the broker does not know ${topic}/${partition}`);
      const [low, high] = [Number(held.low), Number(held.high)];
      // A commit beyond the end is of an earlier topic of this name.
      const committed = stored && stored.offset <= high ? stored.offset : -1;
      return { committed, timestamp: readMetadata(stored?.metadata).timestamp, low, high };
    },

    seek({ topic, partition }, offset) {
      consumer.seek({ topic, partition, offset: String(offset) });
    },

    async topic(name) {
      return withAdmin(admin => factsOf(admin, name)).catch(error => {
        throw unreachable(error, options) ?? error;
      });
    },

    async partitionOf(topic, key) {
      return partitionOfKey(key, (await group.partitionsOf([topic])).length);
    },

    async progress(other, topics) {
      const stored = await group.committedBy(other);
      const read = topics ?? [...new Set(stored.map(({ topic }) => topic))];
      const partitions = await group.partitionsOf(read);
      const first = await group.firstOffsets(partitions);
      const last = await group.lastOffsets(partitions);
      const at = (positions: Position[], key: string) => positions.find(one => keyOf(one) === key)?.offset;
      return partitions.map(place => ({
        ...place,
        offset: at(stored, keyOf(place)) ?? -1,
        low: at(first, keyOf(place)) ?? 0,
        end: at(last, keyOf(place)) ?? 0,
      }));
    },

    async ends(topic) {
      const ends: number[] = [];
      for (const { partition, offset } of await group.lastOffsets(await group.partitionsOf([topic])))
        ends[partition] = offset;
      return ends;
    },

    async produce(topic, letters) {
      if (closed) throw new SourceEnd('the source is closed');
      await carrier.sender.produce(topic, letters);
    },

    drain() {
      stopping = true;
    },

    async stop() {
      stopping = true;
      clearInterval(topicChecks);
      for (const timer of resumes) clearTimeout(timer);
      halt.abort();
      await Promise.all([consumer.disconnect(), examinations]);
      closed = true;
      await carrier.close();
      finish();
    },
  };
}

/** What produces, and reads nothing. */
export interface Producer extends Pick<Source, 'topic' | 'produce'> {
  /** Settles when each partition of the topic has a leader that we know of; rejects with the reason otherwise. */
  reach(topic: string): Promise<void>;
  stop(): Promise<void>;
}

export function openProducer(options: Omit<KafkaOptions, 'topics'>, log: Log): Producer {
  let closed = false;
  const client = openClient(options, log, () => closed);
  const carrier = openCarrier(client, options.group);
  return {
    reach: topic => carrier.sender.reach(topic),
    async produce(topic, letters) {
      if (closed) throw new SourceEnd('the producer is closed');
      await carrier.sender.produce(topic, letters);
    },
    async topic(name) {
      const admin = client.admin();
      try {
        await admin.connect();
        return await factsOf(admin, name);
      } catch (error) {
        throw unreachable(error, options) ?? error;
      } finally {
        await admin.disconnect();
      }
    },
    async stop() {
      closed = true;
      await carrier.close();
    },
  };
}

/** A client that reads topics without a group: nothing is joined and nothing committed. */
export interface Reader {
  fetcher: Fetcher;
  /** The first record and one past the last, by partition; undefined: there is no such topic. */
  bounds(topic: string): Promise<Map<number, { low: number; high: number }> | undefined>;
  /** By partition, the first offset whose record is at this time or later. */
  offsetsAt(topic: string, timestampMs: number): Promise<Map<number, number>>;
  close(): Promise<void>;
}

export async function openReader(options: Omit<KafkaOptions, 'topics'>, log: Log): Promise<Reader> {
  let closed = false;
  const client = openClient(options, log, () => closed);
  let fetcher!: Fetcher; // Set below: kafkajs creates the assigner together with the consumer.
  const carrier = client.consumer({
    groupId: options.group, // It never joins.
    retry: PRODUCE_RETRY,
    partitionAssigners: [
      config => ((fetcher = openFetcher(config.cluster)), kafkajs.PartitionAssigners.roundRobin(config)),
    ],
  });
  const admin = client.admin();
  const close = async () => {
    closed = true;
    await Promise.all([admin.disconnect(), carrier.disconnect()]).catch(() => {});
  };
  try {
    await Promise.all([admin.connect(), fetcher.connect()]);
  } catch (error) {
    await close();
    throw unreachable(error, options) ?? error;
  }
  return {
    fetcher,
    async bounds(topic) {
      if (!(await admin.listTopics()).includes(topic)) return undefined;
      const found = await admin.fetchTopicOffsets(topic);
      return new Map(
        found.map(({ partition, low, high }) => [partition, { low: Number(low), high: Number(high) }]),
      );
    },
    async offsetsAt(topic, timestampMs) {
      const found = await admin.fetchTopicOffsetsByTimestamp(topic, timestampMs);
      return new Map(found.map(({ partition, offset }) => [partition, Number(offset)]));
    },
    close,
  };
}

function openClient(options: Omit<KafkaOptions, 'topics'>, log: Log, isClosed: () => boolean): KafkaClient {
  const logCreator = forwardTo(log, () => {}, isClosed);
  return new kafkajs.Kafka({ ...connection(options), retry: PRODUCE_RETRY, logCreator });
}

/** kafkajs has no cluster without a consumer. This one never joins: its connections are for what is produced. */
function openCarrier(client: KafkaClient, groupId: string): { sender: Sender; close(): Promise<void> } {
  let sender!: Sender; // Set below: kafkajs creates the assigner together with the consumer.
  const carrier = client.consumer({
    groupId,
    retry: PRODUCE_RETRY,
    partitionAssigners: [
      config => ((sender = openSender(config.cluster)), kafkajs.PartitionAssigners.roundRobin(config)),
    ],
  });
  return { sender, close: () => carrier.disconnect().catch(() => {}) };
}

/** The reason to end if it is that no broker answers. */
function unreachable(error: unknown, { brokers }: Pick<KafkaOptions, 'brokers'>): SourceEnd | undefined {
  if (!isUnreachable(error)) return undefined;
  return new SourceEnd(`no Kafka broker of ${brokers.join()} can be reached: ${(error as Error).message}`);
}

/** Undefined: there is no such topic. */
async function factsOf(admin: Admin, name: string): Promise<TopicFacts | undefined> {
  if (!(await admin.listTopics()).includes(name)) return undefined;
  const [partitions, { resources }] = await Promise.all([
    admin.fetchTopicOffsets(name),
    admin.describeConfigs({
      resources: [
        {
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name,
          configNames: ['retention.ms', 'cleanup.policy'],
        },
      ],
      includeSynonyms: false,
    }),
  ]);
  const entries = resources[0]!.configEntries;
  const value = (key: string) => entries.find(entry => entry.configName === key)?.configValue ?? '';
  return {
    partitionCount: partitions.length,
    retentionMs: Number(value('retention.ms')),
    cleanupPolicy: value('cleanup.policy'),
  };
}

/** Waits, and keeps the session alive meanwhile. */
async function whileBeating<T>(work: Promise<T>, lease: Lease): Promise<T> {
  const beats = setInterval(() => void lease.heartbeat(), BEAT_MS);
  try {
    return await work;
  } finally {
    clearInterval(beats);
  }
}

function keyless({ topic, partition }: TopicPartition): TopicPartition {
  return { topic, partition };
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

function connection(options: Omit<KafkaOptions, 'topics'>): KafkaConfig {
  const { tls, tlsCaFile: ca, tlsCertFile: cert, tlsKeyFile: key } = options;
  return {
    clientId: options.clientId,
    brokers: [...options.brokers],
    connectionTimeout: 10_000,
    retry: RETRY,
    ...(tls && { ssl: ca || cert ? { ca, cert, key } : true }),
    ...(options.saslMechanism && { sasl: login(options) }),
  };
}

function login(options: Omit<KafkaOptions, 'topics'>): SASLOptions {
  const { saslMechanism, saslUsername, saslPassword, saslTokenFile } = options;
  if (saslMechanism === 'oauthbearer')
    return {
      mechanism: 'oauthbearer',
      oauthBearerProvider: async () => ({ value: readFileSync(saslTokenFile!, 'utf8').trim() }),
    };
  // In range: readSettings requires both for plain and scram.
  return { mechanism: saslMechanism!, username: saslUsername!, password: saslPassword! } as SASLOptions;
}

/** A commit has the id of its topic as metadata, if the id is known. */
function byTopic(positions: Position[], topicIds: Map<string, string>): CommittedTopic[] {
  const topics = [...new Set(positions.map(position => position.topic))];
  return topics.map(topic => ({
    topic,
    partitions: positions
      .filter(position => position.topic === topic)
      .map(({ partition, offset, timestamp }) => ({
        partition,
        offset: String(offset),
        metadata: writeMetadata({ id: topicIds.get(topic), timestamp }),
      })),
  }));
}

/** What a commit carries in addition to its offset: the id of the topic, and when the last record below was written. */
interface CommitMetadata {
  id?: string;
  /** Milliseconds since 1970. */
  timestamp?: number;
}

/** In the form `topic-id:<id> timestamp:<number>`. */
function writeMetadata({ id, timestamp }: CommitMetadata): string | undefined {
  const parts = [...(id ? [`topic-id:${id}`] : []), ...(timestamp ? [`timestamp:${timestamp}`] : [])];
  return parts.join(' ') || undefined;
}

function readMetadata(text: string | null | undefined): CommitMetadata {
  const [, id] = /(?:^| )topic-id:(\S+)/.exec(text ?? '') ?? [];
  const [, timestamp] = /(?:^| )timestamp:(\d+)/.exec(text ?? '') ?? [];
  return { id, timestamp: timestamp === undefined ? undefined : Number(timestamp) };
}

/** When a log last got the line that a broker cannot be reached: the clients of both roles share a log and this line. */
const unreachedAt = new WeakMap<Log, number>();

/**
 * Forwards the lines of kafkajs without stacks. kafkajs logs every attempt to reach a broker; here this is one line, and
 * one more for each half minute that it lasts.
 */
function forwardTo(
  log: Log,
  onLine: (message: string, fields: object) => void,
  isStopping: () => boolean,
): logCreator {
  const names = {
    [kafkajs.logLevel.ERROR]: 'error',
    [kafkajs.logLevel.WARN]: 'warn',
    [kafkajs.logLevel.INFO]: 'info',
  } as const;
  return () =>
    ({ namespace, level, log: { message, timestamp, logger, stack, ...fields } }) => {
      onLine(message, fields);
      let name: keyof Log = names[level as keyof typeof names] ?? 'debug';
      // A client that is stopped while it joins a group crashes: nobody has to do anything about it.
      if (isStopping() && message.startsWith('Crash: ')) name = 'debug';
      if (CONNECTION_NAMESPACES.includes(namespace) && name === 'error') {
        name = 'debug'; // The caller gets the error.
        if (UNREACHED.test(message) && Date.now() - (unreachedAt.get(log) ?? -Infinity) > UNREACHED_LOG_MS) {
          unreachedAt.set(log, Date.now());
          log.warn(
            { broker: fields.broker, error: message },
            'a Kafka broker cannot be reached; trying again',
          );
        }
      }
      log[name]({ kafkajs: namespace, ...fields }, message);
    };
}
