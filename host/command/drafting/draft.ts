// Writes a rule for a template, with a test from its example, as a person would write it.
import { formatFieldPath } from '../../compiler/field.ts';
import type { FieldPath } from '../../compiler/model.ts';
import { ANY } from './drain.ts';
import type { Cluster } from './drain.ts';

/** What a rule about a template can hold. */
export interface DraftOptions {
  alert: string;
  /** The field of the text. */
  field: FieldPath;
}

/** A word without a literal of this length would run on every record. */
const LITERAL_MIN = 2;

/** Whether the template has a fixed word to look for. */
export function hasLiteral({ words }: Cluster): boolean {
  return words.some(word => word.split(ANY).some(part => /[\p{L}\p{N}]{2,}/u.test(part) && part.length >= LITERAL_MIN)); // prettier-ignore
}

export function draftRule(cluster: Cluster, { alert, field }: DraftOptions): string {
  const name = formatFieldPath(field);
  const fixed = [...cluster.shared].map(([path, value]) => `{field: ${path}, eq: ${yamlText(value)}}`);
  const text = `{field: ${yamlText(name)}, ${testOf(cluster.words)}}`;
  const match =
    fixed.length === 0
      ? `        match: ${text}\n`
      : `        match:\n          all:\n${[...fixed, text].map(one => `            - ${one}\n`).join('')}`;
  const labels = [...cluster.shared.keys()].map(
    path => `          ${labelOf(path)}: '{{ $record.${path} }}'\n`,
  );
  return `# yaml-language-server: $schema=earshot.schema.json
groups:
  - name: drafts
    rules:
      # ${cluster.count} lines were like this: ${cluster.words.join(' ').replace(/\p{C}/gu, '�')}
      - alert: ${yamlText(alert)}
${match}        labels:
          severity: warning
${labels.join('')}        annotations:
          message: '{{ $record.${name} }}'
        tests:
          - record: ${yamlText(cluster.example.record)}
            expect: match
`;
}

/** A text if the template is fixed, else a pattern. */
function testOf(words: string[]): string {
  if (words.length === 1 && !words[0]!.includes(ANY)) return `contains: ${yamlText(words[0]!)}`;
  return `regex: ${yamlText(patternOf(words))}`;
}

/** `user <*> left` → `user\s+\S+\s+left`, from the first fixed word to the last. */
function patternOf(words: string[]): string {
  const isFixed = (word: string) => word !== ANY;
  const own = words.slice(words.findIndex(isFixed), words.findLastIndex(isFixed) + 1);
  const patterns = own.map(word => word.split(ANY).map(escape).join('\\S*'));
  return patterns.join('\\s+');
}

function escape(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function labelOf(path: string): string {
  const [last = 'value'] = path.split('.').slice(-1);
  return last.replace(/_name$/, '').replace(/\W/g, '_');
}

/** A name for the alert: the first fixed words of the template. */
export function alertNameOf({ words }: Cluster): string {
  const fixed = words
    .flatMap(word => word.split(ANY))
    .map(word => word.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, ''))
    .filter(word => /\p{L}/u.test(word));
  const name = fixed.slice(0, 4).join(' ').slice(0, 60);
  return name === '' ? 'New alert' : name[0]!.toUpperCase() + name.slice(1);
}

/** In single quotes, where nothing but the quote itself has a meaning; in double quotes what is not one line. */
function yamlText(text: string): string {
  if (/^[A-Za-z_][\w./-]*$/.test(text) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text)) return text;
  return /[\p{C}\u2028\u2029]/u.test(text) ? JSON.stringify(text) : `'${text.replaceAll("'", "''")}'`;
}
