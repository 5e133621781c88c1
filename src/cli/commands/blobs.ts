import { existsSync, fstatSync } from 'node:fs'
import { type FileHandle, open as openFile, rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { codeOf, isError } from '../../caught.ts'
import type { BlobRecord, VerifyReport } from '../../index.ts'
import type { Command } from '../command.ts'
import { EXIT, OutputError, Refusal, UsageError } from '../exit-codes.ts'
import { refuseLoss } from '../in-memory.ts'
import { LIMIT, OWNER } from '../options.ts'
import { pagesOf, wantedCount } from '../pages.ts'
import { bytesText, inColumns, inLine, manyText, timeText } from '../text.ts'
import { scopeOf } from './sessions.ts'

const ID = { name: 'ID', summary: 'The id of the blob, or its reference blob:ID.' }

export const blobsLs: Command = {
  name: 'blobs ls',
  summary: 'Lists blobs, the newest first.',
  needsBlobs: true,
  options: [
    OWNER,
    { name: 'source', value: 'SOURCE', summary: 'Only blobs from this source.' },
    LIMIT,
    { name: 'all', summary: 'Lists all blobs.' },
  ],
  async run(call) {
    const { given, output, signal } = call
    const count = wantedCount(given)
    const source = given.text('source')
    const { blobs } = await scopeOf(call)
    let isEmpty = true
    for await (const items of pagesOf((page) => blobs.list({ ...page, source }), { count, signal })) {
      if (items.length === 0) continue
      isEmpty = false
      if (output.isJson) for (const blob of items) await output.print('', blob)
      else await output.write(`${inColumns(items.map(rowOf))}\n`)
    }
    if (isEmpty) output.note('There are no blobs.')
    return EXIT.ok
  },
}

function rowOf({ id, createdAt, size, mimeType, name }: BlobRecord): string[] {
  return [timeText(createdAt), bytesText(size).padStart(10), id, inLine(mimeType, 30), inLine(name ?? '', 50)]
}

export const blobsGet: Command = {
  name: 'blobs get',
  summary: 'Writes the bytes of a blob to stdout, or to a file.',
  needsBlobs: true,
  arguments: [
    ID,
    { name: 'FILE', summary: 'The file to write. It must not exist. Default: stdout.', isOptional: true },
  ],
  async run({ given, output, signal, open }) {
    const [file] = given.all('FILE')
    if (file === undefined && output.isJson) throw new UsageError('bytes are not JSON: with --json, name a FILE')
    if (file !== undefined && existsSync(file)) throw new Refusal(`${file} exists: name a file that does not`)
    const { blobs } = await open()
    const stream = await blobs.stream(given.argument('ID'))
    if (file === undefined) {
      for await (const chunk of stream) {
        signal.throwIfAborted()
        await output.write(chunk)
      }
      return EXIT.ok
    }
    // Under its own name the file is complete.
    const partial = `${file}.part`
    const handle = await opened(partial, 'wx')
    try {
      const written = handle.createWriteStream()
      await pipeline(stream, written, { signal })
      await rename(partial, file)
      if (output.isJson) await output.print('', { file, bytes: written.bytesWritten })
    } catch (error) {
      await rm(partial, { force: true })
      throw isError(error) && 'syscall' in error ? new OutputError(error.message) : error
    }
    return EXIT.ok
  },
}

/** Opens a file to read it, or creates one. */
async function opened(file: string, flags: 'r' | 'wx'): Promise<FileHandle> {
  try {
    return await openFile(file, flags)
  } catch (error) {
    const errno = codeOf(error)
    if (errno === undefined) throw error
    if (errno !== 'EEXIST') throw new UsageError(`${file} cannot be ${flags === 'r' ? 'read' : 'written'} (${errno})`)
    throw new Refusal(`${file} exists: another command is at work, or was killed and left it behind. Then remove it`)
  }
}

export const blobsPut: Command = {
  name: 'blobs put',
  summary: 'Stores a file, or stdin, as a blob and prints its record.',
  needsBlobs: true,
  makesStore: true,
  arguments: [{ name: 'FILE', summary: 'The file to store. Default: stdin.', isOptional: true }],
  options: [
    OWNER,
    { name: 'name', value: 'NAME', summary: 'The name of the blob. Default: that of the file.' },
    { name: 'type', value: 'TYPE', summary: 'The MIME type. Default: a guess.' },
    { name: 'source', value: 'SOURCE', summary: 'Who or what the blob is from.' },
  ],
  async run(call) {
    const { given, output, signal } = call
    const [file] = given.all('FILE')
    const handle = file === undefined ? undefined : await opened(file, 'r')
    // Node gives nothing to read from a stdin that is a directory.
    const stats = handle === undefined ? fstatSync(0) : await handle.stat()
    if (stats.isDirectory()) throw new UsageError(`${file ?? 'stdin'} is a directory: name a file`)
    const { blobs } = await scopeOf(call)
    await refuseLoss((await call.configuration()).config, () => true)
    const input = handle?.createReadStream() ?? process.stdin
    const blob = await blobs.put(input, {
      name: given.text('name') ?? file?.replace(/^.*[\\/]/, ''),
      mimeType: given.text('type'),
      source: given.text('source'),
      signal,
    })
    await output.print(blob.uri, blob)
    return EXIT.ok
  },
}

export const blobsVerify: Command = {
  name: 'blobs verify',
  summary: 'Compares all records with all bytes, and reads every byte.',
  details: 'Exits with 3 if something is found that is not repaired.',
  needsBlobs: true,
  options: [
    { name: 'repair', summary: 'Removes leftovers and the records of lost bytes; damaged bytes go to quarantine.' },
    { name: 'force', summary: 'Repairs even if more than a tenth of the contents is lost.' },
  ],
  async run({ given, output, signal, open, confirm }) {
    const repair = given.flag('repair')
    if (given.flag('force') && !repair) throw new UsageError('--force goes with --repair')
    const { blobs } = await open()
    if (repair) await confirm('Repair the blob store?')
    const progress = output.progress('items')
    const verification = await blobs
      .verify({
        repair,
        force: given.flag('force'),
        signal,
        onProgress: ({ step, checked }) => progress.update(checked, undefined, step),
      })
      .finally(() => progress.end())
    await output.print(inColumns(verification.steps.map(stepRow)), verification)
    return verification.steps.every(({ found, repaired }) => found === repaired) ? EXIT.ok : EXIT.findings
  },
}

function stepRow({ step, checked, found, repaired, items }: VerifyReport): string[] {
  const result = found === 0 ? 'ok' : `${found} found, ${repaired} repaired: ${inLine(items.join(' '), 200)}`
  return [step, `${manyText(checked, 'item')} checked`, result]
}

export const blobsGc: Command = {
  name: 'blobs gc',
  summary: 'Removes blobs that have expired, or that nobody has used or named for long.',
  details:
    'Maintenance does the same once a minute. The age is cleanupAfterDays of the configuration, unless --older-than is given.',
  needsBlobs: true,
  options: [
    { name: 'older-than', value: 'WHEN', summary: 'Last used before this date, or this long ago, such as 30d.' },
    { name: 'dry-run', summary: 'Counts, and removes nothing.' },
  ],
  async run({ given, output, signal, open, confirm }) {
    const dryRun = given.flag('dry-run')
    const olderThan = given.instantOrAge('older-than')
    const { blobs } = await open()
    if (!dryRun) await confirm('Remove unused blobs?')
    const progress = output.progress('blobs')
    const cleanup = await blobs
      .cleanup({ dryRun, olderThan, signal, onProgress: ({ removed }) => progress.update(removed) })
      .finally(() => progress.end())
    const removed = `${manyText(cleanup.removed, 'blob')}, ${bytesText(cleanup.bytes)}`
    await output.print(`${removed} ${dryRun ? 'would be removed' : 'removed'}`, { ...cleanup, dryRun })
    return EXIT.ok
  },
}
