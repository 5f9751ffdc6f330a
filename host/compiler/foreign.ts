// What users of other tools write in a rules file, and what to write instead: the words of Prometheus, Loki, Sigma,
// ElastAlert and Kubernetes, keys in the wrong place, and wishes that are left to other tools on purpose. A hint
// that begins with `use "key"` also says which key was meant, so that this one is not reported as missing.
import { nearest } from '../error.ts';
import * as schema from './schema.ts';
import type { Keys } from './schema.ts';

/** The hint for a key that is not in `keys`. `isAlone`: there is no key beside it. */
export function foreignHint(name: string, keys: Keys, isAlone: boolean): string | undefined {
  if (name === '<<') return schema.MERGE_KEY_HINT;
  const words = FOREIGN_WORDS.get(keys);
  const word = plain(name);
  if (keys === schema.CONDITION_KEYS && isAlone && FIELD_NAMES.includes(word)) return undefined;
  if (keys === schema.CONDITION_KEYS && isAlone && word === 'alert') return ALERTS;
  if (words && Object.hasOwn(words, word)) return words[word];
  return misplacedHint(name, keys);
}

/** In `{message: boom}` they are names of fields, in `{path: log, contains: boom}` they stand for "field". */
const FIELD_NAMES = [
  'message', 'text', 'name', 'path', 'source', 'label', 'key', 'value', 'ip', 'ipaddress', 'network', 'parent', 'change',
  'query', 'search', 'from', 'to', 'column', 'property', 'sum', 'missing',
]; // prettier-ignore

/** `group_by`, `groupBy` and `GROUP-BY` are one word; of `|= "error"` it is the operator. */
function plain(name: string): string {
  const operator = /^(?:\|[=~]|![=~]|=~)/.exec(name)?.[0];
  if (operator !== undefined) return operator;
  return /\w/.test(name) ? name.toLowerCase().replace(/[_\-\s]/g, '') : name;
}

/** The key that a hint names. */
export function meantKey(hint: string | undefined): string | undefined {
  return /^use "(\w+)"/.exec(hint ?? '')?.[1];
}

// -------------------------------------------------------------------------------------------- refused wishes

const METRICS =
  'is the work of metrics: let Fluent Bit make one of the logs (log_to_metrics) and Prometheus alert on it; here "threshold" counts matches';
const AVERAGES = `an average or a sum ${METRICS}`;
const QUANTILES = `a quantile ${METRICS}`;
const SPIKES = `a comparison with an earlier time ${METRICS}`;
const NETWORKS = 'addresses are compared as text: use "startsWith", such as 10.1., or "regex"';
const FIELDS =
  'a test compares a field with a fixed value, not with another field: let Fluent Bit add a field that says whether they are equal';
const ALERTS = 'a rule sees records, not alerts: use inhibit_rules of Alertmanager, or one rule with "all"';

const REFUSED: Record<string, string> = {
  ...each(['avg', 'average', 'mean', 'median', 'sum', 'stddev', 'minimum', 'maximum', 'metricaggregation'], AVERAGES),
  ...each(['quantile', 'percentile', 'percentiles', 'histogramquantile', 'p50', 'p90', 'p95', 'p99', 'p999'], QUANTILES),
  ...each(['spike', 'spikeheight', 'spiketype', 'anomaly', 'trend', 'baseline', 'delta', 'deriv', 'increase', 'change', 'rateofchange', 'comparedto', 'offset', 'previous', 'weekoverweek'], SPIKES),
  ...each(['cidr', 'subnet', 'network', 'iprange', 'ip', 'ipaddress'], NETWORKS),
  ...each(['eqfield', 'equalsfield', 'fieldref', 'samefield', 'sameas', 'comparefield', 'compareto', 'comparekey', 'otherfield'], FIELDS),
  ...each(['alerts', 'inhibit', 'inhibitrules', 'dependson', 'correlation', 'correlate', 'parent'], ALERTS),
}; // prettier-ignore

function each(words: string[], hint: string): Record<string, string> {
  return Object.fromEntries(words.map(word => [word, hint]));
}

// ----------------------------------------------------------------------------------------------------- words

