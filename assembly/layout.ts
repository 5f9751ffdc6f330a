// The ruleset, as bytes. host/compiler/ruleset.ts writes it, assembly/ reads it, and both import this file, so
// there is no second description that could differ.
//
//   [header 184] [nodes] [edges] [fields] [values] [gates] [needle indexes] [rules] [atoms] [patterns]
//   [sets] [derivations] [templates] [code] [strings]
//
// Integers are little-endian; the ruleset begins at an address that is a multiple of 16, every table at
// a multiple of 8. Names end in their unit: _OFFSET is a distance in bytes from the first byte of the
// ruleset (0: there is none), _SIZE is bytes, _COUNT is a number of things, a bare name is an index.
// A field is a u32 unless its comment says otherwise; host/compiler/widths.ts has the others as lists.
//
// Example, the header of a ruleset with one rule that asks `{field: a, eq: b}`:
//   45 41 52 53 | 06 00 00 00 | checksum, 8 bytes | size u32 | …
//   "EARS"        version 6
// A test checks the whole example, byte for byte (tests/compiler/ruleset.test.ts).

export const MAGIC: u32 = 0x53524145; // "EARS"
export const VERSION: u32 = 6;
export const NONE: u32 = 0xffffffff; // no index

// ── Header ──────────────────────────────────────────────────────────────────────────────────────────
// The checksum covers everything after itself; magic and version before it are compared.
export const HEADER_MAGIC = 0;
export const HEADER_VERSION = 4;
export const HEADER_CHECKSUM = 8; // u64
export const HEADER_SIZE_TOTAL = 16; // bytes of the whole ruleset, header included
export const HEADER_FIELD_COUNT = 20;
export const HEADER_HASH = 24; // u64, names the rules: the same rules, the same hash
export const HEADER_NODE_COUNT = 32;
export const HEADER_NODES_OFFSET = 36;
export const HEADER_EDGES_OFFSET = 40;
export const HEADER_FIELDS_OFFSET = 44;
export const HEADER_GATE_COUNT = 48;
export const HEADER_GATES_OFFSET = 52;
export const HEADER_INDEX_COUNT = 56;
export const HEADER_INDEXES_OFFSET = 60;
export const HEADER_NEEDLE_COUNT = 64;
export const HEADER_ALWAYS_MASK = 68; // needle indexes that some rule without a gate uses
export const HEADER_ALWAYS_OFFSET = 72; // rules with neither gate nor needle: u32 each
export const HEADER_ALWAYS_COUNT = 76;
export const HEADER_UNREJECTABLE_COUNT = 80; // steps without a gate, and absences: while 0, a record may be rejected early
export const HEADER_GATE_FIELD_COUNT = 84; // fields whose values open gates
export const HEADER_RULE_COUNT = 88;
export const HEADER_RULES_OFFSET = 92;
export const HEADER_ATOM_COUNT = 96;
export const HEADER_ATOMS_OFFSET = 100;
export const HEADER_PATTERNS_OFFSET = 104;
export const HEADER_SETS_OFFSET = 108;
export const HEADER_TIMES_OFFSET = 112; // TIME_… records: the first field that says a time counts; one with the field NONE ends them
export const HEADER_SLOT_COUNT = 116; // the most capture slots that one rule needs
export const HEADER_LABEL_COUNT = 120; // the most labels that one rule has
export const HEADER_KEY_COUNT = 124; // the most keys that the state holds, 0: no rule needs any
export const HEADER_STEP_COUNT = 128; // steps of all rules: what gates, needles and code refer to
export const HEADER_STEPS_OFFSET = 132;
export const HEADER_LOOK_BACK_MS = 136; // u64, the longest time that the state looks back
export const HEADER_RATE_COUNT = 144; // alerts that may leave within one second of event time; 0: no cap
export const HEADER_HAS_ABSENCE = 148; // 1 when some rule needs the clock: an absence, a sequence that waits, one that resolves, or first seen
export const HEADER_TEXTS_OFFSET = 152; // a TEXT_OFFSET and a TEXT_SIZE for each text
export const HEADER_LATE_NODE_OFFSET = 156; // the trie of fields that only a match needs
export const HEADER_FINGERPRINTS_OFFSET = 160; // FINGERPRINT_… records, one per rule, sorted
export const HEADER_LIST_COUNT = 164; // fields that have several values
export const HEADER_DERIVATION_COUNT = 168;
export const HEADER_DERIVATIONS_OFFSET = 172;
export const HEADER_HAS_ACTIVE = 176; // 1 when some rule asks for the time of day
export const HEADER_SIZE: u32 = 184;

