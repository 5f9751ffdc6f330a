// Calls the module as Fluent Bit's filter_wasm does (plugins/filter_wasm, src/wasm/flb_wasm.c, and WAMR's
// wasm_runtime_module_malloc and wasm_runtime_validate_app_str_addr behind them):
// - malloc(tag size + 1), malloc(record size + 1), each answered block filled with the text and a zero byte; a
//   malloc that failed is not noticed, and the function is called with the address 0;
// - the answer must be an address from which a zero byte can be reached, else the record is dropped with an error;
// - an empty string drops the record, a JSON object replaces it, anything else is an error;
// - then free, record and tag, except in 4.1.0 and 4.1.1; before 4.1.0 every chunk got a new instance.

export type Outcome =
  | { kind: 'dropped' }
  | { kind: 'replaced'; record: Record<string, unknown> }
  | { kind: 'error'; reason: string };

/** How a range of Fluent Bit's versions behaves. */
export interface Version {
  name: string;
  freesBlocks: boolean;
  keepsInstance: boolean;
}

export const VERSIONS: Version[] = [
  { name: '2.1 – 4.0', freesBlocks: true, keepsInstance: false },
  { name: '4.1.0, 4.1.1', freesBlocks: false, keepsInstance: true },
  { name: '4.1.2 and later', freesBlocks: true, keepsInstance: true },
];

interface Exports {
  memory: WebAssembly.Memory;
  malloc(size: number): number;
  free(block: number): void;
  [door: string]: unknown;
}

export class FilterWasm {
  private readonly module: WebAssembly.Module;
  private readonly version: Version;
  private readonly door: string;
  private exports: Exports | null = null;
  /** Makes the n-th malloc from now fail: 1 is the next one. */
  failingMalloc = 0;

  constructor(module: WebAssembly.Module, version: Version, door = 'alerts_only') {
    this.module = module;
    this.version = version;
    this.door = door;
  }

  /** A chunk: records under one tag, each with its time in milliseconds. */
  filter(tag: string, records: Array<{ record: string | Uint8Array; ms?: number }>): Outcome[] {
    if (this.exports === null || !this.version.keepsInstance) {
      // Fluent Bit gives no imports but WASI's, which the module must do without.
      this.exports = new WebAssembly.Instance(this.module, {}).exports as unknown as Exports;
    }
    return records.map(({ record, ms = 0 }) => this.call(this.exports!, tag, Buffer.from(record), ms));
  }

  get memorySize(): number {
    return this.exports?.memory.buffer.byteLength ?? 0;
  }

  private call(exports: Exports, tag: string, record: Buffer, ms: number): Outcome {
    const door = exports[this.door] as (...args: number[]) => number;
    const tagBlock = this.duplicate(exports, Buffer.from(tag));
    const recordBlock = this.duplicate(exports, record);
    const sec = Math.floor(ms / 1000);
    let outcome: Outcome;
    try {
      const answer = door(
        tagBlock,
        Buffer.byteLength(tag),
        sec,
        Math.round((ms - sec * 1000) * 1e6),
        recordBlock,
        record.length,
      );
      outcome = read(exports, answer >>> 0);
    } catch (error) {
      outcome = { kind: 'error', reason: `Exception: ${(error as Error).message}` };
    }
    if (this.version.freesBlocks) {
      if (tagBlock !== 0) exports.free(tagBlock);
      if (recordBlock !== 0) exports.free(recordBlock);
    }
    return outcome;
  }

  private duplicate(exports: Exports, text: Buffer): number {
    if (this.failingMalloc > 0 && --this.failingMalloc === 0) return 0;
    const block = exports.malloc(text.length + 1) >>> 0;
    if (block === 0) return 0;
    const memory = new Uint8Array(exports.memory.buffer);
    memory.set(text, block);
    memory[block + text.length] = 0;
    return block;
  }
}

function read({ memory }: Exports, address: number): Outcome {
  const bytes = new Uint8Array(memory.buffer);
  const end = address === 0 || address >= bytes.length ? -1 : bytes.indexOf(0, address);
  if (end < 0) return { kind: 'error', reason: 'returned value is invalid' };
  const text = Buffer.from(bytes.subarray(address, end)).toString();
  if (text === '') return { kind: 'dropped' };
  try {
    const record: unknown = JSON.parse(text);
    if (typeof record === 'object' && record !== null && !Array.isArray(record)) {
      return { kind: 'replaced', record: record as Record<string, unknown> };
    }
  } catch {
    // falls through
  }
  return { kind: 'error', reason: `invalid JSON format: ${text.slice(0, 100)}` };
}
