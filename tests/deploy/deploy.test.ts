// The manifests agree with each other and with the settings. Whether Kubernetes accepts them is not tested: there is none here.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { readSettings } from '../../host/function/settings.ts';

const folder = resolve(import.meta.dirname, '../../host/deploy');
const { resources } = parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')) as {
  resources: string[];
};
const objects: any[] = resources.flatMap(name =>
  parseAllDocuments(readFileSync(join(folder, name), 'utf8')).map(document => document.toJS()),
);
const find = (kind: string, name: string) => {
  const found = objects.find(object => object.kind === kind && object.metadata.name === name);
  assert.ok(found, `no ${kind} ${name}`);
  return found;
};
const pod = find('Deployment', 'earshot').spec.template.spec;
const [trigger, hitsTrigger] = find('ScaledObject', 'earshot').spec.triggers;
const topic = find('KafkaTopic', 'logs').spec;

// The files of the mounted Secrets, here.
const mounted = join(mkdtempSync(join(tmpdir(), 'earshot-deploy-')), 'file');
writeFileSync(mounted, 'x');
const environment = Object.fromEntries(
  (pod.containers[0].env as { name: string; value: string }[]).map(({ name, value }) => [
    name,
    value.startsWith('/etc/earshot/') ? mounted : value,
  ]),
);
const settings = readSettings(['earshot.wasm'], environment);

test('every manifest is in the kustomization', () => {
  assert.deepEqual(
    readdirSync(folder)
      .filter(name => name.endsWith('.yaml'))
      .sort(),
    [...resources, 'kustomization.yaml'].sort(),
  );
});

test('function, KEDA and Kafka name the same brokers, group and topics', () => {
  assert.deepEqual(settings.brokers, [trigger.metadata.bootstrapServers]);
  assert.deepEqual(settings.topics, [trigger.metadata.topic]);
  assert.equal(settings.group, trigger.metadata.consumerGroup);
  assert.equal(settings.hitsTopic, hitsTrigger.metadata.topic);
  assert.equal(`${settings.group}-count`, hitsTrigger.metadata.consumerGroup);
  find('KafkaTopic', settings.deadLetterTopic);
  assert.equal(find('ScaledObject', 'earshot').spec.maxReplicaCount, topic.partitions);
  const { acls } = find('KafkaUser', settings.saslUsername!).spec.authorization;
  assert.deepEqual(
    acls.map((acl: { resource: { name: string } }) => acl.resource.name),
    [
      ...settings.topics,
      settings.hitsTopic,
      settings.deadLetterTopic,
      settings.group,
      `${settings.group}-count`,
    ],
  );
});

test('the pod may live as long as its shutdown takes', () => {
  assert.ok(pod.terminationGracePeriodSeconds * 1000 >= settings.shutdownMs + 10_000);
});

test('offsets outlive the records', () => {
  assert.ok(
    find('Kafka', 'logs').spec.kafka.config['offsets.retention.minutes'] * 60_000 >
      topic.config['retention.ms'],
  );
});

test('no Service of the namespace can set a variable of ours', () => {
  // For one named `earshot` every pod would have EARSHOT_SERVICE_HOST and EARSHOT_PORT.
  assert.equal(pod.enableServiceLinks, false);
});

test('the pod has only what it needs', () => {
  assert.equal(pod.securityContext.runAsNonRoot, true);
  assert.equal(pod.containers[0].securityContext.readOnlyRootFilesystem, true);
  assert.ok(pod.containers[0].resources.limits.memory);
});
