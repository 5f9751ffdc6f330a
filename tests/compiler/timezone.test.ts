// The shifts of time zones, against what Intl says the local time is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SHIFT_YEARS, shiftsOf, zoneProblem } from '../../host/compiler/timezone.ts';
import { RUNS } from '../core.ts';

// Summer time in the north, in the south, of half an hour, in a year with Ramadan; given up; a country that changed its zone.
const ZONES = [
  'UTC', 'Europe/Berlin', 'America/New_York', 'America/Sao_Paulo', 'Australia/Lord_Howe', 'Africa/Casablanca', 'Asia/Kolkata',
  'Asia/Kathmandu', 'Europe/Moscow', 'Pacific/Apia', 'America/Caracas', 'Asia/Pyongyang',
]; // prettier-ignore

const zone = fc.constantFrom(...ZONES);
const first = Date.UTC(SHIFT_YEARS.first) / 1000;
const last = Date.UTC(SHIFT_YEARS.last + 1) / 1000 - 1;

function secondsAt(timeZone: string, at: number): number {
  return shiftsOf(timeZone).findLast(({ from }) => from <= at)!.seconds;
}

/** The local time, as if it were UTC. */
function localTime(timeZone: string, at: number): string {
  const format = { dateStyle: 'short', timeStyle: 'medium', timeZone } as const;
  return new Intl.DateTimeFormat('sv-SE', format).format(at * 1000);
}

test('local time is what Intl says, at any time', () => {
  fc.assert(
    fc.property(zone, fc.integer({ min: first, max: last }), (name, at) =>
      assert.equal(localTime(name, at), localTime('UTC', at + secondsAt(name, at))),
    ),
    { numRuns: 2_000 * RUNS },
  );
});

test('and in the seconds around each shift', () => {
  for (const name of ZONES)
    for (const { from } of shiftsOf(name).slice(1))
      for (const at of [from - 1, from])
        assert.equal(localTime(name, at), localTime('UTC', at + secondsAt(name, at)), `${name} ${at}`);
});

test('a zone is a name of the IANA database', () => {
  assert.equal(zoneProblem('Europe/Berlin'), undefined);
  for (const name of ['Europe/Berln', '+02:00', '-01', '', 'local', 'Berlin'])
    assert.match(zoneProblem(name)!.message, /^unknown time zone/);
});
