// Repairs kafkajs 2.2.4 for brokers that come and go. It is the last release, so nothing changes under us. kafkajs
// passes its cluster to a partition assigner; from there we put our methods over those of the cluster and its brokers.
// Other clients in this process are not changed.
//
// - The coordinator. kafkajs sends commits to the coordinator of its last successful join, and heartbeats to that of its
//   last attempt to join. When a coordinator moves and still loads, commits fail for ever and heartbeats succeed. kafkajs
//   looks for the coordinator only when it joins: after a kill -9 it fails for a minute, crashes and starts again. Here
//   one coordinator serves heartbeats, commits and offsets, and a new one is looked for as soon as it is gone.
// - Joins. kafkajs gives up when a join fails because the coordinator loads or is gone. Here it tries again.
// - Fetches. In kafkajs a broker that cannot be reached stops the fetches from all brokers, for longer each time, and at
//   last the consumer; a partition whose leader moves makes the whole group join again. Here both are an empty answer
//   and a refresh of the metadata.
// - The answer to a fetch is not decoded; host/source/fetch.ts says why.
// - Timers. In kafkajs a connection checks its empty request queue every millisecond. Here it does not.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from 'kafkajs';
import { decodeFetch, FETCH_VERSION } from './fetch.ts';
import type { BatchMessage, FetchAnswer } from './fetch.ts';
import { encodeBatches, partitionOfKey, ProduceError, produceRequest } from './produce.ts';
import type { Answer } from './produce.ts';
import type { Letter, Position, TopicPartition } from './source.ts';
import { hasTopicIds, topicIdRequest } from './topics.ts';

const METADATA = 3;
const FETCH_RETRY_MS = 200;
const FIND_RETRY_MS = 200;
/** How long to look for a coordinator. Kafka detects a dead broker after 9 s. */
const FIND_MS = 30_000;

/** The coordinator moves, loads or is gone: a later request may succeed. */
const COORDINATOR_MOVES = [
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
];
const NOT_REACHED = [
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
  'KafkaJSLockTimeout',
];

/** The parts of kafkajs' brokers and cluster that are used here. Most are missing in its types. */
interface Broker {
  nodeId: string;
  versions: Record<number, { maxVersion: number }>;
  connectionPool: { send: (protocol: Protocol) => Promise<unknown>; pool: { requestQueue: RequestQueue }[] };
  isConnected(): boolean;
  disconnect(): Promise<void>;
  fetch(options: object): Promise<FetchAnswer>;
  findGroupCoordinator(options: object): Promise<{ coordinator: { nodeId: string } }>;
  heartbeat(options: object): Promise<unknown>;
  joinGroup(options: object): Promise<{ generationId: number; memberId: string }>;
  syncGroup(options: object): Promise<unknown>;
  offsetFetch(options: object): Promise<{ responses: object[] }>;
  offsetCommit(options: object): Promise<unknown>;
  listOffsets(options: object): Promise<unknown>;
  leaveGroup(options: object): Promise<unknown>;
}

interface Protocol {
  request: { apiName: string; apiVersion: number };
  response: { decode: (bytes: Buffer) => Promise<unknown> };
}

interface RequestQueue {
  pending: unknown[];
  scheduleCheckPendingRequests(): void;
}

interface MendedCluster {
  brokerPool: {
    createBroker(options: object): Broker;
    findConnectedBroker(): Promise<Broker>;
  };
  findBroker(node: { nodeId: string }): Promise<Broker>;
  findGroupCoordinator(options: { groupId: string }): Promise<Broker>;
  refreshMetadata(): Promise<void>;
  addMultipleTargetTopics(topics: string[]): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: number[]): Record<string, number[]>;
  connect(): Promise<void>;
}

export interface Member {
  groupId: string;
  memberId: string;
  groupGenerationId: number;
}

export interface CommittedTopic {
  topic: string;
  partitions: { partition: number; offset: string; metadata?: string }[];
}

/** What is committed for a partition: an offset below 0 where nothing is. */
export interface Committed extends Position {
  metadata: string | null;
}

