// `earshot new`: from the lines of a log to a rule.
import { parseFieldPath } from '../compiler/field.ts';
import type { FieldPath } from '../compiler/model.ts';
import { isPlain } from '../compiler/path.ts';
import { TextError, UserError, formatCount, printable } from '../error.ts';
import { replaceFile } from '../fluent-bit/folder.ts';
import { RECORD_HELP, RECORD_OPTIONS, sourceOf } from './backtest/records.ts';
import { Replay } from './backtest/replay.ts';
import type { Io } from './command.ts';
import { readArguments, usage } from './command.ts';
import { alertNameOf, draftRule, hasLiteral } from './drafting/draft.ts';
import { Clusters, wordsOf } from './drafting/drain.ts';
import type { Cluster } from './drafting/drain.ts';
import { count } from './runner.ts';
import { mayBeObject, textRecord } from './text.ts';

export function help(): string {
  return `Usage: earshot new [OPTION…] [FILE…]

Groups the lines of a log into templates, in which <*> stands for what differs, and shows them, the most frequent
first. With --pick it writes a rule for one of them, with a test from its first line. Lines are JSON objects, or
plain text, from files, from standard input, or a time range of a topic.

  --pick N          write a rule for template N
  -o, --output FILE where to write it (standard output)
  --alert NAME      the name of its alert (made of the template's words)
  --field PATH      the field with the text (log, or message, msg)
  --unmatched RULES only records that no rule of this rules file, or folder of them, matches
  --limit N         templates to show (30)
${RECORD_HELP}`;
}

const OPTIONS = {
  pick: { type: 'string' },
  output: { type: 'string', short: 'o' },
  alert: { type: 'string' },
  field: { type: 'string' },
  unmatched: { type: 'string' },
  limit: { type: 'string' },
  ...RECORD_OPTIONS,
} as const;

const TEXT_FIELDS: FieldPath[] = [['log'], ['message'], ['msg']];
/** Fields that say where a record comes from: a rule names them when all records of a template share them. */
const ORIGINS: FieldPath[] = [
  ['kubernetes', 'namespace_name'],
  ['kubernetes', 'container_name'],
];
const RECORD_SIZE_MAX = 16 * 1024;
const TEMPLATE_SHOWN = 140;

export async function run(args: string[], io: Io): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  const pick = values.pick === undefined ? undefined : readNumber('--pick', values.pick);
  if (pick === undefined && (values.output ?? values.alert) !== undefined)
    throw usage('--output and --alert go with --pick');
  const limit = readNumber('--limit', values.limit ?? '30');
  const fields = values.field === undefined ? TEXT_FIELDS : [readField(values.field)];
  const source = sourceOf(values, positionals, io, 'new');
  const replay = values.unmatched === undefined ? null : await Replay.open([values.unmatched], io);
  const grouped = new Map<string, Clusters>();
  let skippedCount = 0;
  const reading = await source.read((line, timeMs, place) => {
    if (line === null) return false;
    const record = mayBeObject(line) ? line : textRecord(line);
    if (replay !== null && replay.take(record, timeMs, () => {})?.length !== 0) return true;
    const found = textOf(record, fields);
    if (found === undefined) return false;
    if (found === null) {
      skippedCount++;
      return true;
    }
    const clusters = grouped.get(found.name) ?? new Clusters();
    grouped.set(found.name, clusters);
    clusters.add(wordsOf(found.text), found.origins, () => ({
      text: found.text,
      record: Buffer.from(record).toString(),
      place: `${place.source}:${place.number}`,
    }));
    return true;
  });
  if (reading.unreadableCount > 0)
    io.stderr.write(`earshot: ${count(reading.unreadableCount, 'line is no record', 'lines are no records')}\n`); // prettier-ignore
  if (skippedCount > 0)
    io.stderr.write(`earshot: ${count(skippedCount, 'record has', 'records have')} no text in ${fields.map(path => path.join('.')).join(', ')}; --field names another field\n`); // prettier-ignore
  const all = [...grouped]
    .flatMap(([field, { all: clusters }]) => clusters.map(cluster => ({ field, cluster })))
    .sort((a, b) => b.cluster.count - a.cluster.count);
  if (pick !== undefined) return write(all, pick, values, io);
  io.stdout.write(listText(all.map(({ cluster }) => cluster), othersOf(grouped), limit, reading.recordCount)); // prettier-ignore
  return 0;
}

