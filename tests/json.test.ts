import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { arrayElements } from '../host/json.ts';
import { alertsOf, splitBody, withEnd } from '../host/body.ts';
import { recordsOf } from '../host/function/stream.ts';
import { bodyOf } from './sink/body.ts';

const elements = (text: string) =>
  arrayElements(Buffer.from(text))?.elements.map(element => Buffer.from(element).toString());

test('the elements of an array, byte for byte', () => {
  assert.deepEqual(elements('[]'), []);
  assert.deepEqual(elements(' [ ] '), []);
  assert.deepEqual(elements('[{"a":[1,2]},{"b":"],[\\"\\\\"}]'), ['{"a":[1,2]}', '{"b":"],[\\"\\\\"}']);
  assert.deepEqual(elements('[1,]'), ['1', '']); // Not JSON: the empty element is for the matcher to refuse.
  assert.equal(elements('[1,2'), undefined);
  assert.equal(elements('["a'), undefined);
});

test('an array of more elements than wanted is not taken apart', () => {
  assert.equal(arrayElements(Buffer.from('[1,2,3]'), 0, 3)?.elements.length, 3);
  assert.equal(arrayElements(Buffer.from('[1,2,3,4]'), 0, 3), undefined);
  const message = {
    offset: '0',
    timestamp: '0',
    key: null,
    value: Buffer.from(`[${'1,'.repeat(500_000)}1]`),
  };
  assert.deepEqual(recordsOf([message]), [message]);
});

test('the elements are those of JSON.parse', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.constantFrom(undefined, 1), (array, indent) => {
      assert.deepEqual(
        elements(JSON.stringify(array, null, indent))!.map(element => JSON.parse(element)),
        JSON.parse(JSON.stringify(array)),
      );
    }),
  );
});

test('a body is split into bodies with all of its alerts, byte for byte', () => {
  const body = bodyOf(1, 7);
  const parts = splitBody(body, 3);
  assert.deepEqual(
    parts.map(part => alertsOf(part).length),
    [3, 3, 1],
  );
  assert.equal(Buffer.concat(parts.flatMap(alertsOf)).toString(), Buffer.concat(alertsOf(body)).toString());
  const { alerts: _, ...envelope } = JSON.parse(body.toString());
  for (const part of parts) {
    const { alerts: _, ...rest } = JSON.parse(Buffer.from(part).toString());
    assert.deepEqual(rest, envelope);
  }
  assert.deepEqual(splitBody(body, 7), [body]);
});

test('an alert gets an end only where it has none', () => {
  const [alert] = alertsOf(bodyOf(1, 1));
  const ended = withEnd(alert!, new Date(0));
  assert.equal(JSON.parse(Buffer.from(ended).toString()).endsAt, '1970-01-01T00:00:00.000Z');
  assert.equal(withEnd(ended, new Date(1)), ended);
});