export interface Group {
  /** Our identity since the last join. */
  member(): Member | undefined;
  /** Commits as this member, to the current coordinator. Rejects when the broker refuses it. */
  commit(member: Member, topics: CommittedTopic[]): Promise<void>;
  committed(partitions: TopicPartition[]): Promise<Committed[]>;
  /** The first offsets that the partitions still have. */
  firstOffsets(partitions: TopicPartition[]): Promise<Position[]>;
  /** The ends of the partitions: one past their last records. */
  lastOffsets(partitions: TopicPartition[]): Promise<Position[]>;
  /** The partitions of topics that this client may not read. */
  partitionsOf(topics: readonly string[]): Promise<TopicPartition[]>;
  /** All that another group has committed. */
  committedBy(groupId: string): Promise<Committed[]>;
  /** The ids of the topics by name; undefined when the brokers are too old for ids. */
  topicIds(topics: readonly string[]): Promise<Map<string, string> | undefined>;
}

export interface GroupOptions {
  groupId: string;
  sessionTimeoutMs: number;
  /** The coordinator has answered a heartbeat. */
  onHeartbeat(): void;
}

export function mendCluster(given: Cluster, { groupId, sessionTimeoutMs, onHeartbeat }: GroupOptions): Group {
  const cluster = given as unknown as MendedCluster;
  const { brokerPool } = cluster;
  let coordinator: Broker | undefined;
  let member: Member | undefined;
  let lastBeatAt = Date.now();

  const createBroker = brokerPool.createBroker;
  brokerPool.createBroker = options => mendBroker(createBroker(options));

  const findBroker = cluster.findBroker.bind(cluster);
  cluster.findBroker = async node => {
    try {
      return await findBroker(node);
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      return absentBroker(node.nodeId, error);
    }
  };

  cluster.findGroupCoordinator = async () => {
    const endsAt = Date.now() + FIND_MS;
    for (;;) {
      try {
        return (coordinator = await findCoordinator());
      } catch (error) {
        if (!mayPass(error) || Date.now() > endsAt) throw error;
        await sleep(FIND_RETRY_MS);
        await cluster.refreshMetadata().catch(() => {});
      }
    }
  };

  async function findCoordinator(): Promise<Broker> {
    const asked = await brokerPool.findConnectedBroker();
    const found = await asked.findGroupCoordinator({ groupId, coordinatorType: 0 });
    return findBroker({ nodeId: found.coordinator.nodeId });
  }

  /** Asks the current coordinator, and the next one when it has just moved. */
  async function askCoordinator<T>(ask: (broker: Broker) => Promise<T>): Promise<T> {
    try {
      if (!coordinator?.isConnected()) coordinator = await findCoordinator();
      return await ask(coordinator);
    } catch (error) {
      coordinator = undefined;
      if (!mayPass(error)) throw error;
      coordinator = await findCoordinator();
      return await ask(coordinator);
    }
  }

  /** kafkajs calls these on the coordinator that it remembers; they go to the current one. */
  const atCoordinator = {
    heartbeat: (options: object) => beat(broker => methodsOf(broker).heartbeat.call(broker, options)),
    offsetFetch: (options: object) =>
      askCoordinator(broker => methodsOf(broker).offsetFetch.call(broker, options)),
    offsetCommit: (options: object) =>
      askCoordinator(broker => methodsOf(broker).offsetCommit.call(broker, options)),
  };

  /** A missing coordinator does not end the session: the next one takes over the group with its members. */
  async function beat(heartbeat: (broker: Broker) => Promise<unknown>): Promise<void> {
    try {
      await askCoordinator(heartbeat);
      lastBeatAt = Date.now();
      onHeartbeat();
    } catch (error) {
      if (!mayPass(error) || Date.now() - lastBeatAt > sessionTimeoutMs) throw error;
    }
  }

  function mendBroker(broker: Broker): Broker {
    const kafkajs = methodsOf(broker);
    for (const { requestQueue } of broker.connectionPool.pool) mendQueue(requestQueue);
    const send = broker.connectionPool.send.bind(broker.connectionPool);
    broker.connectionPool.send = protocol =>
      send(protocol.request.apiName === 'Fetch' ? undecoded(protocol) : protocol);
    return Object.assign(broker, atCoordinator, {
      async fetch(options: object) {
        try {
          const answer = await kafkajs.fetch.call(broker, options);
          if (answer.leadersMove) await leadersMove();
          return answer;
        } catch (error) {
          if (!isUnreachable(error)) throw error;
          return noAnswer();
        }
      },
      async joinGroup(options: object) {
        const joined = await tryAgain(() => kafkajs.joinGroup.call(broker, options));
        member = { groupId, memberId: joined.memberId, groupGenerationId: joined.generationId };
        coordinator = broker;
        lastBeatAt = Date.now();
        return joined;
      },
      syncGroup: (options: object) => tryAgain(() => kafkajs.syncGroup.call(broker, options)),
    });
  }

  /** In place of a broker that cannot be reached: a fetch returns nothing, other requests fail with `error`. */
  function absentBroker(nodeId: string, error: unknown): Broker {
    const refuse = () => Promise.reject(error);
    const absent = {
      nodeId,
      isConnected: () => false,
      ...atCoordinator,
      fetch: noAnswer,
      joinGroup: () => tryAgain(refuse),
      syncGroup: () => tryAgain(refuse),
      listOffsets: refuse,
      leaveGroup: refuse,
    };
    return absent as unknown as Broker;
  }

  async function noAnswer(): Promise<FetchAnswer> {
    await leadersMove();
    return { responses: [] } as unknown as FetchAnswer;
  }

  async function leadersMove(): Promise<void> {
    await sleep(FETCH_RETRY_MS);
    await cluster.refreshMetadata().catch(() => {});
  }

  async function offsetsAt(partitions: TopicPartition[], fromBeginning: boolean): Promise<Position[]> {
    const topics = groupByTopic(partitions).map(topic => ({ ...topic, fromBeginning }));
    return flat<Position>({ responses: await given.fetchTopicsOffset(topics as never) });
  }

  return {
    member: () => member,
    async commit(as, topics) {
      await atCoordinator.offsetCommit({ ...as, topics });
    },
    async committed(partitions) {
      const topics = groupByTopic(partitions);
      return flat<Committed>(await atCoordinator.offsetFetch({ groupId, topics }));
    },
    firstOffsets: partitions => offsetsAt(partitions, true),
    lastOffsets: partitions => offsetsAt(partitions, false),
    async partitionsOf(topics) {
      await cluster.addMultipleTargetTopics([...topics]);
      return topics.flatMap(topic =>
        given.findTopicPartitionMetadata(topic).map(({ partitionId }) => ({ topic, partition: partitionId })),
      );
    },
    async committedBy(other) {
      const asked = await brokerPool.findConnectedBroker();
      const found = await asked.findGroupCoordinator({ groupId: other, coordinatorType: 0 });
      const broker = await findBroker({ nodeId: found.coordinator.nodeId });
      // Without topics, the broker returns all of them.
      return flat<Committed>(
        await methodsOf(broker).offsetFetch.call(broker, { groupId: other, topics: [] }),
      );
    },
    async topicIds(topics) {
      const broker = await brokerPool.findConnectedBroker();
      if (!hasTopicIds(broker.versions[METADATA]?.maxVersion ?? 0)) return undefined;
      return (await broker.connectionPool.send(topicIdRequest(topics))) as Map<string, string>;
    },
  };
}

