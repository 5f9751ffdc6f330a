// The YAML of a rules file → nodes with positions. Everything that is about YAML and not about rules is
// here: syntax errors in words that help, aliases, and the position of a node in the text.
import { isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Alias, Document as YamlDocument, Node, Scalar, YAMLError } from 'yaml';
import { formatCount, quote } from '../error.ts';
import type { Problem, Report, Span } from '../error.ts';

export type { Node };

export interface Document {
  text: string;
  /** Where the text begins among the positions of all files, which come one after the other. */
  start: number;
  root: Node | null;
  /** Offsets at which the YAML is broken: what seems to be around them may not be what was meant. */
  damage: number[];
  aliases: Map<Node, AliasTarget>;
}

/** What an alias stands for, or why it cannot stand for anything. */
type AliasTarget = { node: Node } | { problem: string; hint: string };

// The deepest rule is a condition nested 32 levels, four levels of YAML each.
const DEPTH_MAX = 200;
// Aliases share text, so a file of a few lines can stand for billions of nodes.
const ALIAS_NODES_MAX = 1_000_000;
// With more errors than this, the file is not YAML.
const SYNTAX_ERRORS_MAX = 100;

/** Never throws: what is wrong is reported, and the rest of the document is returned. */
export function readDocument(text: string, report: Report, textStart = 0): Document {
  const yaml = parseDocument(text, {
    intAsBigInt: true, // ids of 64 bits stay exact
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    uniqueKeys: false, // the library compares every key with every other; rules.ts has a set
    prettyErrors: false,
    logLevel: 'error', // with 'silent' a second document would be no error
  }) as YamlDocument.Parsed;
  const document: Document = { text, start: textStart, root: yaml.contents, damage: [], aliases: new Map() };
  const survey = surveyNodes(document);
  const errors = firstOfEachLine(text, withoutEchoes([...yaml.errors, ...yaml.warnings]));
  const problems = survey.tooDeep
    ? [tooDeepProblem(localSpan(document, survey.tooDeep))]
    : errors.map(error => syntaxProblem(text, error, survey));
  for (const problem of [...versionProblems(text, yaml), ...problems]) {
    document.damage.push(problem.span.start);
    report({ ...problem, span: placed(document, problem.span) });
  }
  return document;
}

/** The node itself, or the node that an alias stands for; undefined, and reported, if there is none. */
export function resolveAlias(document: Document, node: Node, report: Report): Node | undefined {
  if (!isAlias(node)) return node;
  const target = document.aliases.get(node);
  if (!target) return undefined; // beyond DEPTH_MAX, which is reported
  if ('node' in target) return target.node;
  const { problem: message, hint } = target;
  report({ severity: 'error', message, hint, span: spanOf(document, node) });
  return undefined;
}

/** The position of the node, without the line breaks after it. */
export function spanOf(document: Document, node: Node): Span {
  return placed(document, localSpan(document, node));
}

/** The same within the text. */
function localSpan(document: Document, node: Node): Span {
  const [start, end] = node.range ?? [0, 0];
  return trimSpan(document.text, start, end);
}

/** A position in the text, among those of all files. */
export function placed(document: Document, { start, end }: Span): Span {
  return { start: document.start + start, end: document.start + end };
}

/** The position of a part of a scalar's text, or undefined if there are escapes or folded lines in it. */
export function spanWithin(document: Document, node: Scalar, part: Span): Span | undefined {
  const quoted = node.type === 'QUOTE_SINGLE' || node.type === 'QUOTE_DOUBLE';
  const start = node.range![0] + (quoted ? 1 : 0);
  const isVerbatim = document.text.startsWith(String(node.value), start);
  return isVerbatim ? placed(document, { start: start + part.start, end: start + part.end }) : undefined;
}

/** The text of the node as it was written. */
export function writtenAs(document: Document, node: Node): string {
  const { start, end } = localSpan(document, node);
  return document.text.slice(start, end);
}

export function isDamaged(document: Document, node: Node): boolean {
  const [start, , end] = node.range ?? [0, 0, 0]; // with the space after it, where a bad line may be
  return document.damage.some(offset => start <= offset && offset <= end);
}

function trimSpan(text: string, start: number, end: number): Span {
  let last = Math.min(end, text.length);
  while (last > start && ' \t\r\n'.includes(text[last - 1]!)) last--;
  return { start: Math.min(start, last), end: last };
}

interface Survey {
  tooDeep?: Node;
  /** An unclosed quote runs to the end of the file, so it is the last. */
  lastQuoted?: Node;
}

/** Finds the target of each alias, and refuses those that would make the document endless or huge. */
function surveyNodes(document: Document): Survey {
  const survey: Survey = {};
  const anchors = new Map<string, Node>();
  const sizes = new Map<Node, number>(); // in nodes, aliases replaced by what they stand for
  let aliasNodes = 0;

  const aliasTarget = (alias: Alias): AliasTarget => {
    const node = anchors.get(alias.source);
    const name = quote(`*${alias.source}`);
    if (!node)
      return { problem: `alias ${name} has no anchor`, hint: `mark the value with &${alias.source}` };
    const size = sizes.get(node);
    if (size === undefined) return { problem: `alias ${name} contains itself`, hint: 'write the value out' };
    aliasNodes += size;
    if (aliasNodes <= ALIAS_NODES_MAX) return { node };
    const allowed = `${formatCount(ALIAS_NODES_MAX)} allowed`;
    return { problem: `aliases stand for more than ${allowed} values`, hint: 'write the values out' };
  };
  const aliasSize = (alias: Alias): number => {
    const target = aliasTarget(alias);
    document.aliases.set(alias, target);
    return 'node' in target ? sizes.get(target.node)! : 1;
  };
  const size = (node: unknown, depth: number): number => {
    if (isAlias(node)) return aliasSize(node);
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return 0;
    if (depth > DEPTH_MAX) {
      survey.tooDeep ??= node;
      return 1;
    }
    if (node.anchor !== undefined) anchors.set(node.anchor, node);
    let sum = 1;
    if (isScalar(node)) survey.lastQuoted = node.type?.startsWith('QUOTE') ? node : survey.lastQuoted;
    else if (isSeq(node)) for (const item of node.items) sum += size(item, depth + 1);
    else for (const { key, value } of node.items) sum += size(key, depth + 1) + size(value, depth + 1);
    sizes.set(node, sum);
    return sum;
  };
  size(document.root, 1);
  return survey;
}

