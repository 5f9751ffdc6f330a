// The address of an HTTP sink, as a user writes it.

const ALERTS_PATH = /\/api\/v2\/alerts\/?$/;

/**
 * Throws an Error whose message ends the sentence "EARSHOT_SINK_URL …". The message does not repeat the address, which
 * may hold a secret. `remedy` says where credentials go.
 */
export function readAddress(text: string, remedy: { password: string; token: string }): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) throw new Error('is not an http:// or https:// address');
  if (url.username || url.password) throw new Error(`must not hold a user or password; ${remedy.password}`);
  // A sink adds its own path, so a query would be lost; a fragment is never sent.
  if (url.search) throw new Error(`must not hold a query ("?…"); remove it; ${remedy.token}`);
  if (url.hash) throw new Error('must not hold a fragment ("#…"); remove it');
  // A sink adds this path; someone who wrote it meant the same.
  url.pathname = url.pathname.replace(ALERTS_PATH, '/');
  return url;
}
