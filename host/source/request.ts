// A request that kafkajs does not have, in the form that its connections accept.

export interface Request<T> {
  request: {
    apiKey: number;
    apiVersion: number;
    apiName: string;
    encode: () => Promise<{ buf: Buffer; buffer: Buffer }>;
  };
  response: {
    decode: (bytes: Buffer) => Promise<T>;
    parse: (answer: T) => Promise<T>;
  };
}

/** `encode` returns what comes after the header of a request, `decode` reads what comes after that of an answer. */
export function request<T>(
  [apiKey, apiVersion, apiName]: readonly [key: number, version: number, name: string],
  encode: () => Buffer,
  decode: (bytes: Buffer) => T,
): Request<T> {
  return {
    request: {
      apiKey,
      apiVersion,
      apiName,
      encode: async () => {
        const bytes = encode();
        return { buf: bytes, buffer: bytes };
      },
    },
    response: { decode: async bytes => decode(bytes), parse: async answer => answer },
  };
}
