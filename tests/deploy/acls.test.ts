// The rights that host/deploy/kafka.yaml grants are enough: each role runs as its user, with these ACLs, on a real Kafka
// that denies everything else. KEDA's user can see the lag.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import kafkajs from 'kafkajs';
import type { AclEntry } from 'kafkajs';
import { parseAllDocuments } from 'yaml';
import { runFunction } from '../../host/function/function.ts';
import { readSettings } from '../../host/function/settings.ts';
import type { Log } from '../../host/log.ts';
import { messages, until } from '../function/harness.ts';
import { modulePath } from '../function/module.ts';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';

const PASSWORD = 'correct-horse-7';
const PORT = 20_000 + (process.pid % 10_000); // below those that clients are given
const LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required';
const TOPICS = ['logs', 'earshot-hits', 'logs-dlq'];

const manifest = readFileSync(resolve(import.meta.dirname, '../../host/deploy/kafka.yaml'), 'utf8');
const users = parseAllDocuments(manifest)
  .map(document => document.toJS())
  .filter(({ kind }) => kind === 'KafkaUser');
const { ResourcePatternTypes, AclPermissionTypes } = kafkajs;

/** DescribeConfigs → DESCRIBE_CONFIGS. */
const constantOf = (name: string) => name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();

const acls: AclEntry[] = users.flatMap(({ metadata, spec }) =>
  spec.authorization.acls.flatMap(({ resource, operations }: any) =>
    operations.map((operation: string) => ({
      principal: `User:${metadata.name}`,
      host: '*',
      resourceType: (kafkajs.AclResourceTypes as any)[constantOf(resource.type)],
      resourceName: resource.name,
      resourcePatternType: ResourcePatternTypes.LITERAL,
      operation: (kafkajs.AclOperationTypes as any)[constantOf(operation)],
      permissionType: AclPermissionTypes.ALLOW,
    })),
  ),
);

describe('the rights of the manifests', { skip: kafkaMissing(), timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'earshot-acls-'));
  const password = join(folder, 'password');
  writeFileSync(password, PASSWORD);
  let kafka: TestKafka;
  const adminAs = (username: string) =>
    new kafkajs.Kafka({
      brokers: [`127.0.0.1:${PORT}`],
      sasl: { mechanism: 'plain', username, password: PASSWORD },
      logLevel: kafkajs.logLevel.NOTHING,
    }).admin({ retry: { retries: 1 } });
  /** As the manifest's superuser is: without a login. */
  const superuser = () => new kafkajs.Kafka({ brokers: [kafka.brokers], logLevel: kafkajs.logLevel.NOTHING });

  before(async () => {
    const address = `USERS://127.0.0.1:${PORT}`;
    const passwords = users.map(({ metadata }) => `user_${metadata.name}="${PASSWORD}"`).join(' ');
    kafka = await startKafka({
      listeners: address,
      'advertised.listeners': address,
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT',
      'sasl.enabled.mechanisms': 'PLAIN',
      'listener.name.users.plain.sasl.jaas.config': `${LOGIN} ${passwords};`,
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users': 'User:ANONYMOUS',
    });
    const admin = superuser().admin();
    await admin.connect();
    await admin.createTopics({
      topics: TOPICS.map(topic => ({ topic, numPartitions: 1 })),
      waitForLeaders: false,
    });
    await admin.createAcls({ acl: acls });
    await admin.disconnect();
  });
  after(async () => {
    await kafka?.stop();
    rmSync(folder, { recursive: true });
  });

  function start(role: string, more: Record<string, string> = {}) {
    const complaints: string[] = [];
    const add = (fields: object, message: string) =>
      void complaints.push(`${role}: ${message} ${JSON.stringify(fields)}`);
    const log: Log = { debug: () => {}, info: () => {}, warn: add, error: add };
    const controller = new AbortController();
    const settings = readSettings([modulePath], {
      EARSHOT_ROLE: role,
      EARSHOT_BROKERS: `127.0.0.1:${PORT}`,
      EARSHOT_TOPICS: 'logs',
      EARSHOT_HITS_TOPIC: 'earshot-hits',
      EARSHOT_DEAD_LETTER_TOPIC: 'logs-dlq',
      EARSHOT_SASL_MECHANISM: 'plain',
      EARSHOT_SASL_USERNAME: `earshot-${role}`,
      EARSHOT_SASL_PASSWORD_FILE: password,
      EARSHOT_COMMIT_INTERVAL_MS: '100',
      EARSHOT_PORT: '0',
      ...more,
    });
    const ended = runFunction(settings, { stop: controller.signal, log });
    return { complaints, stop: () => (controller.abort(), ended) };
  }

  test('matchers and counters run, and bury what they must', async () => {
    const manager = await startNotificationManager();
    // One alert is refused, and is to be a dead letter of the counter.
    manager.intercept = (_, response, body) => {
      const isRefused = body.includes('record 13');
      if (isRefused) response.writeHead(400).end('unlucky');
      return isRefused;
    };
    const roles = [start('match'), start('count', { EARSHOT_SINK_URL: manager.url })];
    const admin = superuser().admin();
    const producer = superuser().producer();
    await Promise.all([admin.connect(), producer.connect()]);
    try {
      await producer.send({ topic: 'logs', messages: [...messages(20), { value: 'no record' }] });
      const letters = async () => Number((await admin.fetchTopicOffsets('logs-dlq'))[0]!.high);
      const committed = async (groupId: string, topic: string) => {
        const [answer] = await admin.fetchOffsets({ groupId, topics: [topic] });
        return Number(answer!.partitions[0]?.offset ?? -1);
      };
      const complaints = () => roles.flatMap(({ complaints }) => complaints);
      await until(
        async () => (await letters()) === 2 && (await committed('earshot', 'logs')) === 21,
        'the logs are matched, and two letters are there',
      ).catch(error => assert.fail(`${error.message}\n${complaints().join('\n')}`));
      const end = async () => Number((await admin.fetchTopicOffsets('earshot-hits'))[0]!.high);
      await until(
        async () =>
          (await end()) > 20 && (await committed('earshot-count', 'earshot-hits')) === (await end()),
        'the hits and the marks are counted',
      );
      assert.deepEqual(
        complaints().filter(line => !line.includes('put in the dead-letter topic')),
        [],
      );
    } finally {
      await Promise.all(roles.map(role => role.stop()));
      await Promise.all([admin.disconnect(), producer.disconnect()]);
      await manager.stop();
    }
  });

  test('a counter can see how far the matchers are', async () => {
    const admin = adminAs('earshot-count');
    await admin.connect();
    try {
      assert.equal((await admin.fetchTopicOffsets('logs'))[0]!.high, '21');
      const [logs] = await admin.fetchOffsets({ groupId: 'earshot', topics: ['logs'] });
      assert.equal(logs!.partitions[0]!.offset, '21');
    } finally {
      await admin.disconnect();
    }
  });

  test('KEDA can see the lag of both groups', async () => {
    const admin = adminAs('earshot-keda');
    await admin.connect();
    try {
      const lags = { earshot: 'logs', 'earshot-count': 'earshot-hits' };
      for (const [groupId, topic] of Object.entries(lags)) {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        assert.equal(topics[0]!.partitions.length, 1);
        const [ends] = await admin.fetchTopicOffsets(topic);
        const [stored] = await admin.fetchOffsets({ groupId, topics: [topic] });
        assert.equal(stored!.partitions[0]!.offset, ends!.high);
      }
    } finally {
      await admin.disconnect();
    }
  });
});
