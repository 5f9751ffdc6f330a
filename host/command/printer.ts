// Text for a reader that may go away (`| head`) or be slow. Without waiting, a command would compute for minutes
// what nobody reads, and keep it in memory.
const KEPT_MAX = 64 * 1024;

export interface Printer {
  /** Waits, now and then, until the reader has taken what was printed. */
  print(text: string): Promise<void>;
  flush(): Promise<void>;
  /** True when nobody reads any more. */
  isClosed(): boolean;
}

export function openPrinter(stream: NodeJS.WritableStream): Printer {
  let kept = '';
  let isClosed = false;
  stream.once('error', () => (isClosed = true));
  const printer: Printer = {
    async print(text) {
      kept += text;
      if (kept.length >= KEPT_MAX) await printer.flush();
    },
    async flush() {
      const text = kept;
      kept = '';
      if (text !== '' && !isClosed)
        await new Promise<void>(resolve => stream.write(text, error => resolve(void (isClosed ||= !!error))));
    },
    isClosed: () => isClosed,
  };
  return printer;
}
