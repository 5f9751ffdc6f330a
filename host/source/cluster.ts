// kafkajs 2.2.4 is the last release there is, and what goes wrong when brokers come and go is mended here, between
// kafkajs and its brokers. kafkajs gives its cluster to whoever assigns partitions, which is how we come to it; nothing
// of it is replaced, and nothing is changed for other clients in this process.
//
// - The coordinator. kafkajs commits to the coordinator of its last good join, and beats at that of its last try to
//   join: when the coordinator moves while it loads, commits fail for ever while heartbeats succeed. It looks for the
//   coordinator only when it joins: after a kill -9 it fails for a minute, crashes, and starts again. Here there is one
//   coordinator, for heartbeats, commits and offsets, and it is looked for when it is gone.
// - Joining. A coordinator that loads, or is gone, refuses a join; kafkajs takes that for the end. Here it tries again.
// - Fetching. A broker that cannot be reached is an error that stops the fetches of all others, for longer each time,
//   and in the end the consumer. A partition that has moved makes the whole group join again. Here both are an empty
//   answer, and a look at the metadata.
// - The answer of a fetch is not decoded; host/source/fetch.ts says why.
// - A connection that has sent one request checks an empty queue every millisecond: 4 % of a core when idle.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from 'kafkajs';
import { decodeFetch, FETCH_VERSION } from './fetch.ts';
import type { FetchAnswer } from './fetch.ts';
import type { Position, TopicPartition } from './source.ts';
import { hasTopicIds, topicIdRequest } from './topics.ts';

const METADATA = 3;
const FETCH_RETRY_MS = 200;
const FIND_RETRY_MS = 200;
/** Until another broker is the coordinator: Kafka notices a dead one after 9 s. */
const FIND_MS = 30_000;

/** Joining or asking again may help: the coordinator is moving, loading or gone. */
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

/** The parts of kafkajs' brokers and cluster that are used here; its types leave most of them out. */
interface Broker {
  nodeId: string;
  versions: Record<number, { maxVersion: number }>;
  connectionPool: { send: (protocol: Protocol) => Promise<unknown>; pool: { requestQueue: RequestQueue }[] };
  isConnected(): boolean;
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
  /** What we were at the last join. */
  member(): Member | undefined;
  /** Commits as this member, wherever the coordinator is now. Rejects when the broker refuses it. */
  commit(member: Member, topics: CommittedTopic[]): Promise<void>;
  committed(partitions: TopicPartition[]): Promise<Committed[]>;
  /** The first offsets that are left in the partitions. */
  firstOffsets(partitions: TopicPartition[]): Promise<Position[]>;
  /** The ids of the topics by name, or undefined where the brokers are too old to have them. */
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

  /** Asks the coordinator as it is now; when it has just moved, the next one. */
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

  /** What kafkajs asks of the coordinator it has kept goes to the one there is. */
  const atCoordinator = {
    heartbeat: (options: object) => beat(broker => methodsOf(broker).heartbeat.call(broker, options)),
    offsetFetch: (options: object) =>
      askCoordinator(broker => methodsOf(broker).offsetFetch.call(broker, options)),
    offsetCommit: (options: object) =>
      askCoordinator(broker => methodsOf(broker).offsetCommit.call(broker, options)),
  };

  /** Without a coordinator there is no heartbeat, and no end of the session either: the next one takes the group over. */
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

  /** Stands in for a broker that is not there: a fetch finds nothing, and all else fails as it would have. */
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

  return {
    member: () => member,
    async commit(as, topics) {
      await atCoordinator.offsetCommit({ ...as, topics });
    },
    async committed(partitions) {
      const topics = groupByTopic(partitions);
      return flat<Committed>(await atCoordinator.offsetFetch({ groupId, topics }));
    },
    async firstOffsets(partitions) {
      const topics = groupByTopic(partitions).map(topic => ({ ...topic, fromBeginning: true as const }));
      return flat<Position>({ responses: await given.fetchTopicsOffset(topics) });
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

/** From kafkajs' form, with offsets in text. */
function flat<T extends Position>(answer: { responses: object[] }): T[] {
  return (answer.responses as { topic: string; partitions: { offset: string }[] }[]).flatMap(
    ({ topic, partitions }) =>
      partitions.map(entry => ({ ...entry, topic, offset: Number(entry.offset) }) as unknown as T),
  );
}

/** kafkajs joins again, looking for the coordinator first, where a join ends because the group is rebalancing. */
async function tryAgain<T>(join: () => Promise<T>): Promise<T> {
  try {
    return await join();
  } catch (error) {
    if (!mayPass(error)) throw error;
    throw Object.assign(new Error((error as Error).message), { type: 'REBALANCE_IN_PROGRESS' });
  }
}

/** The methods that kafkajs wrote, below those that are put over them. */
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

/** Whether asking again, perhaps another broker, may help. */
function mayPass(error: unknown): boolean {
  return COORDINATOR_MOVES.includes((error as { type?: string }).type ?? '') || isUnreachable(error);
}

export function isUnreachable(error: unknown): boolean {
  const { name, cause } = error as Error;
  return NOT_REACHED.includes(name) || (cause !== undefined && isUnreachable(cause));
}
