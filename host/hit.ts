// A hit as the host sees it: one JSON object that the core wrote (assembly/layout.ts draws it) and that the host hands
// on as it is. Only what stands at its beginning is looked at here, without parsing:
//
//   {"earshot":1,"key":"0c0f0d9f3a6b1e42","id":"logs/3/12345/1629856405480/0/5e0f…/0","rule":"5e0f…", …
//
// `key` says which hits are counted together; `id` is the record's source, the rule's fingerprint and the step.

const KEY_START = '{"earshot":1,"key":"'.length;
const KEY_END = KEY_START + 16;
const ID_START = KEY_END + '","id":"'.length;
const QUOTE = 0x22;

/** The message key of a hit: 16 hexadecimal digits. Hits of one key are counted in one partition. */
export function hitKey(hit: Uint8Array): Buffer {
  return Buffer.from(hit.subarray(KEY_START, KEY_END));
}

/** The id of a hit, or undefined when these bytes are no hit. */
export function hitId(bytes: Uint8Array): string | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.toString('latin1', 0, KEY_START) !== '{"earshot":1,"key":"') return undefined;
  if (view.toString('latin1', KEY_END, ID_START) !== '","id":"') return undefined;
  const end = view.indexOf(QUOTE, ID_START);
  return end < 0 ? undefined : view.toString('latin1', ID_START, end);
}

/**
 * Names a record of a Kafka partition, for the ids of its hits. A topic made anew has the same offsets again, but
 * another id (brokers before 2.8 have none); `element` tells the records of one message apart.
 */
export function kafkaSource(
  { topic, topicId, partition }: { topic: string; topicId?: string; partition: number },
  { offset, timestamp }: { offset: string; timestamp: string },
  element: number,
): string {
  const name = topicId === undefined ? topic : `${topic}@${topicId}`;
  return `${name}/${partition}/${offset}/${timestamp}/${element}`;
}
