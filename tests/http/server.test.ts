// The server's limits, with small numbers.

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { openBudget, readBody } from '../../host/http/body.ts';
import { openServer } from '../../host/http/server.ts';
import type { Route } from '../../host/http/server.ts';

const ECHO: Route = {
  method: 'POST',
  path: '/echo',
  async answer(request) {
    const { body, release } = readBody(request, budget, 1000);
    const read = await body.finally(release);
    return {
      status: 200,
      text: typeof read === 'string' ? read : `${read.bytes.length} ${read.cut ?? 'whole'}`,
    };
  },
};
const budget = openBudget(1500);

async function serve(run: (port: number, seen: string[], close: () => Promise<void>) => Promise<void>) {
  const seen: string[] = [];
  const server = await openServer({
    host: '127.0.0.1',
    port: 0,
    routes: [ECHO, { path: '/bug', answer: () => assert.fail('a bug') }],
    limits: { headersTimeoutMs: 300, requestTimeoutMs: 600 },
    onAnswer: (path, status) => seen.push(`${path} ${status}`),
    onError: error => seen.push(error.message),
  });
  try {
    await run(server.port, seen, () => server.close(1000));
  } finally {
    await server.close(0);
  }
}

/** Sends the pieces with a pause before each but the first; all that came back before the connection ended. */
async function slowly(port: number, pieces: string[], pauseMs: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', chunk => (text += chunk));
  socket.on('error', () => {});
  const ended = new Promise<string>(done => socket.once('close', () => done(text)));
  for (const piece of pieces) {
    socket.write(piece);
    await sleep(pauseMs);
  }
  return ended;
}

test('a client that is slow with its headers, or with its body, is cut off, and its bytes are released', () =>
  serve(async (port, seen) => {
    assert.match(await slowly(port, ['POST /echo HT', 'TP/1.1\r\n'], 200), /^HTTP\/1.1 408/);
    const head = 'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n';
    assert.match(await slowly(port, [head, 'x', 'x', 'x'], 200), /^HTTP\/1.1 408/);
    assert.equal(budget.used, 0);
    assert.deepEqual(seen, ['/echo undefined']);
  }));

test('a body beyond its limit is cut, and one beyond the limit of all is not read', () =>
  serve(async port => {
    const post = async (body: BodyInit, headers = {}) =>
      (await fetch(`http://127.0.0.1:${port}/echo`, { method: 'POST', body, headers })).text();
    const gzip = { 'content-encoding': 'gzip' };
    assert.equal(await post('x'.repeat(1000)), '1000 whole\n');
    assert.equal(await post('x'.repeat(1001)), '1000 larger than 1000 bytes\n');
    assert.equal(await post(gzipSync('x'.repeat(1000)), gzip), '1000 whole\n');
    assert.equal(await post(gzipSync('x'.repeat(100_000)), gzip), '1000 larger than 1000 bytes\n');
    assert.equal(
      await post(gzipSync('x'.repeat(100)).subarray(0, 20), gzip),
      '100 gzip: unexpected end of file\n',
    );
    assert.equal(await post('not gzip', gzip), '8 gzip: incorrect header check\n');
    assert.equal(await post('x', { 'content-encoding': 'br' }), 'encoding\n');
    budget.reserve(1000);
    assert.equal(await post('x'.repeat(1000)), 'crowded\n');
    const chunked = new Blob(['x'.repeat(600)]).stream();
    const options = { method: 'POST', body: chunked, duplex: 'half' } as RequestInit;
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/echo`, options)).text(), 'crowded\n');
    budget.release(1000);
    assert.equal(budget.used, 0);
  }));

test('a bug is 500, is reported, and ends nothing', () =>
  serve(async (port, seen) => {
    assert.equal((await fetch(`http://127.0.0.1:${port}/bug`)).status, 500);
    assert.equal((await fetch(`http://127.0.0.1:${port}/else?x=1`)).status, 404);
    assert.deepEqual(seen, ['a bug', '/bug 500', 'other 404']);
  }));
