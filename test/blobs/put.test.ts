import { openStorage } from 'holdfast'
import { expect, it } from 'vitest'
import { quiet } from '../setup/silent.ts'

const problemAt = (path: string) => ({ code: 'INVALID_INPUT', details: { problems: [{ path }] } })

it('put() checks its options before it opens the input', async () => {
  await using storage = await openStorage({}, quiet)
  const put = storage.blobs.put({ path: '/no/such/file' }, { name: 'a\0b' })
  await expect(put).rejects.toMatchObject(problemAt('options.name'))
})

it.each([
  ['contains NUL', 'a\0b'],
  ['is longer than 1024 characters', 'x'.repeat(1025)],
])('put() rejects a File whose name %s, unless a name is given', async (_, name) => {
  await using storage = await openStorage({}, quiet)
  const file = new File(['data'], name)
  await expect(storage.blobs.put(file)).rejects.toMatchObject(problemAt('input.name'))
  expect(await storage.blobs.put(file, { name: 'valid' })).toMatchObject({ name: 'valid' })
})
