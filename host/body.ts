// The body of an alert: Alertmanager's template.Data as the matcher wrote it, taken apart and put together as bytes.
//
//   {"receiver":…,"status":"firing","alerts":[{"status":"firing",…},{…}],"groupLabels":…,…}
//    └──────── head ───────────────────────┘└────── alerts ───────────┘└──────── tail ────┘

import { arrayElements } from './json.ts';

const ALERTS_KEY = Buffer.from('"alerts":');
const ALERTNAME_KEY = Buffer.from('"alertname":');
const STATUS_FIRING = Buffer.from('"status":"firing"');
const STATUS_RESOLVED = Buffer.from('"status":"resolved"');

/** The alert objects of a body, byte for byte. */
export function alertsOf(body: Uint8Array): Buffer[] {
  return takeApart(body).alerts;
}

/** The same body several times, each with the next `alertCount` of its alerts. */
export function splitBody(body: Uint8Array, alertCount: number): Uint8Array[] {
  const { head, alerts, tail } = takeApart(body);
  if (alerts.length <= alertCount) return [body];
  const bodies: Uint8Array[] = [];
  for (let at = 0; at < alerts.length; at += alertCount) {
    const part = alerts.slice(at, at + alertCount);
    bodies.push(Buffer.concat([withStatus(head, part), alertArray(part), tail]));
  }
  return bodies;
}

/** The head for these alerts: a body is firing when one of its alerts is, as in Alertmanager. */
function withStatus(head: Buffer, alerts: Buffer[]): Buffer {
  if (alerts.some(alert => !isResolved(alert))) return head;
  const at = head.indexOf(STATUS_FIRING);
  if (at < 0) return head;
  return Buffer.concat([head.subarray(0, at), STATUS_RESOLVED, head.subarray(at + STATUS_FIRING.length)]);
}

/** An alert begins with its status. */
function isResolved(alert: Buffer): boolean {
  return alert.subarray(1, 1 + STATUS_RESOLVED.length).equals(STATUS_RESOLVED);
}

/** `[alert,alert]` */
function alertArray(alerts: Uint8Array[]): Buffer {
  const separated = alerts.flatMap((alert, index) => (index === 0 ? [alert] : [Buffer.from(','), alert]));
  return Buffer.concat([Buffer.from('['), ...separated, Buffer.from(']')]);
}

/** The name of an alert's rule: its label `alertname`. Labels come before annotations, and quotes in a text are escaped. */
export function alertName(alert: Buffer): string {
  const start = alert.indexOf(ALERTNAME_KEY) + ALERTNAME_KEY.length;
  let end = start + 1;
  for (; alert[end] !== 0x22; end++) if (alert[end] === 0x5c) end++;
  return JSON.parse(alert.toString('utf8', start, end + 1)) as string;
}

/** The names of the rules whose alerts are in a body. */
export function ruleNames(body: Uint8Array): string[] {
  const { alerts } = JSON.parse(Buffer.from(body).toString()) as {
    alerts: { labels: { alertname: string } }[];
  };
  return [...new Set(alerts.map(alert => alert.labels.alertname))];
}

function takeApart(body: Uint8Array): { head: Buffer; alerts: Buffer[]; tail: Buffer } {
  const bytes = asBuffer(body);
  // The first place is the key itself: inside a string its quotes would be escaped.
  const key = bytes.indexOf(ALERTS_KEY);
  const start = key + ALERTS_KEY.length;
  const array = key < 0 ? undefined : arrayElements(bytes, start);
  if (!array) throw new Error('the body of an alert has no "alerts"');
  return {
    head: bytes.subarray(0, start),
    alerts: array.elements.map(asBuffer),
    tail: bytes.subarray(array.end),
  };
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
