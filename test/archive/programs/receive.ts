import { copyStorage, importInto, openStorage, type StorageConfig } from 'holdfast'
import { say } from '../../setup/say.ts'
import { quiet } from '../../setup/silent.ts'

// Imports an archive or copies a storage, and says how far it is, until it ends or is killed.

const [what = '', origin = '', configuration = ''] = process.argv.slice(2)
const target = await openStorage(JSON.parse(configuration) as StorageConfig, quiet) // the test has written it
const begun = performance.now()
/** Returns a report with how long the work took, and the most memory that this process had. */
const reported = (report: unknown) => {
  return { report, millis: performance.now() - begun, peakBytes: process.resourceUsage().maxRSS * 1024 }
}
const options = { onProgress: (progress: unknown) => say(progress) }
if (what === 'import') say(reported(await importInto(target, origin, options)))
else {
  const source = await openStorage(JSON.parse(origin) as StorageConfig, quiet) // as above
  say(reported(await copyStorage(source, target, options)))
  await source.close()
}
await target.close()
