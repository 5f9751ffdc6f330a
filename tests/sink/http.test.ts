import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { RequestListener, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fateOf, openPoster } from '../../host/sink/http.ts';
import { readSettings } from '../../host/function/settings.ts';

test('what a status means', () => {
  const kinds = (...statuses: number[]) => statuses.map(status => fateOf(status, '', undefined).kind);
  assert.deepEqual(kinds(200, 202, 204), ['accepted', 'accepted', 'accepted']);
  assert.deepEqual(kinds(400, 413, 422), ['refused', 'refused', 'refused']);
  assert.deepEqual(
    new Set(kinds(302, 401, 403, 404, 405, 408, 410, 425, 429, 500, 502, 503, 504)),
    new Set(['retry']),
  );
  const misconfigured = [301, 302, 307, 401, 403, 404, 405, 408, 429, 500, 503].filter(status => {
    const fate = fateOf(status, '', undefined);
    return fate.kind === 'retry' && fate.misconfigured;
  });
  assert.deepEqual(misconfigured, [301, 302, 307, 401, 403, 404, 405]);
  assert.deepEqual(fateOf(403, 'who are you', undefined), {
    kind: 'retry',
    error: '403 who are you',
    retryAfterMs: undefined,
    misconfigured: true,
  });
});

test('Retry-After is seconds or a date, and never in the past', () => {
  const waitMs = (text: string) => {
    const fate = fateOf(503, '', text);
    return fate.kind === 'retry' && fate.retryAfterMs;
  };
  assert.equal(waitMs('7'), 7000);
  const inTen = waitMs(new Date(Date.now() + 10_000).toUTCString()) as number;
  assert.ok(inTen > 8000 && inTen <= 10_000);
  assert.equal(waitMs('Wed, 21 Oct 2015 07:28:00 GMT'), undefined);
  assert.equal(waitMs('soon'), undefined);
  // Not longer than a timer can wait: it would not wait at all.
  assert.equal(waitMs('99999999999'), 3_600_000);
  assert.equal(waitMs('Fri, 31 Dec 9999 23:59:59 GMT'), 3_600_000);
});

