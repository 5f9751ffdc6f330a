// The Alertmanager sink against Debian's Alertmanager. Its resolve_timeout is 2 s here, in place of 5 min, so that an alert
// that is left to it ends within the test.

import { execFileSync, spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bakeModule, readRulesFile } from '../../host/command/rules-file.ts';
import { ALERT, loadModule } from '../../host/matcher.ts';
import type { MatcherModule } from '../../host/matcher.ts';
import { holdsOf } from '../../host/sink/hold.ts';
import type { HoldOf } from '../../host/sink/hold.ts';
import { alertmanager } from '../../host/sink/alertmanager.ts';
import { readSettings } from '../../host/function/settings.ts';
import { bodyOf } from './body.ts';
import { until } from '../function/harness.ts';

const skip = missing();
const PROGRAM = resolve(import.meta.dirname, '../../build/earshot.js');
const rulesFolder = mkdtempSync(join(tmpdir(), 'earshot-rules-'));
after(() => rmSync(rulesFolder, { recursive: true }));

describe('Alertmanager', { skip }, () => {
  let url: string;
  let notified: { status: string; labels: Record<string, string>; startsAt: string; endsAt: string }[] = [];
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
      `global: {resolve_timeout: 2s}\nroute: {receiver: test, group_wait: 0s, group_interval: 1s, repeat_interval: 1h, group_by: ['...']}\nreceivers: [{name: test, webhook_configs: [{url: '${webhook}'}]}]\n`,
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

  const open = (more = {}, holdOf?: HoldOf) => {
    const environment = {
      EARSHOT_MODULE: 'x',
      EARSHOT_BROKERS: 'x:1',
      EARSHOT_TOPICS: 'x',
      EARSHOT_DEAD_LETTER_TOPIC: 'y',
      EARSHOT_SINK: 'alertmanager',
      EARSHOT_SINK_URL: url,
    };
    return alertmanager(readSettings([], { ...environment, ...more }), holdOf);
  };
  const stored = async () =>
    (await (await fetch(`${url}/api/v2/alerts`)).json()) as {
      labels: Record<string, string>;
      annotations: Record<string, string>;
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

  test('an alert that starts hours ahead is accepted, and starts now', async () => {
    const aheadMs = Date.now() + 8 * 3_600_000;
    for (const [id, hold] of [
      [6, {}],
      [7, { EARSHOT_ALERT_HOLD_MS: '0' }],
      [8, { EARSHOT_ALERT_HOLD_MS: '60000' }],
    ] as const) {
      const sink = open(hold);
      assert.deepEqual(await sink.send(bodyOf(id, 1, new Date(aheadMs))), { kind: 'accepted' });
      await until(() => notifiedOf(String(id)).length > 0, `the notification of ${id}`);
      assert.ok(Math.abs(Date.parse(notifiedOf(String(id))[0]!.startsAt) - Date.now()) < 10_000);
      await sink.close();
    }
  });

  test('only the times of an alert change, whatever its labels are called', async () => {
    const sink = open();
    const body = JSON.parse(bodyOf(9, 1, new Date(Date.now() + 3_600_000)).toString());
    const texts = {
      startsAt: '2999-01-01T00:00:00Z',
      endsAt: '0001-01-01T00:00:00Z',
      quoted: '"endsAt":"x"',
    };
    Object.assign(body.alerts[0].labels, texts);
    Object.assign(body.alerts[0].annotations, texts);
    assert.deepEqual(await sink.send(Buffer.from(JSON.stringify(body))), { kind: 'accepted' });
    const alert = (await stored()).find(({ labels }) => labels.id === '9')!;
    assert.deepEqual(alert.labels, body.alerts[0].labels);
    assert.deepEqual(alert.annotations, body.alerts[0].annotations);
    await sink.close();
  });

  // Longer than resolve_timeout, and than the look at the groups after it.
  const LASTING_MS = 5000;

  test('an error that goes on is one alert, and ends after its cool-down', async () => {
    const module = await moduleOf(`
      - alert: Steady
        match: {field: log, contains: error}
        realert: 4s
        labels: {id: steady}
    `);
    const sink = open({}, holdsOf(module.info.rules));
    const matcher = await module.instantiate();
    let posts = 0;
    for (const endsAt = Date.now() + 2 * LASTING_MS; Date.now() < endsAt; await sleep(500))
      if (matcher.match(Buffer.from('{"log":"error"}'), Date.now() / 1000, 0) === ALERT) {
        assert.deepEqual(await sink.send(matcher.alert().slice()), { kind: 'accepted' });
        posts++;
      }
    assert.ok(posts >= 2, `${posts} posts`);
    assert.deepEqual(
      notifiedOf('steady').map(({ status }) => status),
      ['firing'],
    );
    const { endsAt } = (await stored()).find(({ labels }) => labels.id === 'steady')!;
    const leftMs = Date.parse(endsAt) - Date.now();
    assert.ok(leftMs > 590_000 && leftMs < 604_000, `it ends in ${leftMs} ms`);
    await sink.close();
  });

  test('an absence lasts until Earshot says that it is over, also when that is ahead of time', async () => {
    const module = await moduleOf(`
      - alert: Silent
        match: {field: log, contains: beat}
        absence: {for: 10m, by: [id]}
        labels: {id: '{{ $record.id }}'}
    `);
    for (const [id, shiftMs] of [
      ['on-time', 0],
      ['ahead', 8 * 3_600_000],
      ['late', -8 * 3_600_000],
    ] as const) {
      const sink = open({}, holdsOf(module.info.rules));
      const matcher = await module.instantiate();
      const sec = Math.floor((Date.now() + shiftMs) / 1000);
      const beat = Buffer.from(JSON.stringify({ log: 'beat', id }));
      matcher.match(beat, sec - 1200, 0);
      assert.equal(matcher.tick(sec - 1, 0), ALERT);
      assert.deepEqual(await sink.send(matcher.alert().slice()), { kind: 'accepted' });
      await until(() => notifiedOf(id).length > 0, 'the notification');
      await sleep(id === 'on-time' ? LASTING_MS : 0);
      assert.deepEqual(
        notifiedOf(id).map(({ status }) => status),
        ['firing'],
      );
      assert.equal(matcher.match(beat, sec, 0), ALERT);
      assert.deepEqual(await sink.send(matcher.alert().slice()), { kind: 'accepted' });
      await until(() => notifiedOf(id).some(({ status }) => status === 'resolved'), 'the end');
      await sink.close();
    }
  });

  test('the same through `run --notify --envelope alertmanager`', async context => {
    const path = join(rulesFolder, 'run.yaml');
    writeFileSync(
      path,
      rulesFile(`
      - alert: Silent
        match: {field: log, contains: beat}
        absence: {for: 10m, by: [id]}
        labels: {id: '{{ $record.id }}'}
      - alert: Error
        match: {field: log, contains: error}
        labels: {id: '{{ $record.id }}'}
    `),
    );
    const args = ['run', path, '--notify', url, '--envelope', 'alertmanager', '-'];
    const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['pipe', 'ignore', 'pipe'] });
    context.after(() => child.kill('SIGKILL'));
    let said = '';
    child.stderr!.on('data', chunk => (said += chunk));
    const write = (id: string, log: string, shiftMs: number) =>
      child.stdin!.write(`${JSON.stringify({ '@timestamp': (Date.now() + shiftMs) / 1000, id, log })}\n`);
    write('run', 'beat', -1_200_000);
    write('run-ahead', 'error', 8 * 3_600_000);
    write('other', 'tick', -1000);
    await until(() => ['run', 'run-ahead'].every(id => notifiedOf(id).length > 0), `both: ${said}`);
    await sleep(LASTING_MS);
    assert.deepEqual(
      ['run', 'run-ahead'].map(id => notifiedOf(id).map(({ status }) => status)),
      [['firing'], ['firing']],
      said,
    );
    write('run', 'beat', 0);
    await until(() => notifiedOf('run').some(({ status }) => status === 'resolved'), `the end: ${said}`);
    child.stdin!.end();
    assert.equal(await new Promise(done => child.once('exit', done)), 0, said);
  });

  function notifiedOf(id: string) {
    return notified.filter(({ labels }) => labels.id === id);
  }
});

