import { getTableName } from 'drizzle-orm'
import * as z from 'zod/mini'
import type { BlobLayer } from '../blobs/open.ts'
import { areMany } from '../blobs/protocol/strays.ts'
import type { VerifyReport, VerifyStep } from '../blobs/types.ts'
import type { CacheStore } from '../cache/store.ts'
import { messageOf } from '../caught.ts'
import type { ResolvedConfig } from '../config/resolved.ts'
import type { Database } from '../database/database.ts'
import { diskSpace } from '../diagnosis/disk-space.ts'
import { type Finding, fail, firstOf, ok, warn } from '../diagnosis/findings.ts'
import { isStorageError } from '../errors.ts'
import { COUNTERS, type Counter } from '../repositories/counters.ts'
import { parseInput } from '../validation/input.ts'
import { checkSignal } from '../validation/signal.ts'
import { databaseHealth, healthOf, type LayerHealth } from './health.ts'
import { longRun, progressOf } from './long-run.ts'
import type { DiagnoseOptions } from './options.ts'
import type { StorageStats } from './reports.ts'

const optionsSchema = z.strictObject({ ...longRun, repair: z.optional(z.boolean()) })

/** What the checks look at. */
interface Storage {
  config: ResolvedConfig
  database: Database
  cacheStore: CacheStore
  blobs: BlobLayer
  stats(): Promise<StorageStats>
}

/** Runs every check. See `Storage.diagnose`. */
export async function diagnose(storage: Storage, options: DiagnoseOptions): Promise<Finding[]> {
  const { signal, repair = false } = parseInput(optionsSchema, options, 'options')
  const onProgress = progressOf(options)
  const { database, cacheStore, config } = storage
  const answers = async () => {
    const { database, cache, blobStore } = await healthOf(storage)
    return [answer('database', database), answer('cache', cache), answer('blob-store', blobStore)]
  }
  const checks: readonly Check[] = [
    ['answers', answers],
    ['cache-server', async () => (await cacheStore.diagnose?.()) ?? []],
    ['blobs-disk', () => blobsDisk(config.blobStore)],
    ['integrity', () => database.driver.diagnose()],
    ['tables', async () => [await tables(database)]],
    ['clock', async () => [await clock(database)]],
    ...Object.entries(COUNTERS).map(([what, counter]): Check => {
      const check = `${what}-counters`
      return [check, async () => [await counted(check, what, { counter, database, repair })]]
    }),
    ['blobs', () => blobs(storage.blobs, signal, (checked) => onProgress?.({ check: 'blobs', checked }))],
    // Counts every table, which only a search needs.
    ['search', async () => [searchIndex(config.database.search ? await storage.stats() : {})]],
  ]
  const findings: Finding[] = []
  for (const [i, [name, check]] of checks.entries()) {
    checkSignal(signal, ABORTED)
    try {
      const found = await database.whileOpen(check)
      for (const finding of found) onProgress?.({ check: finding.check, checked: 1 })
      findings.push(...found)
    } catch (error) {
      if (isOfCaller(error)) throw error
      // What is damaged, or hidden from this user, may be what the check reads. The other checks say more, if they can.
      const { ok: goesOn } = await databaseHealth(storage)
      findings.push(unfinished(name, error, goesOn ? [] : checks.slice(i + 1).map(([left]) => left)))
      if (!goesOn) break
    }
  }
  return findings
}

/** A name, and what makes the findings. */
type Check = readonly [name: string, run: () => Promise<Finding[]>]

const ABORTED = 'The diagnosis was aborted by its signal'

/** Returns true if an error says that the call itself has to end. */
function isOfCaller(error: unknown): boolean {
  return isStorageError(error) && ['ABORTED', 'CLOSED', 'TRANSACTION_MISUSE'].includes(error.code)
}

/** Makes the finding of a check that failed, and of those that need what it lacked. */
function unfinished(check: string, error: unknown, left: readonly string[]): Finding {
  const notBegun = left.length === 0 ? '' : `. Not begun: ${left.join(', ')}`
  const finding = fail(check, `This check could not be finished: ${messageOf(error)}${notBegun}`)
  return isStorageError(error) ? { ...finding, code: error.code } : finding
}

function answer(check: string, { ok: answers, type, error, latencyMs }: LayerHealth): Finding {
  if (answers) return ok(check, `${type} answers in ${latencyMs.toFixed(1)} ms`)
  return fail(check, `${type} does not answer: ${error}`)
}

