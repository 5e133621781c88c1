import { test } from 'vitest'
import { startRedis } from '../servers.ts'

test('leaves a server running', async () => {
  await startRedis()
})
