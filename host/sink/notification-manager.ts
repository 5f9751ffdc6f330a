// KubeSphere's Notification Manager. `POST /api/v2/alerts` takes template.Data as it is, and answers 200 once the
// alert is in a queue in memory, and even when that queue was full for 3 s and the alert is dropped: an answer that
// slow is the only sign. In strict mode `POST /api/v2/notifications` answers after the channel (Slack, …) has it.

import { openPoster } from './http.ts';
import type { Sink, SinkOptions } from './sink.ts';

const SLOW_MS = 2500; // The queue's own timeout is 3 s.

export function notificationManager(options: SinkOptions): Sink {
  const poster = openPoster(options);
  return {
    async send(body) {
      if (options.strict) return sendStrictly(body);
      const sentAt = performance.now();
      const fate = await poster.post('/api/v2/alerts', body);
      return fate.kind === 'accepted' ? { ...fate, slow: performance.now() - sentAt > SLOW_MS } : fate;
    },
    close: poster.close,
  };

  async function sendStrictly(body: Uint8Array) {
    const envelope = JSON.stringify({
      receiver: options.strictReceiverFile,
      config: options.strictConfigFile,
    });
    const fate = await poster.post(
      '/api/v2/notifications',
      Buffer.concat([Buffer.from(`${envelope.slice(0, -1)},"alert":`), body, Buffer.from('}')]),
    );
    // It answers 400 for whatever went wrong, and most of that is the channel's trouble, not the alert's.
    return fate.kind === 'refused' ? { ...fate, kind: 'retry' as const } : fate;
  }
}
