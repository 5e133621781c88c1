/** Erases the owner `ada`, and says after each transaction which table it was about: `erase.ts <config>`. */
import { openStorage } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

const [config = ''] = process.argv.slice(2)
await using storage = await openStorage(JSON.parse(config), quiet)
await storage.erase({ ownerId: 'ada' }, { onProgress: ({ table }) => say({ table }) })
