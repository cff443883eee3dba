import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const usual = 'worker.mjs'

/** What one process has to do, by the names in its script. */
export interface Task {
  task: string
  args: Readonly<Record<string, unknown>>
}

async function ready(url: string, prefix: string, script: string): Promise<ChildProcess> {
  const child = fork(join(__dirname, script), [url, prefix], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const [first] = await Promise.race([once(child, 'message'), once(child, 'exit')])
  if (first !== 'ready') throw new Error(`a process ended before it was ready: ${String(first)}`)
  return child
}

async function work(child: ChildProcess, task: Task): Promise<unknown> {
  const ended = once(child, 'exit')
  const answered = once(child, 'message')
  // Comes behind every message, which the end of the process may overtake.
  const disconnected = once(child, 'disconnect')
  child.send(task)
  const [answer] = (await Promise.race([answered, disconnected])) as [{ value?: unknown; error?: string }?]
  if (answer === undefined) throw new Error('a process ended without an answer')
  if (answer.error !== undefined) throw new Error(`${task.task}: ${answer.error}`)
  const [code] = (await ended) as [number | null]
  if (code !== 0) throw new Error(`a process ended with ${code} after its work`)
  return answer.value
}

/** Does every task in a process of its own. All of them begin together, once all processes are ready. */
export async function crew(
  url: string,
  prefix: string,
  tasks: readonly Task[],
  script = usual,
): Promise<unknown[]> {
  const children = await Promise.all(tasks.map(() => ready(url, prefix, script)))
  try {
    return await Promise.all(children.map((child, i) => work(child, tasks[i] as Task)))
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
}