function readNumber(option: string, text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw usage(`${option} is a number from 1 on, not "${text}"`);
}

function readField(text: string): FieldPath {
  try {
    const path = parseFieldPath(text);
    if (!isPlain(path)) throw usage(`--field: "${text}" stands for several values; name one of them`);
    return path;
  } catch (error) {
    throw error instanceof TextError ? usage(`--field: ${error.message}`) : error;
  }
}

interface FoundText {
  /** The field's path, as JSON. */
  name: string;
  text: string;
  origins: Map<string, string>;
}

/** Null: no field has a text; undefined: it is no record. */
function textOf(record: Uint8Array, fields: FieldPath[]): FoundText | null | undefined {
  if (record.length > RECORD_SIZE_MAX) return null;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(record).toString());
  } catch {
    return undefined;
  }
  for (const field of fields) {
    const text = valueAt(value, field);
    if (typeof text !== 'string' || text.trim() === '') continue;
    const origins = ORIGINS.flatMap(path => {
      const origin = valueAt(value, path);
      return typeof origin === 'string' && origin !== '' ? [[path.join('.'), origin] as const] : [];
    });
    return { name: JSON.stringify(field), text, origins: new Map(origins) };
  }
  return null;
}

function valueAt(record: unknown, path: FieldPath): unknown {
  let value = record;
  for (const step of path) {
    if (typeof step === 'object' || typeof value !== 'object' || value === null) return undefined;
    if (!Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}

async function write(
  all: { field: string; cluster: Cluster }[],
  pick: number,
  { output, alert }: { output?: string; alert?: string },
  io: Io,
): Promise<number> {
  const chosen = all[pick - 1];
  if (!chosen)
    throw new UserError(`there is no template ${pick}: ${count(all.length, 'template is', 'templates are')} found`); // prettier-ignore
  const { cluster, field } = chosen;
  if (!hasLiteral(cluster))
    throw new UserError(`template ${pick} has no fixed word that a rule could look for: ${printable(cluster.words.join(' '))}`); // prettier-ignore
  const text = draftRule(cluster, {
    alert: alert ?? alertNameOf(cluster),
    field: JSON.parse(field) as FieldPath,
  });
  if (output === undefined) io.stdout.write(text);
  else {
    await replaceFile(output, text);
    io.stderr.write(`earshot: ${output} is written; try it with \`earshot test ${output}\`\n`);
  }
  return 0;
}

/** Lines like no template that there was room for. */
function othersOf(grouped: Map<string, Clusters>): number {
  return [...grouped.values()].reduce((sum, { otherCount }) => sum + otherCount, 0);
}

function listText(clusters: Cluster[], otherCount: number, limit: number, recordCount: number): string {
  if (clusters.length === 0) return `${count(recordCount, 'record', 'records')}, none to make a rule of\n`;
  const shown = clusters.slice(0, limit);
  const total = clusters.reduce((sum, cluster) => sum + cluster.count, otherCount);
  const countWidth = Math.max(5, formatCount(shown[0]!.count).length);
  const lines = shown.map((cluster, index) => {
    const share = `${((cluster.count / total) * 100).toFixed(cluster.count / total < 0.1 ? 1 : 0)} %`;
    const words = printable(cluster.words.join(' '));
    const template = words.length > TEMPLATE_SHOWN ? `${words.slice(0, TEMPLATE_SHOWN)}…` : words;
    return `${String(index + 1).padStart(3)}  ${formatCount(cluster.count).padStart(countWidth)}  ${share.padStart(6)}  ${template}`; // prettier-ignore
  });
  const more = clusters.length - shown.length;
  return `  #  ${'lines'.padStart(countWidth)}   share  template
${lines.join('\n')}
${more > 0 ? `and ${count(more, 'template', 'templates')} more; --limit shows them\n` : ''}${otherCount > 0 ? `and ${count(otherCount, 'line', 'lines')} like none of these\n` : ''}
a rule for one of them: earshot new … --pick N -o rule.yaml
`;
}