const THRESHOLD = 'write threshold: {count: 20, within: 5m}';
const RATE = 'write threshold: {rate: 5/s, within: 1m}';
const BY = 'write threshold: {count: 20, within: 5m, by: [pod]}; "by" names labels';
const TOO_EARLY = 'a rule sees each record as it comes; nothing is evaluated at intervals';
const TOO_FEW = 'use "threshold" for too few matches: threshold: {below: 10, within: 1h}';
const ROUTES = 'who is told is decided by Notification Manager or Alertmanager, from the labels';
const ANNOTATION = 'put it under "annotations"';
const LABEL = 'put it under "labels"';
const NOT = (operator: string) => `use "not" around a test with "${operator}"`;
const IGNORE_CASE = (operator: string) => `write {field: log, ${operator}: …, ignoreCase: true}`;
const LOGQL = (test: string) => `LogQL's operators are keys of a test here: write ${test}`;

const FOREIGN_WORDS = new Map<Keys, Record<string, string>>([
  [
    schema.FILE_KEYS,
    {
      ...each(['timefield', 'timestampfield', 'timekey', 'timestampkey', 'timestamptype'], 'use "timestamp": {field: time, format: rfc3339}'),
      group: 'a rules file starts with `groups:`, a list of groups with a name and rules',
      ...each(['labels', 'match', 'namespaces', 'realert'], 'put it into a group, beside "name": it is for all rules of that group'),
      spec: 'it belongs in a manifest of Kubernetes, beside apiVersion and kind: write `groups:` here',
      ...each(['route', 'receivers', 'inhibitrules', 'global'], ROUTES),
    },
  ],
  [
    schema.GROUP_KEYS,
    {
      ...each(['interval', 'evaluationinterval', 'queryoffset', 'evaluationdelay'], TOO_EARLY),
      ...each(['limit', 'partialresponsestrategy'], 'leave it out; "limits" of the file bounds the alerts of a second'),
      ...each(['threshold', 'sequence', 'absence', 'annotations'], 'put it into each rule: a group has "match", "labels", "realert" and "namespaces" for all of its rules'),
      ...each(['namespace', 'sourcetenants', 'tenant', 'tenants'], 'use "namespaces", a list: the rules of the group match in these and nowhere else'),
      rule: 'use "rules"',
      title: 'use "name"',
    },
  ],
  [
    schema.RULE_KEYS,
    {
      ...REFUSED,
      // Prometheus and Loki
      expr: 'use "match" for what a record must hold and "threshold" for how many make an alert: nothing evaluates an expression here',
      for: 'use "threshold" for matches that keep coming, "absence" for matches that stay away',
      record: 'a rule here starts with "alert"; recording rules are for metrics',
      interval: TOO_EARLY,
      ...each(['severity', 'team', 'owner', 'namespace', 'pod', 'service', 'env', 'environment', 'cluster', 'priority', 'level', 'tags'], LABEL),
      ...each(['message', 'summary', 'description', 'runbookurl', 'dashboard', 'text', 'body', 'alerttext', 'alertsubject', 'references', 'falsepositives'], ANNOTATION),
      ...each(['counteroverttime', 'countovertime', 'frequency', 'numevents', 'timeframe', 'count', 'within', 'window', 'occurrences', 'times'], THRESHOLD),
      ...each(['rate', 'per', 'persecond', 'ratelimit', 'eps'], RATE),
      ...each(['below', 'lessthan', 'fewer', 'atmost', 'minimumcount'], TOO_FEW),
      ...each(['groupby', 'querykey', 'by', 'aggregationkey', 'keyby', 'partitionby'], BY),
      ...each(['json', 'logfmt', 'unpack', 'decode', 'decodejson', 'parser', 'parsers', 'extract'], 'use "parse", such as parse: {log: json}'),
      ...each(['distinct', 'cardinality', 'cardinalityfield', 'maxcardinality', 'unique'], 'write threshold: {count: 20, within: 5m, distinct: kubernetes.pod_name}'),
      ...each(['flatline', 'missing', 'heartbeat', 'deadman', 'nodata', 'absent'], 'use "absence" for matches that stay away: absence: {for: 10m}; for too few of them write threshold: {below: 10, within: 1h}'),
      ...each(['percentage', 'percent', 'share', 'percentagematch', 'errorrate', 'errorratio', 'matchbucketfilter', 'maxpercentage'], 'use "ratio" for a share of the matches: ratio: {of: {field: status, gte: 500}, above: 5%, within: 5m, atLeast: 100}'),
      ...each(['newterm', 'newterms', 'newvalue', 'first', 'unseen', 'terms', 'termswindowsize', 'historywindow'], 'use "firstSeen" for a combination of labels that was not seen for so long: firstSeen: {for: 7d, by: [user]}'),
      // how often
      ...each(['silence', 'cooldown', 'throttle', 'suppress', 'mute', 'repeatinterval', 'groupinterval', 'groupwait', 'dedup', 'dedupe', 'debounce', 'backoff', 'exponentialrealert', 'snooze', 'minimuminterval'], 'use "realert" for the time between two alerts with the same labels'),
      ...each(['keepfiringfor', 'resolve', 'resolved', 'resolvetimeout', 'autoresolve', 'recover', 'recovery'], 'use "resolveAfter" for the time without a match after which an alert is resolved: resolveAfter: 10m; an absence is resolved when its key is back'),
      // Sigma and ElastAlert
      ...each(['name', 'title', 'alertname'], 'use "alert"'),
      ...each(['detection', 'filter', 'condition', 'conditions', 'query', 'querystring', 'where', 'when', 'if', 'selector', 'keywords', 'search', 'pattern', 'regexp', 'matches', 'matcher', 'matchers'], 'use "match", such as match: {field: log, contains: error}'),
      logsource: 'test where a record comes from in "match", such as {field: kubernetes.container_name, eq: nginx}',
      index: 'a rule sees every record: test where it comes from in "match"',
      type: 'leave it out: a frequency is "threshold", a flatline "threshold" with "below", a cardinality "threshold" with "distinct", a new_term "firstSeen", a blacklist "in", a whitelist "not" with "in"',
      ...each(['blacklist', 'whitelist', 'comparekey'], 'test it in "match": {field: user, in: [a, b]}, with "not" around it for a whitelist'),
      ...each(['steps', 'then', 'events', 'followedby', 'maxspan'], 'use "sequence", such as sequence: {steps: […], within: 5m}'),
      ...each(['unless', 'without', 'until', 'negate', 'notfollowedby'], 'use "sequence" with an "unless": sequence: {steps: [{field: log, contains: started}, {unless: {field: log, contains: finished}}], within: 10m}'),
      ...each(['sample', 'examples', 'example', 'topevents', 'loglines', 'lines', 'attach', 'includelogs', 'rawevents'], 'use "samples" and show them with {{ $samples }}: samples: {text: \'{{ $record.log }}\'}'),
      ...each(['set', 'allof', 'together', 'unordered', 'temporal'], 'use "sequence" with order: any: sequence: {steps: […], order: any, within: 5m}'),
      // who and whether
      ...each(['receiver', 'receivers', 'notify', 'channel', 'slack', 'email', 'webhook', 'route', 'actions', 'contact', 'notification'], ROUTES),
      ...each(['enabled', 'disabled', 'isenabled', 'status', 'paused'], 'leave it out: every rule of the file is on; put a # before the lines of one that is not'),
      ...each(['id', 'uid', 'version', 'author', 'date', 'modified'], 'leave it out, or put it into a comment'),
      ...each(['active', 'schedule', 'hours', 'days', 'timezone', 'activetimeintervals', 'mutetimeintervals', 'businesshours'], 'use "active" in "match": all: [{active: {days: [mon, tue, wed, thu, fri], hours: "08:00-18:00", timezone: Europe/Berlin}}, …]'),
    },
  ],
  [
    schema.CONDITION_KEYS,
    {
      ...REFUSED,
      ...each(['alertname', 'alertid', 'rule', 'ruleid'], ALERTS),
      ...each(['and', 'must', 'allof', 'every'], 'use "all"'),
      ...each(['or', 'should', 'anyof', 'some', '1of'], 'use "any"'),
      unless: 'use "not" for what the record itself must not hold; in a sequence a step is {unless: {…}}, on its own',
      count: 'use "threshold" beside "match", or in a sequence the step {match: {…}, count: 5}',
      ...each(['mustnot', 'none', 'noneof', 'exclude', 'except', 'ignore', 'andnot'], 'use "not"'),
      ...each(['equals', 'is', 'equal', 'value', 'term', '=', '=='], 'use "eq"'),
      ...each(['ne', 'neq', 'notequal', 'notequals', 'isnot', 'noteq'], NOT('eq')),
      ...each(['notin', 'nin'], NOT('in')),
      ...each(['oneof', 'values', 'terms', 'anyvalue'], 'use "in"'),
      ...each(['notcontains', 'doesnotcontain', 'excludes', 'ncontains', 'containsnot'], NOT('contains')),
      ...each(['notregex', 'notmatches', 'nregex', 'notmatch'], NOT('regex')),
      ...each(['notexists', 'missing', 'isnull', 'absent'], 'write exists: false'),
      ...each(['present', 'isset', 'has', 'notnull'], 'write exists: true'),
      ...each(['match', 'matches', 'pattern', 'regexp', 're', 'rlike', 'matchesregex'], 'use "regex"'),
      ...each(['prefix', 'beginswith', 'hasprefix'], 'use "startsWith"'),
      ...each(['suffix', 'hassuffix'], 'use "endsWith"'),
      ...each(['includes', 'matchphrase', 'substring', 'has', 'text', 'search', 'phrase'], 'use "contains"'),
      ...each(['like', 'ilike', 'wildcard', 'glob'], 'use "contains", "startsWith" or "endsWith" for the text without the wildcards, or "regex"'),
      ...each(['keywords', 'keyword', 'anywhere'], 'use "anyField": {anyField: true, contains: error}'),
      ...each(['message', 'querystring', 'query', 'expr', 'expression', 'lucene'], 'use "contains" with a field, such as {field: log, contains: error}'),
      ...each(['icontains', 'containsignorecase', 'iincludes'], IGNORE_CASE('contains')),
      ...each(['istartswith', 'iprefix'], IGNORE_CASE('startsWith')),
      ...each(['iendswith', 'isuffix'], IGNORE_CASE('endsWith')),
      ...each(['ieq', 'iequals', 'eqignorecase', 'equalsignorecase'], IGNORE_CASE('eq')),
      ...each(['iregex', 'imatches', 'regexignorecase'], IGNORE_CASE('regex')),
      ...each(['caseinsensitive', 'casesensitive', 'nocase', 'insensitive'], 'use "ignoreCase": {field: log, contains: error, ignoreCase: true}'),
      ...each(['containsany', 'containsanyof', 'anycontains'], 'use "contains" with a list: contains: [a, b]'),
      ...each(['allfields', 'anyfields', 'fulltext', 'everywhere'], 'use "anyField" in place of "field": {anyField: true, contains: error}'),
      fields: 'write a test for each field under "any", or {anyField: true, contains: …}',
      ...each(['captures', 'group', 'variable'], 'use "capture": {capture: ms, gt: 500}'),
      ...each(['schedule', 'hours', 'days', 'timezone', 'timeofday', 'weekday', 'businesshours', 'during'], 'use "active": {active: {days: [mon, tue], hours: \'08:00-18:00\', timezone: Europe/Berlin}}'),
      ...each(['key', 'path', 'name', 'label', 'attribute', 'source', 'column', 'property'], 'use "field"'),
      ...each(['op', 'operator', 'matchlabels', 'matchexpressions', 'selector'], 'the operator is a key of the test: {field: kubernetes.namespace_name, eq: shop}'),
      ...each(['greater', 'greaterthan', 'above', 'over', 'after', '>'], 'use "gt"'),
      ...each(['less', 'lessthan', 'below', 'under', 'before', '<'], 'use "lt"'),
      ...each(['greaterorequal', 'ge', 'min', 'atleast', 'from', '>='], 'use "gte"'),
      ...each(['lessorequal', 'le', 'max', 'atmost', 'to', '<='], 'use "lte"'),
      ...each(['range', 'between'], 'write all: [{field: status, gte: 500}, {field: status, lt: 600}]'),
      ...each(['bool', 'selection', 'detection', 'condition', 'filter'], 'leave it out: "all", "any" and "not" hold the tests themselves'),
      ...each(['timeframe', 'for'], THRESHOLD),
      '|=': LOGQL('{field: log, contains: …}'),
      '|~': LOGQL('{field: log, regex: …}'),
      '!=': LOGQL('not: {field: log, contains: …}'),
      '!~': LOGQL('not: {field: log, regex: …}'),
      '=~': LOGQL('{field: kubernetes.pod_name, regex: …}'),
    },
  ],
  [
    schema.THRESHOLD_KEYS,
    {
      ...REFUSED,
      ...each(['for', 'timeframe', 'window', 'interval', 'duration', 'period', 'range', 'over', 'in', 'last', 'time', 'timespan', 'per', 'every'], 'use "within"'),
      ...each(['numevents', 'gt', 'gte', 'min', 'above', 'value', 'threshold', 'atleast', 'events', 'number', 'times', 'matches', 'limit'], 'use "count"'),
      ...each(['lt', 'lte', 'less', 'lessthan', 'fewer', 'atmost', 'max', 'under'], 'use "below" for too few matches: {below: 10, within: 1h}'),
      ...each(['groupby', 'querykey', 'keys', 'key', 'partitionby', 'labels'], 'use "by", a list of label names'),
      ...each(['unique', 'cardinality', 'cardinalityfield', 'field', 'distinctcount', 'distinctfield', 'countdistinct'], 'use "distinct", a field'),
      ...each(['persecond', 'eventspersecond', 'eps'], 'use "rate", such as {rate: 5/s, within: 1m}'),
      ...each(['ratio', 'percent', 'percentage', 'share'], 'use "ratio" beside "match": ratio: {of: {field: status, gte: 500}, above: 5%, within: 5m, atLeast: 100}'),
    },
  ],
  [
    schema.SEQUENCE_KEYS,
    {
      ...each(['for', 'maxspan', 'timespan', 'timeframe', 'window', 'duration', 'timeout'], 'use "within"'),
      ...each(['events', 'then', 'conditions', 'rules', 'match', 'matches', 'all', 'stages'], 'use "steps"'),
      ...each(['unless', 'not', 'until', 'without', 'negate'], 'put it among the steps: steps: [{field: log, contains: started}, {unless: {field: log, contains: finished}}]'),
      ...each(['any', 'set', 'unordered'], 'write order: any beside "steps"'),
      ...each(['count', 'times', 'repeat'], 'count a step: steps: [{match: {field: log, contains: failed}, count: 5}, …]'),
      ...each(['groupby', 'querykey', 'join', 'keys', 'key'], 'use "by", a list of label names'),
      ...each(['ordered', 'inorder'], 'use "order": any if the steps may come in any order, and leave it out otherwise'),
    },
  ],
  [
    schema.STEP_KEYS,
    {
      ...each(['times', 'numevents', 'occurrences', 'repeat', 'min', 'atleast'], 'use "count"'),
      ...each(['condition', 'step', 'event', 'if'], 'use "match"'),
      ...each(['not', 'until', 'without', 'negate', 'except'], 'use "unless"'),
      ...each(['within', 'maxspan', 'window', 'for'], 'the sequence has one "within", from its first step to its last'),
    },
  ],
  [
    schema.SAMPLES_KEYS,
    {
      ...each(['template', 'field', 'line', 'value', 'record', 'content', 'message'], 'use "text", a template such as {{ $record.log }}'),
      ...each(['count', 'max', 'limit', 'size', 'number'], 'write first: 2 for the first matches and last: 3 for the last ones'),
      ...each(['head', 'oldest'], 'use "first"'),
      ...each(['tail', 'newest', 'latest', 'recent'], 'use "last"'),
    },
  ],
  [
    schema.ABSENCE_KEYS,
    {
      ...each(['within', 'after', 'timeout', 'duration', 'timeframe', 'window', 'time', 'longerthan', 'over'], 'use "for"'),
      ...each(['groupby', 'querykey', 'keys', 'key'], 'use "by", a list of label names'),
      ...each(['count', 'threshold', 'below', 'lt', 'min', 'atleast'], 'leave it out: an absence is the time without any match; for too few matches write threshold: {below: 10, within: 1h}'),
    },
  ],
  [
    schema.CAPTURE_KEYS,
    {
      ...each(['field', 'path'], 'a field is written without a map: distinct: kubernetes.pod_name'),
      ...each(['name', 'captures', 'group', 'label'], 'use "capture"'),
    },
  ],
  [
    schema.ACTIVE_KEYS,
    {
      ...each(['day', 'weekdays', 'weekday', 'dayofweek'], 'use "days", such as days: [mon, tue]'),
      ...each(['from', 'to', 'start', 'end', 'starttime', 'endtime', 'times', 'time', 'hour', 'between'], 'use "hours", such as hours: \'08:00-18:00\''),
      ...each(['tz', 'zone', 'location'], 'use "timezone", such as timezone: Europe/Berlin'),
      ...each(['months', 'years', 'daysofmonth', 'dates', 'holidays'], 'only days of the week and hours can be named; mute other times where the alert is sent from, with mute_time_intervals of Alertmanager'),
    },
  ],
  [
    schema.TIMESTAMP_KEYS,
    {
      ...each(['key', 'path', 'name', 'source', 'timekey', 'timefield'], 'use "field"'),
      ...each(['layout', 'pattern', 'type', 'timeformat', 'unit'], 'use "format"'),
      ...each(['zone', 'timezone', 'tz', 'location', 'offset'], 'a time without an offset is UTC: let Fluent Bit parse one of another zone'),
    },
  ],
  [
    schema.RATIO_KEYS,
    {
      ...each(['match', 'matches', 'numerator', 'filter', 'matchbucketfilter', 'condition', 'bad', 'errors', 'part'], 'use "of", a condition: what the matches must meet, too'),
      ...each(['total', 'denominator', 'all', 'good', 'over'], 'leave it out: the whole is what meets the "match" of the rule'),
      ...each(['gt', 'gte', 'threshold', 'max', 'maxpercentage', 'percent', 'percentage', 'share', 'value', 'over'], 'use "above", such as 5%'),
      ...each(['below', 'lt', 'lte', 'minpercentage', 'under'], 'use "above" with the other part: below 95% of good ones is above 5% of bad ones'),
      ...each(['for', 'window', 'timeframe', 'interval', 'duration', 'period', 'buffertime'], 'use "within"'),
      ...each(['min', 'mincount', 'minimum', 'mindenominator', 'count', 'least', 'minrecords'], 'use "atLeast"'),
      ...each(['groupby', 'querykey', 'keys', 'key'], 'use "by", a list of label names'),
    },
  ],
  [
    schema.FIRST_SEEN_KEYS,
    {
      ...each(['within', 'window', 'termswindowsize', 'historywindow', 'duration', 'timeframe', 'time', 'since', 'last'], 'use "for"'),
      ...each(['fields', 'field', 'terms', 'newterms', 'groupby', 'querykey', 'keys', 'key', 'of', 'labels'], 'use "by", a list of label names'),
      ...each(['warmup', 'training', 'initial', 'grace', 'learning', 'learnfor'], 'use "learn"'),
    },
  ],
  [
    schema.LIMITS_KEYS,
    {
      ...each(['rate', 'ratelimit', 'maxalerts', 'alerts', 'alertspersec'], 'use "alertsPerSecond"'),
      ...each(['maxkeys', 'keycount', 'memory'], 'use "keys"'),
    },
  ],
]); // prettier-ignore

