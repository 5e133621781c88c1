import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { docBlocks, examplesIn } from '../../scripts/doc-blocks.ts'
import { sourcesBelow } from '../../scripts/sources.ts'
import { freshProject, projectEnv, root } from './pages.ts'

interface Example {
  at: string
  file: string
  code: string
}

const examples: Example[] = sourcesBelow(root, 'src').flatMap((source) =>
  docBlocks(readFileSync(join(root, source), 'utf8')).flatMap((block) =>
    examplesIn(block).map((code, i) => ({
      at: `${source}:${block.line}`,
      file: `${source.replaceAll(/\W/g, '-')}-${block.line}-${i}.ts`,
      code,
    })),
  ),
)

/** An example is the body of a program that has an open storage. Its imports come first. */
function programOf(code: string): string {
  const imports = [...code.matchAll(/^import .*\n/gm)].map(([line]) => line).join('')
  return `import { openStorage as open } from 'holdfast'
${imports}
export async function example() {
  await using storage = await open({ database: { type: 'in-memory', options: { search: true } } }, { maintenance: false })
  void storage
${code.replace(/^import .*\n/gm, '')}
}
`
}

/** The entry points, each with its declarations below `types/`. */
const paths = Object.fromEntries(
  Object.entries<string[]>(JSON.parse(readFileSync(join(root, 'tsconfig.json'), 'utf8')).compilerOptions.paths).map(
    ([entry, files]) => [entry, files.map((file) => file.replace('./src/', './types/').replace(/\.ts$/, '.d.ts'))],
  ),
)

const tsc = (...args: string[]) => promisify(execFile)(join(root, 'node_modules/.bin/tsc'), args)

describe('every @example', () => {
  const directory = freshProject()
  let results: Record<string, string>

  beforeAll(async () => {
    mkdirSync(join(directory, 'examples'))
    for (const { file, code } of examples) writeFileSync(join(directory, 'examples', file), programOf(code))
    const files = examples.map(({ file }) => file)
    writeFileSync(
      join(directory, 'run.ts'),
      `console.log = () => {}
       console.warn = () => {}
       const results: Record<string, string> = {}
       for (const file of ${JSON.stringify(files)}) {
         const { example } = await import('./examples/' + file)
         results[file] = await example().then(() => 'ran', (error: Error) => String(error.stack))
       }
       process.stdout.write(JSON.stringify(results))`,
    )
    writeFileSync(
      join(directory, 'tsconfig.json'),
      JSON.stringify({
        extends: join(root, 'tsconfig.json'),
        compilerOptions: {
          noUnusedLocals: false,
          typeRoots: [join(root, 'node_modules/@types')],
          paths,
        },
        include: ['examples'],
      }),
    )
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'run.ts'], {
      cwd: directory,
      env: projectEnv,
      timeout: 100_000,
    })
    results = JSON.parse(stdout)
  })

  it('compiles', async () => {
    // Against declarations: the sources, which are checked elsewhere, take ten times as long.
    await tsc('-p', join(root, 'tsconfig.build.json'), '--noCheck', '--outDir', join(directory, 'types'))
    symlinkSync(join(root, 'test/adapters/node_modules'), join(directory, 'types/adapters/node_modules'))
    const compiling = tsc('-p', join(directory, 'tsconfig.json'))
    await expect(compiling.catch(({ stdout }) => stdout)).resolves.toMatchObject({ stdout: '' })
  })

  it.each(examples)('runs: $at', ({ file }) => {
    expect(results[file]).toBe('ran')
  })

  it('is found in the docstrings', () => {
    expect(examples.length).toBeGreaterThan(0)
  })
})