function groupByTopic(
  partitions: TopicPartition[],
): { topic: string; partitions: { partition: number }[] }[] {
  const topics = [...new Set(partitions.map(({ topic }) => topic))];
  return topics.map(topic => ({
    topic,
    partitions: partitions.filter(known => known.topic === topic).map(({ partition }) => ({ partition })),
  }));
}

/** kafkajs has offsets as text, and partitions within topics. */
function flat<T extends Position>(answer: { responses: object[] }): T[] {
  return (answer.responses as { topic: string; partitions: { offset: string }[] }[]).flatMap(
    ({ topic, partitions }) =>
      partitions.map(entry => ({ ...entry, topic, offset: Number(entry.offset) }) as unknown as T),
  );
}

/** kafkajs repeats a join that fails because the group rebalances, and looks for the coordinator first. */
async function tryAgain<T>(join: () => Promise<T>): Promise<T> {
  try {
    return await join();
  } catch (error) {
    if (!mayPass(error)) throw error;
    throw Object.assign(new Error((error as Error).message), { type: 'REBALANCE_IN_PROGRESS' });
  }
}

/** The methods of kafkajs, under ours. */
function methodsOf(broker: Broker): Broker {
  return Object.getPrototypeOf(broker) as Broker;
}

function undecoded(protocol: Protocol): Protocol {
  const { apiVersion } = protocol.request;
  if (apiVersion !== FETCH_VERSION)
    throw new Error(`the broker speaks Fetch up to version ${apiVersion}; Kafka 2.3 or newer is needed`);
  return { ...protocol, response: { ...protocol.response, decode: async bytes => decodeFetch(bytes) } };
}

