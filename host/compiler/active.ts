// `active`: the times of a week in which a rule looks. YAML → model.
import { isSeq } from 'yaml';
import { quote } from '../error.ts';
import type { Node } from './document.ts';
import type { TimeSpan } from './model.ts';
import { fail, readList, readMap, readText } from './reading.ts';
import type { Context, Entry } from './reading.ts';
import * as schema from './schema.ts';
import { zoneProblem } from './timezone.ts';

export interface Active {
  spans: TimeSpan[];
  timezone: string;
}

const DAY = 24 * 60;
const WEEK = 7 * DAY;

export function readActive(context: Context, entry: Entry): Active | undefined {
  const map = entry.value && readMap(context, entry.value, '"active"', schema.ACTIVE_KEYS);
  if (!map) return undefined;
  if (!map.get('days') && !map.get('hours') && map.unknownCount === 0)
    return fail(context, map.place, '"active" has neither "days" nor "hours"', ACTIVE_HINT);
  const days = readDays(context, map.get('days'));
  const hours = readHours(context, map.get('hours'));
  const timezone = readZone(context, map.get('timezone'));
  return days && hours && timezone !== undefined ? { spans: spansOf(days, hours), timezone } : undefined;
}

const ACTIVE_HINT =
  "write {days: [mon, tue, wed, thu, fri], hours: '08:00-18:00', timezone: Europe/Berlin}; what is left out is all day, every day, UTC";

function readZone(context: Context, entry: Entry | undefined): string | undefined {
  if (!entry) return 'UTC';
  const zone = readText(context, entry.value, '"timezone"', schema.NAME_SIZE_MAX);
  const problem = zone === undefined ? undefined : zoneProblem(zone);
  return problem ? fail(context, entry.value!, problem.message, problem.hint) : zone;
}

/** Counted from Monday; every day if they are left out. */
function readDays(context: Context, entry: Entry | undefined): number[] | undefined {
  if (!entry) return schema.DAYS.map((_, day) => day);
  const days = readList(context, entry, 'days', '"days" has no days')?.map(item => readDay(context, item));
  return days?.every(day => day !== undefined) ? days : undefined;
}

function readDay(context: Context, node: Node): number | undefined {
  const name = readText(context, node, 'a day');
  if (name === undefined) return undefined;
  const day = (schema.DAYS as readonly string[]).indexOf(name);
  if (day >= 0) return day;
  return fail(context, node, `${quote(name)} is not a day`, dayHint(name.toLowerCase()));
}

/** `Monday`, `mon-fri` and `monday:friday` of other tools. */
function dayHint(name: string): string {
  const [first, last = first] = name
    .split(/[-:]|\.\./)
    .map(part => schema.DAYS.findIndex(day => part.trim().startsWith(day)));
  if (first! < 0 || last! < 0) return `write ${schema.DAYS.join(', ')}`;
  const days = schema.DAYS.filter((_, day) =>
    first! <= last! ? day >= first! && day <= last! : day >= first! || day <= last!,
  );
  return `write ${days.join(', ')}`;
}

/** From and to, in minutes of a day; the whole day if they are left out. */
function readHours(context: Context, entry: Entry | undefined): TimeSpan[] | undefined {
  if (!entry) return [{ start: 0, end: DAY }];
  const items = isSeq(entry.value)
    ? readList(context, entry, 'hours', '"hours" has no times')
    : [entry.value];
  const spans = items?.map(item => item && readRange(context, item));
  return spans?.every(span => span !== undefined) ? spans : undefined;
}

function readRange(context: Context, node: Node): TimeSpan | undefined {
  const text = readText(context, node, '"hours"', schema.NAME_SIZE_MAX, 'hours');
  if (text === undefined) return undefined;
  const [, fromHour, fromMinute, toHour, toMinute] = schema.HOURS.exec(text) ?? [];
  const start = Number(fromHour) * 60 + Number(fromMinute);
  const end = Number(toHour) * 60 + Number(toMinute);
  if (fromHour === undefined || start >= DAY || end > DAY)
    return fail(context, node, `${quote(text)} is not a time of day`, hoursHint(text));
  if (start === end)
    return fail(context, node, `${quote(text)} is no time at all`, 'the whole day is 00:00-24:00');
  return { start, end: end > start ? end : end + DAY }; // passes midnight
}

function hoursHint(text: string): string {
  const numbers = text.match(/\d+/g) ?? [];
  const isWhole = numbers.length === 2 && numbers.every(hour => Number(hour) <= 24);
  const written = numbers.map(hour => `${hour.padStart(2, '0')}:00`).join('-');
  return `write from and to as HH:MM-HH:MM, such as ${isWhole ? written : '08:00-18:00'}`;
}

/** The spans of the week, in order, none overlaps or touches another. */
function spansOf(days: number[], hours: TimeSpan[]): TimeSpan[] {
  const all = days
    .flatMap(day => hours.map(({ start, end }) => ({ start: day * DAY + start, end: day * DAY + end })))
    .flatMap(({ start, end }) =>
      end <= WEEK
        ? [{ start, end }]
        : [
            { start, end: WEEK },
            { start: 0, end: end - WEEK },
          ],
    )
    .sort((a, b) => a.start - b.start);
  const merged: TimeSpan[] = [];
  for (const span of all) {
    const last = merged.at(-1);
    if (last && span.start <= last.end) last.end = Math.max(last.end, span.end);
    else merged.push({ ...span });
  }
  return merged;
}
