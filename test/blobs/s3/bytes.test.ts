import type { BytesBackend, Location } from 'holdfast'
import { bytesContract } from 'holdfast/testing'
import { afterAll, describe, expect, it } from 'vitest'
import { serve } from './fixture.ts'

const server = await serve()
let prefixes = 0

afterAll(() => server.close())

describe('s3 bytes', () => {
  const open = async () => server.open({ prefix: `store-${prefixes++}` }).bytes
  const damage = async (_: BytesBackend, { hash, generation }: Location, data: Uint8Array) => {
    const [key = ''] = [...server.objects.keys()].filter((each) => each.endsWith(`/${hash}.${generation}`))
    server.objects.set(key, { bytes: Buffer.from(data), storedAt: new Date() })
  }
  for (const { name, run } of bytesContract(open, { damage })) it(name, run)

  it('has its type', async () => {
    expect((await open()).type).toBe('s3')
  })
})
