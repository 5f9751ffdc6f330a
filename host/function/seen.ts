// Which hits a partition has counted, so that each is counted once.
//
// A matcher that was killed reads from its last commit again and produces the same hits again. It produces the hits of
// a partition in the order of their records, one request after the other, so of each partition of a source the
// highest offset is enough to know: what is not above it was there before. A topic that was made anew has another id, so
// its partitions are others. Where brokers have no ids, it begins at offset 0 with later timestamps: its hits are new.
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

  /** Whether the hit of this id was there before; it is from now on. */
  add(id: string): boolean {
    const kafka = /^([^/]+\/\d+)\/(\d+)\/(-?\d+)\/(.*)$/s.exec(id);
    return kafka
      ? this.#addOffset(kafka[1]!, Number(kafka[2]), Number(kafka[3]), kafka[4]!)
      : this.#addHash(id);
  }

  #addOffset(partition: string, offset: number, timestamp: number, hit: string): boolean {
    const last = this.#partitions.get(partition);
    if (last && offset <= last.offset && timestamp <= last.timestamp) {
      if (offset < last.offset || last.hits.has(hit)) return true;
      last.hits.add(hit);
      return false;
    }
    this.#partitions.set(partition, {
      offset,
      timestamp: last && offset > last.offset ? Math.max(last.timestamp, timestamp) : timestamp,
      hits: new Set([hit]),
    });
    return false;
  }

  #addHash(id: string): boolean {
    if (this.#hashes.has(id)) return true;
    this.#hashes.add(id);
    // A Set keeps the order in which its members came.
    if (this.#hashes.size > HASHES_MAX) this.#hashes.delete(this.#hashes.values().next().value!);
    return false;
  }
}
