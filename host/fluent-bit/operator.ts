import type { Prefilter } from './prefilter.ts';
export function operatorFiles(_: { prefilter: Prefilter; needsClock: boolean; module: Uint8Array; introduction: string }): Array<{ path: string; content: string | Uint8Array }> { return []; }
