/**
 * Installs the lowest or the newest supported version of each driver and of drizzle into node_modules, for the tests:
 *
 *   npm run peers -- lowest
 *
 * The frameworks of the adapters are in test/adapters, in both versions.
 *
 * package.json and package-lock.json stay as they are; `npm ci` brings the locked versions back.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const json = (path: string) => JSON.parse(readFileSync(resolve(root, path), 'utf8'))
const frameworks = json('test/adapters/package.json').dependencies
const peers: [string, string][] = Object.entries(json('package.json').peerDependencies)
const ranges = peers.filter(([name]) => frameworks[name] === undefined)

/** Returns the version that a range begins with: 12.0.0 of `^12.0.0`, 3.4.7 of `>=3.4.7 <3.5`. */
function lowest(range: string): string {
  const [version] = range.match(/\d+\.\d+\.\d+/) ?? []
  if (version === undefined) throw new Error(`The range ${range} names no lowest version`)
  return version
}

const wanted = process.argv[2]
if (wanted !== 'lowest' && wanted !== 'newest') {
  console.error('Usage: npm run peers -- lowest|newest')
  process.exitCode = 2
} else {
  const packages = ranges.map(([name, range]) => `${name}@${wanted === 'lowest' ? lowest(range) : range}`)
  execFileSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', ...packages], { cwd: root, stdio: 'inherit' })
  for (const [name] of ranges) console.log(name, json(`node_modules/${name}/package.json`).version)
}
