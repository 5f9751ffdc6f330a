// A stand-in for Notification Manager: it answers as pkg/webhook/v1/handler.go does (read at 2025-12, never run here).
// `next` overrides the answer to come, for the faults of a network and of a proxy.

import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Alert {
  status: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
}

export type Answer = (
  request: IncomingMessage,
  response: ServerResponse,
  body: string,
) => boolean | Promise<boolean>;

export async function startNotificationManager(port = 0) {
  /** Alerts in its queue, in the order they came. */
  const queue: Alert[] = [];
  const requests: { path: string; headers: IncomingMessage['headers']; body: string }[] = [];
  const manager = {
    url: '',
    queue,
    requests,
    queueSize: 10_000,
    queueTimeoutMs: 3000,
    /** Answers instead of the matrix where it says true. */
    intercept: undefined as Answer | undefined,
    /** What the strict endpoint's channel says of the alerts: an error, or undefined. */
    channel: (_alerts: Alert[]): string | undefined => undefined,
    ids: () => queue.map(alert => Number(alert.labels.id)),
    stop: () => new Promise<void>(done => (server.close(() => done()), server.closeAllConnections())),
  };
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    requests.push({ path: request.url!, headers: request.headers, body });
    if (await manager.intercept?.(request, response, body)) return;
    const say = (status: number, message: string) =>
      response.writeHead(status).end(JSON.stringify({ Status: status, Message: message }));
    let parsed: unknown;
    try {
      parsed = JSON.parse(body);
    } catch (error) {
      return say(400, (error as Error).message);
    }
    if (request.url === '/api/v2/notifications') {
      const { receiver, alert } = parsed as { receiver?: object; alert?: { alerts: Alert[] } };
      if (!receiver) return say(400, 'Receiver is nil');
      if (!alert) return say(400, 'alert is nil');
      const error = manager.channel(alert.alerts);
      if (error) return say(400, error);
      queue.push(...alert.alerts);
      return say(200, 'Send alerts successfully');
    }
    if (Array.isArray(parsed))
      return say(400, 'json: cannot unmarshal array into Go value of type template.Data');
    for (const alert of (parsed as { alerts: (Alert | null)[] }).alerts) {
      if (alert && Number.isNaN(Date.parse(alert.startsAt)))
        return say(400, `parsing time "${alert.startsAt}"`);
    }
    for (const alert of (parsed as { alerts: (Alert | null)[] }).alerts) {
      // A nil map: the handler panics and chi's Recoverer answers; the alerts before are in the queue.
      if (!alert?.labels || (alert.labels.alerttype === 'metric' && !alert.annotations))
        return void response.writeHead(500).end();
      if (queue.length >= manager.queueSize)
        await new Promise(done => setTimeout(done, manager.queueTimeoutMs)); // and dropped
      else queue.push(alert);
    }
    return say(200, 'Notification request accepted');
  });
  await new Promise<void>(done => server.listen(port, '127.0.0.1', done));
  manager.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return manager;
}
