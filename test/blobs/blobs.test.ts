import { blobsContract } from 'holdfast/testing'
import { it } from 'vitest'
import { eachStore, INSIDE, MAIN_RECORDS, SEPARATE_RECORDS } from './stores.ts'

eachStore({ ...MAIN_RECORDS, ...SEPARATE_RECORDS, ...INSIDE }, (open) => {
  for (const { name, run } of blobsContract(open)) it(name, run)
})
