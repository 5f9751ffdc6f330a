// Walking JSON: up to the last byte of a record and never past it. Around each text stand quotes, backslashes, digits
// and braces in turn, any of which would end or go on with a value if it were read.
import * as layout from '../../assembly/layout';
import {
  copyValid,
  decode,
  decodedSizeMax,
  isPlain,
  sequenceSize,
  skipSpace,
  skipString,
  skipValue,
  typeAt,
} from '../../assembly/json';
import { behind, put, putBytes, textAt } from './text';

const target: usize = memory.data(1024, 16);

const AROUND: StaticArray<u8> = [0x22, 0x5c, 0x30, 0x7d, 0x5d, 0x20, 0x2c, 0x2e, 0x65, 0x00, 0xff];

/** Whether a value fills the text, with whatever behind it. */
function isValue(text: string): bool {
  let count = 0;
  for (let i = 0; i < AROUND.length; i++) {
    const at = put(text, AROUND[i]);
    if (skipValue(at, behind()) == behind()) count++;
  }
  if (count != 0 && count != AROUND.length) throw new Error('what lies behind a record matters: ' + text);
  return count != 0;
}

/** Whether the text is refused, with whatever behind it. */
function isRefused(text: string): bool {
  for (let i = 0; i < AROUND.length; i++) {
    const at = put(text, AROUND[i]);
    if (skipValue(at, behind()) != 0) return false;
  }
  return true;
}

function decoded(at: usize, end: usize): string {
  const room = decodedSizeMax(at, end);
  memory.fill(target, 0xee, 1024);
  const size = decode(at, end, target) - target;
  if (size > room) throw new Error('more bytes than there was room for');
  return textAt(target, size);
}

describe('a value', () => {
  it('may end with the last byte of the record', () => {
    expect<bool>(isValue('""')).toBe(true);
    expect<bool>(isValue('"abcdefg"')).toBe(true);
    expect<bool>(isValue('"abcdefgh\\n"')).toBe(true);
    expect<bool>(isValue('"\\u12aF"')).toBe(true);
    expect<bool>(isValue('true')).toBe(true);
    expect<bool>(isValue('false')).toBe(true);
    expect<bool>(isValue('null')).toBe(true);
    expect<bool>(isValue('[]')).toBe(true);
    expect<bool>(isValue('{"a":[1,{"b":"c"}],"d":{}}')).toBe(true);
  });

  it('is refused when it is cut, wherever', () => {
    const text = '{"a\\u0041":[-1.5e+10,true,{"b":null},"x\\\\"],"c":false}';
    for (let size = 0; size < text.length; size++)
      expect<bool>(isRefused(text.substring(0, size))).toBe(true, text.substring(0, size));
    expect<bool>(isValue(text)).toBe(true);
  });

  it('is a number as far as its digits go, and no further than the record', () => {
    const text = '12345678901234567890';
    for (let size = 1; size <= text.length; size++) {
      for (let i = 0; i < AROUND.length; i++) {
        const at = put(text.substring(0, size), AROUND[i]);
        expect<usize>(skipValue(at, behind())).toBe(behind());
      }
    }
  });

  it('has the type of its first byte', () => {
    expect<u32>(typeAt(put('"'))).toBe(layout.TYPE_STRING);
    expect<u32>(typeAt(put('{'))).toBe(layout.TYPE_OBJECT);
    expect<u32>(typeAt(put('-'))).toBe(layout.TYPE_NUMBER);
  });

  it('may be nested as deep as there are bits for it', () => {
    const depth = layout.NESTING_MAX;
    const deepest = '['.repeat(depth / 2) + '{"a":'.repeat(8) + '1' + '}'.repeat(8) + ']'.repeat(depth / 2);
    const at = __alloc(deepest.length * 4);
    String.UTF8.encodeUnsafe(changetype<usize>(deepest), deepest.length, at);
    expect<usize>(skipValue(at, at + deepest.length)).toBe(at + deepest.length);
    for (let extra = 0; extra < 2; extra++) {
      const text = '['.repeat(depth + extra) + ']'.repeat(depth + extra);
      String.UTF8.encodeUnsafe(changetype<usize>(text), text.length, at);
      expect<usize>(skipValue(at, at + text.length)).toBe(extra ? 0 : at + text.length);
    }
    __free(at);
  });

  it('closes what it opened', () => {
    expect<bool>(isRefused('[}')).toBe(true);
    expect<bool>(isRefused('{]')).toBe(true);
    expect<bool>(isRefused('[[{"a":1]}]')).toBe(true);
  });
});

