import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { root } from '../docs/pages.ts'

const json = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8'))
const peers: Record<string, string> = json('package.json').peerDependencies
const installed: Record<string, string> = json('test/adapters/package.json').dependencies
const paths: Record<string, string[]> = json('test/adapters/tsconfig.lowest.json').compilerOptions.paths

/** Keyv is no peer, since its store imports nothing of it. docs/keyv.md has the versions. */
const ranges = Object.entries({ ...peers, keyv: '^5.0.1' }).filter(([name]) => installed[name] !== undefined)

it('every framework of an adapter is in a range', () => {
  expect(ranges.map(([name]) => name).toSorted()).toEqual([
    '@anthropic-ai/claude-agent-sdk',
    '@langchain/langgraph-checkpoint',
    '@mastra/core',
    '@openai/agents-core',
    '@opentelemetry/api',
    'ai',
    'keyv',
  ])
})

it.each(ranges)('the types of %s are checked against the lowest version of %s', (name, range) => {
  const lowest = /\d+\.\d+\.\d+/.exec(range)?.[0]
  const alias = `lowest-${name.replace(/^.*\//, '')}`
  // If only one version is supported so far, it is both the lowest and the newest.
  if (installed[name] === lowest) expect(installed[alias]).toBeUndefined()
  else {
    expect(installed[alias]).toBe(`npm:${name}@${lowest}`)
    expect(paths[name]?.[0]).toContain(`/${alias}/`)
    expect(json(`test/adapters/node_modules/${alias}/package.json`).version).toBe(lowest)
  }
  expect(json(`test/adapters/node_modules/${name}/package.json`).version).toBe(installed[name])
})

it('Keyv is tested in its two versions', () => {
  expect(json('test/adapters/node_modules/newest-keyv/package.json').version).toMatch(/^6\./)
})
