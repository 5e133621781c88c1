/** Writes the reference of docs/cli.md from the table of commands. A test holds the page to the table. */
import { readFile, writeFile } from 'node:fs/promises'
import { COMMANDS } from '../src/cli/commands.ts'
import { referencePage } from '../src/cli/page.ts'

const file = new URL('../docs/cli.md', import.meta.url)
const page = await readFile(file, 'utf8')
const heading = '## Reference\n'
await writeFile(file, `${page.slice(0, page.indexOf(heading))}${heading}\n${referencePage(COMMANDS)}\n`)