// Texts of the body that never change (host/compiler/ruleset.ts has their bytes), each as long as possible: a text costs
// a call, whatever its size.
export const TEXT_BODY_FIRING = 0; // the body up to its alerts
export const TEXT_BODY_RESOLVED = 1;
export const TEXT_ALERT_FIRING = 2; // an alert up to its labels
export const TEXT_ALERT_RESOLVED = 3;
export const TEXT_ANNOTATIONS = 4;
export const TEXT_STARTS_AT = 5;
export const TEXT_ENDS_AT = 6;
export const TEXT_NO_END = 7; // an end that is not known, and on to the fingerprint
export const TEXT_FINGERPRINT = 8;
export const TEXT_ALERT_END = 9;
export const TEXT_GROUP_LABELS = 10;
export const TEXT_COMMON_LABELS = 11;
export const TEXT_COMMON_ANNOTATIONS = 12;
export const TEXT_CLOSING = 13;
export const TEXT_EDGE_OPEN = 14;
export const TEXT_EDGE_ALERT = 15;
export const TEXT_EDGE_CLOSE = 16;
// The texts of a hit (hit.ts writes and reads it):
//
//   {"earshot":1,"key":"<hash>","id":"<source>/<hash>/<step>","rule":"<hash>","step":0,"time":"2021-08-25T01:53:25.480Z",
//    "distinct":"<hash>","alert":"404 Request","labels":{"pod":"web-1",…},"annotations":{"message":["404, "," times"]},
//    "sample":"GET /notfound"}
//
// A <hash> is 16 hexadecimal digits; `distinct` is there when the rule counts distinct values, `sample` when it keeps texts. `key` says which hits are
// counted together, `rule` is the rule's fingerprint, `source` is the host's name of the record. An annotation that has
// the count of matches in it is an array of the texts around the count.
export const TEXT_HIT_KEY = 17;
export const TEXT_HIT_ID = 18;
export const TEXT_HIT_RULE = 19;
export const TEXT_HIT_STEP = 20;
export const TEXT_HIT_TIME = 21;
export const TEXT_HIT_DISTINCT = 22;
export const TEXT_HIT_ALERT = 23;
export const TEXT_HIT_LABELS = 24;
export const TEXT_HIT_ANNOTATIONS = 25;
export const TEXT_HIT_END = 26;
export const TEXT_HIT_SAMPLE = 27;
// The texts of a mark, in which a counter finds again what no hit says:
//
//   {"earshot":1,"missing":"<hash>","rule":"<hash>","seen":"…Z","told":"…Z","alert":"No backup","labels":{…}}
//     an alert said at `told` that the key, last seen at `seen`, is missing
//   {"earshot":1,"expected":"<hash>","rule":"<hash>","seen":"…Z","alert":"No backup","labels":{…}}
//     nobody has seen the key, which has been waited for since `seen`
//   {"earshot":1,"firing":"<hash>","rule":"<hash>","seen":"…Z","told":"…Z","alert":"404 Request","labels":{…}}
//     the label set, last matched at `seen`, is in trouble since the alert at `told`, and not resolved
//   {"earshot":1,"reported":"<hash>","rule":"<hash>","tenant":"<hash>","time":"…Z","alert":"404 Request"}
//     an alert of this label set reported what the rate cap had suppressed of the rule and tenant
//   {"earshot":1,"suppressed":"<hash>","rule":"<hash>","count":12,"alert":"404 Request"}
//     `count` matches of this label set are suppressed and not reported
//   {"earshot":1,"overdue":"<hash>","rule":"<hash>","seen":"…Z","told":"…Z","alert":"Job hangs","labels":{…}}
//     the end of the sequence that began at `seen` did not come, and an alert said so; without `told` it was suppressed
//   {"earshot":1,"resolved":"<hash>","rule":"<hash>","time":"…Z","alert":"404 Request"}
//     an alert said that the trouble of this label set was over at `time`
//   {"earshot":1,"watched":"<zeros>","rule":"<hash>","time":"…Z","alert":"New user"}
//     label sets of the rule are known since then: what was not seen before is new some time later
//
// Their first texts, from TEXT_MARK on, are in the order of MARK_….
export const TEXT_MARK_SEEN = 28;
export const TEXT_MARK_TOLD = 29;
export const TEXT_MARK_TENANT = 30;
export const TEXT_MARK_TIME = 31;
export const TEXT_MARK_COUNT = 32;
export const TEXT_MARK_ALERT = 33;
export const TEXT_MARK_END = 34;
// What leaves Fluent Bit's filter (edge.ts shows it).
export const TEXT_EDGE_HIT_KEY = 35;
export const TEXT_EDGE_HIT = 36;
export const TEXT_EDGE_HITS = 37;
export const TEXT_EDGE_ALERTS = 38;
export const TEXT_UNREADABLE = 39; // the notice of records that could not be read
export const TEXT_UNREADABLE_TAG = 40;
export const TEXT_UNREADABLE_TIME = 41;
export const TEXT_UNREADABLE_WHY = 42;
export const TEXT_UNREADABLE_RECORD = 43;
export const TEXT_UNREADABLE_KEY = 44;
export const TEXT_UNREADABLE_LABELS = 45; // the same notice as an alert
export const TEXT_UNREADABLE_MESSAGE = 46;
export const TEXT_UNREADABLE_COUNT = 47;
export const TEXT_WHY_MALFORMED = 48;
export const TEXT_WHY_TOO_LARGE = 49;
export const TEXT_MARK = 50; // the last: as many as there are kinds
export const TEXT_COUNT = 58;

