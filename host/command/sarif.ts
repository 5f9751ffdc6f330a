// The mistakes of rules files as SARIF 2.1.0, which code hosts show beside the lines of a pull request.
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import packageJson from '../../package.json' with { type: 'json' };
import { inSource, problemToJson, sourceAt } from '../error.ts';
import type { Problem, Source } from '../error.ts';

const KINDS = {
  error: 'The rules file cannot be built, or a test in it fails.',
  warning: 'The rules file is right in form, and hardly means this.',
};

/** `isWhole`: every file that was named could be read. */
export function sarif(checked: { sources: Source[]; problems: Problem[] }, isWhole: boolean): string {
  const results = checked.problems.map(problem => {
    const source = sourceAt(checked.sources, problem.span.start);
    const { path } = source;
    const { line, column, endLine, endColumn, severity, message, hint } = problemToJson(
      inSource(problem, source),
      path,
      source.text,
    );
    const text = hint === undefined ? message : `${message}\nhint: ${hint}`;
    return {
      ruleId: severity,
      level: severity,
      message: { text },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: uriOf(path) },
            region: { startLine: line, startColumn: column, endLine, endColumn },
          },
        },
      ],
    };
  });
  const log = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'earshot',
            version: packageJson.version,
            rules: Object.entries(KINDS).map(([id, text]) => ({ id, shortDescription: { text } })),
          },
        },
        invocations: [{ executionSuccessful: isWhole }],
        columnKind: 'utf16CodeUnits',
        results,
      },
    ],
  };
  return `${JSON.stringify(log, null, 2)}\n`;
}

/** A name is a URI: a blank or a percent sign in it has another form there. */
function uriOf(path: string): string {
  if (isAbsolute(path)) return pathToFileURL(path).href;
  return path.split(/[\\/]/).map(encodeURIComponent).join('/');
}
