// Runs of bytes: every size around a word, and what lies behind a run does not matter.
import {
  clearWords,
  copyBytes,
  findByte,
  hashValue,
  hashText,
  sameBytes,
  wordMask,
} from '../../assembly/bytes';
import { checksum } from '../../assembly/ruleset';
import { behind, put } from './text';

const other: usize = memory.data(256, 16);

describe('bytes', () => {
  it('masks 1 to 8 bytes of a word', () => {
    expect<u64>(wordMask(1)).toBe(0xff);
    expect<u64>(wordMask(7)).toBe(0x00ffffffffffffff);
    expect<u64>(wordMask(8)).toBe(u64.MAX_VALUE);
  });

  it('compares only what belongs to a run', () => {
    for (let size: usize = 0; size <= 40; size++) {
      const at = put('0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH');
      memory.fill(other, 0xee, 256);
      memory.copy(other, at, size);
      expect<bool>(sameBytes(at, other, size)).toBe(true);
      for (let i: usize = 0; i < size; i++) {
        store<u8>(other + i, load<u8>(other + i) ^ 1);
        expect<bool>(sameBytes(at, other, size)).toBe(false);
        store<u8>(other + i, load<u8>(other + i) ^ 1);
      }
    }
  });

  it('finds the first byte, and none behind the end', () => {
    for (let size: usize = 0; size <= 20; size++) {
      const at = put('....................', 0x78); // x all around
      const end = at + size;
      expect<usize>(findByte(at, end, 0x78)).toBe(end);
      for (let place = at; place < end; place++) {
        store<u8>(place, 0x78);
        expect<usize>(findByte(at, end, 0x78)).toBe(place);
        store<u8>(place, 0x2e);
      }
    }
  });

  it('finds the bytes that word tricks get wrong', () => {
    const at = put('\x01\x00\x01\x00', 0);
    expect<usize>(findByte(at, behind(), 0)).toBe(at + 1);
    expect<usize>(findByte(at, behind(), 1)).toBe(at);
    expect<usize>(findByte(at, behind(), 0x80)).toBe(behind());
  });

  it('hashes the same text to the same number, whatever surrounds it', () => {
    for (let size: usize = 0; size <= 40; size++) {
      const text = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH'.substring(0, <i32>size);
      const first = hashText(put(text, 0x00), size);
      const firstEnds = hashValue(put(text, 0x00), size);
      expect<u64>(hashText(put(text, 0xff), size)).toBe(first);
      expect<u64>(hashValue(put(text, 0xff), size)).toBe(firstEnds);
    }
  });

  it('hashes a text and the same with a zero behind it differently', () => {
    const at = put('abc', 0);
    expect<u64>(hashText(at, 3)).not.toBe(hashText(at, 4));
    expect<u64>(hashValue(at, 3)).not.toBe(hashValue(at, 4));
    expect<u64>(hashText(at, 0)).not.toBe(hashText(behind(), 1));
  });

  it('copies and clears', () => {
    for (let size: usize = 0; size <= 100; size += 1) {
      memory.fill(other, 0xee, 256);
      const at = put(
        '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789abcdef',
      );
      copyBytes(other + 16, at, size);
      expect<i32>(memory.compare(other + 16, at, size)).toBe(0);
      expect<u8>(load<u8>(other + 15)).toBe(0xee);
      expect<u8>(load<u8>(other + 16 + size + 7)).toBe(0xee);
    }
    clearWords(other, 16);
    expect<u64>(load<u64>(other) | load<u64>(other, 8)).toBe(0);
    expect<bool>(load<u64>(other, 16) == 0).toBe(false);
  });
});

describe('the checksum', () => {
  it('changes with every bit', () => {
    const at = put('0123456789abcdef01234567');
    const sum = checksum(at, behind());
    for (let i: usize = 0; i < 24; i++) {
      for (let bit: u8 = 0; bit < 8; bit++) {
        store<u8>(at + i, load<u8>(at + i) ^ (1 << bit));
        expect<bool>(checksum(at, behind()) == sum).toBe(false);
        store<u8>(at + i, load<u8>(at + i) ^ (1 << bit));
      }
    }
    expect<u64>(checksum(at, behind())).toBe(sum);
  });

  it('changes when words change places', () => {
    const sum = checksum(put('aaaaaaaabbbbbbbb'), behind());
    expect<bool>(checksum(put('bbbbbbbbaaaaaaaa'), behind()) == sum).toBe(false);
  });
});