/** Checks that every table is there: a database that was restored in part may lack some. */
async function tables({ driver }: Database): Promise<Finding> {
  const names = Object.values(driver.kit.tables).map((table) => getTableName(table))
  const [found = []] = await driver.journal.read(driver.journal.existence(names.map((name) => `"${name}"`)))
  const missing = names.filter((_, i) => !found[i])
  if (missing.length === 0) return ok('tables', 'Every table is there')
  return fail('tables', `The database lacks ${firstOf(missing)}, although it was migrated: restore a backup`)
}

/** Difference of the clocks from which timestamps of this machine mislead people. */
const CLOCK_MILLIS = 60_000

async function clock(database: Database): Promise<Finding> {
  const begun = Date.now()
  const server = await database.driver.serverTime?.()
  if (server === undefined) return ok('clock', 'The clock of this machine decides')
  const seconds = Math.round((server.getTime() - (begun + Date.now()) / 2) / 1000)
  if (Math.abs(seconds) * 1000 < CLOCK_MILLIS) return ok('clock', 'The clock agrees with the database')
  const direction = seconds < 0 ? 'ahead of' : 'behind'
  const message = `The clock of this machine is ${Math.abs(seconds)} seconds ${direction} that of the database: set one of them by NTP`
  return fail('clock', message)
}

/** How many wrong counters one call repairs. */
const REPAIRS = 1000

interface CountedFor {
  counter: Counter
  database: Database
  repair: boolean
}

/** Compares the counters of a table with a count of the rows. */
async function counted(check: string, what: string, { counter, database, repair }: CountedFor): Promise<Finding> {
  const keys = await counter.wrong(database)
  for (const key of repair ? keys.slice(0, REPAIRS) : []) await counter.recount(database, key)
  if (keys.length === 0) return ok(check, `The counters of ${what} equal a count of their rows`)
  const names = firstOf(keys.map((key) => key.filter((part) => part !== '').join(' ')))
  const message = `The counters of ${keys.length} ${what} were wrong (${names})`
  if (!repair) return fail(check, `${message}: diagnose with repair counts them again`)
  if (keys.length > REPAIRS) return fail(check, `${message}; ${REPAIRS} are repaired: diagnose with repair once more`)
  return warn(check, `${message}, and are repaired`)
}

async function blobs(layer: BlobLayer, signal: AbortSignal | undefined, onChecked: (checked: number) => void) {
  const { steps } = await layer.blobs.verify({ signal, onProgress: ({ checked }) => onChecked(checked) })
  return steps.map((report) =>
    report.found === 0 ? ok(`blobs-${report.step}`, `${report.checked} checked`) : blobsFinding(report, layer),
  )
}

function blobsFinding({ step, checked, found, items }: VerifyReport, { bytes }: Pick<BlobLayer, 'bytes'>): Finding {
  const message = `${found} of ${checked} ${STEPS[step]} (${firstOf(items)})`
  const repair = 'blobs.verify({ repair: true }), or holdfast blobs verify --repair'
  const isSwept = step !== 'strays' || (bytes.storedAt !== undefined && !areMany(found, checked))
  const when = isSwept ? MAINTAINED[step] : undefined
  if (when === undefined) return fail(`blobs-${step}`, `${message}: ${repair}`)
  return warn(
    `blobs-${step}`,
    `${message}: maintenance of a running instance removes them ${when}, or at once ${repair}`,
  )
}

/** Checks the disk of a local store, or of the puts in progress to a bucket. That of the database is checked with it. */
async function blobsDisk(blobStore: ResolvedConfig['blobStore']): Promise<Finding[]> {
  if (blobStore.type === 'in-memory' || blobStore.type === 'database') return []
  return [await diskSpace('blobs-disk', blobStore.type === 'local' ? blobStore.storePath : blobStore.stagingPath)]
}

const STEPS = {
  staged: 'staged files are leftovers',
  damaged: 'contents are damaged',
  missing: 'contents have lost their bytes',
  unreferenced: 'contents are not needed',
  strays: 'files or objects belong to no record',
  usage: 'counters are wrong',
}

/** When maintenance removes what a step finds. */
const MAINTAINED: Partial<Record<VerifyStep, string>> = {
  staged: 'within a minute',
  unreferenced: 'within a minute',
  strays: 'when they are a day old',
}

function searchIndex({ search }: Pick<StorageStats, 'search'>): Finding {
  if (search === undefined) return ok('search', 'The search is switched off')
  if (search.pending === 0) return ok('search', 'Every text is indexed')
  return warn('search', `${search.pending} texts are not indexed yet: maintenance of a running instance indexes them`)
}
