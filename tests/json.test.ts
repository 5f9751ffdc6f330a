import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { arrayElements, valuesOf } from '../host/json.ts';
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

/** The values of a text, and what is left. */
function takeApart(text: string): { values: string[]; rest: string | undefined } {
  const values = valuesOf(Buffer.from(text));
  const found: string[] = [];
  let next = values.next();
  for (; !next.done; next = values.next()) found.push(Buffer.from(next.value).toString());
  return { values: found, rest: next.value && Buffer.from(next.value).toString() };
}

test('values in arrays, and after each other, are those of JSON.parse', () => {
  const value = fc.jsonValue().filter(one => !Array.isArray(one));
  fc.assert(
    fc.property(
      fc.array(fc.array(value)),
      fc.constantFrom(' ', '\n', '\r\n\t'),
      fc.nat(2),
      (all, gap, indent) => {
        const texts = all.map((some, index) =>
          index % 2 === 0
            ? JSON.stringify(some, null, indent)
            : some.map(one => JSON.stringify(one)).join(gap),
        );
        const { values, rest } = takeApart(texts.join(gap));
        assert.deepEqual(
          values.map(one => JSON.stringify(JSON.parse(one))),
          all.flat().map(one => JSON.stringify(one)),
        );
        assert.equal(rest, undefined);
      },
    ),
  );
});

test('what is left where no value begins, or the last one has no end', () => {
  assert.deepEqual(takeApart('{"a":1}{"b":"}"}[2]'), {
    values: ['{"a":1}', '{"b":"}"}', '2'],
    rest: undefined,
  });
  assert.deepEqual(takeApart(' '), { values: [], rest: undefined });
  assert.deepEqual(takeApart('[1,{"a":'), { values: ['1'], rest: '{"a":' });
  assert.deepEqual(takeApart('[1,2'), { values: ['1', '2'], rest: '' });
  assert.deepEqual(takeApart('{"a":"\\"}'), { values: [], rest: '{"a":"\\"}' });
  assert.deepEqual(takeApart('1]2'), { values: ['1'], rest: ']2' });
  assert.deepEqual(takeApart(',1'), { values: [], rest: ',1' });
});

test('no text takes the values apart for ever, or loses a byte that is not space, a comma or a bracket', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...'[]{},"\\ \na1')), parts => {
      const { values, rest = '' } = takeApart(parts.join(''));
      const kept = (text: string) => text.replace(/[\s,[\]]/g, '');
      assert.equal(kept(values.join('') + rest), kept(parts.join('')));
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
