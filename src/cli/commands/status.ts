import { resolveConfig } from '../../config/resolve.ts'
import type { ResolvedConfig } from '../../config/resolved.ts'
import { maskSecrets } from '../../config/secrets.ts'
import { type EmbeddingStats, migrateStorage, type Storage } from '../../index.ts'
import type { Call, Command } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { bytesText, countsText, inColumns, inLine, manyText } from '../text.ts'
import { currentText, pendingText } from './migrate.ts'

export const status: Command = {
  name: 'status',
  summary: 'Shows the configuration, the migrations, the health of each layer, and how much there is.',
  details:
    'Counts the rows of every table, unless migrations are pending: then it exits with 3. Exits with 4 if a layer does not answer.',
  async run(call) {
    const { source, config } = await call.configuration()
    const report = await migrateStorage(config, { dryRun: true })
    const schema = { known: report.known, pending: report.migrations.length }
    if (schema.pending > 0) {
      const { server, bytes } = report
      const shown = maskSecrets(resolveConfig(config))
      const rows = [
        ['configuration', source],
        [
          'database',
          `${placeText(shown)}${server === undefined ? 'does not exist yet' : `${server}, ${bytesText(bytes ?? 0)}`}`,
        ],
        ['schema', pendingText(report)],
      ]
      const value = { configuration: source, config: shown, database: { server, bytes }, schema }
      await call.output.print(inColumns(rows), value)
      return EXIT.findings
    }
    const storage = await call.open()
    const [health, stats] = [await storage.health(), await storage.stats()]
    const layers = [health.database, health.cache, health.blobStore]
    const rows = [
      ['configuration', source],
      ['database', `${placeText(storage.config)}${stats.database.server}, ${bytesText(stats.database.bytes)}`],
      ['schema', currentText(report)],
      ['cache', cacheText(storage, stats.cache.server)],
      [
        'blobs',
        `${blobsText(storage)}: ${manyText(stats.blobs.count, 'blob')}, ${bytesText(stats.blobs.bytes)} of ${bytesText(stats.blobs.maxTotalSize)}`,
      ],
      ['search', searchText(stats.search)],
      ['embeddings', embeddingsText(stats.embeddings)],
      ['rows', countsText(stats.database.rows)],
      ...layers.flatMap(({ ok, type, error }) => (ok ? [] : [['problem', `${type}: ${error}`]])),
    ]
    const value = { configuration: source, config: storage.config, schema, health, stats }
    await call.output.print(inColumns(rows), value)
    return health.ok ? EXIT.ok : EXIT.unreachable
  },
}

export const stats: Command = {
  name: 'stats',
  summary: 'Counts the rows of each table, the blobs, and what is still to be indexed and embedded.',
  async run({ output, open }: Call) {
    const { database, blobs, search, embeddings } = await (await open()).stats()
    const rows = [
      ...Object.entries(database.rows).map(([table, count]) => [table, count.toLocaleString('en-US')]),
      ['database', bytesText(database.bytes)],
      ['contents of blobs', bytesText(blobs.bytes)],
      ['search', searchText(search)],
      ['embeddings', embeddingsText(embeddings)],
    ]
    const given = { ...(search && { search }), ...(embeddings && { embeddings }) }
    await output.print(inColumns(rows), { database, blobs, ...given })
    return EXIT.ok
  },
}

const searchText = (search: { pending: number } | undefined) =>
  search === undefined ? 'off' : search.pending === 0 ? 'on' : `on, ${manyText(search.pending, 'text')} not indexed yet`

/** Says how many texts each model has embedded. The command has no model: the program embeds the others. */
function embeddingsText(embeddings: EmbeddingStats | undefined): string {
  if (embeddings === undefined) return 'none'
  const models = Object.entries(embeddings.models).map(
    ([model, count]) => `${manyText(count, 'text')} by ${inLine(model)}`,
  )
  const pending =
    embeddings.pending === 0
      ? []
      : [`${manyText(embeddings.pending, 'text')} not embedded yet by ${inLine(embeddings.model)}`]
  return [...models, ...pending].join(', ') || `none by ${inLine(embeddings.model)} yet`
}

/** Says where the database is. */
function placeText({ database }: ResolvedConfig): string {
  if (database.type === 'in-memory') return 'in memory: empty in every new process; '
  if (database.type === 'sqlite') return `${database.file}, `
  const { connection } = database
  return 'url' in connection ? `${connection.url}, ` : `${connection.host}:${connection.port}/${connection.database}, `
}

function cacheText({ config: { cache } }: Storage, server: string | undefined): string {
  if (cache.type === 'in-memory') return 'in memory'
  return `redis, ${server === undefined ? 'out of reach' : server}, prefix ${cache.keyPrefix}`
}

function blobsText({ config: { blobStore } }: Storage): string {
  if (blobStore.type === 's3') return `${blobStore.endpoint}, s3://${blobStore.bucket}/${blobStore.prefix}`
  if (blobStore.type === 'database') return 'in the database'
  return blobStore.type === 'local' ? blobStore.storePath : 'in memory'
}
