// A count that may have stopped at a limit: then its highest bit says "or more".

export const AT_LEAST: u64 = 1 << 63;
