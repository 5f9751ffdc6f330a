// The Alertmanager variant, from a real Fluent Bit into a real Alertmanager.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FluentBit, skip as withoutFluentBit } from './process.ts';

const skip =
  withoutFluentBit ||
  (spawnSync('prometheus-alertmanager', ['--version']).error
    ? 'there is no prometheus-alertmanager on the PATH'
    : false);

const RULES = `
- alert: Error
  match: {field: log, contains: 'ERROR'}
  realert: 0s
  labels: {message: '{{ $record.log }}'}
- alert: Of web
  match: {field: log, regex: 'ERROR [0-9]$'}
  realert: 0s
`;

for (const configuration of ['fluent-bit.yaml', 'fluent-bit.conf'] as const)
  test(
    `${configuration}: Alertmanager has every alert, also of records that match two rules`,
    { skip, timeout: 60_000 },
    async context => {
      const folder = mkdtempSync(join(tmpdir(), 'earshot-alertmanager-'));
      writeFileSync(join(folder, 'alertmanager.yml'), 'route: {receiver: none}\nreceivers: [{name: none}]\n');
      const port = await freePort();
      const child = spawn(
        'prometheus-alertmanager',
        [
          `--config.file=${folder}/alertmanager.yml`,
          `--storage.path=${folder}`,
          `--web.listen-address=127.0.0.1:${port}`,
          '--cluster.listen-address=',
        ],
        { stdio: 'ignore' },
      );
      context.after(() => {
        child.kill('SIGKILL');
        rmSync(folder, { recursive: true, force: true });
      });
      const now = Date.now();
      const records = Array.from({ length: 12 }, (_, i) => ({
        time: new Date(now + i).toISOString(),
        log: `ERROR ${i}`,
      }));
      const fluentBit = new FluentBit(context, {
        rules: RULES,
        records,
        port,
        target: 'alertmanager',
        configuration,
      }).start();
      const list = async (): Promise<any[]> => {
        const response = await fetch(`http://127.0.0.1:${port}/api/v2/alerts`).catch(() => null);
        return response?.ok ? ((await response.json()) as any[]) : [];
      };
      let alerts = await list();
      for (const end = Date.now() + 30_000; alerts.length < 13 && Date.now() < end; alerts = await list())
        await sleep(100);
      assert.deepEqual(
        alerts.map(({ labels }) => labels.message ?? labels.alertname).sort(),
        [...records.map(({ log }) => log), 'Of web'].sort(),
        fluentBit.log(),
      );
      const starts = alerts
        .filter(({ labels }) => labels.alertname === 'Error')
        .map(({ startsAt }) => startsAt);
      assert.deepEqual(starts.sort(), records.map(({ time }) => time).sort());
    },
  );

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}
