import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { SECURITY_HEADERS } from './headers.ts'
import { Refusal } from './responses.ts'

const INDEX = 'index.html'
const TYPES = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
} as const

/** Both src/studio/ and dist/studio/ have the page beside this code. */
const FOLDER = new URL('./page/', import.meta.url)

/** The files of the page by their paths. No other file can be asked for. */
const files = new Map<string, keyof typeof TYPES>()

/** Returns true if the page has a file at this path. */
export function isAsset(path: string): boolean {
  if (files.size === 0) {
    for (const name of readdirSync(FOLDER)) {
      const [, ending = ''] = /\.([a-z]+)$/.exec(name) ?? []
      if (ending in TYPES) files.set(name, ending as keyof typeof TYPES) // it is one of its keys
    }
  }
  return files.has(path || INDEX)
}

/** Returns a file of the page. */
export async function assetResponse(path: string): Promise<Response> {
  const type = isAsset(path) ? files.get(path || INDEX) : undefined
  if (type === undefined) throw new Refusal(404, 'NOT_FOUND', 'Studio has no such page')
  const bytes = await readFile(new URL(path || INDEX, FOLDER))
  return new Response(new Uint8Array(bytes), {
    headers: { ...SECURITY_HEADERS, 'content-type': TYPES[type] },
  })
}