export const MARK_MISSING: u32 = 0;
export const MARK_EXPECTED: u32 = 1;
export const MARK_FIRING: u32 = 2;
export const MARK_OVERDUE: u32 = 3; // the last with labels
export const MARK_REPORTED: u32 = 4;
export const MARK_SUPPRESSED: u32 = 5;
export const MARK_RESOLVED: u32 = 6;
export const MARK_WATCHED: u32 = 7;
export const MARK_KINDS: u32 = 8;
export const TEXT_OFFSET = 0;
export const TEXT_SIZE = 4;
export const TEXT_ENTRY_SIZE = 8;

// ── Fields: two tries over the paths that the rules name ────────────────────────────────────────────
// Node 0 is the root of the fields that conditions test. Fields that only an alert shows, and the record's
// own time, are in the late trie: it is walked when a record has matched.
// A node is a place in a record. Keys of objects are found by hash, indexes of arrays one by one.
export const NODE_FIELD = 0; // the field that this place is, or NONE
export const NODE_HEADS_OFFSET = 4; // u16[1 << (64 - shift)]: edge index + 1 of each bucket's first edge, 0: empty
export const NODE_SHIFT = 8; // hash >> shift is the bucket
export const NODE_EDGE_COUNT = 12; // keys that lead from here to other nodes
export const NODE_ITEMS_OFFSET = 16; // ITEM_…, their indexes ascending; after them the one for every item
export const NODE_ITEM_COUNT = 20;
export const NODE_FIELDS_BELOW = 24; // fields at and under this node
export const NODE_SIZE = 32;

export const ITEM_INDEX = 0; // in the array, or NONE: every item
export const ITEM_NODE = 4;
export const ITEM_NODE_COUNT = 8; // nodes from there on that belong to it
export const ITEM_SIZE = 12;

export const EDGE_PREFIX = 0; // u64, the first 8 bytes of the key, padded with zeros
export const EDGE_KEY_SIZE = 8;
export const EDGE_KEY_OFFSET = 12;
export const EDGE_NODE = 16;
export const EDGE_NEXT = 20; // index + 1 of the next edge of the bucket, 0: the last
export const EDGE_SIZE = 24;

export const FIELD_VALUES_OFFSET = 0; // its value table, 0: no rule compares it with a string
export const FIELD_ROLE = 4; // one of ROLE_…: what the scan does when it has found it
export const FIELD_LIST = 8; // index + 1 of its list, 0: it has one value at most
export const FIELD_DERIVATION = 12; // index + 1 of what it is derived by, 0: it is in the record itself
export const FIELD_SIZE = 16;

export const ROLE_NONE: u32 = 0;
export const ROLE_GATE: u32 = 1; // one of its values opens a gate
export const ROLE_LIST: u32 = 2; // it has several values

// A derivation computes fields from the text of another one, its source, when one of them is first asked for.
export const DERIVATION_KIND = 0;
export const DERIVATION_SOURCE = 4; // the field; of DERIVE_STRINGS the field that it fills
export const DERIVATION_A = 8; // offset of the pattern, or of the root of the fields in the text
export const DERIVATION_B = 12; // offset of CAPTURED_…, or how many nodes that root and those below it are
export const DERIVATION_C = 16; // count of CAPTURED_…
export const DERIVATION_SIZE = 20;

export const DERIVE_CAPTURES: u32 = 0; // of the first value that the pattern matches
export const DERIVE_JSON: u32 = 1;
export const DERIVE_LOGFMT: u32 = 2;
export const DERIVE_STRINGS: u32 = 3; // every string value of the record, at any depth

export const CAPTURED_SLOT = 0; // where the capture starts; it ends in the next slot
export const CAPTURED_FIELD = 4;
export const CAPTURED_SIZE = 8;

// A value table interns the strings that rules compare a field with. A value's id is its entry's
// address within the ruleset, so that it is unique over all fields.
export const VALUES_SHIFT = 0; // hashValue >> shift is the bucket
export const VALUES_HEADS = 8; // u32[1 << (64 - shift)]: ruleset offset of each bucket's first value, 0: empty

