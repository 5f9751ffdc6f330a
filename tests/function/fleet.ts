// Several functions in one group, each a process of its own, and all that they leave outside: what the sink accepted, and
// what stands in the topics.

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { alertsOf } from '../../host/body.ts';
import { readMark } from '../../host/function/mark.ts';
import { hitId } from '../../host/hit.ts';
import type { TestCluster } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { openStage, readTopic, until, persist } from './harness.ts';
import { buildModuleOf } from './module.ts';
import type { Delivery, Sent } from './oracle.ts';
import { spawnFunction } from './process.ts';
import type { FunctionProcess } from './process.ts';

const NODES = [1, 2, 3];
const OFFSETS_TOPIC = '__consumer_offsets';
const SETTLE_MS = 120_000; // Generous: the machine may be busy with other tests.

export interface Member extends FunctionProcess {
  name: string;
}

export type Receiver = Awaited<ReturnType<typeof openReceiver>>;
export type Fleet = Awaited<ReturnType<typeof openFleet>>;

/** A Notification Manager that knows which process posted what, and can be down. */
export async function openReceiver() {
  const deliveries: Delivery[] = [];
  let manager = await start(0);
  const port = Number(new URL(manager.url).port);
  const receiver = {
    url: manager.url,
    deliveries,
    /** Answers 503. */
    isBusy: false,
    /** From now on connections are refused. */
    close: () => manager.stop(),
    async reopen() {
      manager = await start(port);
    },
  };
  return receiver;

  async function start(at: number) {
    const started = await startNotificationManager(at);
    started.queueSize = Infinity;
    started.intercept = (request, response, body) => {
      started.requests.length = started.queue.length = 0; // They are in `deliveries`.
      if (receiver.isBusy) {
        response.writeHead(503).end();
        return true;
      }
      const [by] = Buffer.from(request.headers.authorization!.slice('Basic '.length), 'base64')
        .toString()
        .split(':');
      for (const alert of alertsOf(Buffer.from(body)))
        deliveries.push({ by: by!, atMs: Date.now(), text: String(alert) });
      return false;
    };
    return started;
  }
}

/** A stage with `partitions` of logs and of hits, a receiver, and functions that come and go. */
export async function openFleet(brokers: string, file: string, rules: string, partitions: number) {
  const receiver = await openReceiver();
  const stage = await openStage(brokers, receiver.url, partitions, partitions);
  const EARSHOT_MODULE = await buildModuleOf(rules, stage.topic);
  const members: Member[] = [];
  let count = 0;
  const fleet = {
    receiver,
    stage,
    /** Those that run. */
    members,
    /** When a process was killed, by its name. */
    killed: new Map<string, number>(),
    /** What each process has logged. */
    logs: new Map<string, () => string>(),
    /** The members that should not have ended, with what they said. */
    failed: [] as string[],
    start(overrides: NodeJS.ProcessEnv = {}): Member {
      const name = `function-${count++}`;
      const one = spawnFunction(file, {
        ...stage.environment,
        EARSHOT_MODULE,
        // A post that this process takes late, on a busy machine, is not to be posted again.
        EARSHOT_SINK_TIMEOUT_MS: '8000',
        EARSHOT_SINK_USERNAME: name,
        EARSHOT_SINK_PASSWORD: 'secret',
        ...overrides,
      });
      const member = { ...one, name };
      members.push(member);
      fleet.logs.set(name, one.log);
      void one.exited.then(code => {
        if (!members.includes(member)) return; // It was told to end.
        members.splice(members.indexOf(member), 1);
        fleet.failed.push(`${name} ended with ${code}: ${one.log().slice(-2000)}`);
      });
      return member;
    },
    /** SIGTERM must lead to an orderly end. */
    async end(member: Member, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
      members.splice(members.indexOf(member), 1);
      if (signal === 'SIGKILL') fleet.killed.set(member.name, Date.now());
      member.child.kill(signal);
      const code = await member.exited;
      const hasBegun = member.log() !== ''; // Before that, Node itself ends at a SIGTERM.
      if (code !== (signal === 'SIGKILL' ? signal : 0) && hasBegun)
        fleet.failed.push(`${member.name} ended with ${code}: ${member.log().slice(-2000)}`);
    },
    /** A producer may fail while its broker is away; it has no key, so the records go to any partition. */
    async produce(records: Sent[], partition?: number): Promise<void> {
      const messages = records.map(({ timeMs, ...record }) => ({
        value: JSON.stringify({ '@timestamp': timeMs / 1000, ...record }),
      }));
      for (let at = 0; at < messages.length; at += 1000)
        await persist(() => stage.produce(messages.slice(at, at + 1000), partition));
    },
    /** Messages of the hits topic: hits and marks. */
    async hitsEnd(): Promise<number> {
      const ends = await stage.admin.fetchTopicOffsets(stage.hitsTopic);
      return ends.reduce((sum, { high }) => sum + Number(high), 0);
    },
    /** All records are matched, all hits are counted, and the commits say so. */
    async settled(what: string): Promise<void> {
      const done = async () => {
        const ends = await stage.admin.fetchTopicOffsets(stage.topic);
        const committed = await stage.committed();
        return (
          ends.every(({ partition, high }) => (committed[partition] ?? -1) >= Number(high)) &&
          (await stage.counted())
        );
      };
      await until(() => done().catch(() => false), what, SETTLE_MS).catch((error: Error) => {
        const logs = members.map(member => `${member.name}:\n${member.log().slice(-2000)}`);
        throw new Error([error.message, ...fleet.failed, ...logs].join('\n'));
      });
    },
    async close(): Promise<void> {
      await Promise.all(members.slice().map(member => fleet.end(member, 'SIGTERM')));
      await stage.close();
      await receiver.close();
    },
  };
  return fleet;
}

