// Which hits a partition has counted, so that each is counted once.
//
// A matcher that was killed reads from its last commit again and produces the same hits again. It produces the hits of
// a partition in the order of their records, one request after the other, so of each partition of a source the
// highest offset is enough to know: what is not above it was counted before. A topic that was created again has another
// id, so its partitions are new ones. Where brokers have no ids, it begins at offset 0 with later timestamps: its hits are new.
//
// Hits of other sources (Fluent Bit) have an id that is a hash of the record. Of those the last HASHES_MAX are known:
// Fluent Bit sends a chunk again after seconds, or after a restart.

const HASHES_MAX = 100_000; // Some 10 MB for each partition.

interface SourcePartition {
  offset: number;
  /** The latest timestamp of its records: that of the highest offset may be earlier. */
  timestamp: number;
  /** Rules and steps of the hits of that offset. */
  hits: Set<string>;
}

export class Seen {
  readonly #partitions = new Map<string, SourcePartition>();
  readonly #hashes = new Set<string>();

  /** Adds the id of a hit, and returns whether it was there before. */
  add(id: string): boolean {
    // topic/partition/offset/timestamp/hit: the name of a topic has no slash.
    const topicEnd = id.indexOf('/');
    const partitionEnd = endOfNumber(id, topicEnd + 1);
    const offsetEnd = endOfNumber(id, partitionEnd + 1);
    const timeEnd = endOfNumber(id, offsetEnd + 1);
    if (topicEnd <= 0 || partitionEnd < 0 || offsetEnd < 0 || timeEnd < 0) return this.#addHash(id);
    const offset = Number(id.slice(partitionEnd + 1, offsetEnd));
    const timestamp = Number(id.slice(offsetEnd + 1, timeEnd));
    return this.#addOffset(id.slice(0, partitionEnd), offset, timestamp, id.slice(timeEnd + 1));
  }

  #addOffset(partition: string, offset: number, timestamp: number, hit: string): boolean {
    const last = this.#partitions.get(partition);
    if (!last) {
      this.#partitions.set(partition, { offset, timestamp, hits: new Set([hit]) });
      return false;
    }
    if (offset <= last.offset && timestamp <= last.timestamp) {
      if (offset < last.offset || last.hits.has(hit)) return true;
      last.hits.add(hit);
      return false;
    }
    last.timestamp = offset > last.offset ? Math.max(last.timestamp, timestamp) : timestamp;
    last.offset = offset;
    last.hits.clear();
    last.hits.add(hit);
    return false;
  }

  /** What is known of the partitions of sources, as JSON. */
  save(): string {
    const all = [...this.#partitions].map(([partition, { offset, timestamp, hits }]) => [
      partition,
      [offset, timestamp, ...hits],
    ]);
    return JSON.stringify(Object.fromEntries(all));
  }

  /** Takes what `save` returned, where it is further than what is known. */
  load(saved: Record<string, [offset: number, timestamp: number, ...hits: string[]]>): void {
    for (const [partition, [offset, timestamp, ...hits]] of Object.entries(saved)) {
      const known = this.#partitions.get(partition);
      if (!known || known.offset < offset)
        this.#partitions.set(partition, { offset, timestamp, hits: new Set(hits) });
    }
  }

  #addHash(id: string): boolean {
    if (this.#hashes.has(id)) return true;
    this.#hashes.add(id);
    // A Set keeps the order in which its members came.
    if (this.#hashes.size > HASHES_MAX) this.#hashes.delete(this.#hashes.values().next().value!);
    return false;
  }
}

const ZERO = 0x30;
const MINUS = 0x2d;

/** Where the number ends that begins at `start` and has a slash after it; −1 when there is none. */
function endOfNumber(id: string, start: number): number {
  if (start === 0) return -1; // what comes before has no end
  let at = id.charCodeAt(start) === MINUS ? start + 1 : start;
  const digits = at;
  while (id.charCodeAt(at) - ZERO >= 0 && id.charCodeAt(at) - ZERO <= 9) at++;
  return at > digits && id[at] === '/' ? at : -1;
}