// ------------------------------------------------------------------------------------------ keys elsewhere

/** Where keys belong, as said in the hint for one that is not there. */
const PLACES: [keys: Keys, where: string][] = [
  [schema.RULE_KEYS, 'a rule, beside "alert"'],
  [schema.GROUP_KEYS, 'a group: groups: [{name: …, rules: […]}]'],
  [schema.CONDITION_KEYS, '"match"'],
  [schema.THRESHOLD_KEYS, '"threshold"'],
  [schema.SEQUENCE_KEYS, '"sequence"'],
  [schema.STEP_KEYS, 'a step of "sequence"'],
  [schema.ABSENCE_KEYS, '"absence"'],
  [schema.ACTIVE_KEYS, '"active"'],
  [schema.SAMPLES_KEYS, '"samples"'],
  [schema.RATIO_KEYS, '"ratio"'],
  [schema.FIRST_SEEN_KEYS, '"firstSeen"'],
];

/** A key that is right, one level too far to the left or to the right. */
function misplacedHint(name: string, keys: Keys): string | undefined {
  const where = PLACES.find(([other]) => other !== keys && Object.hasOwn(other, name))?.[1];
  return where && `it belongs in ${where}: look at its indentation`;
}

// ---------------------------------------------------------------------------------------------- whole files

