// Time zones → their shifts: from when on which distance from UTC. They come from the time zone data of the machine that
// compiles (Intl), and are written into the ruleset: the matcher has no such data, and every node says the same.
import { nearest, quote } from '../error.ts';

/** Local time − UTC, in seconds, from a time on, in seconds since 1970. */
export interface Shift {
  from: number;
  seconds: number;
}

/** Before and after these years the first and the last shift hold on. */
export const SHIFT_YEARS = { first: 2000, last: 2049 };

// No zone changes its clocks twice within so many days: Morocco does within a month.
const STEP_SECONDS = 7 * 24 * 60 * 60;

const known = new Map<string, Shift[]>();

/** Why there is no such zone; undefined if there is one. */
export function zoneProblem(zone: string): { message: string; hint: string } | undefined {
  if (/^[a-z]/i.test(zone) && formatOf(zone) !== undefined) return undefined;
  const near = nearest(zone, Intl.supportedValuesOf('timeZone'));
  return {
    message: `unknown time zone ${quote(zone)}${near === undefined ? '' : `; did you mean "${near}"?`}`,
    hint: 'a time zone is a name of the IANA database, such as Europe/Berlin or UTC',
  };
}

/** At least one, ascending. */
export function shiftsOf(zone: string): Shift[] {
  const shifts = known.get(zone) ?? findShifts(zone);
  known.set(zone, shifts);
  return shifts;
}

function findShifts(zone: string): Shift[] {
  const format = formatOf(zone)!; // its name was checked
  const end = Date.UTC(SHIFT_YEARS.last + 1) / 1000;
  let at = Date.UTC(SHIFT_YEARS.first) / 1000;
  const shifts = [{ from: 0, seconds: secondsAt(format, at) }];
  for (; at < end; at += STEP_SECONDS) {
    const seconds = secondsAt(format, at + STEP_SECONDS);
    if (seconds === shifts.at(-1)!.seconds) continue;
    shifts.push({ from: firstWith(format, seconds, at, at + STEP_SECONDS), seconds });
  }
  return shifts;
}

/** The first second of the new shift. */
function firstWith(format: Intl.DateTimeFormat, seconds: number, before: number, after: number): number {
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (secondsAt(format, middle) === seconds) after = middle;
    else before = middle;
  }
  return after;
}

function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  } catch {
    return undefined;
  }
}

/** `GMT`, `GMT+01:00` and `GMT-00:44:30` are the forms. */
function secondsAt(format: Intl.DateTimeFormat, at: number): number {
  const [, sign, hours, minutes, seconds = '0'] =
    /GMT([-+])(\d\d):(\d\d)(?::(\d\d))?$/.exec(format.format(at * 1000)) ?? [];
  if (sign === undefined) return 0;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds));
}
