// A hit as the host sees it: one JSON object that the core wrote (assembly/layout.ts shows it) and that the host passes
// on unchanged. Only its beginning is read here, without parsing:
//
//   {"earshot":1,"key":"0c0f0d9f3a6b1e42","id":"logs/3/12345/1629856405480/0/5e0f…/0","rule":"5e0f…", …
//
// `key` says which hits are counted together; `id` is the record's source, the rule's fingerprint and the step.

const BEFORE_KEY = Buffer.from('{"earshot":1,"key":"');
const BEFORE_ID = Buffer.from('","id":"');
const KEY_START = BEFORE_KEY.length;
const KEY_END = KEY_START + 16;
const ID_START = KEY_END + BEFORE_ID.length;
const QUOTE = 0x22;

/** The message key of a hit: 16 hexadecimal digits. Hits of one key are counted in one partition. */
export function hitKey(hit: Uint8Array): Buffer {
  return Buffer.from(hit.subarray(KEY_START, KEY_END));
}

/** The id of a hit, or undefined when these bytes are not a hit. */
export function hitId(bytes: Uint8Array): string | undefined {
  if (!holds(bytes, 0, BEFORE_KEY) || !holds(bytes, KEY_END, BEFORE_ID)) return undefined;
  const end = bytes.indexOf(QUOTE, ID_START);
  if (end < 0) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1', ID_START, end);
}

function holds(bytes: Uint8Array, at: number, text: Buffer): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text[i]) return false;
  return true;
}

/**
 * Names the records of a Kafka partition, for the ids of their hits: what this returns, and then the record's own
 * `/<offset>/<timestamp>/<element>`. A topic created again has the same offsets again, but another id (brokers before 2.8 have
 * none); an element is one of the records of a message.
 */
export function kafkaSource({
  topic,
  topicId,
  partition,
}: {
  topic: string;
  topicId?: string;
  partition: number;
}): string {
  return `${topicId === undefined ? topic : `${topic}@${topicId}`}/${partition}`;
}
