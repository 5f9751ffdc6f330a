// Sections as text: YAML (Fluent Bit 2.0 and later) and the classic format.
import type { Section } from './pipeline.ts';

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

export function classicProperties(properties: Section['properties']): string {
  return Object.entries(properties)
    .flatMap(([name, value]) => [value].flat().map(one => `    ${name.padEnd(22)}${one}\n`))
    .join('');
}

function yamlSection({ comment, properties }: Section): string {
  const lines = Object.entries(properties).map(
    ([name, value], index) => `${index === 0 ? '    - ' : '      '}${name}:${yamlValue(value)}\n`,
  );
  return commented(comment, '    ') + lines.join('');
}

function yamlValue(value: string | string[]): string {
  if (typeof value === 'string') return ` ${yamlScalar(value)}`;
  return value.map(item => `\n        - ${yamlScalar(item)}`).join('');
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
