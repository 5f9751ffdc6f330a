// A fixed number of turns, taken in the order in which they were asked for.

export interface Turns {
  /** Waits for a turn. False when `unwanted` is aborted first: then there is no turn to return. */
  take(unwanted?: AbortSignal): Promise<boolean>;
  giveBack(): void;
}

export function openTurns(count: number): Turns {
  let free = count;
  const waiting = new Set<() => void>();
  return {
    async take(unwanted) {
      if (unwanted?.aborted) return false;
      if (free === 0) return wait(unwanted);
      free--;
      return true;
    },
    giveBack() {
      const [first] = waiting;
      if (first) first();
      else free++;
    },
  };

  function wait(unwanted?: AbortSignal): Promise<boolean> {
    return new Promise(resolve => {
      const settle = (isTaken: boolean) => {
        waiting.delete(enter);
        unwanted?.removeEventListener('abort', leave);
        resolve(isTaken);
      };
      const enter = () => settle(true);
      const leave = () => settle(false);
      waiting.add(enter);
      unwanted?.addEventListener('abort', leave);
    });
  }
}
