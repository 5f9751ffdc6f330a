// What names a rule in hits: a hash of all that the rule says. The same rule has the same fingerprint in every rules
// file, wherever it is in the file, so a counter can continue with its hits when other rules change.
import { createHash } from 'node:crypto';
import type { Rule } from './model.ts';

/** One fingerprint per rule, 64 bits each. A rule that is in the file twice has two. */
export function fingerprintsOf(rules: Rule[]): bigint[] {
  const taken = new Set<bigint>();
  return rules.map(rule => {
    const text = JSON.stringify(rule, withoutDerived);
    let copy = 0;
    let fingerprint: bigint;
    do fingerprint = hash(`${copy++} ${text}`);
    while (taken.has(fingerprint));
    taken.add(fingerprint);
    return fingerprint;
  });
}

/** A rule's position and its tests are not part of what it says, and a pattern's tree follows from its source. */
function withoutDerived(key: string, value: unknown): unknown {
  return key === 'span' || key === 'pattern' || key === 'tests' ? undefined : value;
}

function hash(text: string): bigint {
  return createHash('sha256').update(text).digest().readBigUInt64BE();
}
