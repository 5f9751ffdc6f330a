// The Alertmanager sink against Debian's Alertmanager.

import { execFileSync, spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { alertmanager } from '../../host/sink/alertmanager.ts';
import { readSettings } from '../../host/function/settings.ts';
import { bodyOf } from './body.ts';
import { until } from '../function/harness.ts';

const skip = missing();

describe('Alertmanager', { skip }, () => {
  let url: string;
  let notified: { status: string; labels: Record<string, string> }[] = [];
  let stop: () => Promise<void>;

  before(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'earshot-alertmanager-'));
    // Where Alertmanager notifies.
    const receiver = createServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      notified.push(...JSON.parse(body).alerts);
      response.end();
    }).listen(0, '127.0.0.1');
    await new Promise(done => receiver.once('listening', done));
    const webhook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
    writeFileSync(
      join(folder, 'alertmanager.yml'),
      `route: {receiver: test, group_wait: 0s, group_by: ['...']}\nreceivers: [{name: test, webhook_configs: [{url: '${webhook}'}]}]\n`,
    );
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const args = [
      `--config.file=${folder}/alertmanager.yml`,
      `--storage.path=${folder}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
    ];
    const child = spawn('prometheus-alertmanager', args, { stdio: 'ignore' });
    stop = async () => {
      child.kill('SIGTERM');
      receiver.close();
      receiver.closeAllConnections();
      await new Promise(done => child.once('exit', done));
      rmSync(folder, { recursive: true });
    };
    await until(
      () =>
        fetch(`${url}/-/ready`).then(
          ({ ok }) => ok,
          () => false,
        ),
      'Alertmanager',
    );
  });
  after(() => stop?.());

  const open = (more = {}, now?: () => number) => {
    const environment = {
      EARSHOT_MODULE: 'x',
      EARSHOT_BROKERS: 'x:1',
      EARSHOT_TOPICS: 'x',
      EARSHOT_DEAD_LETTER_TOPIC: 'y',
      EARSHOT_SINK: 'alertmanager',
      EARSHOT_SINK_URL: url,
    };
    return alertmanager(readSettings([], { ...environment, ...more }), now);
  };
  const stored = async () =>
    (await (await fetch(`${url}/api/v2/alerts`)).json()) as {
      labels: Record<string, string>;
      endsAt: string;
      startsAt: string;
    }[];
  const hourAgo = new Date(Date.now() - 3_600_000);

  test('takes the alerts of a body as they are, and notifies', async () => {
    const sink = open();
    assert.deepEqual(await sink.send(bodyOf(1, 3, new Date())), { kind: 'accepted' });
    await until(() => notified.filter(({ labels }) => labels.id === '1').length === 3, 'three notifications');
    await sink.close();
  });

  test('an alert of a record that is an hour old is notified, with a hold and without', async () => {
    const [plain, held] = [open(), open({ EARSHOT_ALERT_HOLD_MS: '600000' })];
    await plain.send(bodyOf(2, 1, hourAgo));
    await held.send(bodyOf(3, 1, hourAgo));
    await until(
      () => ['2', '3'].every(id => notified.some(({ labels }) => labels.id === id)),
      'both notifications',
    );
    const alert = (await stored()).find(({ labels }) => labels.id === '3')!;
    const leftMs = Date.parse(alert.endsAt) - Date.now();
    assert.ok(leftMs > 590_000 && leftMs <= 600_000, alert.endsAt);
    await Promise.all([plain.close(), held.close()]);
  });

  test('the same alert twice is one alert', async () => {
    const sink = open();
    await sink.send(bodyOf(4, 1, new Date()));
    await sink.send(bodyOf(4, 1, new Date()));
    assert.equal((await stored()).filter(({ labels }) => labels.id === '4').length, 1);
    await sink.close();
  });

  test('what it will never take is refused', async () => {
    const sink = open();
    const body = Buffer.from(bodyOf(5, 1, new Date()).toString().replace('"alertname"', '"no-name"'));
    const fate = await sink.send(body);
    assert.equal(fate.kind, 'refused');
    await sink.close();
  });
});

function missing(): string | false {
  try {
    execFileSync('prometheus-alertmanager', ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no prometheus-alertmanager on the PATH';
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise(done => server.once('listening', done));
  const { port } = server.address() as AddressInfo;
  await new Promise(done => server.close(done));
  return port;
}