export const VALUE_TEXT_SIZE = 0;
export const VALUE_TEXT_OFFSET = 4;
export const VALUE_NEXT_OFFSET = 8;
export const VALUE_GATE = 12; // gate that it opens, or 0
export const VALUE_SIZE = 16;

// A gate is a value that a record must have for some steps to match. Gate 0 is open for every record.
export const GATE_INDEX_MASK = 0; // the needle indexes that its steps use, a bit each
export const GATE_STEPS_OFFSET = 4; // steps with this gate and no needle: u32 each
export const GATE_STEP_COUNT = 8;
export const GATE_SIZE = 12;

// ── Needles: literals that a text must contain for a pattern to match it ────────────────────────────
// A needle is up to 8 bytes, each or-ed with FOLD_BYTE, which joins upper and lower case (and more: a
// needle only finds candidates). Its gram is GRAM_SIZE_… bytes of it: the text is sampled at
// every `step`-th byte, and a needle that is `step - 1` bytes longer than a gram has one gram for each
// phase, so that no occurrence can slip between two samples.
export const FOLD_BYTE = 0x20;
export const GRAM_SIZE_LONG = 4;
export const GRAM_SIZE_SHORT = 2;
export const NEEDLE_SIZE_MAX = 8;
export const INDEX_MASK_BITS: u32 = 32; // the last bit of GATE_INDEX_MASK stands for all indexes from 31 on

export const INDEX_FIELD = 0;
export const INDEX_GRAM_SIZE = 4;
export const INDEX_STEP = 8;
export const INDEX_SHIFT = 12; // gram * GRAM_FACTOR (32 bits) >> shift is the bucket
export const INDEX_HEADS_OFFSET = 16; // u16[1 << (32 - shift)]: index + 1 of the bucket's first gram, 0: empty
export const INDEX_GRAMS_OFFSET = 20;
export const INDEX_NEEDLES_OFFSET = 24;
export const INDEX_FIRST_NEEDLE = 28; // counted over all indexes
export const INDEX_SIZE = 32;
export const GRAM_FACTOR: u32 = 0x9e3779b1;

// A bucket is a run of entries. Many needles may share a gram (`/svc-1/`, `/svc-2/`, …): those of one size and one
// GRAM_BACK are then a group, an entry that counts them and after it their own, sorted by NEEDLE_WORD.
export const GRAM_NEEDLE = 0; // u16, within the index; of a group its count
export const GRAM_BACK = 2; // u8, bytes from the needle's first byte to the gram
export const GRAM_FLAGS = 3; // u8
export const GRAM_SIZE = 4;
export const GRAM_IS_LAST: u32 = 1; // entry, or group, of its bucket
export const GRAM_IS_GROUP: u32 = 2;
export const GROUP_COUNT_MIN = 8; // fewer are compared one by one

export const NEEDLE_WORD = 0; // u64, the folded bytes
export const NEEDLE_MASK = 8; // u64, 0xff for each byte that counts
export const NEEDLE_STEPS_OFFSET = 16; // WAITING_…, their gates ascending
export const NEEDLE_STEP_COUNT = 20;
export const NEEDLE_SIZE = 24;

export const WAITING_GATE = 0; // that must be open
export const WAITING_STEP = 4; // for this step to become a candidate
export const WAITING_SIZE = 8;

// ── Steps: what a record must meet ──────────────────────────────────────────────────────────────────
// A rule has one step, a sequence has several. Code is a decision graph, cheapest atoms first.
export const STEP_CODE_OFFSET = 0;
export const STEP_RULE = 4;
export const STEP_ORDINAL = 8; // 0 for the first step of its rule
export const STEP_EXTRACTS_OFFSET = 12; // patterns whose captures the templates use
export const STEP_EXTRACT_COUNT = 16;
export const STEP_SIZE = 20;

export const CODE_ATOM = 0;
export const CODE_ON_TRUE = 4; // u16, index of the next instruction of this step, or CODE_MATCH, CODE_FAIL
export const CODE_ON_FALSE = 6; // u16
export const CODE_SIZE = 8;
export const CODE_MATCH: u32 = 0xffff;
export const CODE_FAIL: u32 = 0xfffe;

export const EXTRACT_PATTERN = 0; // offset of the pattern
export const EXTRACT_FIELD = 4;
export const EXTRACT_SLOT = 8; // its first slot among the rule's
export const EXTRACT_SIZE = 12;

