// The room of the output: whatever a text becomes as JSON, it stays within the block that holds the output.
import { SLACK, arenaTop, startArena } from '../../assembly/memory';
import {
  beginOutput,
  outputSize,
  outputStart,
  writeByte,
  writeMember,
  writeString,
} from '../../assembly/output';

const arena: usize = memory.data(65536, 16);
const texts: usize = memory.data(1024 + 64, 16);
const key: usize = memory.data<u8>([0x22, 0x6b, 0x22, 0x3a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]); // "k":
const KEY_SIZE: usize = 4;

const TEXT_SIZE_MAX: usize = 1024;

/** Begins the output anew, where the arena begins. */
function begin(): void {
  startArena(arena);
  beginOutput(1024);
}

/** The block that holds the output is the arena's last: it ends SLACK bytes or more before the top. */
function staysWithin(size: usize): bool {
  return outputSize() == size && outputStart() + size + SLACK <= arenaTop();
}

/** The first size of a text of this byte, as a string, that leaves the block or has not the size it must have. */
function firstWrongString(byte: u8, sizeOfByte: usize): usize {
  memory.fill(texts, byte, TEXT_SIZE_MAX);
  for (let size: usize = 0; size <= TEXT_SIZE_MAX; size++) {
    begin();
    writeString(texts, size);
    if (!staysWithin(size * sizeOfByte + 2)) return size;
  }
  return usize.MAX_VALUE;
}

describe('the output', () => {
  it('has room for a string of any length, whatever its bytes become', () => {
    expect<usize>(firstWrongString(0x01, 6)).toBe(usize.MAX_VALUE); // \u0001
    expect<usize>(firstWrongString(0x22, 2)).toBe(usize.MAX_VALUE); // \"
    expect<usize>(firstWrongString(0x61, 1)).toBe(usize.MAX_VALUE);
  });

  it('has room for members one after another', () => {
    memory.fill(texts, 0x01, TEXT_SIZE_MAX);
    for (let size: usize = 0; size <= TEXT_SIZE_MAX; size += 7) {
      begin();
      for (let count: usize = 1; count <= 3; count++) {
        writeMember(key, KEY_SIZE, texts, size);
        expect<bool>(staysWithin(count * (KEY_SIZE + size * 6 + 2))).toBe(true);
      }
    }
  });

  it('has room for bytes one by one', () => {
    begin();
    for (let size: usize = 1; size <= 3000; size++) {
      writeByte(0x61);
      expect<bool>(staysWithin(size)).toBe(true);
    }
  });
});