/** Files of other tools, known by their keys. */
const FOREIGN_FILES: [keys: string[], what: string, hint: string][] = [
  [
    ['apiVersion', 'kind'],
    'a manifest of Kubernetes is a rules file only with `groups:` under "spec"',
    'write spec: {groups: [{name: …, rules: […]}]}, or a rules file without apiVersion, kind and spec',
  ],
  [
    ['detection', 'logsource'],
    'a rule of Sigma is not a rules file',
    'write groups: [{name: …, rules: [{alert: TITLE, match: {field: …, contains: …}, annotations: {message: …}}]}]',
  ],
  [
    ['index', 'type'],
    'a rule of ElastAlert is not a rules file',
    'write groups: [{name: …, rules: [{alert: NAME, match: …, threshold: {count: NUM_EVENTS, within: TIMEFRAME}, annotations: {message: …}}]}]',
  ],
  [
    ['alert', 'expr'],
    'a rule stands alone',
    'write groups: [{name: …, rules: […]}] around it',
  ],
  [['alert', 'match'], 'a rule stands alone', 'write groups: [{name: …, rules: […]}] around it'],
]; // prettier-ignore

export function foreignFile(names: string[]): { message: string; hint: string } | undefined {
  const file = FOREIGN_FILES.find(([keys]) => keys.every(key => names.includes(key)));
  return file && { message: file[1], hint: file[2] };
}

