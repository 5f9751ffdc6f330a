// Without a hits topic each process counts for itself. Two of them see a part of the hits each: a threshold of 20 is reached
// late or never, and an absence is reported although the other one sees its key. So a rule that counts is refused where there
// can be more than one process, if that can be known: KEDA and a Deployment do not say it, Knative's pods have K_SERVICE.

import { UserError } from '../error.ts';
import type { RuleInfo } from '../matcher.ts';
import { hasKafka } from './settings.ts';
import type { Settings } from './settings.ts';

const NAMES_MAX = 10;

/** Throws a UserError that names the rules. */
export function checkReplicas(
  settings: Settings,
  rules: readonly Pick<RuleInfo, 'alert' | 'kind'>[],
  environment: NodeJS.ProcessEnv,
): void {
  if (hasKafka(settings)) return;
  const names = [...new Set(rules.filter(({ kind }) => kind !== 'each').map(({ alert }) => alert))];
  if (names.length === 0) return;
  const isKnative = environment.K_SERVICE !== undefined && settings.replicas === undefined;
  if (!isKnative && (settings.replicas ?? 1) === 1) return;
  const [place, remedy] = isKnative
    ? [
        `the Knative Service ${environment.K_SERVICE} can have any number of pods`,
        'or set the annotation autoscaling.knative.dev/max-scale: "1", and EARSHOT_REPLICAS=1',
      ]
    : [`EARSHOT_REPLICAS is ${settings.replicas}`, 'or run one process, and set EARSHOT_REPLICAS=1'];
  const more = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : '';
  const listed = names.slice(0, NAMES_MAX).map(name => `"${name}"`);
  throw new UserError(
    `${listed.join(', ')}${more}: these rules count, and without a hits topic each process counts for itself; ${place}; ` +
      `set EARSHOT_BROKERS, so that all count together, ${remedy}`,
    2,
  );
}
