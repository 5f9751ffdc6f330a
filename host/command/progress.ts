// One line on a terminal, which is overwritten each time; nothing without a terminal.
const INTERVAL_MS = 200;
const CLEAR = '\r\x1b[K';

export interface Progress {
  /** Call often: it looks at the clock. */
  show(): void;
  /** Call before anything else is written. */
  clear(): void;
}

export function openProgress(stream: NodeJS.WriteStream | null, line: () => string): Progress {
  if (!stream?.isTTY) return { show() {}, clear() {} };
  let nextAt = performance.now() + INTERVAL_MS;
  let isShown = false;
  return {
    show() {
      if (performance.now() < nextAt) return;
      nextAt = performance.now() + INTERVAL_MS;
      isShown = true;
      stream.write(CLEAR + line().slice(0, stream.columns));
    },
    clear() {
      if (isShown) stream.write(CLEAR);
      isShown = false;
    },
  };
}
