import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { arrayElements } from '../host/json.ts';
import { alertsOf, splitBody } from '../host/body.ts';
import { elementsOf } from '../host/function/match.ts';
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
  assert.deepEqual(elementsOf([message]), [{ message, record: message.value, index: 0 }]);
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

test('a part of a body is resolved when each of its alerts is', () => {
  const mixed = JSON.parse(bodyOf(1, 5).toString());
  for (const part of [0, 1, 4]) mixed.alerts[part].status = 'resolved';
  const statuses = (body: object, count: number) =>
    splitBody(Buffer.from(JSON.stringify(body)), count).map(part => JSON.parse(String(part)).status);
  assert.deepEqual(statuses(mixed, 2), ['resolved', 'firing', 'resolved']);
  assert.deepEqual(statuses(mixed, 5), ['firing']);
  // The name of a label, or its text, is no status.
  const label = { ...mixed, receiver: '"status":"firing"' };
  label.alerts = mixed.alerts.slice(0, 2);
  label.alerts[1].labels = { status: 'firing' };
  assert.deepEqual(statuses({ ...label, status: 'resolved' }, 1), ['resolved', 'resolved']);
});
