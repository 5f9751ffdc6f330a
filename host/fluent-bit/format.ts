// Sections as text: YAML (Fluent Bit 2.0 and later) and the classic format.
import type { Processor, Properties, Section } from './pipeline.ts';

const KINDS = ['inputs', 'filters', 'outputs'] as const;
const NAMES = { inputs: 'INPUT', filters: 'FILTER', outputs: 'OUTPUT' };

export function toYaml(comment: string, sections: Section[]): string {
  const blocks = KINDS.flatMap(kind => {
    const own = sections.filter(section => section.kind === kind);
    return own.length === 0 ? [] : [`  ${kind}:\n${own.map(yamlSection).join('\n')}`];
  });
  return `${commented(comment)}\npipeline:\n${blocks.join('\n')}`;
}

export function toClassic(comment: string, sections: Section[]): string {
  const blocks = sections.map(
    section =>
      `${commented(section.comment)}[${NAMES[section.kind]}]\n${classicProperties(section.properties)}`,
  );
  return `${commented(comment)}\n${blocks.join('\n')}`;
}

export function classicProperties(properties: Properties): string {
  return Object.entries(properties)
    .flatMap(([name, value]) => [value].flat().map(one => `    ${name.padEnd(22)} ${inOneLine(one)}\n`))
    .join('');
}

function inOneLine(text: string): string {
  return text.trim().replaceAll(/\n\s*/g, ' ');
}

function yamlSection({ comment, properties, processors }: Section): string {
  return yamlItem(comment, properties, '    ') + (processors === undefined ? '' : yamlProcessors(processors));
}

function yamlProcessors(processors: Processor[]): string {
  const items = processors.map(({ comment, properties }) => yamlItem(comment, properties, ' '.repeat(10)));
  return `      processors:\n        logs:\n${items.join('')}`;
}

function yamlItem(comment: string, properties: Properties, indent: string): string {
  const lines = Object.entries(properties).map(
    ([name, value], index) =>
      `${indent}${index === 0 ? '- ' : '  '}${name}:${yamlValue(value, `${indent}    `)}\n`,
  );
  return commented(comment, indent) + lines.join('');
}

function yamlValue(value: string | string[], indent: string): string {
  if (typeof value !== 'string') return value.map(item => `\n${indent}- ${yamlScalar(item)}`).join('');
  return value.includes('\n') ? ` |\n${value.trim().replaceAll(/^/gm, indent)}` : ` ${yamlScalar(value)}`;
}

/** Plain where it has only one reading, otherwise in single quotes, in which only a quote is doubled. */
export function yamlScalar(text: string): string {
  const isPlain = /^(?:[A-Za-z/][\w./*-]*|\d+|\d+[a-zA-Z]+|[\d.]+\.\d+\.\d+|\$\w+)$/.test(text);
  return isPlain && !/^(?:true|false|null|yes|no|on|off)$/i.test(text)
    ? text
    : `'${text.replaceAll("'", "''")}'`;
}

/** Alert names are in comments: what would end a line of YAML, or may not be in it at all, is replaced. */
export function commented(text: string, indent = ''): string {
  if (text === '') return '';
  const lines = text
    .replace(/[\r\u0085\u2028\u2029]/g, ' ')
    .replace(/[^\n\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .split('\n')
    .map(line => `${indent}#${line && ' '}${line}\n`);
  return lines.join('');
}