// ── Atoms: tests of one field ───────────────────────────────────────────────────────────────────────
export const ATOM_OP = 0;
export const ATOM_FIELD = 4;
export const ATOM_A = 8; // offset of the text, the value, the pattern or the number
export const ATOM_B = 12; // size of the text, or the count of values
export const ATOM_SIZE = 16;

export const OP_EXISTS: u32 = 0;
export const OP_TYPE: u32 = 1; // A is one of TYPE_…
export const OP_VALUE: u32 = 2; // a string, equal to the value at A
export const OP_VALUES: u32 = 3; // a string, equal to one of B values, u32 each at A, ascending
export const OP_STARTS: u32 = 4;
export const OP_ENDS: u32 = 5;
export const OP_EQUAL: u32 = 6; // a number: A is a NUMBER_… record
export const OP_LESS: u32 = 7; // a number, or a string that is wholly one
export const OP_LESS_OR_EQUAL: u32 = 8;
export const OP_PATTERN: u32 = 9; // A is a pattern
export const OP_WORDS: u32 = 10; // A is a WORDS_… record
export const OP_GREATER: u32 = 11; // like OP_LESS
export const OP_GREATER_OR_EQUAL: u32 = 12;
export const OP_SAME_NUMBER: u32 = 13;
export const OP_EACH: u32 = 14; // a list: one of its values meets all of B atoms, u32 each at A
export const OP_ACTIVE: u32 = 15; // the event time is in ACTIVE_…, at A

// Times of a week in some time zone. A shift is a change of the zone's distance from UTC.
export const ACTIVE_SPANS_OFFSET = 0; // SPAN_…, ascending, none overlaps another
export const ACTIVE_SPAN_COUNT = 4;
export const ACTIVE_SHIFTS_OFFSET = 8; // SHIFT_…, ascending; the first one is for all time before the second
export const ACTIVE_SHIFT_COUNT = 12;
export const ACTIVE_SIZE = 16;

export const SPAN_START = 0; // minute of the week, from Monday 00:00 on
export const SPAN_END = 4; // exclusive
export const SPAN_SIZE = 8;

export const SHIFT_FROM = 0; // u32, seconds since 1970
export const SHIFT_SECONDS = 4; // i32, local time − UTC
export const SHIFT_SIZE = 8;

// Texts of which one must be in a text: one automaton for all of them (Aho and Corasick). It reads classes of bytes: 0 is a
// byte that none of the texts has, classes 1 to WORDS_ROOT_COUNT begin one. A state is the index of its node, a u32:
// fail << 9 | (a text ends here) << 8 | count of edges, and after it the edges: state << 8 | class. State 0, the root, has
// no node: at index c is the state to which class c leads from it.
export const WORDS_CLASSES_OFFSET = 0; // u8[256]
export const WORDS_ROOT_COUNT = 4;
export const WORDS_SIZE_MAX = 8; // bytes that the longest text can take
export const WORDS_AT_START = 12; // 1 when the text must begin with one of them
export const WORDS_AT_END = 16; // 1 when the text must end with one of them
export const WORDS_NODES = 20;
export const WORDS_ROOT: u32 = 0;
export const WORDS_MATCHED: u32 = 1; // a state without a node
export const WORDS_STATE_COUNT_MAX = 0x7fffff; // a fail has 23 bits

// A number as decimal digits: (-1)^sign × 0.d₁d₂d₃… × 10^exponent, with d₁ not 0; zero has no digits.
export const NUMBER_SIGN = 0;
export const NUMBER_EXPONENT = 4; // i32
export const NUMBER_DIGIT_COUNT = 8;
export const NUMBER_DIGITS = 12; // u8 each, 0 to 9

// Types of a value in a record.
export const TYPE_ABSENT: u32 = 0;
export const TYPE_STRING: u32 = 1;
export const TYPE_NUMBER: u32 = 2;
export const TYPE_TRUE: u32 = 3;
export const TYPE_FALSE: u32 = 4;
export const TYPE_NULL: u32 = 5;
export const TYPE_OBJECT: u32 = 6;
export const TYPE_ARRAY: u32 = 7;

// ── Patterns ────────────────────────────────────────────────────────────────────────────────────────
// The program is always there; the automaton only while it is small (it answers yes or no, faster).
export const PATTERN_PROGRAM_OFFSET = 0;
export const PATTERN_INSTRUCTION_COUNT = 4;
export const PATTERN_DFA_OFFSET = 8; // 0: none
export const PATTERN_SLOT_COUNT = 12; // 2 for each named capture
export const PATTERN_FIRST_BYTE = 16; // every match begins with this byte, or NONE
export const PATTERN_ANCHORED = 20; // 1 when a match can only begin at the start of the text
export const PATTERN_CAPTURES_FIRST = 24; // 1: ask the program at once, an alert will want its captures
export const PATTERN_SIZE = 28;

