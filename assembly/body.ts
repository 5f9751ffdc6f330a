// The body: Go's JSON of Alertmanager's `template.Data` (prometheus/alertmanager, template/template.go), maps sorted by
// key.
import * as layout from './layout';
import {
  ALERT_ANNOTATIONS,
  ALERT_ENDS,
  ALERT_FINGERPRINT,
  ALERT_NEXT,
  ALERT_RULE,
  ALERT_STARTS,
  ALERT_STATUS,
  FIRING,
  NO_END,
  alerts,
  bodyRoomNeeded,
  hasOneAlert,
  refusedAlerts,
} from './alert';
import { addressOf, sameBytes, sizeOf } from './bytes';
import { RULESET, isExhausted } from './memory';
import {
  beginOutput,
  outputMark,
  repeat,
  retreat,
  write,
  writeByte,
  writeConstant,
  writeHash,
  writeMember,
  writeMoment,
} from './output';
import { SUBJECT_LABELS, digitsOf, nameOf, templateCountOf, templatesOf } from './template';

// Where the body's array of alerts is in the output, including the brackets.
let arrayMark: usize = 0;
let arrayEnd: usize = 0;

/** Where the array of alerts begins in the body, and where it ends: Alertmanager takes only the array. */
export function alertsFrom(): usize {
  return arrayMark;
}

export function alertsTo(): usize {
  return arrayEnd;
}

// Where the last alert's labels and annotations are in the output.
let labelsMark: usize = 0;
let labelsEnd: usize = 0;
let annotationsMark: usize = 0;
let annotationsEnd: usize = 0;

/** Writes the body of the alerts; false when there is no memory. */
export function writeBody(): bool {
  beginOutput(bodyRoomNeeded());
  writeConstant(isAnyFiring() ? layout.TEXT_BODY_FIRING : layout.TEXT_BODY_RESOLVED);
  arrayMark = outputMark() - 1;
  for (let alert = alerts(); alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    if (alert != alerts()) writeByte(0x2c);
    writeAlert(alert);
  }
  arrayEnd = outputMark() + 1;
  writeConstant(layout.TEXT_GROUP_LABELS);
  writeGroup();
  writeConstant(layout.TEXT_COMMON_LABELS);
  writeCommon(true);
  writeConstant(layout.TEXT_COMMON_ANNOTATIONS);
  writeCommon(false);
  writeConstant(layout.TEXT_CLOSING);
  if (refusedAlerts() != 0) writeTruncated();
  return !isExhausted();
}

// prettier-ignore
const truncatedKey: usize = memory.data<u8>([
  0x2c, 0x22, 0x74, 0x72, 0x75, 0x6e, 0x63, 0x61, 0x74, 0x65, 0x64, // ,"truncated
  0x41, 0x6c, 0x65, 0x72, 0x74, 0x73, 0x22, 0x3a, // Alerts":
]);
const TRUNCATED_KEY_SIZE: usize = 19;

/** Writes how many alerts the body had no room for, under the name that Alertmanager's webhooks use. */
function writeTruncated(): void {
  retreat(1); // the closing brace
  write(truncatedKey, TRUNCATED_KEY_SIZE);
  const digits = digitsOf(refusedAlerts());
  write(addressOf(digits), sizeOf(digits));
  writeByte(0x7d);
}

/** A body is resolved when each of its alerts is, as in Alertmanager. */
function isAnyFiring(): bool {
  for (let alert = alerts(); alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    if (load<u32>(alert, ALERT_STATUS) == FIRING) return true;
  }
  return false;
}

function writeAlert(alert: usize): void {
  const rule = load<usize>(alert, ALERT_RULE);
  writeConstant(
    load<u32>(alert, ALERT_STATUS) == FIRING ? layout.TEXT_ALERT_FIRING : layout.TEXT_ALERT_RESOLVED,
  );
  labelsMark = outputMark();
  writePairs(templatesOf(rule, true), templateCountOf(rule, true), referencesOf(alert, true));
  labelsEnd = outputMark();
  writeConstant(layout.TEXT_ANNOTATIONS);
  annotationsMark = outputMark();
  writePairs(templatesOf(rule, false), templateCountOf(rule, false), referencesOf(alert, false));
  annotationsEnd = outputMark();
  writeConstant(layout.TEXT_STARTS_AT);
  writeMoment(load<i64>(alert, ALERT_STARTS));
  const endsAt = load<i64>(alert, ALERT_ENDS);
  if (endsAt == NO_END) writeConstant(layout.TEXT_NO_END);
  else {
    writeConstant(layout.TEXT_ENDS_AT);
    writeMoment(endsAt);
    writeConstant(layout.TEXT_FINGERPRINT);
  }
  writeHash(load<u64>(alert, ALERT_FINGERPRINT));
  writeConstant(layout.TEXT_ALERT_END);
}

