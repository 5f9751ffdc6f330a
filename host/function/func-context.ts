// What OpenFunction tells a function: FUNC_CONTEXT_V1BETA2 or FUNC_CONTEXT, JSON, and where its Dapr is. OpenFunction makes
// up the names of Dapr's components, and new ones with every revision, so they are read and never written in a manifest:
//
//   {"outputs":{"notification-manager":{"componentName":"serving-x7-bindings-notification-manager-q4","componentType":
//    "bindings.http","operation":"post"}}, …}

import type { DaprOutput } from '../sink/sink.ts';

interface Output {
  componentName?: string;
  componentType?: string;
  operation?: string;
}

const NAMES = ['FUNC_CONTEXT_V1BETA2', 'FUNC_CONTEXT'];

/**
 * The Dapr output that alerts go through: the one of this name, or of this component, or the only one that there is. Throws
 * an Error whose message is a sentence.
 */
export function daprOutputOf(environment: NodeJS.ProcessEnv, name?: string): DaprOutput | undefined {
  const outputs = httpOutputs(environment);
  if (name !== undefined) {
    const known = outputs.get(name);
    return outputAt(environment, known?.componentName ?? name, known?.operation);
  }
  if (outputs.size > 1)
    throw new Error(
      `FUNC_CONTEXT names ${outputs.size} outputs (${[...outputs.keys()].join(', ')}); set EARSHOT_DAPR_OUTPUT to one of ` +
        'them, or EARSHOT_SINK_URL to post without Dapr',
    );
  const [only] = outputs.values();
  return only && outputAt(environment, only.componentName!, only.operation);
}

/** Whether OpenFunction told Dapr to call this function by gRPC, which nobody answers here. */
export function isCalledByGrpc(environment: NodeJS.ProcessEnv): boolean {
  return NAMES.some(name => environment[name]) && environment.APP_PROTOCOL === 'grpc';
}

/** By name. What is no binding to HTTP takes no alerts. */
function httpOutputs(environment: NodeJS.ProcessEnv): Map<string, Output> {
  const name = NAMES.find(variable => environment[variable]);
  if (name === undefined) return new Map();
  let context: { outputs?: Record<string, Output> } | null;
  try {
    context = JSON.parse(environment[name]!);
  } catch (error) {
    throw new Error(
      `${name} is not JSON (${(error as Error).message}); OpenFunction sets it: remove your own`,
    );
  }
  return new Map(
    Object.entries(context?.outputs ?? {}).filter(
      ([, output]) => output?.componentName && /^bindings\.http$/.test(output.componentType ?? ''),
    ),
  );
}

/** Dapr's own variables say where it is: as a sidecar on this host, or elsewhere. */
function outputAt(environment: NodeJS.ProcessEnv, component: string, operation = 'post'): DaprOutput {
  const { DAPR_HTTP_ENDPOINT, DAPR_HOST, DAPR_HTTP_PORT, DAPR_API_TOKEN } = environment;
  const address = DAPR_HTTP_ENDPOINT || `http://${DAPR_HOST || '127.0.0.1'}:${DAPR_HTTP_PORT || '3500'}`;
  if (!URL.canParse(address))
    throw new Error(`the address of Dapr is ${address}: look at DAPR_HOST, DAPR_HTTP_PORT`);
  return { url: new URL(address), component, operation, ...(DAPR_API_TOKEN && { token: DAPR_API_TOKEN }) };
}
