// Colour on a terminal, and only there: `NO_COLOR` and `TERM=dumb` are honoured, as Node reads them.
const CODES = { bold: 1, dim: 2, underline: 4, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export type Paint = (text: string, ...styles: (keyof typeof CODES)[]) => string;

export function paintFor(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Paint {
  const hasColour = stream.isTTY && stream.getColorDepth(env) > 1;
  if (!hasColour) return plain;
  return (text, ...styles) => `\x1b[${styles.map(style => CODES[style]).join(';')}m${text}\x1b[0m`;
}

export const plain: Paint = text => text;
