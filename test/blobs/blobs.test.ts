import { blobsContract } from 'holdfast/testing'
import { it } from 'vitest'
import { rounds } from '../setup/rounds.ts'
import { eachStore, INSIDE, MAIN_RECORDS, SEPARATE_RECORDS } from './stores.ts'

eachStore({ ...MAIN_RECORDS, ...SEPARATE_RECORDS, ...INSIDE }, (open, _, store) => {
  // The records of a store apart from its bytes are the same tables in another database: every fourth case is enough.
  const share = store in SEPARATE_RECORDS ? rounds(4, 1) : 1
  for (const { name, run } of blobsContract(open).filter((_, i) => i % share === 0)) it(name, run)
})
