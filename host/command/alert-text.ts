// An alert as people read it: a line with its time, its rule, what it says and its labels, and below it the text that
// matched. Everything in it comes from logs, so no character of it may move the cursor.
//
//   01:53:25.480 404 Request  GET /notfound is answered 404 by wordpress-v1  {method=GET, severity=warning}
//     10.233.70.1 - - [25/Aug/2021:01:53:24 +0000] "GET /notfound HTTP/1.1" 404 49923
import { printable } from '../error.ts';
import type { MatchedText } from './spans.ts';
import type { Paint } from './style.ts';

interface Alert {
  status: 'firing' | 'resolved';
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  endsAt: string;
}

/** The rest of a text is cut: an alert is one line, the logs have the rest. */
const COLUMNS_DEFAULT = 160;
const COLUMNS_MIN = 40;
const SHOWN_FIRST = ['message', 'summary', 'description'];
const HIDDEN_LABELS = ['alertname', 'rule_level'];

/** `columns`: of the terminal; undefined or 0 where there is none. */
export function alertText(
  alert: Uint8Array,
  matched: MatchedText | null,
  paint: Paint,
  columns?: number,
): string {
  const { status, labels, annotations, startsAt, endsAt } = JSON.parse(
    Buffer.from(alert).toString(),
  ) as Alert;
  const isResolved = status === 'resolved';
  const time = timeOfDay(isResolved ? endsAt : startsAt);
  const name = paint(printable(labels.alertname ?? ''), 'bold', isResolved ? 'green' : colourOf(labels));
  const parts = [`${paint(time, 'dim')} ${name}${isResolved ? ' resolved' : ''}`];
  const message = messageOf(annotations);
  if (message !== '') parts.push(printable(message.replace(/\s+/g, ' ')));
  const shown = Object.entries(labels).filter(([label]) => !HIDDEN_LABELS.includes(label));
  const others = Object.entries(annotations).filter(([key]) => key.startsWith('suppressed'));
  const pairs = [...shown, ...others].map(([key, value]) => printable(`${key}=${value}`));
  if (pairs.length > 0) parts.push(paint(`{${pairs.join(', ')}}`, 'dim'));
  const line = `${parts.join('  ')}\n`;
  return matched === null || matched.text === message
    ? line
    : `${line}  ${cutAround(matched, (columns || COLUMNS_DEFAULT) - 2, paint)}\n`;
}

/** 2021-08-25T01:53:25.480Z: the day too when it is not today, so that a file of last week is not taken for now. */
function timeOfDay(time: string): string {
  const [day, clock = ''] = time.replace(/Z$/, '').split('T');
  return day === new Date().toISOString().slice(0, 10) ? clock : `${day} ${clock}`;
}

function messageOf(annotations: Record<string, string>): string {
  const name = SHOWN_FIRST.find(one => annotations[one] !== undefined) ?? Object.keys(annotations)[0];
  return name === undefined || name.startsWith('suppressed') ? '' : annotations[name]!;
}

function colourOf({ severity = '' }: Record<string, string>): 'red' | 'yellow' | 'cyan' {
  if (/^(?:crit|err|fatal|page|high|emerg|alert)/i.test(severity)) return 'red';
  return /^(?:info|low|none|notice|debug)/i.test(severity) ? 'cyan' : 'yellow';
}

/** As much of the text as fits, with the first matching part in it, all parts underlined. */
function cutAround({ text, parts }: MatchedText, columns: number, paint: Paint): string {
  const first = parts.reduce((least, part) => Math.min(least, part.start), text.length);
  const room = Math.max(columns, COLUMNS_MIN);
  const start = first === text.length || first < room / 2 ? 0 : first - Math.floor(room / 3);
  const from = whole(text, text.length - start < room ? Math.max(0, text.length - room) : start);
  const to = whole(text, Math.min(text.length, from + room));
  const marked = merge(parts).filter(part => part.end > from && part.start < to);
  let shown = from > 0 ? '…' : '';
  let at = from;
  for (const { start: partStart, end: partEnd } of marked) {
    const markFrom = Math.max(partStart, from);
    const markTo = Math.min(partEnd, to);
    shown += paintNonEmpty(text.slice(at, markFrom), paint);
    shown += paint(oneLine(text.slice(markFrom, markTo)), 'underline', 'bold');
    at = markTo;
  }
  shown += paintNonEmpty(text.slice(at, to), paint);
  return shown + (to < text.length ? '…' : '');
}

function paintNonEmpty(text: string, paint: Paint): string {
  return text === '' ? '' : paint(oneLine(text), 'dim');
}

/** Line ends at the end of a text are no news; within it they are shown. */
function oneLine(text: string): string {
  return printable(text.replace(/[\r\n]+$/, ''));
}

/** Parts that touch become one. */
function merge(parts: MatchedText['parts']): MatchedText['parts'] {
  const merged: MatchedText['parts'] = [];
  for (const part of parts.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    const last = merged.at(-1);
    if (last && part.start <= last.end) last.end = Math.max(last.end, part.end);
    else merged.push({ ...part });
  }
  return merged;
}

/** Not between the halves of a surrogate pair. */
function whole(text: string, at: number): number {
  const isLow = at > 0 && at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00;
  return isLow ? at - 1 : at;
}
