// The manifests of OpenFunction, Knative and KEDA's HTTP add-on: their settings are accepted, what keeps records from being lost
// is in them, and a real API server with the CRDs takes them.

import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { skip as withoutServer, startApiServer } from '../fluent-bit/kubernetes.ts';
import { readSettings } from '../../host/function/settings.ts';
import type { Settings } from '../../host/function/settings.ts';

const FOLDER = resolve(import.meta.dirname, '../../host/deploy');
const FOLDERS = ['openfunction', 'openfunction/sidecar', 'knative', 'keda-http'];
/** Time after which the door answers 503 by itself (host/function/reception.ts). */
const ANSWER_MAX_S = 20;

function objectsOf(folder: string): any[] {
  return readdirSync(join(FOLDER, folder))
    .filter(name => name.endsWith('.yaml') && name !== 'kustomization.yaml')
    .flatMap(name => parseAllDocuments(readFileSync(join(FOLDER, folder, name), 'utf8')))
    .map(document => document.toJS());
}

const find = (folder: string, kind: string, name: string) =>
  objectsOf(folder).find(object => object.kind === kind && object.metadata.name === name) ??
  assert.fail(`no ${kind} ${name}`);

// The files of the mounted Secrets, here.
const mounted = join(mkdtempSync(join(tmpdir(), 'earshot-serverless-')), 'file');
writeFileSync(mounted, 'x');

function settingsOf(environment: Record<string, string>, more: NodeJS.ProcessEnv = {}): Settings {
  const here = Object.entries(environment).map(([name, value]) => [
    name,
    value.startsWith('/etc/earshot/') ? mounted : value,
  ]);
  return readSettings(['earshot.wasm'], { ...Object.fromEntries(here), ...more });
}

/** What OpenFunction adds. */
const openFunction = (name: string, protocol: string): NodeJS.ProcessEnv => ({
  FUNC_CONTEXT: JSON.stringify({ name, runtime: 'Async', port: '8080', inputs: {}, outputs: {} }),
  APP_PROTOCOL: protocol,
});

for (const [folder, name, role, topic, group] of [
  ['openfunction', 'earshot-match', 'match', 'logs', 'earshot'],
  ['openfunction', 'earshot-count', 'count', 'earshot-hits', 'earshot-count'],
] as const)
  test(`${name}: reads Kafka itself, and nothing else does`, () => {
    const { serving } = find(folder, 'Function', name).spec;
    assert.equal(serving.annotations['openfunction.io/enable-dapr'], 'false');
    const settings = settingsOf(serving.params, openFunction(name, 'grpc'));
    assert.equal(settings.role, role);
    assert.equal(settings.listen, undefined);
    const [{ metadata }] = serving.scaleOptions.keda.triggers;
    assert.deepEqual([metadata.topic, metadata.consumerGroup], [topic, group]);
    assert.equal(metadata.offsetResetPolicy, 'earliest');
    assert.equal(metadata.consumerGroup, role === 'count' ? `${settings.group}-count` : settings.group);
    assert.equal(settings.saslUsername, name);
    const seconds = serving.template.terminationGracePeriodSeconds;
    assert.ok(seconds * 1000 > settings.shutdownMs + 5000);
  });

test('earshot-dapr: daprd loses nothing, calls by HTTP, and is beside the function', () => {
  const { serving } = find('openfunction/sidecar', 'Function', 'earshot-dapr').spec;
  const metadata = Object.fromEntries(
    serving.bindings.logs.metadata.map(({ name, value }: any) => [name, value]),
  );
  assert.equal(metadata.initialOffset, 'oldest');
  assert.equal(metadata.consumeRetryEnabled, 'true');
  assert.equal(serving.annotations['openfunction.io/dapr-service-mode'], 'sidecar');
  const protocol = serving.annotations['dapr.io/app-protocol'];
  const settings = settingsOf(serving.params, openFunction('earshot-dapr', protocol));
  assert.deepEqual([settings.role, settings.topics, settings.listen!.port], ['match', undefined, 8080]);
  assert.equal(serving.scaleOptions.keda.triggers[0].metadata.consumerGroup, metadata.consumerGroup);
  const {
    EARSHOT_BROKERS: _,
    EARSHOT_ROLE: _role,
    EARSHOT_DEAD_LETTER_TOPIC: _topic,
    ...memory
  } = serving.params;
  assert.throws(
    () => settingsOf({ ...memory, EARSHOT_SINK: 'stdout' }, openFunction('x', 'grpc')),
    /set the annotation dapr.io\/app-protocol: http/,
  );
});

