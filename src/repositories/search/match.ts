import type { Dialect } from '../../database/db.ts'
import { ftsQuery, type SearchQuery, tsQuery } from '../../search/query.ts'

/** Returns the query in the language of the dialect. SQLite narrows it to an owner and a session by tokens beside the text. */
export function matchOf(
  dialect: Dialect,
  query: SearchQuery,
  { owner, sessionId }: { owner?: string | undefined; sessionId?: string | undefined },
): { match: string; words: string } {
  if (dialect === 'postgres') {
    const words = tsQuery(query)
    return { match: words, words }
  }
  const words = `terms : ${ftsQuery(query)}`
  const scope = [
    ...(owner === undefined ? [] : [`o${hex(owner)}`]),
    ...(sessionId === undefined ? [] : [`s${hex(sessionId)}`]),
  ]
  return { match: [words, ...scope.map((token) => `scope : ${token}`)].join(' AND '), words }
}

/** Returns the token of an id, as the triggers of SQLite make it: of the last 8 characters. The rows have the whole id. */
function hex(id: string): string {
  return Buffer.from(Array.from(id).slice(-8).join('')).toString('hex')
}
