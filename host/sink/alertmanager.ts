// Prometheus' Alertmanager. `POST /api/v2/alerts` takes a bare array of the alert objects of a body. The same alert
// posted twice is one alert: an alert is its labels. An answer of 400 may have stored the valid ones.
//
// Only the times change on the way. A body has event time; Alertmanager compares with its own clock:
// - It refuses an alert that starts after its end, so `startsAt` is now at the latest.
// - It ends an alert at `endsAt`, or after its resolve_timeout (5 min) without one. So a firing alert ends at now plus
//   what its rule needs (hold.ts). Not at the record's time plus that: an alert that has ended when it arrives is answered
//   200 and never reported.
// - It treats an alert that ends in the future as firing, so a resolved alert ends now at the latest.

import { alertsOf } from '../body.ts';
import { holdsOf } from './hold.ts';
import { openPoster } from './http.ts';
import type { Sink, SinkOptions } from './sink.ts';

/** What this sink reads of an alert; the rest of it passes through. */
interface Alert {
  status: 'firing' | 'resolved';
  labels: { alertname: string };
  startsAt: string;
  endsAt: string;
}

export function alertmanager(options: SinkOptions, holdOf = holdsOf([]), now = Date.now): Sink {
  const poster = openPoster(options);
  const { alertHoldMs } = options;
  return {
    send(body, unwanted) {
      // A post can wait for its connection: the times are those of the moment when it is sent.
      const content = () =>
        JSON.stringify(alertsOf(body).map(alert => withTimes(JSON.parse(String(alert)) as Alert)));
      return poster.post('/api/v2/alerts', content, unwanted);
    },
    close: poster.close,
  };

  function withTimes(alert: Alert): Alert {
    const nowMs = now();
    const startsAt = notAfter(nowMs, alert.startsAt);
    if (alert.status === 'resolved') return { ...alert, startsAt, endsAt: notAfter(nowMs, alert.endsAt) };
    const holdMs = alertHoldMs ?? holdOf(alert.labels.alertname);
    return holdMs === 0
      ? { ...alert, startsAt }
      : { ...alert, startsAt, endsAt: new Date(nowMs + holdMs).toISOString() };
  }
}

function notAfter(limitMs: number, time: string): string {
  return Date.parse(time) > limitMs ? new Date(limitMs).toISOString() : time;
}
