import { describe, expect, it } from 'vitest'
import type { BytesBackend } from '../../src/blobs/bytes/backend.ts'
import { LocalBytes } from '../../src/blobs/bytes/local.ts'
import { MemoryBytes } from '../../src/blobs/bytes/memory.ts'
import { bytesContract } from '../../src/testing/bytes-contract.ts'
import { temporaryDirectory } from '../setup/temporary.ts'

const backends: Record<string, () => Promise<BytesBackend>> = {
  'in-memory': async () => new MemoryBytes(),
  local: () => LocalBytes.open({ storePath: temporaryDirectory('blobs') }),
}

for (const [type, open] of Object.entries(backends)) {
  describe(`${type} bytes`, () => {
    for (const { name, run } of bytesContract(open)) it(name, run)

    it('has its type', async () => {
      expect((await open()).type).toBe(type)
    })
  })
}
