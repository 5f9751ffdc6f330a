// `run --notify` as a function: which addresses it takes, and how it waits.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { UserError } from '../../host/error.ts';
import { openNotifier, readNotifyAddress } from '../../host/notify.ts';
import { bodyOf } from './body.ts';

const mistakeOf = (address: string): string => {
  try {
    readNotifyAddress(address);
  } catch (error) {
    assert.ok(error instanceof UserError && error.exitCode === 2);
    return error.message;
  }
  return 'none';
};

test('an address with credentials, a query or a fragment is refused, and not repeated', () => {
  for (const [address, mistake] of [
    [
      'http://me:hunter2@host',
      /^--notify must not hold a user or password; `earshot run` has no credentials/,
    ],
    ['http://hunter2@host', /^--notify must not hold a user or password/],
    ['http://:hunter2@host', /^--notify must not hold a user or password/],
    ['http://host/?token=hunter2', /^--notify must not hold a query .*`earshot run` has no credentials/],
    ['http://host/#hunter2', /^--notify must not hold a fragment/],
    ['me:hunter2@host', /^--notify is not an http:/],
    ['localhost', /^--notify "localhost" is not an http:\/\/ or https:\/\/ address$/],
  ] as const) {
    assert.match(mistakeOf(address), mistake);
    assert.ok(!mistakeOf(address).includes('hunter2'), mistakeOf(address));
  }
});

test('an address may have a path, and the path of the alerts', () => {
  for (const [address, href] of [
    ['http://host', 'http://host/'],
    ['http://host/api/v2/alerts', 'http://host/'],
    ['http://host/api/v2/alerts/', 'http://host/'],
    ['https://host:1/prefix/api/v2/alerts', 'https://host:1/prefix/'],
    ['http://host/prefix', 'http://host/prefix'],
  ] as const)
    assert.equal(readNotifyAddress(address).href, href);
});

/** Posts one body to a sink that answers so; the times of the requests. */
async function notify(answers: [status: number, headers: Record<string, string>][], deadlineMs: number) {
  const times: number[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    request.resume().on('end', () => {
      times.push(performance.now());
      const [status, headers] = answers.shift() ?? [200, {}];
      response.writeHead(status, headers).end();
    });
  }).listen(0, '127.0.0.1');
  await new Promise(done => server.once('listening', done));
  const notifier = await openNotifier({
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    envelope: 'notification-manager',
    deadlineMs,
    holdOf: () => 0,
    stop: new AbortController().signal,
    onRetry: () => {},
  });
  try {
    await notifier.send(bodyOf(1));
  } finally {
    await notifier.close();
    server.closeAllConnections();
    server.close();
  }
  return times;
}

test('Retry-After is honoured: no post before, and none at all when it is after the deadline', async () => {
  const times = await notify([[503, { 'retry-after': '1' }]], 10_000);
  assert.equal(times.length, 2);
  assert.ok(times[1]! - times[0]! >= 990, `${times[1]! - times[0]!} ms`);
  const startedAt = performance.now();
  await assert.rejects(
    notify([[503, { 'retry-after': '60' }]], 5000),
    /did not take an alert within 5 s: 503/,
  );
  assert.ok(performance.now() - startedAt < 4000);
});
