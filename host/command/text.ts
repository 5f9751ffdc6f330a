// Lines of plain text as records: the line is the field "log", as Fluent Bit's tail input has it.
import { printable } from '../error.ts';

/** How lines are read: as JSON objects, as plain text, or each as what it is. */
export type LineForm = 'json' | 'text' | 'either';

const SPACE = [0x20, 0x09, 0x0d];
const OPEN_BRACE = 0x7b;
const RETURN = 0x0d;

/** The record that a line of plain text stands for. */
export function textRecord(line: Uint8Array): Uint8Array {
  const end = line.at(-1) === RETURN ? line.length - 1 : line.length;
  const text = Buffer.from(line.buffer, line.byteOffset, end).toString();
  return Buffer.from(`{"log":${JSON.stringify(text)}}`);
}

/** Whether a line can be a JSON object at all. */
export function mayBeObject(line: Uint8Array): boolean {
  return line.find(byte => !SPACE.includes(byte)) === OPEN_BRACE;
}

/** Bytes of a record for a message: short, and nothing in it moves the cursor. */
export function excerptOf(record: Uint8Array, sizeMax = 60): string {
  const text = Buffer.from(record.subarray(0, sizeMax)).toString();
  return printable(JSON.stringify(text)) + (record.length > sizeMax ? '…' : '');
}
