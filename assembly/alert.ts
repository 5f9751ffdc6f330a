// The alerts of one call, until their body is written (`body`): which alerts, how much room they take, and what to
// remember when they have been told.
import * as layout from './layout';
import { BLOCK_EXTRA, allocate } from './memory';
import { JSON_BYTE_SIZE_MAX } from './output';
import { clearWords, sizeOf } from './bytes';
import {
  NOTHING,
  STAGE_COUNT,
  SUBJECT_FIRST,
  SUBJECT_LABELS,
  SUBJECT_SAMPLES,
  SUBJECT_SIZE,
  SUBJECT_STAGE,
  allocateReferences,
  annotationSizeMax,
  nameOf,
  renderAnnotations,
  takeGiven,
  templateCountOf,
  templatesOf,
} from './template';

export const FIRING: u32 = 0;
export const RESOLVED: u32 = 1;
export const NO_END: i64 = i64.MIN_VALUE;

// An alert begins with the fields of a template's subject.
export const ALERT_NEXT = SUBJECT_SIZE;
export const ALERT_RULE = SUBJECT_SIZE + 4;
export const ALERT_STATUS = SUBJECT_SIZE + 8;
export const ALERT_ANNOTATIONS = SUBJECT_SIZE + 12; // references, one per annotation template
export const ALERT_STARTS = SUBJECT_SIZE + 16; // i64, ms
export const ALERT_ENDS = SUBJECT_SIZE + 24; // i64, ms, or NO_END
export const ALERT_FINGERPRINT = SUBJECT_SIZE + 32; // u64
export const ALERT_EFFECT = SUBJECT_SIZE + 40; // one of EFFECT_…, and what it applies to:
export const ALERT_KEY = SUBJECT_SIZE + 48; // u64
export const ALERT_TENANT = SUBJECT_SIZE + 56; // u64
export const ALERT_TIME = SUBJECT_SIZE + 64; // i64
export const ALERT_SAMPLES_KEY = SUBJECT_SIZE + 72; // u64, of the samples that have been told with it, if ALERT_HAS_SAMPLES
export const ALERT_HAS_SAMPLES = SUBJECT_SIZE + 80;
const ALERT_SIZE: usize = SUBJECT_SIZE + 88;

// What to remember when an alert has been told.
export const EFFECT_COOL_DOWN: u32 = 1; // the cool-down of the label set KEY begins
export const EFFECT_MISSING: u32 = 2; // the absence of KEY has been told
export const EFFECT_OVERDUE: u32 = 3; // that the sequence of KEY, which began at TIME, did not end
export const EFFECT_RESOLVED: u32 = 4; // the trouble of the label set KEY is over

let firstAlert: usize = 0;
let last: usize = 0;
let jsonSize: usize = 0; // bytes that the alerts may take in the body; below, the first alert alone
let firstJsonSize: usize = 0;
let alertCount: u32 = 0;
let refusedCount: u32 = 0; // alerts that the body has no room for

export function beginAlerts(): void {
  firstAlert = 0;
  last = 0;
  jsonSize = 0;
  firstJsonSize = 0;
  alertCount = 0;
  refusedCount = 0;
}

/** The first alert of the body, or 0; the others follow by ALERT_NEXT. */
export function alerts(): usize {
  return firstAlert;
}

export function lastAlert(): usize {
  return last;
}

export function hasAlerts(): bool {
  return firstAlert != 0;
}

export function hasOneAlert(): bool {
  return load<usize>(firstAlert, ALERT_NEXT) == 0;
}

/** Alerts that the body has no room for. */
export function refusedAlerts(): u32 {
  return refusedCount;
}

/** Makes a firing alert of a rule with these labels and their fingerprint, for the caller to fill in and add; 0: no memory. */
export function newAlert(rule: usize, labels: usize, hash: u64): usize {
  const alert = allocate(ALERT_SIZE);
  if (alert == 0) return 0;
  clearWords(alert, ALERT_SIZE);
  store<usize>(alert, rule, ALERT_RULE);
  store<usize>(alert, labels, SUBJECT_LABELS);
  store<u64>(alert, NOTHING, SUBJECT_FIRST);
  store<u64>(alert, NOTHING, SUBJECT_SAMPLES);
  store<u32>(alert, STAGE_COUNT, SUBJECT_STAGE);
  store<i64>(alert, NO_END, ALERT_ENDS);
  store<u64>(alert, hash, ALERT_FINGERPRINT);
  return alert;
}

/** Adds an alert to the body. `given` are the annotations that came with its hit, or 0. */
export function addAlert(alert: usize, given: usize): void {
  const rule = load<usize>(alert, ALERT_RULE);
  const references = allocateReferences(rule, false);
  if (references == 0) return;
  store<usize>(alert, references, ALERT_ANNOTATIONS);
  renderAnnotations(rule, references, alert);
  if (given != 0) takeGiven(rule, given, references, alert);
  if (last) store<usize>(last, alert, ALERT_NEXT);
  else firstAlert = alert;
  last = alert;
}

// ── How large an alert may become ───────────────────────────────────────────────────────────────────
// Memory for alerts is reserved before the state changes, so that no cool-down begins for an alert that then has no
// room. These are upper bounds: each text counts as long as JSON can make it.

const ALERT_TEXTS_SIZE_MAX: usize = 256; // TEXT_ALERT_… to TEXT_ALERT_END, two times and a fingerprint
const BODY_TEXTS_SIZE_MAX: usize = 512; // all other texts of a body, including those of the edge's record