/** The way of the ids through the topics. */
export interface Trail {
  /** The records of the topic of logs. A producer that tries again may have written one twice. */
  produced: Sent[];
  /** Hits in the hits topic, and how many of them came again with the same id. */
  hits: number;
  hitsTwice: number;
  /** Ids of the records whose alert has a mark. */
  told: Set<string>;
  deadLetters: number;
}

/** Reads the topics. Every record that matches has its hit, under one id; every mark is of a hit. */
export async function readTrail({ stage }: Fleet, brokers: string): Promise<Trail> {
  const logs = await readTopic(brokers, stage.topic);
  const places = new Map<string, Sent>();
  for (const { partition, offset, value } of logs) {
    const { '@timestamp': seconds, ...record } = JSON.parse(String(value)) as Sent & { '@timestamp': number };
    places.set(`${partition}/${offset}`, { ...record, timeMs: Math.round(seconds * 1000) });
  }
  const hits = new Map<string, Sent>();
  const placesOfHits = new Map<string, Sent>();
  const marked: string[] = [];
  let hitCount = 0;
  for (const { partition, offset, value } of await readTopic(brokers, stage.hitsTopic)) {
    const mark = readMark(value);
    if (mark && !('told' in mark)) continue;
    if (mark) {
      assert.equal(mark.fate, 'accepted');
      marked.push(`${partition}/${mark.told}`);
      continue;
    }
    const id = hitId(value);
    if (id === undefined) continue; // the mark of an absence
    const [topic, ...place] = id.split('/');
    assert.match(topic!, new RegExp(`^${stage.topic}@`), 'the id of a hit has the id of its topic');
    const record = places.get(place.slice(0, 2).join('/'));
    assert.ok(record, `no record has this hit: ${value}`);
    hitCount++;
    hits.set(id, record);
    placesOfHits.set(`${partition}/${offset}`, record);
  }
  const produced = [...places.values()];
  const hit = new Set(hits.values());
  const missed = [...places].filter(([, record]) => record.kind !== 'quiet' && !hit.has(record));
  assert.deepEqual(missed, [], 'a hit for each record that matches');
  assert.equal(hits.size, hit.size, 'and no hit under two ids');
  const told = marked.map(place => placesOfHits.get(place));
  assert.ok(!told.includes(undefined), 'every mark is of a hit');
  const letters = await stage.admin.fetchTopicOffsets(stage.deadLetterTopic);
  return {
    produced,
    hits: hits.size,
    hitsTwice: hitCount - hits.size,
    told: new Set(told.map(record => record!.id)),
    deadLetters: letters.reduce((sum, { high }) => sum + Number(high), 0),
  };
}

// ── Brokers ─────────────────────────────────────────────────────────────────────────────────────────

/** Stops one broker after the other in order, and starts it again. */
export async function rollBrokers(cluster: TestCluster, fleet: Fleet): Promise<void> {
  for (const node of NODES) await restartBroker(cluster, fleet, node);
}

/** Shuts the broker down that coordinates the groups: another one takes over. */
export async function moveCoordinator(cluster: TestCluster, fleet: Fleet): Promise<void> {
  const { topics } = await fleet.stage.admin.fetchTopicMetadata({ topics: [OFFSETS_TOPIC] });
  await restartBroker(cluster, fleet, topics[0]!.partitions[0]!.leader);
}

async function restartBroker(cluster: TestCluster, { stage }: Fleet, node: number): Promise<void> {
  await cluster.shutDown(node);
  await sleep(500);
  await cluster.start(node);
  const inSync = async () => {
    const { topics } = await stage.admin.fetchTopicMetadata({
      topics: [stage.topic, stage.hitsTopic, OFFSETS_TOPIC],
    });
    return topics.every(({ partitions }) => partitions.every(({ isr }) => isr.length === NODES.length));
  };
  await until(() => inSync().catch(() => false), 'all replicas in sync', SETTLE_MS);
}
