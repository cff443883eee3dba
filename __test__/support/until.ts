/** Asks again and again until the answer is truthy, and returns it. Fails with `what` when it never is. */
export async function until<T>(
  probe: () => T | Promise<T>,
  what: string,
  patienceMs = 10_000,
): Promise<NonNullable<T>> {
  const end = Date.now() + patienceMs
  for (;;) {
    const answer = await probe()
    if (answer) return answer
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Waits until the clock shows a later millisecond, so that two times can be told apart. */
export async function nextMoment(): Promise<void> {
  const now = Date.now()
  await until(() => Date.now() > now + 1, 'the clock moves')
}