// A program works on code points. An instruction is 4 bytes: op, and 24 bits of operand; what is not a
// jump continues at the next instruction.
export const INSTRUCTION_SIZE = 4;
export const RUN_CHAR: u32 = 0; // operand: the code point
export const RUN_SET: u32 = 1; // operand: index of the set
export const RUN_SPLIT: u32 = 2; // prefers the next instruction; operand: the other one
export const RUN_SPLIT_AWAY: u32 = 3; // prefers the operand
export const RUN_JUMP: u32 = 4;
export const RUN_SAVE: u32 = 5; // operand: the slot
export const RUN_ASSERT: u32 = 6; // operand: one of ASSERT_…
export const RUN_MATCH: u32 = 7;
export const RUN_FAIL: u32 = 8;
export const RUN_SKIP: u32 = 9; // reads all code points of the set (operand) that come next: the one after them is not in it

export const ASSERT_TEXT_START: u32 = 0;
export const ASSERT_TEXT_END: u32 = 1;
export const ASSERT_LINE_START: u32 = 2;
export const ASSERT_LINE_END: u32 = 3;
export const ASSERT_WORD_BOUNDARY: u32 = 4;
export const ASSERT_NOT_WORD_BOUNDARY: u32 = 5;

// A set of code points: a bitmap below 128, sorted ranges above.
export const SET_BITMAP = 0; // u32[SET_BITMAP_WORDS]
export const SET_BITMAP_WORDS = 4;
export const SET_RANGES_OFFSET = 16; // RANGE_…, ascending
export const SET_RANGE_COUNT = 20;
export const SET_SIZE = 24;

export const RANGE_LOW = 0;
export const RANGE_HIGH = 4; // inclusive
export const RANGE_SIZE = 8;

// The automaton reads bytes, answers at the first byte that decides, and takes one more step at the end of
// the text. States are sorted: 0 is dead, 1 has matched, the rest continue. In a wide automaton (2 bytes per
// state) a state is named by the index of its row's first entry, so that a step is one add and one load; a
// narrow one (1 byte) is half as large.
export const DFA_CLASSES_OFFSET = 0; // u8[256]: byte class of each byte (shared between automata)
export const DFA_STRIDE = 4; // entries per row: the byte classes, and last the end of the text
export const DFA_WIDTH = 8;
export const DFA_START = 12; // state
export const DFA_PREFIX_OFFSET = 16; // bytes that a text must begin with; the automaton reads on after them
export const DFA_PREFIX_SIZE = 20;
export const DFA_ROWS = 24; // rows of states 2 and up
export const DFA_DEAD: u32 = 0;
export const DFA_MATCHED: u32 = 1;
export const DFA_FIRST_ROW: u32 = 2;

// ── Rules and templates ─────────────────────────────────────────────────────────────────────────────
export const RULE_NAME_OFFSET = 0;
export const RULE_NAME_SIZE = 4;
export const RULE_LABELS_OFFSET = 8;
export const RULE_LABEL_COUNT = 12;
export const RULE_ANNOTATIONS_OFFSET = 16;
export const RULE_ANNOTATION_COUNT = 20;
export const RULE_KIND = 24; // one of KIND_…
export const RULE_COUNT = 28; // threshold: the count; absence: fewer matches than this are too few; ratio: the least number; sequence: its places
export const RULE_REALERT_MS = 32; // u64
export const RULE_WINDOW_MS = 40; // u64: within, or for
export const RULE_BY_MASK = 48; // u64, the labels named in `by`, a bit each
export const RULE_DISTINCT_FIELD = 56; // or NONE
export const RULE_ALERTNAME_LABEL = 60; // u16, label index: alerts are grouped by these two
export const RULE_NAMESPACE_LABEL = 62; // u16, or NO_LABEL
export const RULE_FINGERPRINT = 64; // u64: the same rule has the same one in every rules file
export const RULE_COUNTING_OFFSET = 72; // a COUNTING_… record: most rules share one
export const RULE_SIZE = 80;

// What few rules say of how their hits are counted.
export const COUNTING_RESOLVE_MS = 0; // u64: after so long without a match an alert is resolved; 0: it is not
export const COUNTING_LEARN_MS = 8; // u64: first seen: how long nothing is new from the start on
export const COUNTING_SAMPLE_SLICE_MS = 16; // u64: texts are kept for this time at least, and for twice as long at most
export const COUNTING_SAMPLE_OFFSET = 24; // a TEMPLATE_… record: the text that is kept of each match; 0: none is
export const COUNTING_SAMPLE_FIRST = 28; // how many of the first texts are kept,
export const COUNTING_SAMPLE_LAST = 32; // and of the last
export const COUNTING_STEP_COUNT = 36; // what a hit's ordinal is below
export const COUNTING_STEPS_OFFSET = 40; // of a sequence, SEQUENCE_… for each step
export const COUNTING_ORDER = 44; // of a sequence, flags ORDER_…
export const COUNTING_ABOVE = 48; // ratio: the share above which there is an alert, in parts of SHARE_UNIT
export const COUNTING_SIZE = 52;

