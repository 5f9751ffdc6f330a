// Groups lines into templates: lines that differ only in numbers, ids and names are one. The way is that of Drain (He et al.,
// 2017): lines of as many words go down a tree by their first words, and there to the most similar template, whose words that
// differ become `<*>`. Its one-pass form needs a few dozen lines, and no library of it is kept up for Node.

export interface Cluster {
  /** Words; `<*>` stands for any text, within a word too. */
  words: string[];
  count: number;
  /** The first line of it. */
  example: Example;
  /** Values that all of its records share, by the name of the field. */
  shared: Map<string, string>;
}

export interface Example {
  text: string;
  record: string;
  place: string;
}

export const ANY = '<*>';
/** Of two lines, the share of words that must be equal to be of one template. */
const SIMILARITY_MIN = 0.5;
/** Words that lead through the tree: beyond the first ones a line is rarely still fixed. */
const DEPTH = 2;
/** Words of a line that are looked at. */
export const WORDS_MAX = 40;
/** Memory is bounded: further lines that are like no template are counted together. */
const CLUSTERS_MAX = 5000;

// What differs from line to line in itself: addresses, ids, times, numbers. None of it goes over a blank.
const MASKS = [
  /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi,
  /\b\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d[.,\d]*(?:Z|[-+]\d\d:?\d\d)?)?/g,
  /\b\d{1,2}\/[A-Z][a-z]{2}\/\d{4}(?::\d\d:\d\d:\d\d)?/g,
  /\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?= +\d)|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?=,? )/g,
  /\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b/g,
  /\b0x[0-9a-f]+\b/gi,
  /\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b/gi,
  /[-+]?\d+(?:[.,:]\d+)*/g,
];

export function wordsOf(text: string): string[] {
  const [firstLine = ''] = text.trimStart().split('\n');
  const masked = MASKS.reduce((line, mask) => line.replace(mask, ANY), firstLine.trim());
  const words = masked.split(/\s+/).filter(word => word !== '');
  return words.slice(0, WORDS_MAX);
}

export class Clusters {
  readonly all: Cluster[] = [];
  /** Lines that are like no template, when there is no room for more. */
  otherCount = 0;
  private readonly leaves = new Map<string, Cluster[]>();

  add(words: string[], fields: Map<string, string>, example: () => Example): void {
    const key = `${words.length} ${words.slice(0, DEPTH).map(leadOf).join(' ')}`;
    const leaf = this.leaves.get(key) ?? [];
    const best = mostSimilar(leaf, words);
    if (best) return join(best, words, fields);
    if (this.all.length >= CLUSTERS_MAX) {
      this.otherCount++;
      return;
    }
    const cluster = { words: [...words], count: 1, example: example(), shared: new Map(fields) };
    leaf.push(cluster);
    this.leaves.set(key, leaf);
    this.all.push(cluster);
  }
}

/** A word that differs leads nowhere by itself. */
function leadOf(word: string): string {
  return word.includes(ANY) ? ANY : word;
}

function mostSimilar(leaf: Cluster[], words: string[]): Cluster | undefined {
  let best: Cluster | undefined;
  let bestScore = SIMILARITY_MIN;
  for (const cluster of leaf) {
    const equal = cluster.words.filter((word, index) => word === words[index]).length;
    const score = words.length === 0 ? 1 : equal / words.length;
    if (score >= bestScore && (best === undefined || score > bestScore)) [best, bestScore] = [cluster, score];
  }
  return best;
}

function join(cluster: Cluster, words: string[], fields: Map<string, string>): void {
  cluster.count++;
  for (const [index, word] of words.entries()) if (cluster.words[index] !== word) cluster.words[index] = ANY;
  for (const [name, value] of cluster.shared) if (fields.get(name) !== value) cluster.shared.delete(name);
}
