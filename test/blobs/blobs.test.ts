import { blobsContract } from 'holdfast/testing'
import { it } from 'vitest'
import { APART, eachStore, TOGETHER } from './stores.ts'

eachStore({ ...TOGETHER, ...APART }, (open) => {
  for (const { name, run } of blobsContract(open)) it(name, run)
})