// ------------------------------------------------------------------------------------------------- conditions

const SIGMA_OPERATORS: Record<string, string> = {
  contains: 'contains',
  startswith: 'startsWith',
  endswith: 'endsWith',
  re: 'regex',
  exists: 'exists',
  gt: 'gt',
  gte: 'gte',
  lt: 'lt',
  lte: 'lte',
};

/** `CommandLine|contains|all: x` is Sigma's test; `level: error` is a test in many languages. */
export function asTestHint(name: string, isList: boolean, hasOthers: boolean): string | undefined {
  const [field, ...modifiers] = name.split('|');
  if (field && modifiers.length > 0 && modifiers.every(modifier => /^\w+$/.test(modifier))) {
    if (modifiers.includes('cidr')) return NETWORKS;
    const known = modifiers.map(word => SIGMA_OPERATORS[word]).find(word => word !== undefined) ?? 'eq';
    const operator = known === 'contains' && modifiers.includes('all') ? 'containsAll' : known;
    const all = modifiers.includes('all') && known !== 'contains' ? ` for each, under "all"` : '';
    return `modifiers of Sigma are operators here: write {field: ${field}, ${operator}: …}${all}`;
  }
  if (hasOthers || nearest(name, Object.keys(schema.CONDITION_KEYS)) !== undefined) return undefined;
  return `a test names its field: write {field: ${name}, ${isList ? 'in: […]' : 'eq: …'}}`;
}

