// The manifests agree with each other and with the settings. They are read as `kubectl apply -k` would apply them.
// Whether Kubernetes, KEDA and Strimzi accept them is not tested: there is none of them here.

import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { readSettings } from '../../host/function/settings.ts';
import { retentionFor } from '../../host/function/topics.ts';

const FOLDER = resolve(import.meta.dirname, '../../host/deploy');
const hasKubectl = (process.env.PATH ?? '').split(':').some(folder => existsSync(join(folder, 'kubectl')));

test('every manifest is in a kustomization', () => {
  const reached = new Set<string>();
  const visit = (path: string) => {
    reached.add(path);
    for (const name of parse(readFileSync(join(FOLDER, path), 'utf8')).resources as string[]) {
      const resource = join(dirname(path), name);
      if (resource.endsWith('.yaml')) reached.add(resource);
      else visit(join(resource, 'kustomization.yaml'));
    }
  };
  visit('kustomization.yaml');
  // Only for who needs them.
  for (const folder of ['door', 'openfunction', 'openfunction/sidecar', 'knative', 'keda-http'])
    visit(`${folder}/kustomization.yaml`);
  assert.deepEqual(
    [...reached].sort(),
    readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
      .filter(name => name.endsWith('.yaml'))
      .sort(),
  );
});

/** What a role reads, and how few of it there may be. Its group and its topic are the settings'. */
const ROLES = {
  match: { user: 'earshot-match', minReplicas: 0, hasSink: false },
  count: { user: 'earshot-count', minReplicas: 1, hasSink: true },
} as const;

/** Who may do what, resource by resource. */
const ACLS: Record<string, Record<string, string[]>> = {
  'earshot-match': {
    'topic logs': ['Read', 'Describe'],
    'topic earshot-hits': ['Write', 'Describe', 'DescribeConfigs'],
    'topic logs-dlq': ['Write', 'Describe', 'DescribeConfigs'],
    'group earshot': ['Read', 'Describe'],
  },
  'earshot-count': {
    'topic earshot-hits': ['Read', 'Write', 'Describe', 'DescribeConfigs'],
    'topic logs-dlq': ['Write', 'Describe', 'DescribeConfigs'],
    'group earshot-count': ['Read', 'Describe'],
    'topic logs': ['Describe'],
    'group earshot': ['Describe'],
  },
  'earshot-keda': {
    'topic logs': ['Describe'],
    'group earshot': ['Describe'],
    'topic earshot-hits': ['Describe'],
    'group earshot-count': ['Describe'],
  },
};

const KINDS = [
  ['Namespace', 'earshot'],
  ['ServiceAccount', 'earshot-count'],
  ['ServiceAccount', 'earshot-match'],
  ['Secret', 'earshot-keda-settings'],
  ['Secret', 'earshot-slack'],
  ['Deployment', 'earshot-count'],
  ['Deployment', 'earshot-match'],
  ['Kafka', 'logs'],
  ['KafkaNodePool', 'dual-role'],
  ['KafkaTopic', 'earshot-hits'],
  ['KafkaTopic', 'logs'],
  ['KafkaTopic', 'logs-dlq'],
  ['KafkaUser', 'earshot-count'],
  ['KafkaUser', 'earshot-keda'],
  ['KafkaUser', 'earshot-match'],
  ['ScaledObject', 'earshot-count'],
  ['ScaledObject', 'earshot-match'],
  ['TriggerAuthentication', 'earshot-kafka'],
  ['Config', 'earshot-slack'],
  ['Receiver', 'earshot-slack'],
];

