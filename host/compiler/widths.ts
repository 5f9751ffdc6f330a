// The fields of assembly/layout.ts' records that are not a u32. The core says the same in its loads, and a test
// compares both. (Lists in layout.ts itself would become data of the core.)
import * as layout from '../../assembly/layout.ts';
import type { Widths } from './writer.ts';

export const HEADER: Widths = {
  u64: [layout.HEADER_CHECKSUM, layout.HEADER_HASH, layout.HEADER_LOOK_BACK_MS],
};
export const EDGE: Widths = { u64: [layout.EDGE_PREFIX] };
export const GRAM: Widths = { u8: [layout.GRAM_BACK, layout.GRAM_FLAGS], u16: [layout.GRAM_NEEDLE] };
export const NEEDLE: Widths = { u64: [layout.NEEDLE_WORD, layout.NEEDLE_MASK] };
export const CODE: Widths = { u16: [layout.CODE_ON_TRUE, layout.CODE_ON_FALSE] };
export const RULE: Widths = {
  u16: [layout.RULE_ALERTNAME_LABEL, layout.RULE_NAMESPACE_LABEL],
  u64: [layout.RULE_REALERT_MS, layout.RULE_WINDOW_MS, layout.RULE_BY_MASK, layout.RULE_FINGERPRINT],
};
export const COUNTING: Widths = {
  u64: [layout.COUNTING_RESOLVE_MS, layout.COUNTING_LEARN_MS, layout.COUNTING_SAMPLE_SLICE_MS],
};
export const SEQUENCE: Widths = {
  u16: [layout.SEQUENCE_KIND, layout.SEQUENCE_PLACE, layout.SEQUENCE_COUNT],
};
export const TEMPLATE: Widths = { u16: [layout.TEMPLATE_NAME_SIZE, layout.TEMPLATE_REQUIRES] };