describe('a string', () => {
  it('ends at its first quote without a backslash, at every place of a word', () => {
    for (let size = 0; size < 20; size++) {
      const at = put('x'.repeat(size) + '"');
      expect<usize>(skipString(at, behind())).toBe(at + size);
      const escaped = put('x'.repeat(size) + '\\"x"');
      expect<usize>(skipString(escaped, behind())).toBe(escaped + size + 3);
      const open = put('x'.repeat(size));
      expect<usize>(skipString(open, behind())).toBe(0);
    }
  });

  it('is plain without escapes and beyond ASCII', () => {
    for (let size = 0; size < 20; size++) {
      expect<bool>(isPlain(put('x'.repeat(size), 0xff), behind())).toBe(true);
      expect<bool>(isPlain(put('x'.repeat(size) + '\\n', 0x78), behind())).toBe(false);
      expect<bool>(isPlain(put('x'.repeat(size) + 'é', 0x78), behind())).toBe(false);
    }
  });

  it('is decoded, at every place of a word', () => {
    for (let size = 0; size < 20; size++) {
      const front = 'x'.repeat(size);
      const at = put(front + '\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9é\\ud83d\\ude00😀!', 0x5c);
      expect<string>(decoded(at, behind())).toBe(front + '"\\/\b\f\n\r\téé😀😀!');
    }
  });

  it('has U+FFFD for each half of a surrogate pair', () => {
    expect<string>(decoded(put('\\ud83d'), behind())).toBe('\ufffd');
    expect<string>(decoded(put('\\ude00\\ud83d'), behind())).toBe('\ufffd\ufffd');
    expect<string>(decoded(put('\\ud83d\\ud83d\\ude00'), behind())).toBe('\ufffd😀');
    expect<string>(decoded(put('\\ud83dx\\ude00'), behind())).toBe('\ufffdx\ufffd');
    expect<string>(decoded(put('\\ud83d\\n'), behind())).toBe('\ufffd\n');
  });

  it('has U+FFFD for each byte that is not UTF-8', () => {
    expect<string>(decoded(putBytes('ff'), behind())).toBe('\ufffd');
    expect<string>(decoded(putBytes('c3', 0xa9), behind())).toBe('\ufffd'); // the byte behind is not its own
    expect<string>(decoded(putBytes('e282', 0xac), behind())).toBe('\ufffd\ufffd');
    expect<string>(decoded(putBytes('f09f98', 0x80), behind())).toBe('\ufffd\ufffd\ufffd');
    expect<string>(decoded(putBytes('c080'), behind())).toBe('\ufffd\ufffd'); // NUL in two bytes
    expect<string>(decoded(putBytes('eda080'), behind())).toBe('\ufffd\ufffd\ufffd'); // a surrogate
    expect<string>(decoded(putBytes('f4908080'), behind())).toBe('\ufffd\ufffd\ufffd\ufffd'); // above U+10FFFF
    expect<string>(decoded(putBytes('61ff62c3a963'), behind())).toBe('a\ufffdbéc');
  });

  it('stays as it is written inside an object, but for bad bytes', () => {
    const at = putBytes('7b226b223a225c6eff227d');
    const size = copyValid(at, behind(), target) - target;
    expect<string>(textAt(target, size)).toBe('{"k":"\\n\ufffd"}');
    expect<bool>(size <= decodedSizeMax(at, behind())).toBe(true);
  });
});

describe('a sequence', () => {
  it('has the size that its first byte says', () => {
    expect<usize>(sequenceSize(putBytes('7f'), behind())).toBe(1);
    expect<usize>(sequenceSize(putBytes('c280'), behind())).toBe(2);
    expect<usize>(sequenceSize(putBytes('efbfbf'), behind())).toBe(3);
    expect<usize>(sequenceSize(putBytes('f48fbfbf'), behind())).toBe(4);
    expect<usize>(sequenceSize(putBytes('80'), behind())).toBe(0);
    expect<usize>(sequenceSize(putBytes('f4908080'), behind())).toBe(0);
  });
});

describe('space', () => {
  it('is four characters, up to the end', () => {
    const at = put(' \t\r\n', 0x20);
    expect<usize>(skipSpace(at, behind())).toBe(behind());
    const other = put(' \x0b', 0x20);
    expect<usize>(skipSpace(other, behind())).toBe(other + 1);
    expect<usize>(skipSpace(at, at)).toBe(at);
  });
});