function mendQueue(queue: RequestQueue): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue);
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule();
  };
}

/** Whether a later request, perhaps to another broker, may succeed. */
function mayPass(error: unknown): boolean {
  return COORDINATOR_MOVES.includes((error as { type?: string }).type ?? '') || isUnreachable(error);
}

export function isUnreachable(error: unknown): boolean {
  const { name, cause } = error as Error;
  return NOT_REACHED.includes(name) || (cause !== undefined && isUnreachable(cause));
}

// ── Reading without a group ─────────────────────────────────────────────────────────────────────────

/** What a partition answered to a fetch. */
export interface FetchedPartition {
  errorCode: number;
  /** One past the last record that is not in an open transaction. */
  lastStableOffset: string;
  /** The first record that is left. */
  lastStartOffset: string;
  abortedTransactions: { producerId: string; firstOffset: string }[];
  messages: BatchMessage[];
}

export interface Fetcher {
  connect(): Promise<void>;
  partitionsOf(topic: string): Promise<number[]>;
  /** What the leader of a partition has from `offset` on; undefined: it moves or cannot be reached, so try again. */
  fetch(place: Position, waitMs: number): Promise<FetchedPartition | undefined>;
}

/** Fetches through the connections of a cluster that nothing else uses. */
export function openFetcher(given: Cluster): Fetcher {
  const cluster = given as unknown as MendedCluster;
  const { createBroker } = cluster.brokerPool;
  cluster.brokerPool.createBroker = options => {
    const broker = createBroker(options);
    for (const { requestQueue } of broker.connectionPool.pool) mendQueue(requestQueue);
    const send = broker.connectionPool.send.bind(broker.connectionPool);
    broker.connectionPool.send = protocol =>
      send(protocol.request.apiName === 'Fetch' ? undecoded(protocol) : protocol);
    return broker;
  };

  async function ask({ topic, partition, offset }: Position, waitMs: number) {
    const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]));
    if (nodeId === undefined) return undefined;
    const broker = await cluster.findBroker({ nodeId });
    const answer = await broker.fetch({
      isolationLevel: 1, // read committed
      maxWaitTime: waitMs,
      minBytes: 1,
      maxBytes: FETCH_SIZE_MAX,
      topics: [{ topic, partitions: [{ partition, fetchOffset: String(offset), maxBytes: FETCH_SIZE_MAX }] }],
    });
    const [read] = answer.responses[0]?.partitions ?? [];
    return answer.leadersMove ? undefined : (read as FetchedPartition | undefined);
  }

  return {
    connect: () => cluster.connect(),
    async partitionsOf(topic) {
      await cluster.addMultipleTargetTopics([topic]);
      return given.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId);
    },
    async fetch(place, waitMs) {
      const found = await ask(place, waitMs).catch(error => {
        if (isUnreachable(error)) return undefined;
        throw error;
      });
      if (found === undefined) {
        await sleep(FETCH_RETRY_MS);
        await cluster.refreshMetadata().catch(() => {});
      }
      return found;
    },
  };
}

const FETCH_SIZE_MAX = 1024 * 1024; // Bytes of an answer; a larger batch comes alone.

// ── Producing ───────────────────────────────────────────────────────────────────────────────────────
// On connections of its own: a broker answers the requests of a connection one after the other, and a batch that waits for
// its replicas would hold up the heartbeats after it.

const PRODUCE_TRIES = 3;
const PRODUCE_PAUSE_MS = 200;
const PRODUCE_TIMEOUT_MS = 30_000;

export interface Sender {
  /** Settles when all in-sync replicas have all of it; what only some partitions have is sent again to the others. */
  produce(topic: string, letters: readonly Letter[]): Promise<void>;
  /** Settles when each partition of the topic has a leader, as the brokers say now; rejects with the reason otherwise. */
  reach(topic: string): Promise<void>;
}

