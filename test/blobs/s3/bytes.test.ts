import { bytesContract } from 'holdfast/testing'
import { afterAll, describe, expect, it } from 'vitest'
import { serve } from './fixture.ts'

const server = await serve()
let prefixes = 0

afterAll(() => server.close())

describe('s3 bytes', () => {
  const open = async () => server.open({ prefix: `store-${prefixes++}` }).bytes
  for (const { name, run } of bytesContract(open)) it(name, run)

  it('has its type', async () => {
    expect((await open()).type).toBe('s3')
  })
})