// The rules, sorted by fingerprint: a hit names its rule by it.
export const FINGERPRINT_RULE_OFFSET = 0;
export const FINGERPRINT_SIZE = 4;

export const NO_LABEL: u32 = 0xffff;

export const TIME_FIELD = 0;
export const TIME_FORMAT = 4; // one of TIME_ANY…, or the offset of a format as for strptime, with a 0 at its end
export const TIME_PATH_OFFSET = 8; // the field's path as a JSON array, for messages
export const TIME_PATH_SIZE = 12;
export const TIME_SIZE = 16;

export const TIME_ANY: u32 = 0; // a number, or a string in RFC 3339
export const TIME_LIKELY: u32 = 1; // the same, from 2001 to 2106: of a field that need not be a time
export const TIME_RFC3339: u32 = 2; // a string
export const TIME_EPOCH: u32 = 3; // a number, or a string that is one
export const TIME_FORMATS: u32 = 4; // a larger number is an offset

// What the door `timeFault` returns; a larger number is a field (TIME_FAULT_FIELDS and its index) that cannot be read.
export const TIME_FAULT_NONE = 0; // the record says its time, or nobody asked
export const TIME_FAULT_MISSING = 1; // it has none of the fields
export const TIME_FAULT_FIELDS = 2;

export const KIND_EACH: u32 = 0;
export const KIND_THRESHOLD: u32 = 1;
export const KIND_SEQUENCE: u32 = 2;
export const KIND_ABSENCE: u32 = 3;
export const KIND_FIRST_SEEN: u32 = 4;
export const KIND_RATIO: u32 = 5; // a record meets one of two steps: RATIO_REST, RATIO_PART
export const RATIO_REST: u32 = 0; // it counts for the whole only
export const RATIO_PART: u32 = 1;
export const SHARE_UNIT = 10000; // a hundredth of a percent

// A step of a sequence that must be met has as many places as it counts matches, one after the other (count.ts says how a
// match goes on from place to place). An `unless` names the places whose chains it takes back.
export const SEQUENCE_KIND = 0; // u16, one of PLACES_…
export const SEQUENCE_PLACE = 2; // u16, the first place
export const SEQUENCE_COUNT = 4; // u16
export const SEQUENCE_SIZE = 8;

export const PLACES_MET: u32 = 0;
export const PLACES_TAKEN_BACK: u32 = 1; // `unless` between two steps, or in a set
export const PLACES_BARRED: u32 = 2; // `unless` before all others: nothing begins within the window after it
export const PLACES_ENDED: u32 = 3; // `unless` after all others: nothing is told if it comes within the window

export const ORDER_ANY: u32 = 1; // a set
export const ORDER_HAS_LEAD: u32 = 2; // place 0 is none of a step: it says how far the era has come
export const ORDER_WAITS: u32 = 4; // the last step is an `unless`: alerts are told by the clock

export const TEMPLATE_KEY_OFFSET = 0; // the name as a JSON key after another member: `,"name":`
export const TEMPLATE_NAME_SIZE = 4; // u16, without comma, quotes and colon
export const TEMPLATE_REQUIRES = 6; // u16, a label (index) that must not be empty, or NO_LABEL
export const TEMPLATE_PARTS_OFFSET = 8;
export const TEMPLATE_PART_COUNT = 12;
export const TEMPLATE_SIZE = 16;

// A reference with functions is several parts in a row: all but the first are PART_CHAINED, and continue with the text so far.
// A chained source is taken when that text is empty; a function changes it.
export const PART_KIND = 0; // and PART_CHAINED
export const PART_A = 4; // offset of the text, or the field, the slot, the label; of PART_TRUNCATE the most characters
export const PART_B = 8; // size of the text
export const PART_SIZE = 12;

