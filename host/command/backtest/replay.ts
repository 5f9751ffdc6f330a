// Runs records through a rules file as `earshot run` does, and tells of each record which rules it matches.
import { alertsOf } from '../../body.ts';
import type { Matcher } from '../../matcher.ts';
import { ALERT, HIT, MALFORMED, TOO_LARGE, loadModule } from '../../matcher.ts';
import type { Io } from '../command.ts';
import { bakeModule, readRulesFile, requireRuleset } from '../rules-file.ts';
import type { RulesFile } from '../rules-file.ts';
import { timeParts } from '../runner.ts';

/** A match, as the module writes it (assembly/layout.ts). */
export interface Hit {
  alert: string;
  /** Index of the rule. */
  rule: number;
  timeMs: number;
  labels: Record<string, string>;
}

export interface ReplayedAlert {
  status: 'firing' | 'resolved';
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
}

export type OnAlert = (alert: ReplayedAlert) => void;

const NO_HITS: Hit[] = [];

export class Replay {
  readonly rules: RulesFile;
  /** The module. */
  readonly bytes: Uint8Array;
  /** Counts, as in `run`. */
  readonly matcher: Matcher;
  /** Only matches: of the few records that match it says more. */
  private readonly finder: Matcher;
  private readonly ruleOf: Map<string, number>;
  private matchedSeen = 0;

  private constructor(rules: RulesFile, bytes: Uint8Array, matcher: Matcher, finder: Matcher) {
    this.rules = rules;
    this.bytes = bytes;
    this.matcher = matcher;
    this.finder = finder;
    this.ruleOf = new Map(
      rules.ruleset!.compiled.rules.map(({ fingerprint }, rule) => [
        fingerprint.toString(16).padStart(16, '0'),
        rule,
      ]),
    );
  }

  static async open(paths: string[], io: Io): Promise<Replay> {
    const rules = await readRulesFile(...paths);
    const bytes = await bakeModule(requireRuleset(rules, io));
    const module = await loadModule(bytes);
    return new Replay(rules, bytes, await module.instantiate(), await module.instantiate());
  }

  /** The matches of a record; null when it is none. */
  take(record: Uint8Array, timeMs: number, onAlert: OnAlert): Hit[] | null {
    const [sec, nsec] = timeParts(timeMs);
    const answer = this.matcher.matchWhole(record, sec, nsec);
    if (answer === MALFORMED || answer === TOO_LARGE) return null;
    if (answer === ALERT) this.passOn(onAlert);
    const matched = this.matcher.matchedCount();
    if (matched === this.matchedSeen) return NO_HITS;
    this.matchedSeen = matched;
    return this.finder.find(record, sec, nsec) === HIT ? this.hits() : NO_HITS;
  }

  /** What the last records make due. */
  finish(onAlert: OnAlert): void {
    while (this.matcher.end() === ALERT) this.passOn(onAlert);
  }

  private passOn(onAlert: OnAlert): void {
    for (const alert of alertsOf(Buffer.from(this.matcher.alert())))
      onAlert(JSON.parse(alert.toString()) as ReplayedAlert);
  }

  private hits(): Hit[] {
    const lines = Buffer.from(this.finder.hits('replay')!).toString().trimEnd().split('\n');
    return lines.map(line => {
      const { alert, rule, time, labels } = JSON.parse(line) as Record<'alert' | 'rule' | 'time', string> & {
        labels: Record<string, string>;
      };
      return { alert, rule: this.ruleOf.get(rule)!, timeMs: Date.parse(time), labels };
    });
  }
}
