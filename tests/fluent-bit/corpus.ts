// The cases of tests/cases/ for a Fluent Bit: of each block its rules, and the records that it reads as they are meant.
import { readFileSync, readdirSync } from 'node:fs';

const FOLDER = new URL('../cases/', import.meta.url);

export interface Block {
  name: string;
  rules: string;
  records: string[];
}

export function corpus(): Block[] {
  return readdirSync(FOLDER).sort().flatMap(blocksOf);
}

/** Of each record the time is set, for Fluent Bit in `time`; `@timestamp` is what Fluent Bit's outputs add to it. */
function blocksOf(file: string): Block[] {
  return (
    readFileSync(new URL(file, FOLDER), 'utf8')
      .split(/^===\n/m)
      .map((block, index) => {
        const [rules, cases] = block.split(/^---\n/m);
        const lines = cases!
          .split('\n')
          .filter((line, i, all) => line.startsWith('{') && all[i - 1] !== '==> body');
        const records = lines.filter(isUsable).map((line, i) => withTime(line, i));
        return { name: `${file} ${index + 1}`, rules: rules!, records };
      })
      // Inside Fluent Bit the time is that of its event, whatever field the rules name.
      .filter(({ rules, records }) => records.length > 0 && !/^timestamp:/m.test(rules))
  );
}

/** Objects that have no time of their own, written in characters: what Fluent Bit's JSON parser reads as it is meant. */
function isUsable(line: string): boolean {
  if (/\\x[0-9A-F]{2}|"(?:@timestamp|time)"/.test(line)) return false;
  try {
    return Object.keys(JSON.parse(line)).length > 0;
  } catch {
    return false;
  }
}

const timeOf = (index: number) => new Date(1_700_000_000_123 + index * 1000).toISOString();
const withTime = (line: string, index: number) =>
  `{"time":"${timeOf(index)}",${line.slice(line.indexOf('{') + 1)}`;
