import { blobsContract } from 'holdfast/testing'
import { it } from 'vitest'
import { eachStore, MAIN_RECORDS, SEPARATE_RECORDS } from './stores.ts'

eachStore({ ...MAIN_RECORDS, ...SEPARATE_RECORDS }, (open) => {
  for (const { name, run } of blobsContract(open)) it(name, run)
})
