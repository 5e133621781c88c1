import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryDirectory } from '../setup/temporary.ts'

/** Returns the fenced YAML blocks of a Markdown file, in their order. */
export async function yamlBlocks(markdown: URL): Promise<string[]> {
  const text = await readFile(markdown, 'utf8')
  return [...text.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block]) => block ?? '')
}

/** Writes a configuration file into a new directory. */
export async function configFile(text: string, name = 'agent.yml'): Promise<{ file: string; directory: string }> {
  const directory = temporaryDirectory('config')
  const file = join(directory, name)
  await writeFile(file, text)
  return { file, directory }
}
