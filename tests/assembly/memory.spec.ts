// The arena: what a host asks for stays for its call, what a call takes is given back, and nothing grows.
import {
  SLACK,
  allocate,
  arenaTop,
  finish,
  malloc,
  release,
  resize,
  startArena,
} from '../../assembly/memory';

const arena: usize = memory.data(16384, 16);

describe('the arena', () => {
  beforeEach(() => {
    startArena(arena);
  });

  it('gives blocks one behind another, with slack between them', () => {
    const first = malloc(10);
    const second = malloc(10);
    expect<usize>(first & 15).toBe(0);
    expect<usize>(second & 15).toBe(0);
    expect<bool>(first >= arena + SLACK).toBe(true);
    expect<bool>(second >= first + 10 + SLACK).toBe(true);
  });

  it('is used again by the first malloc behind a call', () => {
    const record = malloc(100);
    malloc(50);
    allocate(1000);
    finish();
    expect<usize>(malloc(100)).toBe(record);
  });

  it('keeps the host’s block over calls, and gives back what a call took', () => {
    const record = malloc(100);
    const taken = allocate(100);
    finish();
    expect<usize>(allocate(100)).toBe(taken);
    allocate(500);
    finish();
    expect<usize>(allocate(100)).toBe(taken);
    expect<bool>(taken > record + 100).toBe(true);
  });

  it('has the same place for the same calls, however often', () => {
    let last: usize = 0;
    for (let i = 0; i < 1000; i++) {
      malloc(16); // a tag
      const record = malloc(300);
      allocate(64);
      finish();
      if (i > 0) expect<usize>(record).toBe(last);
      last = record;
    }
  });

  it('makes the last block longer or shorter', () => {
    malloc(1);
    const block = allocate(10);
    expect<bool>(resize(block, 200)).toBe(true);
    expect<bool>(arenaTop() >= block + 200 + SLACK).toBe(true);
    resize(block, 5);
    expect<usize>(arenaTop()).toBe((block + 5 + SLACK + 15) & ~15);
  });

  it('gives back what came behind a mark', () => {
    malloc(1);
    const mark = arenaTop();
    allocate(100);
    release(mark);
    expect<usize>(arenaTop()).toBe(mark);
  });

  it('has no block larger than memory can be', () => {
    const top = arenaTop();
    expect<usize>(malloc(usize.MAX_VALUE)).toBe(0);
    expect<usize>(malloc(usize.MAX_VALUE - top - SLACK)).toBe(0); // its end is within the last page
    expect<usize>(arenaTop()).toBe(top);
  });
});