test('an alert stands for its cool-down and ten minutes more, an absence for a year', () => {
  // What Earshot resolves by the clock lasts until then, and ends by itself when Earshot does not come back.

  const holdOf = holdsOf([
    { alert: 'Each', realertMs: 0, resolves: false },
    { alert: 'Default', realertMs: 300_000, resolves: false },
    { alert: 'Twice', realertMs: 86_400_000, resolves: false },
    { alert: 'Twice', realertMs: 0, resolves: false },
    { alert: 'Absence', realertMs: 300_000, resolves: true },
    { alert: 'Over', realertMs: 300_000, resolves: true, resolveAfterMs: 1_800_000 },
    { alert: 'Never again', realertMs: 1e15, resolves: false },
  ]);
  assert.deepEqual(
    ['Each', 'Default', 'Twice', 'Absence', 'Over', 'Never again', 'Unknown'].map(holdOf),
    [600_000, 900_000, 87_000_000, 31_536_000_000, 2_700_000, 31_536_000_000, 600_000],
  );
});

function rulesFile(rules: string): string {
  return `groups:\n  - name: test\n    rules:${rules}`;
}

async function moduleOf(rules: string): Promise<MatcherModule> {
  const path = join(rulesFolder, 'rules.yaml');
  writeFileSync(path, rulesFile(rules));
  const { ruleset, problems } = await readRulesFile(path);
  assert.ok(ruleset, JSON.stringify(problems));
  return loadModule(await bakeModule(ruleset));
}

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
