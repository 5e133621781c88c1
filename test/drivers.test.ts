import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, expect, inject, it } from 'vitest'
import { freshDirectory } from './setup/databases.ts'
import { unpackInto } from './setup/packed.ts'

const root = resolve(import.meta.dirname, '..')
const run = promisify(execFile)
const SQLITE = '{ database: { type: "sqlite", path: "a.db" } }'
const POSTGRES = '{ database: { type: "postgres", url: "postgres://u@localhost/d" } }'
const REDIS = '{ cache: { type: "redis", host: "localhost" } }'

/** Holdfast as it is published, unpacked once. */
let compiled = ''

beforeAll(async () => {
  compiled = freshDirectory()
  await unpackInto(compiled)
})

/** A new project with Holdfast and all packages except `left`. */
class Project {
  readonly directory = freshDirectory()

  constructor(...left: string[]) {
    const modules = join(this.directory, 'node_modules')
    mkdirSync(modules)
    cpSync(compiled, join(modules, 'holdfast'), { recursive: true })
    for (const name of readdirSync(join(root, 'node_modules'))) {
      if (!left.includes(name) && !name.startsWith('.'))
        symlinkSync(join(root, 'node_modules', name), join(modules, name))
    }
  }

  /** Copies a package, without what `left` matches. */
  copy(name: string, left = /^\/(?:build\/Debug|deps)/): this {
    const from = join(root, 'node_modules', name)
    const filter = (path: string) => !left.test(path.slice(from.length))
    cpSync(from, this.path(name), { recursive: true, filter })
    return this
  }

  write(file: string, content: string | Buffer): this {
    mkdirSync(resolve(this.path(file), '..'), { recursive: true })
    writeFileSync(this.path(file), content)
    return this
  }

  path(file: string): string {
    return join(this.directory, 'node_modules', file)
  }

  /** Opens a storage in another process and returns the message of the DRIVER_MISSING error. */
  failure(config: string): Promise<string> {
    return this.run(`
      import { openStorage, StorageError } from 'holdfast'
      const error = await openStorage(${config}).then(() => undefined, (error) => error)
      if (error?.code !== 'DRIVER_MISSING') throw error ?? new Error('The storage opened')
      console.log(error.message)`)
  }

  /** Runs a program in another process and returns what it prints. */
  async run(program: string): Promise<string> {
    writeFileSync(join(this.directory, 'program.mjs'), program)
    const { stdout } = await run(process.execPath, ['--preserve-symlinks', 'program.mjs'], { cwd: this.directory })
    return stdout.trim()
  }
}

const SQLITE_PACKAGE = 'better-sqlite3'
/** What is compiled. Version 13 looks here too, before it takes the binary that it brings along. */
const BINARY = 'better-sqlite3/build/Release/better_sqlite3.node'
const WITHOUT_BINARY = /^\/(?:build|deps|prebuilds)/
const bringsBinary = existsSync(join(root, 'node_modules', SQLITE_PACKAGE, 'prebuilds'))

/** Returns the binary as if it were compiled for Node 18: it says so in its name for Node, and in a number beside it. */
function forAnotherNode(): Buffer {
  const binary = readFileSync(join(root, 'node_modules', BINARY))
  const patched = Buffer.from(
    binary.toString('latin1').replaceAll(`_register_module_v${process.versions.modules}`, '_register_module_v108'),
    'latin1',
  )
  const version = Buffer.alloc(4)
  version.writeUInt32LE(Number(process.versions.modules))
  for (let at = patched.indexOf(version); at >= 0; at = patched.indexOf(version, at + 1)) {
    // The number is followed by no flags and no handle.
    if (at % 8 === 0 && patched.readUInt32LE(at + 4) === 0 && patched.readBigUInt64LE(at + 8) === 0n) {
      patched.writeUInt32LE(108, at)
    }
  }
  return patched
}

/** Changes the version that a copied package says it has. */
function relabel(project: Project, name: string, version: string): Project {
  const manifest = JSON.parse(readFileSync(project.path(`${name}/package.json`), 'utf8'))
  return project.write(`${name}/package.json`, JSON.stringify({ ...manifest, version }))
}

it.each([
  ['nothing', '', 'better-sqlite3'],
  ['SQLite', SQLITE, 'better-sqlite3'],
  ['PostgreSQL', POSTGRES, 'postgres'],
  ['Redis', REDIS, 'ioredis'],
])('openStorage() with %s configured names the package that is not installed', async (_, config, name) => {
  const message = `The package "${name}" is not installed: run "npm install ${name}"`
  expect(await new Project(name).failure(config)).toBe(message)
})