describe('the manifests', { skip: hasKubectl ? false : 'kubectl is not on the PATH' }, () => {
  const objects: any[] = hasKubectl ? render() : [];

  function render(folder = FOLDER): unknown[] {
    const output = execFileSync('kubectl', ['kustomize', folder], { encoding: 'utf8' });
    return parseAllDocuments(output).map(document => document.toJS());
  }

  function find(kind: string, name: string): any {
    const found = objects.find(object => object.kind === kind && object.metadata.name === name);
    assert.ok(found, `no ${kind} ${name}`);
    return found;
  }

  test('are these', () => {
    assert.deepEqual(
      objects.map(object => [object.kind, object.metadata.name]),
      KINDS,
    );
  });

  // The files of the mounted Secrets, here.
  const mounted = join(mkdtempSync(join(tmpdir(), 'earshot-deploy-')), 'file');
  writeFileSync(mounted, 'x');

  function environmentOf(pod: any): Record<string, string> {
    const entries = pod.containers[0].env as { name: string; value: string }[];
    assert.equal(new Set(entries.map(({ name }) => name)).size, entries.length, 'a variable is set twice');
    return Object.fromEntries(
      entries.map(({ name, value }) => [name, value.startsWith('/etc/earshot/') ? mounted : value]),
    );
  }

  test('the door has settings that are accepted, no topic, no scaling, and a Service that reaches it', () => {
    const own: any[] = render(join(FOLDER, 'door'));
    const names = own.map(object => `${object.kind} ${object.metadata.name}`);
    const kinds = ['ServiceAccount', 'Service', 'Deployment', 'PodDisruptionBudget'];
    assert.deepEqual(
      names,
      kinds.map(kind => `${kind} earshot-door`),
    );
    const [, service, deployment] = own;
    const settings = readSettings(['earshot.wasm'], environmentOf(deployment.spec.template.spec));
    assert.deepEqual([settings.role, settings.topics, settings.listen?.port], ['match', undefined, 8080]);
    assert.ok(ACLS[settings.saslUsername!]!['topic earshot-hits']!.includes('Write'));
    const { labels } = deployment.spec.template.metadata;
    for (const [name, value] of Object.entries(service.spec.selector)) assert.equal(labels[name], value);
    assert.equal(service.spec.ports[0].targetPort, deployment.spec.template.spec.containers[0].ports[0].name);
  });

  for (const [role, { user, minReplicas, hasSink }] of Object.entries(ROLES))
    describe(role, () => {
      const name = `earshot-${role}`;
      const deployment = () => find('Deployment', name).spec;
      const pod = () => deployment().template.spec;
      const settings = () => readSettings(['earshot.wasm'], environmentOf(pod()));
      const scaling = () => find('ScaledObject', name).spec;

      test('has its role and settings that are accepted', () => {
        assert.equal(settings().role, role);
        assert.equal(settings().saslUsername, user);
      });

      test('knows a sink only if it sends alerts', () => {
        const names = Object.keys(environmentOf(pod())).filter(name => name.startsWith('EARSHOT_SINK'));
        assert.equal(names.includes('EARSHOT_SINK_URL'), hasSink);
        assert.equal(names.length > 0, hasSink);
      });

      test('is scaled by the group and the topic that it reads, up to its partitions', () => {
        const { brokers, topics, group, hitsTopic } = settings();
        const [trigger, ...more] = scaling().triggers;
        assert.deepEqual(more, []);
        const { bootstrapServers, consumerGroup, topic } = trigger.metadata;
        assert.deepEqual([bootstrapServers], brokers);
        assert.deepEqual(
          { consumerGroup, topic },
          role === 'count'
            ? { consumerGroup: `${group}-count`, topic: hitsTopic }
            : { consumerGroup: group, topic: topics![0] },
        );
        assert.equal(scaling().scaleTargetRef.name, name);
        assert.equal(scaling().minReplicaCount, minReplicas);
        assert.equal(scaling().maxReplicaCount, find('KafkaTopic', topic).spec.partitions);
      });

      test('selects its own pods and no others', () => {
        const { matchLabels } = deployment().selector;
        const selected = objects.filter(
          ({ kind, spec }) =>
            kind === 'Deployment' &&
            Object.entries(matchLabels).every(([key, value]) => spec.template.metadata.labels[key] === value),
        );
        assert.deepEqual(
          selected.map(({ metadata }) => metadata.name),
          [name],
        );
      });

      test('has an account of its own, without a token', () => {
        assert.equal(pod().serviceAccountName, name);
        assert.equal(find('ServiceAccount', name).automountServiceAccountToken, false);
        assert.equal(pod().automountServiceAccountToken, false);
      });

      test('mounts the secret that Strimzi writes for its user', () => {
        find('KafkaUser', user);
        const volume = pod().volumes.find((volume: any) => volume.name === 'kafka-user');
        assert.deepEqual(volume.secret, {
          secretName: user,
          items: [{ key: 'password', path: 'password' }],
        });
        const mounts = pod().containers[0].volumeMounts.map((mount: any) => mount.name);
        assert.deepEqual(mounts.sort(), pod().volumes.map((volume: any) => volume.name).sort()); // prettier-ignore
      });

      test('may live as long as its shutdown takes', () => {
        assert.ok(pod().terminationGracePeriodSeconds * 1000 >= settings().shutdownMs + 10_000);
      });

      test('cannot get a setting from a Service of the namespace', () => {
        // For one named `earshot` every pod would have EARSHOT_SERVICE_HOST and EARSHOT_PORT.
        assert.equal(pod().enableServiceLinks, false);
      });

      test('has only what it needs', () => {
        assert.equal(pod().securityContext.runAsNonRoot, true);
        assert.equal(pod().containers[0].securityContext.readOnlyRootFilesystem, true);
        assert.equal(pod().containers[0].resources.limits.memory, '512Mi');
      });
    });

  test('all roles name the same topics and groups', () => {
    const [match, count] = ['match', 'count'].map(role => {
      const environment = environmentOf(find('Deployment', `earshot-${role}`).spec.template.spec);
      const { topics, hitsTopic, deadLetterTopic, group } = readSettings(['earshot.wasm'], environment);
      return { topics, hitsTopic, deadLetterTopic, group };
    });
    assert.deepEqual(match, count);
    for (const name of [...match!.topics!, match!.hitsTopic, match!.deadLetterTopic!])
      find('KafkaTopic', name);
  });

  for (const [user, expected] of Object.entries(ACLS))
    test(`${user} may do what it must, and no more`, () => {
      const { acls } = find('KafkaUser', user).spec.authorization;
      const granted = acls.map(({ resource, operations }: any) => [
        `${resource.type} ${resource.name}`,
        operations,
      ]);
      assert.equal(new Set(granted.map(([name]: [string]) => name)).size, granted.length);
      assert.deepEqual(Object.fromEntries(granted), expected);
    });

  test('KEDA logs in as its user', () => {
    const { secretTargetRef } = find('TriggerAuthentication', 'earshot-kafka').spec;
    const { username } = find('Secret', 'earshot-keda-settings').stringData;
    find('KafkaUser', username);
    const names = Object.fromEntries(secretTargetRef.map((entry: any) => [entry.parameter, entry.name]));
    assert.deepEqual(names, {
      sasl: 'earshot-keda-settings',
      tls: 'earshot-keda-settings',
      username: 'earshot-keda-settings',
      password: username, // Strimzi names the Secret after the user.
      ca: 'logs-cluster-ca-cert',
    });
  });

  test('offsets outlive the records', () => {
    const minutes = find('Kafka', 'logs').spec.kafka.config['offsets.retention.minutes'];
    for (const name of ['logs', 'earshot-hits'])
      assert.ok(minutes * 60_000 > find('KafkaTopic', name).spec.config['retention.ms'], name);
  });

  test('the hits topic is what the function asks for, with a look-back of days', () => {
    const hits = find('KafkaTopic', 'earshot-hits').spec.config;
    assert.equal(hits['cleanup.policy'], 'delete');
    assert.ok(hits['retention.ms'] >= retentionFor(3 * 86_400_000));
    assert.ok(hits['retention.ms'] >= find('KafkaTopic', 'logs').spec.config['retention.ms']);
  });
});
