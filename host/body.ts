// The body of an alert: Alertmanager's template.Data as the matcher wrote it, taken apart and put together as bytes.
//
//   {"receiver":…,"status":…,"alerts":[{…},{…}],"groupLabels":…,…}
//    └──────── head ────────┘└─ alerts ─┘└──────── tail ────────┘

import { arrayElements } from './json.ts';

const ALERTS_KEY = Buffer.from('"alerts":');
const ZERO_TIME = Buffer.from('"endsAt":"0001-01-01T00:00:00Z"');

/** The alert objects of a body, byte for byte. */
export function alertsOf(body: Uint8Array): Uint8Array[] {
  return takeApart(body).alerts;
}

/** The same body several times, each with the next `alertCount` of its alerts. */
export function splitBody(body: Uint8Array, alertCount: number): Uint8Array[] {
  const { head, alerts, tail } = takeApart(body);
  if (alerts.length <= alertCount) return [body];
  const bodies: Uint8Array[] = [];
  for (let at = 0; at < alerts.length; at += alertCount)
    bodies.push(Buffer.concat([head, alertArray(alerts.slice(at, at + alertCount)), tail]));
  return bodies;
}

/** `[alert,alert]` */
export function alertArray(alerts: Uint8Array[]): Buffer {
  const separated = alerts.flatMap((alert, index) => (index === 0 ? [alert] : [Buffer.from(','), alert]));
  return Buffer.concat([Buffer.from('['), ...separated, Buffer.from(']')]);
}

/** The alert with `endsAt` in place of the zero time, which Alertmanager reads as "not set". */
export function withEnd(alert: Uint8Array, endsAt: Date): Uint8Array {
  const at = Buffer.from(alert.buffer, alert.byteOffset, alert.byteLength).indexOf(ZERO_TIME);
  if (at < 0) return alert;
  return Buffer.concat([
    alert.subarray(0, at),
    Buffer.from(`"endsAt":"${endsAt.toISOString()}"`),
    alert.subarray(at + ZERO_TIME.length),
  ]);
}

/** The names of the rules that a body speaks for. */
export function ruleNames(body: Uint8Array): string[] {
  const { alerts } = JSON.parse(Buffer.from(body).toString()) as {
    alerts: { labels: { alertname: string } }[];
  };
  return [...new Set(alerts.map(alert => alert.labels.alertname))];
}

function takeApart(body: Uint8Array): { head: Uint8Array; alerts: Uint8Array[]; tail: Uint8Array } {
  // The first place is the key itself: inside a string its quotes would be escaped.
  const key = Buffer.from(body.buffer, body.byteOffset, body.byteLength).indexOf(ALERTS_KEY);
  const start = key + ALERTS_KEY.length;
  const array = key < 0 ? undefined : arrayElements(body, start);
  if (!array) throw new Error('the body of an alert has no "alerts"');
  return { head: body.subarray(0, start), alerts: array.elements, tail: body.subarray(array.end) };
}