it('openStorage() says what to run if better-sqlite3 has no binary', async () => {
  const project = new Project(SQLITE_PACKAGE).copy(SQLITE_PACKAGE, WITHOUT_BINARY)
  const message = bringsBinary
    ? `The package "better-sqlite3" is installed without a binary for ${process.platform}-${process.arch}: delete node_modules/better-sqlite3 and run "npm install better-sqlite3"`
    : 'The package "better-sqlite3" is installed but was not compiled: run "npm rebuild better-sqlite3"'
  for (const config of ['', SQLITE]) expect(await project.failure(config)).toContain(message)
})

it('openStorage() says what to run if the binary of better-sqlite3 is damaged', async () => {
  const project = new Project(SQLITE_PACKAGE).copy(SQLITE_PACKAGE, WITHOUT_BINARY).write(BINARY, 'damaged')
  const message = /its binary is damaged: delete node_modules\/better-sqlite3 and run "npm install better-sqlite3"$/
  for (const config of ['', SQLITE]) expect(await project.failure(config)).toMatch(message)
})

// The binary of version 13 serves every Node.
it.runIf(process.platform === 'linux' && !bringsBinary)(
  'openStorage() says what to run if better-sqlite3 was compiled for another Node',
  async () => {
    const project = new Project(SQLITE_PACKAGE).copy(SQLITE_PACKAGE, WITHOUT_BINARY).write(BINARY, forAnotherNode())
    const message = `was compiled for another version of Node (NODE_MODULE_VERSION 108, this Node needs ${process.versions.modules}): run "npm rebuild better-sqlite3"`
    for (const config of ['', SQLITE]) expect(await project.failure(config)).toContain(message)
  },
)

it.runIf(!bringsBinary)('openStorage() says what to run if a package of better-sqlite3 is missing', async () => {
  const project = new Project(SQLITE_PACKAGE, 'bindings').copy(SQLITE_PACKAGE)
  expect(await project.failure('')).toMatch(/is not installed completely: .* "npm install better-sqlite3"$/)
})

it.each(['11.10.0', '14.0.0'])('openStorage() refuses better-sqlite3 %s', async (version) => {
  const project = relabel(new Project(SQLITE_PACKAGE).copy(SQLITE_PACKAGE), SQLITE_PACKAGE, version)
  expect(await project.failure('')).toMatch(
    /is not supported \(it must be \^12.*\): run "npm install better-sqlite3@1[23]"$/,
  )
})

// The real version 13 ends Node 20 with a segmentation fault as soon as its binary is loaded.
it.runIf(process.version.startsWith('v20'))('openStorage() refuses better-sqlite3 13 on Node 20', async () => {
  const project = relabel(new Project(SQLITE_PACKAGE).copy(SQLITE_PACKAGE), SQLITE_PACKAGE, '13.0.0')
  expect(await project.failure('')).toContain('(it must be ^12 with Node 20): run "npm install better-sqlite3@12"')
})

it('openStorage() refuses a postgres.js of another version', async () => {
  const project = new Project('postgres').copy('postgres')
  for (const file of readdirSync(project.path('postgres/src'))) {
    const source = readFileSync(project.path(`postgres/src/${file}`), 'utf8')
    project.write(`postgres/src/${file}`, source.replace(/\bretried\b/g, 'renamed'))
  }
  expect(await project.failure(POSTGRES)).toContain('(it must be >=3.4.7 <3.5): run "npm install postgres@3.4"')
})

it('openStorage() refuses an ioredis that has no class Redis, as version 4', async () => {
  const project = new Project('ioredis')
  project.write('ioredis/package.json', '{ "name": "ioredis", "version": "4.31.0" }')
  project.write('ioredis/index.js', 'module.exports = class {}; module.exports.Cluster = class {}')
  expect(await project.failure(REDIS)).toMatch(/is not supported \(it must be .*\): run "npm install ioredis@6"$/)
})

it('openStorageFromFile() takes yaml and ioredis as a bundle of webpack has them: all exports are in `default`', async () => {
  const project = new Project('yaml', 'ioredis')
  for (const name of ['yaml', 'ioredis']) {
    const source = `import { createRequire } from 'node:module'
      export default createRequire(${JSON.stringify(join(root, 'package.json'))})('${name}')`
    project.write(`${name}/package.json`, JSON.stringify({ name, type: 'module', exports: './index.js' }))
    project.write(`${name}/index.js`, source)
  }
  writeFileSync(
    join(project.directory, 'holdfast.yaml'),
    `storage: { cache: { type: redis, url: "${inject('redisUrl')}" } }`,
  )
  const program = `
    import { openStorageFromFile } from 'holdfast'
    const storage = await openStorageFromFile('holdfast.yaml')
    await storage.cache.set('key', 'value')
    console.log(await storage.cache.get('key'))
    await storage.close()`
  expect(await project.run(program)).toBe('value')
})