export const PART_TEXT: u32 = 0;
export const PART_RECORD: u32 = 1;
export const PART_CAPTURE: u32 = 2;
export const PART_LABEL: u32 = 3;
export const PART_VALUE: u32 = 4; // the count of a threshold, 1 without one
export const PART_SUPPRESSED: u32 = 5; // suppressed matches of this label set since its last alert; empty when none
export const PART_OTHERS: u32 = 6; // suppressed matches of other label sets; empty when none
export const PART_FIRST: u32 = 7; // the first of those label sets; empty when none
export const PART_SAMPLES: u32 = 8; // texts of the matches that an alert stands for, one a line
export const PART_UPPER: u32 = 32; // the first of the functions
export const PART_LOWER: u32 = 33;
export const PART_TRIM: u32 = 34;
export const PART_TRUNCATE: u32 = 35;
export const PART_SLACK_ESCAPE: u32 = 36;
export const PART_HUMANIZE: u32 = 37; // the first of those that write numbers
export const PART_HUMANIZE_1024: u32 = 38;
export const PART_HUMANIZE_DURATION: u32 = 39;
export const PART_HUMANIZE_PERCENTAGE: u32 = 40;
export const PART_HUMANIZE_TIMESTAMP: u32 = 41;
export const PART_CHAINED: u32 = 0x100;

// ── Limits, each with its reason ────────────────────────────────────────────────────────────────────
export const EXACT_COUNT_MAX: u32 = 50; // counts of a threshold up to which its window is exact: 20 slots a key
export const DISTINCT_COUNT_MAX: u32 = 250; // values told apart for a key: 50 slots
export const SEQUENCE_STEPS_MAX = 16; // nobody reads a longer story; `explain` shows each
export const SEQUENCE_PLACES_MAX = 200; // matches that the steps of a sequence count together: 67 slots a key
export const ABSENCE_LABELS_SIZE_MAX = 1000; // bytes of the label values of one key: 25 slots
export const KEY_COUNT_DEFAULT = 16384; // 1 MiB of state
export const KEY_COUNT_MAX = 1000000;
export const RATE_COUNT_DEFAULT = 20; // alerts a second: Slack takes 1 per second and channel, more in bursts
export const DUE_COUNT_MAX: u32 = 50; // absences that one body carries; the next call adds the rest
export const RECORD_SIZE_MAX: u32 = 0x2000000; // 32 MiB: above any record that Kafka or Fluent Bit carries
export const NESTING_MAX = 1024; // a bit for each level of a record; nobody nests deeper on purpose
export const LABEL_VALUE_SIZE_MAX = 1024; // Grafana Loki and Cortex refuse values longer than 2,048 by default
export const ANNOTATION_SIZE_MAX = 4096; // a Slack section shows 3,000 characters
export const FIRST_SIZE_MAX = 512; // bytes of the first suppressed label sets in an alert: two or three sets
export const SAMPLE_SIZE_MAX = 256; // bytes of the text of one match: two or three lines of a chat; 7 slots
export const SAMPLE_COUNT_MAX = 5; // first texts, and last ones, that a key keeps
export const ALERT_COUNT_MAX: u32 = 1000; // alerts of a body: nobody reads more about one record; the rest is counted (`truncatedAlerts`, `suppressed_others`)
export const BODY_SIZE_MAX: u32 = 0x1000000; // 16 MiB of alerts, as long as escapes could make them: a receiver must take it in one request
export const LIST_COUNT_MAX: u32 = 16384; // values of all lists of a record: 1.3 MB; a record of that many is no log line
export const CAPTURE_COUNT_MAX = 32; // named groups of a pattern: nobody reads an alert with more values; sizes a static buffer
export const BUDGET_STEPS_MAX: u32 = 0x10000000; // work of a record: half a second in V8, when a byte through an automaton takes 2 ns
export const SEARCH_STEPS_PER_BYTE_MAX: u32 = 32; // of one pattern in one text: about 50 times what a plain word costs
export const SEARCH_STEPS_MIN: u32 = 0x1000000; // of one pattern in a short text: some 16 ms
export const LAZY_SIZE_MAX: u32 = 0x200000; // 2 MiB of states that a search makes as it reads; when it is full, they are dropped
export const BACKTRACK_BITS_MAX: u32 = 0x200000; // 256 KiB of visited bits; a longer search runs in lockstep

// ── What a door returns ─────────────────────────────────────────────────────────────────────────────
export const NO_ALERT = 0;
export const ALERT = 1;
export const MALFORMED = 2;
export const TOO_LARGE = 3;
export const UNKNOWN_RULE = 4; // a hit of a rule that is not in this ruleset
export const HIT = 1; // from a door that matches: `hits` writes them
export const MARKS = 5; // from `due`: no alert, but marks that must be kept
export const FLAG_WHOLE = 1; // read the record to its end, to find out whether it is JSON
export const FLAG_SILENT = 2; // for a hit that was counted before: it makes no alert
export const FLAG_RECORD_TIME = 4; // prefer the record's `@timestamp` to the given time
export const FLAG_TOLD = 8; // for a hit that was counted before, and whose alert was told
export const FLAG_HITS = 16; // keep the hits for `writeHits`: count nothing
export const FLAG_EXPECT = 32; // this is the whole stream: an absence with only one key is waited for from the first record on
