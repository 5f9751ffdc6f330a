// Alerts through an output binding of Dapr. The stand-in answers as daprd 1.14 does (tests/function/dapr.test.ts has the real one).

import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readSettings } from '../../host/function/settings.ts';
import { openPoster } from '../../host/sink/http.ts';
import { notificationManager } from '../../host/sink/notification-manager.ts';

const CONTEXT = {
  name: 'logs',
  outputs: {
    'notification-manager': {
      componentName: 'serving-x7-bindings-notification-manager-q4',
      componentType: 'bindings.http',
      operation: 'post',
    },
    other: { componentName: 'serving-x7-pubsub-other', componentType: 'pubsub.kafka' },
  },
};
const BASE = { EARSHOT_MODULE: 'x.wasm', EARSHOT_LISTEN: ':1', APP_PROTOCOL: 'http' };
const settings = (environment: NodeJS.ProcessEnv) => readSettings([], { ...BASE, ...environment });
const context = (value: unknown) => ({ FUNC_CONTEXT: JSON.stringify(value) });

interface Seen {
  url: string;
  headers: IncomingHttpHeaders;
  body: any;
}

async function withDapr(
  answer: () => [status: number, headers: Record<string, string>],
  run: (port: number, seen: Seen[]) => Promise<void>,
): Promise<void> {
  const seen: Seen[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    seen.push({ url: request.url!, headers: request.headers, body: JSON.parse(body) });
    const [status, headers] = answer();
    response.writeHead(status, headers).end('{"errorCode":"ERR_INVOKE_OUTPUT_BINDING"}');
  });
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  try {
    await run((server.address() as AddressInfo).port, seen);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('the output that OpenFunction names is used when there is no address', async () => {
  await withDapr(
    () => [200, { 'Metadata.statuscode': '200' }],
    async (port, seen) => {
      const dapr = { DAPR_HTTP_PORT: String(port), DAPR_API_TOKEN: 'secret' };
      const sink = notificationManager(settings({ ...context(CONTEXT), ...dapr }));
      assert.deepEqual(await sink.send(Buffer.from('{"alerts":[{"a":"<&>"}]}')), { kind: 'accepted' });
      await sink.close();
      assert.deepEqual(seen[0]!.body, {
        operation: 'post',
        metadata: { 'Content-Type': 'application/json' },
        data: { alerts: [{ a: '<&>' }] },
      });
      assert.equal(seen[0]!.url, '/v1.0/bindings/serving-x7-bindings-notification-manager-q4');
      assert.equal(seen[0]!.headers['dapr-api-token'], 'secret');
    },
  );
});

for (const [what, status, headers, kind, misconfigured] of [
  ['accepted', 200, { 'Metadata.statuscode': '202' }, 'accepted', undefined],
  ['the sink is down', 500, { 'Metadata.statuscode': '503', 'Metadata.retry-After': '7' }, 'retry', false],
  ['the sink refuses', 500, { 'Metadata.statuscode': '400' }, 'refused', undefined],
  [
    'the sink refuses, with errorIfNot2XX: "false"',
    200,
    { 'Metadata.statuscode': '422' },
    'refused',
    undefined,
  ],
  ['the sink is somewhere else', 500, { 'Metadata.statuscode': '404' }, 'retry', true],
  ['the component is unknown', 500, {}, 'retry', true],
  ['the body is too large for Dapr', 400, {}, 'refused', undefined],
] as const)
  test(`${what}: ${status} ${JSON.stringify(headers)} is ${kind}`, () =>
    withDapr(
      () => [status, headers as Record<string, string>],
      async port => {
        const poster = openPoster(settings({ EARSHOT_DAPR_OUTPUT: 'x', DAPR_HTTP_PORT: String(port) }));
        const fate = await poster.post('/', Buffer.from('{}'));
        await poster.close();
        assert.equal(fate.kind, kind);
        if (fate.kind !== 'retry') return;
        assert.equal(fate.misconfigured, misconfigured);
        assert.equal(fate.retryAfterMs, 'Metadata.retry-After' in headers ? 7000 : undefined);
      },
    ));

test('which output, and which Dapr', () => {
  assert.equal(settings({ ...context(CONTEXT), EARSHOT_SINK_URL: 'http://nm:1' }).dapr, undefined);
  assert.equal(settings({ ...context(CONTEXT), EARSHOT_SINK: 'stdout' }).dapr, undefined);
  assert.equal(settings({ EARSHOT_DAPR_OUTPUT: 'mine' }).dapr!.component, 'mine');
  assert.equal(
    settings({ ...context(CONTEXT), EARSHOT_DAPR_OUTPUT: 'notification-manager' }).dapr!.component,
    'serving-x7-bindings-notification-manager-q4',
  );
  const beta = { FUNC_CONTEXT_V1BETA2: JSON.stringify(CONTEXT), FUNC_CONTEXT: '{}', DAPR_HOST: 'proxy.ns' };
  assert.equal(settings(beta).dapr!.url.href, 'http://proxy.ns:3500/');
});

const refused = (environment: NodeJS.ProcessEnv, message: RegExp) =>
  assert.throws(() => settings(environment), { message });

test('what is wrong is a sentence with a remedy', () => {
  const two = { outputs: { ...CONTEXT.outputs, slack: CONTEXT.outputs['notification-manager'] } };
  refused(
    context(two),
    /^FUNC_CONTEXT names 2 outputs \(notification-manager, slack\); set EARSHOT_DAPR_OUTPUT/,
  );
  refused({ FUNC_CONTEXT: '{' }, /^FUNC_CONTEXT is not JSON .*remove your own$/);
  refused(context({}), /EARSHOT_SINK_URL is not set/);
  refused({ EARSHOT_DAPR_OUTPUT: 'x', EARSHOT_SINK_URL: 'http://nm:1' }, /are both set; keep one/);
  refused({ EARSHOT_DAPR_OUTPUT: 'x', EARSHOT_SINK_TOKEN: 'y' }, /its component has the credentials/);
  refused({ EARSHOT_DAPR_OUTPUT: 'x', DAPR_HOST: 'a b' }, /the address of Dapr is http:\/\/a b:3500/);
  refused({ ...context(CONTEXT), APP_PROTOCOL: 'grpc' }, /set the annotation dapr.io\/app-protocol: http/);
});
