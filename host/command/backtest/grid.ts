// Counts over a time whose length is not known before: a grid of columns, which grow when there would be too many.
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Each is a multiple of the one before, so that columns can be joined. */
const WIDTHS = [1, 5, 10, 30].map(n => n * SECOND).concat([1, 5, 10, 30].map(n => n * MINUTE), [1, 3, 6].map(n => n * HOUR), [DAY, 7 * DAY, 28 * DAY, 364 * DAY]); // prettier-ignore
const COLUMNS_MAX = 400;

/** Column → count. */
export type Counts = Map<number, number>;

export class Grid {
  private level = 0;
  private first = Infinity;
  private last = -Infinity;
  private readonly all = new Set<Counts>();

  get widthMs(): number {
    return WIDTHS[this.level]!;
  }

  /** The first column and one past the last; none: nothing was counted. */
  get range(): { start: number; end: number } | null {
    return this.first <= this.last ? { start: this.first, end: this.last + 1 } : null;
  }

  newCounts(): Counts {
    const counts: Counts = new Map();
    this.all.add(counts);
    return counts;
  }

  /** No longer counted. */
  drop(counts: Counts): void {
    this.all.delete(counts);
  }

  add(counts: Counts, timeMs: number): void {
    let column = Math.floor(timeMs / this.widthMs);
    while (Math.max(this.last, column) - Math.min(this.first, column) >= COLUMNS_MAX && this.widen())
      column = Math.floor(timeMs / this.widthMs);
    this.first = Math.min(this.first, column);
    this.last = Math.max(this.last, column);
    counts.set(column, (counts.get(column) ?? 0) + 1);
  }

  private widen(): boolean {
    if (this.level + 1 === WIDTHS.length) return false;
    const factor = WIDTHS[this.level + 1]! / this.widthMs;
    this.level++;
    if (this.first <= this.last) {
      this.first = Math.floor(this.first / factor);
      this.last = Math.floor(this.last / factor);
    }
    for (const counts of this.all) {
      const old = [...counts];
      counts.clear();
      for (const [column, count] of old) {
        const wider = Math.floor(column / factor);
        counts.set(wider, (counts.get(wider) ?? 0) + count);
      }
    }
    return true;
  }
}

/** Adds up counts, as `columnCount` numbers over the range. */
export function spread(
  parts: Counts[],
  { start, end }: { start: number; end: number },
  columnCount = end - start,
): number[] {
  const sums = new Array<number>(columnCount).fill(0);
  for (const counts of parts)
    for (const [column, count] of counts)
      sums[Math.floor(((column - start) * columnCount) / (end - start))]! += count;
  return sums;
}