function writePairs(template: usize, count: u32, references: usize): void {
  let isFirst = true;
  for (; count != 0; count--) {
    if (load<u32>(references, 4) != 0) {
      writePair(template, references, isFirst);
      isFirst = false;
    }
    template += layout.TEMPLATE_SIZE;
    references += 8;
  }
}

function writePair(template: usize, reference: usize, isFirst: bool): void {
  const comma = <usize>isFirst; // of the key: left out
  writeMember(
    RULESET + load<u32>(template, layout.TEMPLATE_KEY_OFFSET) + comma,
    <usize>load<u16>(template, layout.TEMPLATE_NAME_SIZE) + 4 - comma,
    load<usize>(reference),
    load<u32>(reference, 4),
  );
}

/** Writes the labels that Alertmanager would group the body's alerts by: the alert's name, and its namespace. */
function writeGroup(): void {
  const rule = load<usize>(alerts(), ALERT_RULE);
  const isFirst = !writeIfCommon(rule, load<u16>(rule, layout.RULE_ALERTNAME_LABEL), true, true);
  const namespace = <u32>load<u16>(rule, layout.RULE_NAMESPACE_LABEL);
  if (namespace != layout.NO_LABEL) writeIfCommon(rule, namespace, true, isFirst);
}

/** Writes the labels, or annotations, that all alerts of the body have in common. */
function writeCommon(ofLabels: bool): void {
  if (hasOneAlert()) {
    // One alert has all of its own in common: they are in the output already.
    if (ofLabels) repeat(labelsMark, labelsEnd);
    else repeat(annotationsMark, annotationsEnd);
    return;
  }
  const rule = load<usize>(alerts(), ALERT_RULE);
  const count = templateCountOf(rule, ofLabels);
  let isFirst = true;
  for (let i: u32 = 0; i < count; i++) {
    if (writeIfCommon(rule, i, ofLabels, isFirst)) isFirst = false;
  }
}

/** Writes the first alert's label, or annotation, `index` when it is not empty and all other alerts have the same one. */
function writeIfCommon(rule: usize, index: u32, ofLabels: bool, isFirst: bool): bool {
  const template = templatesOf(rule, ofLabels) + <usize>index * layout.TEMPLATE_SIZE;
  const reference = referencesOf(alerts(), ofLabels) + ((<usize>index) << 3);
  if (load<u32>(reference, 4) == 0 || !isCommon(template, reference, ofLabels)) return false;
  writePair(template, reference, isFirst);
  return true;
}

function referencesOf(alert: usize, ofLabels: bool): usize {
  return ofLabels ? load<usize>(alert, SUBJECT_LABELS) : load<usize>(alert, ALERT_ANNOTATIONS);
}

function haveSameName(a: usize, b: usize): bool {
  const size = <u32>load<u16>(a, layout.TEMPLATE_NAME_SIZE);
  return <u32>load<u16>(b, layout.TEMPLATE_NAME_SIZE) == size && sameBytes(nameOf(a), nameOf(b), size);
}

function isCommon(template: usize, reference: usize, ofLabels: bool): bool {
  for (let alert = load<usize>(alerts(), ALERT_NEXT); alert != 0; alert = load<usize>(alert, ALERT_NEXT)) {
    if (!hasPair(alert, template, reference, ofLabels)) return false;
  }
  return true;
}

function hasPair(alert: usize, template: usize, reference: usize, ofLabels: bool): bool {
  const rule = load<usize>(alert, ALERT_RULE);
  const size = load<u32>(reference, 4);
  let other = templatesOf(rule, ofLabels);
  let otherReference = referencesOf(alert, ofLabels);
  for (let left = templateCountOf(rule, ofLabels); left != 0; left--) {
    if (haveSameName(other, template)) {
      return (
        load<u32>(otherReference, 4) == size &&
        sameBytes(load<usize>(otherReference), load<usize>(reference), size)
      );
    }
    other += layout.TEMPLATE_SIZE;
    otherReference += 8;
  }
  return false;
}