/** What is said of a text where a number is expected, or of a map where a value is. */
export function valueHint(text: string): string | undefined {
  if (/^(?:avg|average|mean|sum|stddev|median)\w*\s*\(/i.test(text)) return AVERAGES;
  if (/^(?:quantile|percentile|p\d\d)\w*\s*\(/i.test(text)) return QUANTILES;
  if (/^(?:rate|increase|delta|deriv)\w*\s*\(/i.test(text)) return SPIKES;
  return /^\{?\s*(?:\$|field\b)|^[a-z_][\w-]*(?:\.[\w-]+)+$/i.test(text) ? FIELDS : undefined;
}

const ADDRESS = /^(?:\d{1,3}(?:\.\d{1,3}){3}\/\d{1,2}|[\da-f:]*::[\da-f:]*\/\d{1,3})$/i;

/** For `10.0.0.0/8`, which no record has as the text of an address. */
export function networkHint(text: string): string | undefined {
  return ADDRESS.test(text) ? NETWORKS : undefined;
}

/** What is said of a condition that is a text. */
export function textConditionHint(text: string): string | undefined {
  if (!/\|[=~]|[!=]~|!=|==|\b(?:AND|OR|NOT)\b/.test(text)) return undefined;
  return 'a condition is a map, not an expression: |= and "contains" of LogQL are {field: log, contains: …}, |~ is regex, AND is "all", OR is "any"';
}
