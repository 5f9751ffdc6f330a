// Prometheus' Alertmanager. `POST /api/v2/alerts` takes a bare array of the very same alert objects. Posting one again
// costs nothing: an alert is its labels. An answer of 400 may have stored the valid ones.

import { alertArray, alertsOf, withEnd } from '../body.ts';
import { openPoster } from './http.ts';
import type { Sink, SinkOptions } from './sink.ts';

export function alertmanager(options: SinkOptions, now: () => number = Date.now): Sink {
  const poster = openPoster(options);
  const { alertHoldMs } = options;
  return {
    send(body) {
      const alerts = alertsOf(body);
      // From now, not from the record's time: an alert that has already ended is answered 200 and never notified.
      const endsAt = new Date(now() + alertHoldMs);
      return poster.post(
        '/api/v2/alerts',
        alertArray(alertHoldMs ? alerts.map(alert => withEnd(alert, endsAt)) : alerts),
      );
    },
    close: poster.close,
  };
}
