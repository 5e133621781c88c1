import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The sources of the entry points whose declarations a user calls. */
const ENTRIES = ['src/index.ts', 'src/config/index.ts', 'src/studio/index.ts', 'src/testing/index.ts']

/** Exported interfaces whose methods a user calls rather than implements. */
const CALLED_INTERFACES = new Set(['Storage', 'StorageTransaction'])

/** A function or method that a user may call, and the text in front of its declaration. */
export interface PublicCall {
  file: string
  /** `Messages.append`, or `openStorage`. */
  name: string
  /** The doc block right above the declaration; empty if there is none. */
  doc: string
}

/** Returns every function, and every method of a class or of the storage, that an entry point exports. */
export function publicCalls(root: string): PublicCall[] {
  return ENTRIES.flatMap((entry) =>
    exportsOf(readFileSync(join(root, entry), 'utf8')).flatMap(({ name, from }) => {
      const file = join(entry, '..', from)
      return callsOf(readFileSync(join(root, file), 'utf8'), name).map((call) => ({ file, ...call }))
    }),
  )
}

function exportsOf(source: string): { name: string; from: string }[] {
  return [...source.matchAll(/^export (?:type )?\{(.*?)\} from '([^']+)'/gms)].flatMap(([, names = '', from = '']) =>
    names
      .split(',')
      .map((name) => name.trim().replace(/^type /, ''))
      .filter((name) => name !== '')
      .map((name) => ({ name, from })),
  )
}

function callsOf(source: string, name: string): Omit<PublicCall, 'file'>[] {
  const plain = new RegExp(`^export (?:async )?function ${name}\\b`, 'm').exec(source)
  if (plain) return [{ name, doc: docBefore(source, plain.index) }]
  const kind = CALLED_INTERFACES.has(name) ? '(?:class|interface)' : 'class'
  const body = new RegExp(`^export ${kind} ${name}\\b.*?^}`, 'ms').exec(source)
  return body ? methodsOf(body[0]).map((method) => ({ ...method, name: `${name}.${method.name}` })) : []
}

/** Returns the documented methods of a class. Overloads share the documentation of the first one. */
function methodsOf(body: string): { name: string; doc: string }[] {
  const methods = new Map<string, string>()
  for (const match of body.matchAll(/^ {2}(?:static )?(?:async )?\*?([a-z]\w*)(?:<.*>)?\(/gm)) {
    const [, name = ''] = match
    if (name !== 'constructor' && !methods.has(name)) methods.set(name, docBefore(body, match.index))
  }
  return Array.from(methods, ([name, doc]) => ({ name, doc })).filter(({ doc }) => !doc.includes('@internal'))
}

function docBefore(source: string, index: number): string {
  const before = source.slice(0, index).trimEnd()
  return before.endsWith('*/') ? before.slice(before.lastIndexOf('/**')) : ''
}
