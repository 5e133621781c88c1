// Measures what the storage costs over its drivers.
//
//   npm run bench                      runs all rows, with 10^6 messages, 10^5 sessions and a blob of 1 GiB
//   npm run bench -- --quick           runs fewer rounds, with a tenth of the data
//   npm run bench -- --peers           runs the rows that compare with other packages, and says where one of them is faster.
//                                      Needs npm install --prefix bench
//   npm run bench -- 'SQLite, append'  runs the rows whose name contains the text

import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { Lab, type LabOptions } from './lab.ts'
import { printPeers, runRows } from './report.ts'
import { rows } from './rows.ts'

const { values, positionals } = parseArgs({
  options: { quick: { type: 'boolean' }, peers: { type: 'boolean' } },
  allowPositionals: true,
})
const filter = (positionals[0] ?? '').toLowerCase()
const MIB = 1024 * 1024
const size: Omit<LabOptions, 'subject'> = values.quick
  ? { effort: { rounds: 30, sampleMillis: 3, warmupMillis: 200 }, messages: 1e5, sessions: 1e4, blobBytes: 100 * MIB }
  : {
      effort: { rounds: 40, sampleMillis: 25, warmupMillis: 1000 },
      messages: 1e6,
      sessions: 1e5,
      blobBytes: 1024 * MIB,
    }

const chosen = rows.filter(
  ({ name, peers }) => name.toLowerCase().includes(filter) && (!values.peers || peers !== undefined),
)
if (chosen.length === 0) {
  console.error(`No row's name contains "${filter}". The rows are:\n${rows.map(({ name }) => `  ${name}`).join('\n')}`)
  process.exit(1)
}

// Measure the built package, as it is published: running the TypeScript sources makes calls slower.
const build = spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' })
if (build.status !== 0) process.exit(1)
const url = new URL('../dist/index.js', import.meta.url).href
const subject: LabOptions['subject'] = { url, ...((await import(url)) as typeof import('holdfast')) }

const lab = new Lab({ ...size, subject })
try {
  const results = await runRows(chosen, lab)
  if (values.peers) printPeers(results)
} finally {
  await lab.close()
}