test('of an answer without end only the beginning is read', async () => {
  for (const [status, kind] of [
    [200, 'accepted'],
    [400, 'refused'],
  ] as const) {
    let sent = 0;
    await withServer(
      (_request, response) => {
        response.writeHead(status);
        const more = () => {
          while (!response.destroyed && response.write('x'.repeat(65_536))) sent += 65_536;
        };
        response.on('drain', more);
        more();
      },
      async url => {
        const poster = openPoster(settings(url, { EARSHOT_SINK_TIMEOUT_MS: '2000' }));
        for (let i = 0; i < 3; i++) assert.equal((await poster.post('/', Buffer.from('{}'))).kind, kind);
        await poster.close();
      },
    );
    assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken`);
  }
});

test('the credentials and the path prefix are sent', async () => {
  const seen: object[] = [];
  await withServer(
    (request, response) => {
      seen.push({
        url: request.url,
        authorization: request.headers.authorization,
        type: request.headers['content-type'],
      });
      response.end();
    },
    async url => {
      const basic = { EARSHOT_SINK_USERNAME: 'me', EARSHOT_SINK_PASSWORD: 'pass' };
      for (const credentials of [basic, { EARSHOT_SINK_TOKEN: 'abc' }] as Record<string, string>[]) {
        const poster = openPoster(settings(`${url}/prefix/`, credentials));
        assert.equal((await poster.post('/api', Buffer.from('{}'))).kind, 'accepted');
        await poster.close();
      }
    },
  );
  const common = { url: '/prefix/api', type: 'application/json' };
  assert.deepEqual(seen, [
    { ...common, authorization: `Basic ${Buffer.from('me:pass').toString('base64')}` },
    { ...common, authorization: 'Bearer abc' },
  ]);
});

test('no answer, half an answer and no server are to be tried again', async () => {
  await withServer(
    (_request, response) => void response.write('half'),
    async url => {
      const poster = openPoster(settings(url, { EARSHOT_SINK_TIMEOUT_MS: '200' }));
      assert.deepEqual(await poster.post('/', Buffer.from('{}')), {
        kind: 'retry',
        error: 'no answer within 200 ms',
      });
      await poster.close();
    },
  );
  await withServer(
    request => void request.socket.destroy(),
    async url => {
      const poster = openPoster(settings(url));
      assert.equal((await poster.post('/', Buffer.from('{}'))).kind, 'retry');
      await poster.close();
    },
  );
  const poster = openPoster(settings('http://127.0.0.1:1'));
  assert.deepEqual(await poster.post('/', Buffer.from('{}')), {
    kind: 'retry',
    error: 'connect ECONNREFUSED 127.0.0.1:1',
  });
  await poster.close();
});

test('the time of a post begins when it has a connection', async () => {
  let count = 0;
  await withServer(
    (_request, response) => {
      count++;
      setTimeout(() => response.end(), 300);
    },
    async url => {
      const one = { EARSHOT_SINK_TIMEOUT_MS: '700', EARSHOT_SINK_CONNECTIONS: '2' };
      const poster = openPoster(settings(url, one), 600);
      const posts = Array.from({ length: 10 }, () => poster.post('/', Buffer.from('{}')));
      // The last has waited 1.2 s, longer than its time; and none was slow.
      assert.deepEqual(await Promise.all(posts), Array(10).fill({ kind: 'accepted' }));
      assert.equal(count, 10, 'nothing was posted twice');
      await poster.close();
    },
  );
});

test('a connection is free again after every end of a post', { timeout: 20_000 }, async () => {
  const ends = [
    (response: ServerResponse) => response.end(),
    (response: ServerResponse) => response.destroy(),
    (response: ServerResponse) => response.writeHead(503).end('later'),
    () => {}, // no answer
  ];
  let at = 0;
  await withServer(
    (_request, response) => void ends[at++ % ends.length]!(response),
    async url => {
      const poster = openPoster(
        settings(url, { EARSHOT_SINK_TIMEOUT_MS: '200', EARSHOT_SINK_CONNECTIONS: '1' }),
      );
      const kinds: string[] = [];
      for (let i = 0; i < 8; i++) kinds.push((await poster.post('/', Buffer.from('{}'))).kind);
      assert.deepEqual(kinds, [
        ...['accepted', 'retry', 'retry', 'retry'],
        ...['accepted', 'retry', 'retry', 'retry'],
      ]);
      await poster.close();
    },
  );
});

test('a post that is no longer wanted is not sent while it waits, and finished when it is under way', async () => {
  let count = 0;
  await withServer(
    (_request, response) => {
      count++;
      setTimeout(() => response.end(), 200);
    },
    async url => {
      const poster = openPoster(settings(url, { EARSHOT_SINK_CONNECTIONS: '1' }));
      const unwanted = new AbortController();
      const under = poster.post('/', Buffer.from('{}'), unwanted.signal);
      const waiting = poster.post('/', Buffer.from('{}'), unwanted.signal);
      const other = poster.post('/', Buffer.from('{}'));
      unwanted.abort();
      assert.deepEqual(await waiting, { kind: 'retry', error: 'not sent: it is no longer wanted' });
      assert.deepEqual([await under, await other], [{ kind: 'accepted' }, { kind: 'accepted' }]);
      assert.equal(count, 2);
      await poster.close();
    },
  );
});

function settings(url: string, more: Record<string, string> = {}) {
  return readSettings([], {
    EARSHOT_MODULE: 'x',
    EARSHOT_BROKERS: 'x:1',
    EARSHOT_TOPICS: 'x',
    EARSHOT_DEAD_LETTER_TOPIC: 'y',
    EARSHOT_SINK_URL: url,
    ...more,
  });
}

async function withServer(listener: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise(done => server.once('listening', done));
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
