// How long to stay away after a failure: a random time up to a bound that doubles (full jitter), so that those who
// were cut off together do not come back together.

export interface Backoff {
  /** The bound after the first failure, in milliseconds. */
  readonly first: number;
  /** The largest bound. */
  readonly most: number;
}

/** After so many failures in a row, with `random` from 0 up to but not including 1. */
export function delay({ first, most }: Backoff, failures: number, random: number): number {
  const bound = Math.min(most, first * 2 ** Math.min(Math.max(failures - 1, 0), 30));
  return Math.floor(bound * random);
}
