import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type SQL, sql } from 'drizzle-orm'
import type { BulkRow } from '../database/bulk/table.ts'
import { MIGRATIONS } from '../database/migrations.generated.ts'
import { SelectedBlobs } from './blobs-selected.ts'
import { BLOBS, checkWritten, createDirectory, fileError, LinesWriter, syncFolders } from './directory.ts'
import { exportContents } from './export-contents.ts'
import { lineWriter } from './lines.ts'
import { type ArchiveFile, manifestOf, writeManifest } from './manifest.ts'
import type { ArchiveLayers, ArchiveRun } from './run.ts'
import { conditionOf, isPart } from './selection.ts'
import { type ArchiveSource, withSource } from './source.ts'
import { ARCHIVED, type ArchivedTable } from './tables.ts'
import type { ExportReport, ExportSelection } from './types.ts'

/** Writes the rows of a storage, as they are now, into a new directory. See `Storage.export`. */
export async function exportTo(
  layers: ArchiveLayers,
  directory: string,
  selection: ExportSelection,
  run: ArchiveRun,
): Promise<ExportReport> {
  run.check()
  const path = await createDirectory(directory)
  return withSource(layers, (source) => new Export(layers, source, path, selection, run).write())
}

class Export {
  readonly #layers: ArchiveLayers
  readonly #source: ArchiveSource
  readonly #directory: string
  readonly #selection: ExportSelection
  readonly #run: ArchiveRun
  readonly #selected: SelectedBlobs
  readonly #files: Record<string, ArchiveFile> = {}

  constructor(
    layers: ArchiveLayers,
    source: ArchiveSource,
    directory: string,
    selection: ExportSelection,
    run: ArchiveRun,
  ) {
    this.#layers = layers
    this.#source = source
    this.#directory = directory
    this.#selection = selection
    this.#run = run
    this.#selected = new SelectedBlobs(selection)
  }

  async write(): Promise<ExportReport> {
    const exportedAt = this.#layers.now().toISOString()
    for (const name of ARCHIVED) {
      if (name !== 'blobContent' && name !== 'blobs' && name !== 'blobRefs') await this.#writeTable(name)
    }
    const blobs = await this.#writeBlobs()
    const { ownerId, sessionId, since } = this.#selection
    const isWhole = !isPart(this.#selection)
    const manifest = manifestOf({
      schema: MIGRATIONS[this.#layers.database.dialect].length,
      exportedAt,
      selection: {
        ...(ownerId !== undefined && { ownerId }),
        ...(sessionId !== undefined && { sessionId }),
        ...(since !== undefined && { since: since.toISOString() }),
      },
      tables: this.#files,
      blobs,
      ...(isWhole && { lastEventSeq: await this.#source.lastEventSeq() }),
    })
    await checkWritten(this.#directory, Object.values(this.#files))
    await writeManifest(this.#directory, manifest).catch((error) => {
      throw fileError(error, this.#directory)
    })
    const tables: Record<string, number> = {}
    for (const [name, { rows }] of Object.entries(this.#files)) if (rows > 0) tables[name] = rows
    const rows = Object.values(tables).reduce((sum, each) => sum + each, 0)
    return { directory: this.#directory, tables, rows, blobs }
  }

  /** Writes a table into its file: all selected rows, or those that `isWanted` accepts. */
  async #writeTable(name: ArchivedTable, isWanted: (row: BulkRow) => boolean = () => true): Promise<void> {
    const where = this.#conditionOf(name)
    if (where === false) return this.#writeNothing(name)
    const total = this.#run.progress && (await this.#source.count(name, where))
    const table = this.#source.table(name)
    const write = lineWriter(table)
    const file = await LinesWriter.create(this.#directory, `${name}.jsonl`)
    let done = 0
    try {
      for await (const page of this.#source.rows(name, { where })) {
        this.#run.check()
        for (const row of page) {
          if (!isWanted(row)) continue
          if (name === 'messages') this.#selected.note(table, row)
          const full = file.add(write(row))
          if (full) await full
        }
        done += page.length
        this.#run.progress?.(name, done, total)
      }
      this.#files[name] = await file.finish()
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async #writeNothing(name: ArchivedTable): Promise<void> {
    this.#files[name] = await (await LinesWriter.create(this.#directory, `${name}.jsonl`)).finish()
  }

  /** Writes the contents of the selected blobs first: a blob that is deleted meanwhile is then left out as a whole. */
  async #writeBlobs(): Promise<{ contents: number; bytes: number }> {
    const table = this.#source.table('blobs')
    const place = (name: string) => table.columns.findIndex((column) => column.name === name)
    const [id, hash] = [place('id'), place('hash')]
    const isSelected = (row: BulkRow) => this.#selected.has(table, row)
    /** The contents and blobs that are wanted. Undefined if all are. */
    const hashes = isPart(this.#selection) ? new Set<string>() : undefined
    const ids = isPart(this.#selection) ? new Set<string>() : undefined
    if (hashes && ids) {
      for await (const page of this.#source.rows('blobs', { where: this.#condition('blobs') })) {
        this.#run.check()
        for (const row of page.filter(isSelected)) {
          hashes.add(String(row[hash]))
          ids.add(String(row[id]))
        }
      }
    }
    await mkdir(join(this.#directory, BLOBS), { mode: 0o700 }).catch((error) => {
      throw fileError(error, this.#directory)
    })
    const file = await LinesWriter.create(this.#directory, 'blobContent.jsonl')
    try {
      const written = await exportContents(this.#layers, this.#source, this.#directory, { file, hashes }, this.#run)
      this.#files.blobContent = await file.finish()
      const { gone } = written
      const goneIds = new Set<string>()
      await this.#writeTable('blobs', (row) => {
        if (!isSelected(row)) return false
        if (gone.has(String(row[hash]))) goneIds.add(String(row[id]))
        return !gone.has(String(row[hash]))
      })
      const refs = this.#source.table('blobRefs')
      const blobId = refs.columns.findIndex((column) => column.name === 'blobId')
      await this.#writeTable('blobRefs', (row) => {
        const mentioned = String(row[blobId])
        return !goneIds.has(mentioned) && (ids === undefined || ids.has(mentioned))
      })
      await syncFolders([...written.folders, join(this.#directory, BLOBS)])
      return { contents: written.contents, bytes: written.bytes }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  #condition(name: ArchivedTable): SQL | undefined {
    const where = this.#conditionOf(name)
    return where === false ? sql`1 = 0` : where
  }

  #conditionOf(name: ArchivedTable): SQL | undefined | false {
    const reads = this.#source.readsOf(name)
    if (reads === undefined) return false
    const { ownerId } = this.#selection
    // Which contents and blobs belong to a session or a time is said by the messages.
    const isOfBlobs = name === 'blobContent' || name === 'blobs'
    return conditionOf(reads.kit.tables, name, isOfBlobs ? { ownerId } : this.#selection)
  }
}
