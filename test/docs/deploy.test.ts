import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { emptyPostgres, freshDirectory, redisPrefix, redisUrl } from '../setup/databases.ts'
import { freePort } from '../setup/server-process.ts'
import { adopt } from '../setup/temporary.ts'
import { blocks, freshProject, projectEnv } from './pages.ts'

const page = 'docs/deploy.md'
const running = new Set<ChildProcess>()
let project: string
let env: NodeJS.ProcessEnv

beforeAll(() => {
  project = freshProject()
  for (const { code } of [...blocks(page, 'yaml'), ...blocks(page, 'ts')]) {
    const name = /^(?:#|\/\/) (\S+)$/m.exec(code)?.[1] ?? ''
    writeFileSync(join(project, name), code.replace('"agent:"', JSON.stringify(redisPrefix())))
  }
})

afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
})

function start(file: string, more: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    cwd: project,
    env: { ...projectEnv, ...env, ...more },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  adopt(child)
  running.add(child)
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const exit = once(child, 'close').then(([code]) => {
    running.delete(child)
    return { code: code as number | null, errors } // an exit code, or null after a signal
  })
  return { child, exit }
}

/** Starts an instance of server.ts, and returns it when it says that it is ready. */
async function startInstance() {
  const port = await freePort()
  const { child, exit } = start('server.ts', { PORT: String(port) })
  const ask = (path: string) => fetch(`http://127.0.0.1:${port}${path}`)
  const ended = exit.then(({ errors }) => Promise.reject(new Error(errors)))
  ended.catch(() => {})
  const ready = async () => {
    while (
      !(await ask('/ready').then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      await sleep(50)
  }
  await Promise.race([ready(), ended])
  return { child, exit, ask }
}

async function freshServers() {
  return { DATABASE_URL: await emptyPostgres(), REDIS_URL: redisUrl(), BLOB_DIR: freshDirectory() }
}

test('server.ts refuses to start while a migration is pending', async () => {
  env = await freshServers()
  const { code, errors } = await start('server.ts', { PORT: '0' }).exit
  expect(code).toBe(1)
  expect(errors).toContain('MIGRATION_PENDING')
})

test('migrate.ts and two instances of server.ts work as docs/deploy.md says', async () => {
  env = await freshServers()
  const migrations = [start('migrate.ts'), start('migrate.ts')] // any number of processes may do so at once
  expect(await Promise.all(migrations.map(({ exit }) => exit))).toMatchObject([{ code: 0 }, { code: 0 }])

  const instances = await Promise.all([startInstance(), startInstance()])
  const answers: string[] = []
  for (const { ask } of instances) answers.push(await (await ask('/hello')).text())
  expect(answers).toEqual(['message 1\n', 'message 2\n'])

  for (const { child } of instances) child.kill('SIGTERM')
  expect(await Promise.all(instances.map(({ exit }) => exit))).toMatchObject([{ code: 0 }, { code: 0 }])
})
