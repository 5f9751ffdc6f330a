// Lists of numbers. `Math.max(...numbers)` passes each number as an argument, and with some 120,000 of them the
// stack is full: rules files have lists as long as that.

export function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** -Infinity when there are none. */
export function largest(numbers: number[]): number {
  return numbers.reduce((most, number) => Math.max(most, number), -Infinity);
}

/** Infinity when there are none. */
export function smallest(numbers: number[]): number {
  return numbers.reduce((least, number) => Math.min(least, number), Infinity);
}
