// A matcher that speaks of milliseconds of event time and of alerts as plain objects, for the proofs of the state.
import { ALERT, NO_ALERT } from '../../host/matcher.ts';
import type { Matcher } from '../../host/matcher.ts';
import { moduleOf } from '../core.ts';

/** 2023-11-14T22:13:20Z, a multiple of nothing much. */
export const START_MS = 1_700_000_000_000;

export interface Alert {
  status: string;
  name: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsMs: number;
  /** null: it has not ended. */
  endsMs: number | null;
}

/** Times are milliseconds of event time, negative ones too: the record itself carries them. */
export class Teller {
  readonly matcher: Matcher;

  constructor(matcher: Matcher) {
    this.matcher = matcher;
  }

  /** `rules` is the list under `rules:`, or a whole file. */
  static async of(rules: string): Promise<Teller> {
    return new Teller(await (await moduleOf(wholeFile(rules))).instantiate());
  }

  match(record: object, ms: number): Alert[] {
    return this.answer(this.matcher.match(encode(record, ms), 0, 0));
  }

  /** What is due when the stream ends. */
  end(): Alert[] {
    const alerts: Alert[] = [];
    for (;;) {
      const more = this.answer(this.matcher.end());
      if (more.length === 0) return alerts;
      alerts.push(...more);
    }
  }

  /** Everything that fell due. */
  tick(ms: number): Alert[] {
    const alerts: Alert[] = [];
    for (;;) {
      const more = this.answer(this.matcher.tick(Math.floor(ms / 1000), (ms % 1000) * 1_000_000));
      if (more.length === 0) return alerts;
      alerts.push(...more);
    }
  }

  /** Suppressed matches that no alert has reported. */
  suppressed(): number {
    const { byRule, others } = this.matcher.suppressed();
    return byRule.reduce((sum, count) => sum + count, others);
  }

  private answer(answer: number): Alert[] {
    if (answer === NO_ALERT) return [];
    if (answer !== ALERT) throw new Error(`the matcher answered ${answer}`);
    return JSON.parse(Buffer.from(this.matcher.alert()).toString()).alerts.map(readAlert);
  }
}

function wholeFile(rules: string): string {
  if (/^(?:groups|limits):/m.test(rules)) return rules;
  return `groups:\n- name: test\n  rules:\n${rules.replace(/^/gm, '  ')}`;
}

function encode(record: object, ms: number): Buffer {
  return Buffer.from(JSON.stringify({ '@timestamp': new Date(ms).toISOString(), ...record }));
}

type Body = Record<'status' | 'startsAt' | 'endsAt', string> & Pick<Alert, 'labels' | 'annotations'>;

function readAlert({ status, labels, annotations, startsAt, endsAt }: Body): Alert {
  const { alertname, ...own } = labels;
  const endsMs = endsAt.startsWith('0001-') ? null : Date.parse(endsAt);
  return { status, name: alertname!, labels: own, annotations, startsMs: Date.parse(startsAt), endsMs };
}

/** The suppressed matches that alerts report. */
export function toldBy(alerts: Alert[]): number {
  const count = (text: string | undefined) => Number(text ?? 0);
  return alerts.reduce(
    (sum, { annotations }) => sum + count(annotations.suppressed) + count(annotations.suppressed_others),
    0,
  );
}