test('Knative: matching with a hits topic on any number of pods; what cannot be delivered is a dead letter', () => {
  const { template } = find('knative', 'Service', 'earshot').spec;
  const environment = Object.fromEntries(
    template.spec.containers[0].env.map(({ name, value }: any) => [name, value]),
  );
  const settings = settingsOf(environment, { K_SERVICE: 'earshot', PORT: '8080' });
  assert.deepEqual([settings.role, settings.listen!.port], ['match', 8080]);
  const { spec } = find('knative', 'KafkaSource', 'earshot-logs');
  const { delivery } = spec;
  assert.equal(spec.initialOffset, 'earliest');
  const seconds = (text: string) => Number(/^PT(\d+)S$/.exec(text)![1]);
  const outage = (seconds(delivery.backoffDelay) * delivery.retry * (delivery.retry + 1)) / 2;
  assert.ok(delivery.backoffPolicy === 'linear' && outage > 2 * 86_400, `${outage} s`);
  assert.ok(seconds(delivery.timeout) > ANSWER_MAX_S);
  assert.ok(template.spec.timeoutSeconds > ANSWER_MAX_S);
  const { kind, name } = delivery.deadLetterSink.ref;
  assert.equal(find('knative', kind, name).spec.topic, settings.deadLetterTopic);
  assert.equal(find('knative', spec.sink.ref.kind, spec.sink.ref.name).metadata.name, 'earshot');
});

test("KEDA's HTTP add-on: it gives up before Fluent Bit does, and after the door has answered", () => {
  const { spec } = find('keda-http', 'InterceptorRoute', 'earshot-door');
  assert.ok(parseInt(spec.timeouts.responseHeader) > ANSWER_MAX_S);
  assert.ok(parseInt(spec.timeouts.readiness) < 60);
  const scaled = find('keda-http', 'ScaledObject', 'earshot-door').spec;
  assert.equal(scaled.triggers[0].metadata.interceptorRoute, 'earshot-door');
  assert.equal(scaled.scaleTargetRef.name, spec.target.service);
});

// OpenFunction's config/bundle.yaml, Knative's service.yaml, 100-kafka-source.yaml and 100-kafka-sink.yaml, the add-on's
// interceptorroutes and KEDA's scaledobjects, one CRD or more a file.
const crds = process.env.EARSHOT_TEST_SERVERLESS_CRDS;
const withoutCrds =
  (crds === undefined || !existsSync(crds)) && 'EARSHOT_TEST_SERVERLESS_CRDS names no folder of CRDs';

describe('an API server with the CRDs', { skip: withoutServer || withoutCrds }, () => {
  test(
    'takes each manifest, and none with a field that it does not know',
    { timeout: 300_000 },
    async context => {
      const kubectl = await startApiServer(context);
      const folder = mkdtempSync(join(tmpdir(), 'earshot-crds-'));
      context.after(() => rmSync(folder, { recursive: true, force: true }));
      const done = (...args: string[]) => {
        const { ok, text } = kubectl(...args);
        assert.ok(ok, `${args.join(' ')}: ${text}`);
      };
      for (const name of readdirSync(crds!).filter(name => name.endsWith('.yaml'))) {
        const all = parseAllDocuments(readFileSync(join(crds!, name), 'utf8')).map(document =>
          document.toJS(),
        );
        for (const crd of all.filter(object => object?.kind === 'CustomResourceDefinition')) {
          delete crd.spec.conversion; // Its webhook does not run here.
          writeFileSync(join(folder, `${crd.metadata.name}.json`), JSON.stringify(crd));
        }
      }
      done('create', '-f', folder);
      done('wait', '--for=condition=Established', 'crds', '--all', '--timeout=60s');
      done('create', 'namespace', 'earshot');
      const apply = (...args: string[]) => kubectl('apply', '--dry-run=server', '--validate=strict', ...args);
      for (const one of FOLDERS) {
        const { ok, text } = apply('-k', join(FOLDER, one));
        assert.ok(ok, `${one}: ${text}`);
      }
      for (const object of FOLDERS.flatMap(objectsOf)) {
        const path = join(folder, 'wrong.json');
        writeFileSync(path, JSON.stringify({ ...object, spec: { ...object.spec, notThere: 1 } }));
        const { ok, text } = apply('-f', path);
        assert.ok(!ok && /notThere/.test(text), `${object.kind} ${object.metadata.name}: ${text}`);
      }
    },
  );
});