/** Produces through the connections of a cluster that nothing else uses. */
export function openSender(given: Cluster): Sender {
  const cluster = given as unknown as MendedCluster;
  const { createBroker } = cluster.brokerPool;
  cluster.brokerPool.createBroker = options => {
    const broker = createBroker(options);
    for (const { requestQueue } of broker.connectionPool.pool) mendQueue(requestQueue);
    return broker;
  };
  let connected: Promise<void> | undefined;

  async function connect(): Promise<void> {
    connected ??= cluster.connect();
    await connected.catch(error => {
      connected = undefined;
      throw error;
    });
  }

  async function partitionCount(topic: string): Promise<number> {
    await cluster.addMultipleTargetTopics([topic]);
    return given.findTopicPartitionMetadata(topic).length;
  }

  /** Sends the next batch of each partition to its leader, removes what the leader has, and returns what went wrong. */
  async function sendTo(topic: string, left: Map<number, Buffer[]>): Promise<unknown> {
    const leaders = cluster.findLeaderForPartitions(topic, [...left.keys()]);
    let failure: unknown;
    const led = Object.values(leaders).flat();
    const orphan = [...left.keys()].find(partition => !led.includes(partition));
    if (orphan !== undefined) failure = new Error(`no broker is known for ${topic}/${orphan}`);
    await Promise.all(
      Object.entries(leaders).map(async ([nodeId, partitions]) => {
        try {
          for (const answer of await ask(
            nodeId,
            topic,
            new Map(partitions.map(one => [one, left.get(one)![0]!])),
          ))
            if (answer.error === 0) takeOff(left, answer.partition);
            else failure = new ProduceError(topic, answer);
        } catch (error) {
          failure = error;
        }
      }),
    );
    return failure;
  }

  function takeOff(left: Map<number, Buffer[]>, partition: number): void {
    const batches = left.get(partition)!;
    batches.shift();
    if (batches.length === 0) left.delete(partition);
  }

  async function ask(nodeId: string, topic: string, batches: Map<number, Buffer>): Promise<Answer[]> {
    const broker = await cluster.findBroker({ nodeId });
    try {
      return (await broker.connectionPool.send(
        produceRequest(topic, batches, PRODUCE_TIMEOUT_MS),
      )) as Answer[];
    } catch (error) {
      // The next request opens a new connection, and logs in again.
      if (isUnreachable(error)) await broker.disconnect().catch(() => {});
      throw error;
    }
  }

  return {
    async reach(topic) {
      await connect();
      const partitions = Array.from({ length: await partitionCount(topic) }, (_, partition) => partition);
      if (partitions.length === 0) throw new Error(`the broker knows no partition of ${topic}`);
      await cluster.refreshMetadata();
      const led = Object.values(cluster.findLeaderForPartitions(topic, partitions)).flat();
      const orphan = partitions.find(partition => !led.includes(partition));
      if (orphan !== undefined) throw new Error(`no broker leads ${topic}/${orphan}`);
    },
    async produce(topic, letters) {
      await connect();
      const count = await partitionCount(topic);
      if (count === 0) throw new Error(`the broker knows no partition of ${topic}`);
      const left = batchesOf(letters, count);
      let failures = 0;
      while (left.size > 0) {
        const led = Object.keys(cluster.findLeaderForPartitions(topic, [...left.keys()])).length > 0;
        const failure = led
          ? await sendTo(topic, left)
          : new Error(`no broker leads a partition of ${topic}`);
        if (failure === undefined) continue;
        const mayPass = !(failure instanceof ProduceError) || failure.mayPass;
        if (!mayPass || ++failures === PRODUCE_TRIES) throw failure;
        await sleep(PRODUCE_PAUSE_MS);
        await cluster.refreshMetadata().catch(() => {});
      }
    },
  };
}

/** Messages of a request without a key and a partition go to one partition: a batch costs more than a message. */
function batchesOf(letters: readonly Letter[], partitionCount: number): Map<number, Buffer[]> {
  const any = Math.floor(Math.random() * partitionCount);
  const byPartition = new Map<number, Letter[]>();
  for (const letter of letters) {
    const { key } = letter;
    const partition = letter.partition ?? (key ? partitionOfKey(key, partitionCount) : any);
    const some = byPartition.get(partition);
    if (some) some.push(letter);
    else byPartition.set(partition, [letter]);
  }
  const timeMs = Date.now();
  return new Map([...byPartition].map(([partition, some]) => [partition, encodeBatches(some, timeMs)]));
}
