// KubeSphere's Notification Manager. `POST /api/v2/alerts` takes template.Data as it is. It answers 200 when the alert
// is in a queue in memory, and also when that queue was full for 3 s and the alert is dropped: an answer that slow is the
// only sign. In strict mode `POST /api/v2/notifications` answers after the channel (Slack, …) has the alert.

import { openPoster } from './http.ts';
import type { Fate, Sink, SinkOptions } from './sink.ts';

const SLOW_MS = 2500; // The queue's own timeout is 3 s.

export function notificationManager(options: SinkOptions): Sink {
  const poster = openPoster(options, options.strict ? Infinity : SLOW_MS);
  return {
    send: (body, unwanted) =>
      options.strict ? sendStrictly(body, unwanted) : poster.post('/api/v2/alerts', body, unwanted),
    close: poster.close,
  };

  async function sendStrictly(body: Uint8Array, unwanted?: AbortSignal): Promise<Fate> {
    const envelope = JSON.stringify({
      receiver: options.strictReceiverFile,
      config: options.strictConfigFile,
    });
    const content = Buffer.concat([Buffer.from(`${envelope.slice(0, -1)},"alert":`), body, Buffer.from('}')]);
    const fate = await poster.post('/api/v2/notifications', content, unwanted);
    // It answers 400 for every failure, and most failures are the channel's, not the alert's.
    return fate.kind === 'refused' ? { ...fate, kind: 'retry' } : fate;
  }
}
