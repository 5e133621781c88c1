import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { bundleProgram, removeBundles } from './bundle-program.ts'

test('removeBundles() removes what killed processes have left, and no bundle of a process that runs', () => {
  const bundle = bundleProgram('test/setup/programs/echo.ts')
  const { pid } = spawnSync(process.execPath, ['--version'])
  const left = join(dirname(bundle), `../process-${pid}-abcdef`)
  mkdirSync(left)

  removeBundles()

  expect(existsSync(bundle)).toBe(true)
  expect(existsSync(left)).toBe(false)
})