/** Bytes that an alert of a hit may take in the body. `hit` 0: an alert with kept labels. */
export function alertSizeMax(rule: usize, hit: usize): usize {
  let size = ALERT_TEXTS_SIZE_MAX;
  let template = templatesOf(rule, true);
  const labels = hit == 0 ? <usize>0 : load<usize>(hit, SUBJECT_LABELS);
  let textsSize = labels == 0 ? <usize>layout.ABSENCE_LABELS_SIZE_MAX : 0;
  const labelCount = templateCountOf(rule, true);
  for (let i: u32 = 0; i < labelCount; i++) {
    size += memberSizeMax(template, 0);
    if (labels != 0) textsSize += sizeOf(load<u64>(labels + ((<usize>i) << 3)));
    template += layout.TEMPLATE_SIZE;
  }
  size += textsSize * JSON_BYTE_SIZE_MAX;
  template = templatesOf(rule, false);
  for (let left = templateCountOf(rule, false); left != 0; left--) {
    size += memberSizeMax(template, annotationSizeMax(template, hit));
    template += layout.TEMPLATE_SIZE;
  }
  return size;
}

/** Bytes that the blocks of an alert may take, for a `size` from `alertSizeMax`. */
export function alertBlocksSizeMax(rule: usize, size: usize): usize {
  const count = <usize>templateCountOf(rule, false);
  return ALERT_SIZE + 2 * BLOCK_EXTRA + 8 + count * (8 + BLOCK_EXTRA) + size;
}

/** Bytes that a body may need when its alerts take `size` together, in all forms that the doors return. */
export function bodySizeMax(size: usize, firstSize: usize): usize {
  // The edge writes it again, as a string; and an annotation is copied while it is rendered.
  return bodyRoom(size, firstSize) * 3 + layout.ANNOTATION_SIZE_MAX + 4 * BLOCK_EXTRA;
}

/** Like `bodySizeMax`, for the alerts so far and one more. */
export function bodySizeWith(size: usize): usize {
  return bodySizeMax(jsonSize + size, max(firstJsonSize, size));
}

/** Bytes that the body of the alerts may take. */
export function bodyRoomNeeded(): usize {
  return bodyRoom(jsonSize, firstJsonSize);
}

/** What all alerts have in common is in the first, and is written again after all of them: labels even twice. */
function bodyRoom(size: usize, firstSize: usize): usize {
  return BODY_TEXTS_SIZE_MAX + size + 2 * firstSize;
}

/** Takes room for an alert of this `alertSizeMax`. False when the body has no room left. */
export function takeRoom(size: usize): bool {
  if (alertCount == layout.ALERT_COUNT_MAX || jsonSize + size > layout.BODY_SIZE_MAX) {
    refusedCount++;
    return false;
  }
  if (alertCount == 0) firstJsonSize = size;
  alertCount++;
  jsonSize += size;
  return true;
}

function memberSizeMax(template: usize, textSize: usize): usize {
  return <usize>load<u16>(template, layout.TEMPLATE_NAME_SIZE) + 6 + textSize * JSON_BYTE_SIZE_MAX;
}

// ── Label sets ──────────────────────────────────────────────────────────────────────────────────────

/** The fingerprint of no labels. */
export const FNV_OFFSET: u64 = 14695981039346656037;
const FNV_PRIME: u64 = 1099511628211;
const SEPARATOR: u64 = 0xff;

/** Alertmanager's fingerprint of the labels whose bit is set in `mask` (prometheus/common, model.LabelSet). */
export function fingerprint(rule: usize, references: usize, mask: u64): u64 {
  let template = templatesOf(rule, true);
  let hash = FNV_OFFSET;
  for (let left = templateCountOf(rule, true); left != 0; left--) {
    const size = load<u32>(references, 4);
    if (mask & 1 && size != 0) {
      hash = addToFingerprint(hash, nameOf(template), <u32>load<u16>(template, layout.TEMPLATE_NAME_SIZE));
      hash = addToFingerprint(hash, load<usize>(references), size);
    }
    mask >>= 1;
    references += 8;
    template += layout.TEMPLATE_SIZE;
  }
  return hash;
}

/** Adds a label's name, or its value, to a fingerprint. */
export function addToFingerprint(hash: u64, at: usize, size: usize): u64 {
  for (const end = at + size; at < end; at++) hash = (hash ^ (<u64>load<u8>(at))) * FNV_PRIME;
  return (hash ^ SEPARATOR) * FNV_PRIME;
}

/** Writes the labels' values one after the other, each after its size (u16); returns their end, or 0 when they are too long. */
export function packLabels(rule: usize, references: usize, target: usize, sizeMax: usize): usize {
  const end = target + sizeMax;
  for (let left = templateCountOf(rule, true); left != 0; left--) {
    const size = load<usize>(references, 4);
    if (target + 2 + size > end) return 0;
    store<u16>(target, <u16>size);
    memory.copy(target + 2, load<usize>(references), size);
    target += 2 + size;
    references += 8;
  }
  return target;
}

/** The references to labels that `packLabels` wrote, or 0 when there is no memory. */
export function unpackLabels(rule: usize, packed: usize): usize {
  const references = allocateReferences(rule, true);
  if (references == 0) return 0;
  for (let i: u32 = 0; i < templateCountOf(rule, true); i++) {
    const size = <usize>load<u16>(packed);
    store<usize>(references + ((<usize>i) << 3), packed + 2);
    store<usize>(references + ((<usize>i) << 3), size, 4);
    packed += 2 + size;
  }
  return references;
}
