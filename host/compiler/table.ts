// Things that are counted from 0 in the order in which they are first named; equal things are one.

export interface Table<T> {
  indexes: Map<string, number>;
  list: T[];
}

export function newTable<T>(): Table<T> {
  return { indexes: new Map(), list: [] };
}

/** The index of the thing that has this key; `make` makes the thing when the key is new. */
export function indexOf<T>({ indexes, list }: Table<T>, key: string, make: () => T): number {
  const known = indexes.get(key);
  if (known !== undefined) return known;
  const thing = make(); // may add other things first
  const index = list.push(thing) - 1;
  indexes.set(key, index);
  return index;
}

/** Like `indexOf`, for things that differ in their JSON. */
export function indexOfEqual<T>(table: Table<T>, thing: T): number {
  return indexOf(table, JSON.stringify(thing), () => thing);
}
