import { copyStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { newDirectory, openKind } from './kinds.ts'

const MEBIBYTE = 1024 * 1024

it.each(['sqlite', 'postgres'] as const)(
  'export() and copyStorage() from %s never hold many large rows',
  async (kind) => {
    const storage = await openKind(kind)
    for (let i = 0; i < 20; i++) await storage.kv.set(`large ${i}`, 'x'.repeat(MEBIBYTE))
    const steps: number[] = []
    const onProgress = ({ table, rows }: { table: string; rows: number }) => {
      if (table === 'kv') steps.push(rows)
    }
    await storage.export(newDirectory(), { onProgress })
    expect(largestStep(steps.splice(0))).toBeLessThan(10)
    const target = await openKind('in-memory')
    expect(await copyStorage(storage, target, { onProgress, verify: true })).toMatchObject({ equal: true })
    expect(steps.at(-1)).toBe(20)
    expect(largestStep(steps)).toBeLessThan(10)
  },
)

/** Returns the most rows that were read at once. */
function largestStep(steps: readonly number[]): number {
  return Math.max(...steps.map((rows, i) => rows - (steps[i - 1] ?? 0)))
}
