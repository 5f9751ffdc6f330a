// A real daprd (tests/function/daprd/build.sh makes one): Kafka's binding posts records to the door, and alerts go out through
// a binding to HTTP.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { kafkaMissing, startKafka } from '../kafka.ts';
import type { TestKafka } from '../kafka.ts';
import { startNotificationManager } from '../sink/notification-manager.ts';
import { messages, openStage, range, until } from './harness.ts';
import type { Stage } from './harness.ts';
import { somePort, startDoor } from './door.ts';
import type { DoorProcess } from './door.ts';
import { modulePath } from './module.ts';
import { bundleFunction } from './process.ts';

type Manager = Awaited<ReturnType<typeof startNotificationManager>>;

const isMissing = !(process.env.PATH ?? '')
  .split(delimiter)
  .some(folder => existsSync(join(folder, 'daprd')));
const skip = isMissing ? 'there is no daprd on the PATH' : kafkaMissing();
const INPUT = 'serving-8f5fc-bindings-kafka-receiver-9g5vr';
const OUTPUT = 'serving-8f5fc-bindings-notification-manager-q4kxt';

interface Dapr {
  child: ChildProcess;
  log(): string;
  exited: Promise<void>;
}

function component(name: string, type: string, metadata: Record<string, string>): string {
  const items = Object.entries(metadata).map(([key, value]) => `  - {name: ${key}, value: "${value}"}`);
  return [
    'apiVersion: dapr.io/v1alpha1',
    'kind: Component',
    `metadata: {name: ${name}}`,
    `spec:\n  type: ${type}\n  version: v1\n  metadata:`,
    ...items,
  ].join('\n');
}

