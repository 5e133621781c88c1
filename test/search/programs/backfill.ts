/** Opens a storage with the search switched on, and indexes what was there before. Says after each step how far it is. */
import { openStorage } from 'holdfast'
import { resolveConfig } from '../../../src/config/resolve.ts'
import { openDatabase } from '../../../src/database/open.ts'
import { backfill } from '../../../src/repositories/search/backfill.ts'
import { say } from '../../setup/say.ts'

const [config = ''] = process.argv.slice(2)
const storage = await openStorage(JSON.parse(config), { maintenance: false })
const database = await openDatabase(resolveConfig(JSON.parse(config)).database, { migrate: true })
let indexed = 0
await backfill(database, {
  onStep: (more) => {
    indexed += more
    say({ indexed })
  },
})
await database.close()
await storage.close()
