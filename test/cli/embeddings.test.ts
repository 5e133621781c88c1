import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStorage } from 'holdfast'
import { wordEmbedding } from 'holdfast/testing'
import { expect, it } from 'vitest'
import { freshDirectory } from '../setup/databases.ts'
import { quiet } from '../setup/silent.ts'
import { holdfast, objects } from './command-line.ts'

it('status and stats say what is embedded, and embeddings rm removes the vectors of a model', async () => {
  const cwd = freshDirectory()
  writeFileSync(join(cwd, 'agent.yml'), 'storage: { database: { type: sqlite, path: agent.db } }')
  const database = { type: 'sqlite', path: join(cwd, 'agent.db') } as const
  const storage = await openStorage({ database }, { ...quiet, embedding: wordEmbedding() })
  expect((await holdfast(['status'], { cwd })).stdout).toMatch(/^embeddings +none by words\/256 yet$/m)
  await storage.memories.create({ content: 'Ada likes window seats' })
  await storage.embedPending()
  await storage.close()
  const other = await openStorage({ database }, quiet) // without a model
  await other.memories.create({ content: 'Bob pays by invoice' })
  await other.close()

  const text = /^embeddings +1 text by words\/256, 1 text not embedded yet by words\/256$/m
  expect((await holdfast(['status'], { cwd })).stdout).toMatch(text)
  expect(await objects(['stats'], { cwd })).toMatchObject([{ embeddings: { models: { 'words/256': 1 }, pending: 1 } }])
  const typo = await holdfast(['embeddings', 'rm', 'words'], { cwd })
  const stderr = 'There are no vectors of words. The models with vectors: words/256.\n'
  expect(typo).toEqual({ code: 3, stdout: '0 vectors removed\n', stderr })
  expect(await objects(['embeddings', 'rm', 'words/256', '--yes'], { cwd })).toEqual([
    { model: 'words/256', removed: 1 },
  ])
  const refused = await holdfast(['embeddings', 'pgvector'], { cwd })
  expect(refused.code).not.toBe(0)
  expect(refused.stderr).toContain('SQLite compares vectors without it')
})