/** Leaves out errors about the rest of the file that only follow from an earlier mistake. */
function withoutEchoes(errors: YAMLError[]): YAMLError[] {
  const openQuote = errors.find(isOpenQuote)?.pos[0] ?? Infinity;
  return errors.filter((error, index) => {
    const hasGivenUp = index > 0 && /in YAML stream/.test(error.message);
    return !hasGivenUp && (isOpenQuote(error) || error.pos[0] < openQuote);
  });
}

function isOpenQuote(error: YAMLError): boolean {
  return error.code === 'MISSING_CHAR' && /quote/.test(error.message);
}

function syntaxProblem(text: string, error: YAMLError, survey: Survey): Problem {
  const [start, end] = error.pos;
  const { message, hint } = syntaxMessage(text, error);
  const position = isOpenQuote(error) ? quoteStart(text, survey) : undefined;
  const span = position ?? { start: Math.min(start, text.length), end: Math.min(end, text.length) };
  return { severity: 'error', message, ...(hint !== undefined && { hint }), span };
}

/** The opening quote to the end of its line: the end of the file would not help. */
function quoteStart(text: string, survey: Survey): Span | undefined {
  const start = survey.lastQuoted?.range?.[0];
  if (start === undefined) return undefined;
  const lineEnd = text.indexOf('\n', start);
  return trimSpan(text, start, lineEnd < 0 ? text.length : lineEnd);
}

/** YAML's own words where they help, ours for causes that are common in rules files. */
function syntaxMessage(text: string, { code, message, pos }: YAMLError): { message: string; hint?: string } {
  const lineStart = text.lastIndexOf('\n', pos[0] - 1) + 1;
  const braces = /(^|[:-])\s*{{/.test(text.slice(lineStart, pos[0] + 2)) ? TEMPLATE_HINT : undefined;
  switch (code) {
    case 'TAB_AS_INDENT':
      return { message: 'a tab indents this line', hint: 'indent with spaces' };
    case 'MULTIPLE_DOCS':
      return { message: 'second YAML document', hint: 'put all groups under one `groups:`, without `---`' };
    case 'BAD_DQ_ESCAPE': {
      const hint = 'in double quotes YAML reads backslashes itself: put the text in single quotes';
      return { message: lowerFirst(message), hint };
    }
    case 'BAD_SCALAR_START':
      return { message: lowerFirst(message), hint: 'put the value in single quotes' };
    case 'BLOCK_AS_IMPLICIT_KEY':
      return {
        message: 'a key where none can be',
        hint: 'a value that holds ": " needs quotes; a key on a line of its own must be indented as its neighbours',
      };
    case 'TAG_RESOLVE_FAILED':
      return {
        message: lowerFirst(message),
        hint: 'leave the tag out, and put the value in quotes if it is text',
      };
    case 'MISSING_CHAR':
      if (/quote/.test(message)) return { message: 'quote is not closed' };
      return { message: lowerFirst(message), ...(braces && { hint: braces }) };
    case 'UNEXPECTED_TOKEN':
      if (!/at node end/.test(message)) return { message: lowerFirst(message) };
      return {
        message: `unexpected ${quote(text.slice(...pos))} after a value`,
        hint: braces ?? 'a value that holds quotes, brackets or braces needs single quotes around all of it',
      };
    case 'BAD_INDENT':
      return {
        message: lowerFirst(message),
        hint: 'indent a key as its neighbours: in a list of maps as the first key after "- "',
      };
    case 'RESOURCE_EXHAUSTION':
      return { message: TOO_DEEP };
    default:
      return { message: lowerFirst(message), ...(braces && { hint: braces }) };
  }
}

export const TEMPLATE_HINT = 'a value that starts with {{ needs quotes';
const TOO_DEEP = `the file is nested too deeply, ${DEPTH_MAX} levels allowed`;

function tooDeepProblem(span: Span): Problem {
  return { severity: 'error', message: TOO_DEEP, span: { start: span.start, end: span.start } };
}

function versionProblems(text: string, yaml: YamlDocument.Parsed): Problem[] {
  const { explicit, version } = yaml.directives.yaml;
  if (!explicit || version === '1.2') return [];
  const message = `a rules file is YAML 1.2, not ${version}`;
  const start = Math.max(0, text.indexOf('%YAML'));
  const span = { start, end: start + '%YAML 1.1'.length };
  return [{ severity: 'error', message, hint: 'leave the %YAML line out', span }];
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** The parser reports one mistake several times; the first report says most. */
function firstOfEachLine(text: string, errors: YAMLError[]): YAMLError[] {
  const kept: YAMLError[] = [];
  let lineEnd = -1; // of the last one kept
  for (const error of errors.sort((left, right) => left.pos[0] - right.pos[0])) {
    if (error.pos[0] <= lineEnd) continue;
    kept.push(error);
    const lineBreak = text.indexOf('\n', error.pos[0]);
    lineEnd = lineBreak < 0 ? Infinity : lineBreak;
    if (kept.length === SYNTAX_ERRORS_MAX) break;
  }
  return kept;
}