function startDapr(folder: string, appPort: number, httpPort: number): Dapr {
  const child = spawn(
    'daprd',
    [
      ...['--app-id', 'earshot', '--app-port', String(appPort), '--app-protocol', 'http'],
      ...['--dapr-http-port', String(httpPort), '--dapr-grpc-port', String(somePort())],
      ...['--dapr-internal-grpc-port', String(somePort()), '--dapr-listen-addresses', '127.0.0.1'],
      ...['--dapr-internal-grpc-listen-address', '127.0.0.1', '--enable-metrics=false'],
      ...['--resources-path', folder, '--mode', 'standalone', '--dapr-graceful-shutdown-seconds', '2'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (log += chunk));
  const exited = new Promise<void>(done => child.once('exit', () => done()));
  return { child, log: () => log, exited };
}

describe('a real daprd', { skip }, () => {
  let kafka: TestKafka;
  let file: string;
  let folder: string;
  let manager: Manager;
  let stage: Stage;
  before(async () => {
    kafka = await startKafka();
    file = await bundleFunction();
  });
  after(() => kafka?.stop());

  const daprTest = (
    name: string,
    kafkaMetadata: Record<string, string>,
    run: (parts: { door: DoorProcess; start(): Promise<Dapr> }) => Promise<void>,
    more: (httpPort: number) => NodeJS.ProcessEnv = () => ({ EARSHOT_SINK_URL: manager.url }),
  ) =>
    test(name, { timeout: 120_000 }, async () => {
      manager = await startNotificationManager();
      stage = await openStage(kafka.brokers, manager.url);
      folder = mkdtempSync(join(tmpdir(), 'earshot-dapr-'));
      const httpPort = somePort();
      const started: Dapr[] = [];
      const input = component(INPUT, 'bindings.kafka', {
        brokers: kafka.brokers,
        authType: 'none',
        topics: stage.topic,
        consumerGroup: stage.group,
        initialOffset: 'oldest',
        version: '2.8.0',
        ...kafkaMetadata,
      });
      const output = component(OUTPUT, 'bindings.http', { url: `${manager.url}/api/v2/alerts` });
      writeFileSync(join(folder, 'input.yaml'), input);
      writeFileSync(join(folder, 'output.yaml'), output);
      const door = await startDoor(
        file,
        {
          EARSHOT_MODULE: modulePath,
          EARSHOT_SINK_TIMEOUT_MS: '1500',
          EARSHOT_RETRY_HOLD_MS: '200',
          EARSHOT_RETRY_MAX_MS: '200',
          ...more(httpPort),
        },
        somePort(),
      );
      const start = async () => {
        const dapr = startDapr(folder, door.port, httpPort);
        started.push(dapr);
        await until(() => /dapr initialized. Status: Running/.test(dapr.log()), 'daprd').catch(error => {
          throw new Error(`${error.message}\n${dapr.log()}`);
        });
        return dapr;
      };
      try {
        await run({ door, start });
      } catch (error) {
        throw new Error(
          `${(error as Error).stack}\n${started.map(dapr => dapr.log().slice(-3000)).join('\n')}`,
        );
      } finally {
        for (const { child } of started) child.kill('SIGKILL');
        door.child.kill('SIGKILL');
        await stage.close();
        await manager.stop();
        rmSync(folder, { recursive: true, force: true });
      }
    });

  const retried = { consumeRetryEnabled: 'true', backOffDuration: '1s' };
  const counts = () => manager.queue.map(({ annotations }) => Number(annotations.count));

  daprTest(
    'asks for its binding, and posts each record: its alert is at the sink',
    retried,
    async ({ start }) => {
      await stage.produce(messages(20, id => id % 2 === 0));
      await start();
      await until(() => manager.queue.length >= 10, 'ten alerts');
      assert.deepEqual(
        manager.ids(),
        range(10).map(index => index * 2),
      );
      assert.deepEqual(counts(), range(10, 1));
    },
  );

  daprTest(
    'a sink that is down, and daprd stopped in the midst of it: nothing is lost, or counted twice',
    retried,
    async ({ start, door }) => {
      manager.intercept = (_, response) => (response.writeHead(503).end(), true);
      await stage.produce(messages(10));
      const first = await start();
      await until(
        async () => (await door.metric('earshot_listen_requests_total{path="/*",status="503"}')) >= 2,
        'tries',
      );
      first.child.kill('SIGTERM');
      await first.exited;
      assert.equal(manager.queue.length, 0);
      manager.intercept = undefined;
      await start();
      await until(() => manager.queue.length >= 10, 'all alerts', 60_000);
      assert.deepEqual([...new Set(manager.ids())], range(10));
      assert.deepEqual([...new Set(counts())], range(10, 1));
    },
  );

  daprTest(
    'alerts go out through a binding; what the receiver answered is what counts',
    retried,
    async ({ start, door }) => {
      let answers = 0;
      manager.intercept = (_, response, body) => {
        answers++;
        const status = body.includes('record 3') ? 400 : answers < 3 ? 503 : 0;
        return status > 0 && (response.writeHead(status).end(), true);
      };
      await stage.produce(messages(6));
      await start();
      await until(() => manager.queue.length >= 5, 'five alerts', 60_000);
      assert.deepEqual([...new Set(manager.ids())], [0, 1, 2, 4, 5]);
      assert.equal(await door.metric('earshot_dead_letters_total{reason="refused"}'), 1);
      assert.match(door.log(), /"error":"400/);
    },
    httpPort => ({
      DAPR_HTTP_PORT: String(httpPort),
      APP_PROTOCOL: 'http',
      FUNC_CONTEXT_V1BETA2: JSON.stringify({
        name: 'logs',
        outputs: {
          'notification-manager': {
            componentName: OUTPUT,
            componentType: 'bindings.http',
            operation: 'post',
          },
        },
      }),
    }),
  );

  daprTest(
    'by default Dapr loses the record that is not answered 200: this is why the manifest has consumeRetryEnabled',
    {},
    async ({ start }) => {
      manager.intercept = (_, response, body) =>
        !body.includes('record 0') && (response.writeHead(503).end(), true);
      await stage.produce(messages(3));
      const dapr = await start();
      await until(() => dapr.log().split('Error processing Kafka message').length > 2, 'two are refused');
      manager.intercept = undefined;
      await stage.produce(messages(1, undefined, 3));
      await until(() => manager.ids().includes(3), 'the record after them');
      // The function itself still had the first of them, whose alert the sink refused. The second is gone.
      assert.deepEqual(manager.ids(), [0, 1, 3]);
    },
  );
});
