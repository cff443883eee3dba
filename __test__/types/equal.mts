/** Fails to compile unless both types are the same, `any` included. */
export type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : { expected: B; got: A }

export function same<A, B>(..._: Same<A, B> extends true ? [] : [Same<A, B>]): void {}
